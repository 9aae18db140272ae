//! Several nodes on one MongoDB: what they accept, how fast they replace each other, what they cost
//! while nothing happens.
//!
//! - Calls accepted durably a second, by one node and by two, beside inserts of the very same document
//!   by the driver alone: same database, same number of writers, in turns. The ratio is the figure.
//! - A node is killed with calls in progress: how long until the other one owns them, from the
//!   database's point of view.
//! - Operations of the database a minute: of idle nodes, and of calls in which nobody speaks.
//!
//! Each node is a process of its own: this program, started again. Everything shares the machine.
//!
//! ```sh
//! scripts/real-stack up mongodb
//! eval "$(scripts/real-stack env)"
//! cargo run --release -p outdial-bench --bin outdial-bench-nodes
//! ```

mod cluster;
mod idle;
mod mongo;
mod takeover;
mod throughput;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use mongo::Mongo;
use outdial_bench::machine;

/// Several nodes on one MongoDB: rates, take-over, idle cost.
#[derive(Debug, Parser)]
struct Options {
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Posts, Part::TakeOver, Part::Idle])]
    part: Vec<Part>,
    /// Length of each measurement of rates.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often rates are measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections, or writers, with one request at a time each.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Calls in progress when a node is killed, and when operations are counted.
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// `node.lease` of the take-over: several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = ["30s".to_owned(), "6s".to_owned()])]
    lease: Vec<String>,
    /// How long operations are counted.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Posts,
    TakeOver,
    Idle,
}

fn main() -> Result<ExitCode> {
    if let Some(code) = cluster::serve() {
        return Ok(code);
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&options))?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options) -> Result<()> {
    let mongo = Mongo::of_environment().await?;
    print_line(&format!("{}, MongoDB {}", machine::describe(), mongo.version().await?));
    for part in &options.part {
        match part {
            Part::Posts => throughput::measure(&mongo, options).await?,
            Part::TakeOver => takeover::measure(&mongo, options).await?,
            Part::Idle => idle::measure(&mongo, options).await?,
        }
    }
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn print_line(line: &str) {
    println!("{line}");
}
