//! How many calls a second are accepted durably, beside what the HTTP server can do at all.
//!
//! `POST /call/outbound` on a sandbox trunk, each answered after its record is on the disk and its
//! leg has joined, against an actix-web server that only echoes JSON: same machine, same process,
//! same load generator, in turns. The ratio of the two is the figure; the rates depend on the
//! machine.
//!
//! `cargo run --release -p outdial-bench -- --seconds 5 --rounds 3 --connections 64`

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use anyhow::{Context, Result};
use clap::Parser;
use outdial::Server;
use outdial::settings::Settings;
use outdial_bench::load;
use outdial_domain::CallService;
use outdial_engine::{NewAssistant, NewKey, NewTrunk};
use serde_json::{Value, json};

/// Durable POST /call/outbound per second against a bare JSON echo.
#[derive(Debug, Parser)]
struct Options {
    /// Length of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often both are measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections with one request at a time each.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Speed of the simulated calls: 1 is life, 0 runs every call to its end at once.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let echo = start_echo()?;
    let folder = tempfile::tempdir()?;
    let (server, request) = start_outdial(options, folder.path().to_owned()).await?;
    let body = json!({"assistant_id": "550e8400-e29b-41d4-a716-446655440000", "n": 1}).to_string();
    let echo = [(echo, load::post(echo, "/echo", &[], &body))];
    let outdial = [(server.address(), request)];
    let duration = Duration::from_secs(options.seconds);

    let (mut echoes, mut calls) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let load = load::run(&echo, options.connections, duration).await?;
        print_line(&format!("round {round}  json echo       {load}"));
        echoes.push(load.rate);
        let load = load::run(&outdial, options.connections, duration).await?;
        print_line(&format!("round {round}  call/outbound   {load}"));
        calls.push(load.rate);
    }
    let (echo, call) = (median(&mut echoes), median(&mut calls));
    print_line(&format!("median: {call:.0}/s of {echo:.0}/s, ratio {:.3}", call / echo));
    // Calls are cut off in the middle: there is nothing to wait for.
    server.stop(std::future::ready(())).await
}

fn start_echo() -> Result<SocketAddr> {
    async fn echo(body: web::Json<Value>) -> web::Json<Value> {
        body
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(|| App::new().route("/echo", web::post().to(echo)))
        .disable_signals()
        .listen(listener)?
        .run();
    tokio::spawn(server);
    Ok(address)
}

async fn start_outdial(
    options: &Options,
    data_dir: std::path::PathBuf,
) -> Result<(Server, Vec<u8>)> {
    let mut settings = Settings::defaults()?;
    settings.data_dir = data_dir;
    settings.sandbox.time_scale = options.time_scale;
    settings.api.requests_per_second = None;
    let server = Server::start(settings, TcpListener::bind("127.0.0.1:0")?).await?;
    let engine = server.engine();
    let key = NewKey { account: "bench".into(), name: "bench".into(), admin: false };
    let (account, _, token) = engine.create_key(key).await?;
    let account = account.account_id;
    let assistant = NewAssistant::new("Bench", "You help {{name}}.", "Say: Hello {{name}}!");
    let (assistant, _) = engine.create_assistant(&account, assistant).await?;
    let trunk = NewTrunk::sandbox("bench", CallService::Twilio);
    let trunk = engine.create_trunk(&account, trunk).await.context("a trunk")?;
    let body = json!({
        "assistant_id": assistant.assistant_id,
        "trunk_id": trunk.trunk_id,
        "to_number": "+15550200000",
        "call_service": "twilio",
        "metadata": {"name": "John Doe", "customer_id": "12345"},
    });
    let headers = [("x-api-key", token.expose())];
    let request = load::post(server.address(), "/call/outbound", &headers, &body.to_string());
    Ok((server, request))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn print_line(line: &str) {
    println!("{line}");
}
