//! What it costs to join a phone to a LiveKit room: outdial's bridge beside livekit-sip.
//!
//! Every call has a room of its own, in which an agent speaks Opus or µ-law; its phone speaks µ-law;
//! both send 50 packets a second. The same phones (a SIP server in this process) and the same agents
//! (room participants in this process) talk through each; the process that joins them is measured
//! from outside. `room only` is the same conversation with the phone as a participant: what the room
//! server and the participants themselves add to the latencies. See `docs/performance.md`.
//!
//! ```sh
//! scripts/real-stack up redis livekit sip
//! eval "$(scripts/real-stack env)"
//! cargo run --release -p outdial-bench --bin outdial-bench-bridge -- --calls 10,50 --agent opus
//! ```

mod bridge;
mod call;
mod child;
mod measure;
mod path;
mod people;
mod phones;
mod profile;
mod report;
mod sip;
mod sound;
mod stack;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use child::BridgeProcess;
use clap::{Parser, ValueEnum};
use measure::{Measured, Plan, measure};
use outdial_bench::machine;
use outdial_domain::SipTransport;
use outdial_room::AudioCodec;
use path::{Path, Rig};
use people::People;
use phones::Phones;
use stack::Stack;

/// CPU, memory, loss and latency per call of outdial's bridge, beside livekit-sip.
#[derive(Debug, Parser)]
struct Options {
    /// Calls at once through the bridge; several numbers are measured one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [50])]
    calls: Vec<usize>,
    /// Calls at once through livekit-sip, which needs 5 % of a core for each.
    #[arg(long, default_value_t = 10)]
    livekit_sip_calls: usize,
    /// Length of each measurement.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// What the agents speak.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Agent::Opus])]
    agent: Vec<Agent>,
    /// How SIP goes.
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Without livekit-sip, and so without ratios.
    #[arg(long)]
    skip_livekit_sip: bool,
    /// Without the bridge.
    #[arg(long)]
    skip_bridge: bool,
    /// After each measurement, sample the process for so many seconds (needs perf).
    #[arg(long)]
    profile: Option<u64>,
    /// Used by the program itself.
    #[arg(hide = true)]
    command: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Agent {
    Opus,
    Pcmu,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.command.as_deref() == Some(child::COMMAND) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(child::serve());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let stack = Stack::of_environment()?;
    let phones = Phones::start()?;
    let transport = match options.transport {
        Transport::Udp => SipTransport::Udp,
        Transport::Tcp => SipTransport::Tcp,
    };
    let rig = Rig {
        livekit: Rig::livekit(&stack)?,
        people: People::new()?,
        phones_at: sip::listen(Arc::clone(&phones)).await?,
        transport,
        stack,
    };
    print_line(&machine::describe());
    for agent in &options.agent {
        measure_all(&rig, &phones, options, *agent).await?;
    }
    phones.stop();
    Ok(())
}

async fn measure_all(rig: &Rig, phones: &Phones, options: &Options, agent: Agent) -> Result<()> {
    let plan = |calls| Plan {
        calls,
        agent: match agent {
            Agent::Opus => AudioCodec::Opus,
            Agent::Pcmu => AudioCodec::Pcmu,
        },
        time: Duration::from_secs(options.seconds),
        profile: options.profile.map(Duration::from_secs),
    };
    report::heading(agent);
    let mut all: Vec<Measured> = Vec::new();
    let first = options.calls.first().copied().unwrap_or(1);
    all.push(measure(rig, phones, &Path::Direct, &plan(first)).await?);
    report::row(&all[0]);
    let livekit_sip = rig.stack.pid("sip").filter(|_| !options.skip_livekit_sip);
    if let Some(pid) = livekit_sip {
        let path = Path::LivekitSip(pid);
        let measured = measure(rig, phones, &path, &plan(options.livekit_sip_calls)).await?;
        report::row(&measured);
        all.push(measured);
    } else {
        print_line("livekit-sip is skipped, or does not run: no ratios");
    }
    for calls in options.calls.iter().filter(|_| !options.skip_bridge) {
        // a fresh process each time, so that memory grows from the same point
        let path = Path::Bridge(Box::new(BridgeProcess::start()?));
        let measured = measure(rig, phones, &path, &plan(*calls)).await?;
        report::row(&measured);
        all.push(measured);
    }
    report::ratios(&all);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of the program")]
fn print_line(line: &str) {
    println!("{line}");
}
