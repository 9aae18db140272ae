//! The server inside another program.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use outdial::settings::Settings;
use outdial::{Server, Shutdown, run};
use outdial_engine::NewKey;
use serde_json::{Value, json};

fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::defaults().unwrap();
    settings.data_dir = folder.to_owned();
    settings.sandbox.time_scale = 0.01;
    settings
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

async fn body(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_in_one_process_have_metrics() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        let server = Server::start(settings(folder.path()), free_port()).await.unwrap();
        let metrics = reqwest::get(format!("{}/metrics", server.url())).await.unwrap();
        assert_eq!(metrics.status(), 200);
        server.stop(std::future::pending()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let running = tokio::spawn(run(settings(folder.path()), free_port(), shutdown.clone()));
    shutdown.begin();
    running.await.unwrap().unwrap();
    // Everything was let go of: the same folder can be used again.
    let server = Server::start(settings(folder.path()), free_port()).await.unwrap();
    server.stop(std::future::pending()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_holds_the_stop_until_that_is_forced() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.server.drain_timeout = Duration::from_secs(3600);
    let server = Server::start(settings.clone(), free_port()).await.unwrap();
    let key = NewKey { account: "a".into(), name: "a".into(), admin: false };
    let (_, _, key) = server.engine().create_key(key).await.unwrap();
    let (client, url) = (reqwest::Client::new(), server.url());
    let post = |path: &str, value: Value| {
        let request = client.post(format!("{url}{path}")).header("x-api-key", key.expose());
        body(request.json(&value))
    };
    let assistant = json!({"assistant_name": "a", "assistant_prompt": "p"});
    let assistant = post("/assistants", assistant).await;
    let trunk = json!({"call_service": "twilio", "name": "t", "sandbox": true});
    let trunk = post("/trunks", trunk).await;
    let call = post(
        "/call/outbound",
        json!({
            "assistant_id": assistant["data"]["assistant_id"],
            "trunk_id": trunk["data"]["trunk_id"],
            // Never hangs up.
            "to_number": "+15550100903",
            "call_service": "twilio",
        }),
    )
    .await;
    let room_name = call["data"]["room_name"].as_str().unwrap();
    let events = client.get(format!("{url}/calls/{room_name}/events"));
    let mut events = events.header("x-api-key", key.expose()).send().await.unwrap();
    events.chunk().await.unwrap().unwrap();

    let shutdown = Shutdown::new();
    let force = shutdown.clone();
    let stopping = tokio::spawn(async move { server.stop(force.forced()).await });
    // The server says itself that it has begun to stop.
    while client
        .post(format!("{url}/call/outbound"))
        .header("x-api-key", key.expose())
        .json(&json!({
            "assistant_id": assistant["data"]["assistant_id"],
            "trunk_id": trunk["data"]["trunk_id"],
            "to_number": "+15550100486",
            "call_service": "twilio",
        }))
        .send()
        .await
        .unwrap()
        .status()
        != 503
    {
        tokio::task::yield_now().await;
    }
    assert!(!stopping.is_finished());
    shutdown.force();
    stopping.await.unwrap().unwrap();
    while events.chunk().await.unwrap_or_default().is_some() {}

    let server = Server::start(settings, free_port()).await.unwrap();
    let path = format!("{}/calls/{room_name}", server.url());
    let call = body(client.get(path).header("x-api-key", key.expose())).await;
    assert_eq!(call["data"]["room_name"], room_name, "the call is still on record");
    server.stop(std::future::ready(())).await.unwrap();
}
