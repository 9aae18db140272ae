//! One measurement: so many calls on one path.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use outdial_bench::machine;
use outdial_room::AudioCodec;

use crate::call::{Call, Counts};
use crate::path::{Leg, Path, Rig};
use crate::phones::Phones;

/// Calls are set up and ended so many at a time.
const AT_A_TIME: usize = 4;
/// How long calls may take until both sides hear each other.
const SETUP: Duration = Duration::from_secs(60);
/// What is not counted at the beginning: buffers grow, sockets settle.
const SETTLE: Duration = Duration::from_secs(5);

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) calls: usize,
    pub(crate) agent: AudioCodec,
    pub(crate) time: Duration,
    /// Sample the bridging process for so long afterwards.
    pub(crate) profile: Option<Duration>,
}

/// What was measured. Shares of the processor are in % of a core.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) path: &'static str,
    pub(crate) calls: usize,
    /// Of the process that joins phone and room, for each call.
    pub(crate) cpu: Option<f64>,
    /// Of livekit-server, for each call.
    pub(crate) server_cpu: Option<f64>,
    /// Of the process that joins phone and room, in KiB for each call.
    pub(crate) memory: Option<f64>,
    pub(crate) to_room: Direction,
    pub(crate) to_phone: Direction,
    /// How busy the whole machine was, in %.
    pub(crate) busy: f64,
}

/// One direction of all calls together.
#[derive(Debug)]
pub(crate) struct Direction {
    pub(crate) counts: Counts,
    /// Of each mark, sorted.
    latencies: Vec<Duration>,
}

impl Direction {
    /// The latency in ms that `share` (0 to 1) of the marks stay below.
    pub(crate) fn percentile(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (self.latencies.len() as f64 * share) as usize;
        let latency = self.latencies.get(index.min(self.latencies.len().checked_sub(1)?))?;
        Some(latency.as_secs_f64() * 1_000.0)
    }

    /// Marks that were sent and never heard.
    pub(crate) fn missed(&self) -> u64 {
        self.counts.marks.saturating_sub(self.latencies.len() as u64)
    }
}

/// Sets calls up, measures, and ends them.
pub(crate) async fn measure(
    rig: &Rig,
    phones: &Phones,
    path: &Path,
    plan: &Plan,
) -> Result<Measured> {
    let pid = path.pid()?;
    let warm = Plan { calls: 1, time: Duration::from_secs(1), ..plan.clone() };
    let legs = connect(rig, phones, path, &warm).await?;
    end(rig, path, legs).await?;

    let empty = pid.map(machine::memory).transpose()?;
    let legs = connect(rig, phones, path, plan).await?;
    tokio::time::sleep(SETTLE).await;
    let measured = watch(rig, path, plan, &legs, empty).await?;
    if let (Some(time), Some(pid)) = (plan.profile, pid) {
        crate::profile::print(pid, time).await?;
    }
    end(rig, path, legs).await?;
    Ok(measured)
}

async fn watch(
    rig: &Rig,
    path: &Path,
    plan: &Plan,
    legs: &[Leg],
    empty: Option<f64>,
) -> Result<Measured> {
    let (pid, server) = (path.pid()?, rig.stack.pid("livekit"));
    let cpu = |pid: Option<u32>| pid.map(machine::cpu_seconds).transpose();
    take_latencies(legs, |call| &call.to_room);
    take_latencies(legs, |call| &call.to_phone);
    let counts = || (sum(legs, |call| &call.to_room), sum(legs, |call| &call.to_phone));
    let (began, before) = (Instant::now(), counts());
    let (own, servers, machine) = (cpu(pid)?, cpu(server)?, machine::seconds()?);
    tokio::time::sleep(plan.time).await;
    let (own_now, servers_now, machine_now) = (cpu(pid)?, cpu(server)?, machine::seconds()?);
    let (seconds, after) = (began.elapsed().as_secs_f64(), counts());
    let (to_room, to_phone) = (after.0.since(before.0), after.1.since(before.1));
    let calls = legs.len() as f64;
    let share = |now: Option<f64>, then: Option<f64>| {
        now.zip(then).map(|(now, then)| (now - then) / seconds / calls * 100.0)
    };
    let memory = pid.map(machine::memory).transpose()?;
    Ok(Measured {
        path: path.name(),
        calls: legs.len(),
        cpu: share(own_now, own),
        server_cpu: share(servers_now, servers),
        memory: memory.zip(empty).map(|(now, empty)| (now - empty) / calls),
        to_room: direction(to_room, take_latencies(legs, |call| &call.to_room)),
        to_phone: direction(to_phone, take_latencies(legs, |call| &call.to_phone)),
        busy: (machine_now.0 - machine.0) / (machine_now.1 - machine.1) * 100.0,
    })
}

fn direction(counts: Counts, mut latencies: Vec<Duration>) -> Direction {
    latencies.sort_unstable();
    Direction { counts, latencies }
}

fn sum(legs: &[Leg], way: impl Fn(&Call) -> &crate::call::Way) -> Counts {
    legs.iter().fold(Counts::default(), |sum, leg| sum.plus(way(&leg.call).counts()))
}

fn take_latencies(legs: &[Leg], way: impl Fn(&Call) -> &crate::call::Way) -> Vec<Duration> {
    legs.iter().flat_map(|leg| way(&leg.call).take_latencies()).collect()
}

/// Sets up all calls, and waits until in each both sides hear each other.
async fn connect(rig: &Rig, phones: &Phones, path: &Path, plan: &Plan) -> Result<Vec<Leg>> {
    let calls = (0..plan.calls).map(|n| (n, phones.expect()));
    let legs: Vec<Leg> = stream::iter(calls)
        .map(|(n, call)| path.connect(rig, n, call, plan.agent))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await?;
    let heard = |leg: &&Leg| {
        let sound = |counts: Counts| counts.received > counts.silent;
        sound(leg.call.to_room.counts()) && sound(leg.call.to_phone.counts())
    };
    let deadline = Instant::now() + SETUP;
    loop {
        let deaf = legs.iter().filter(|leg| !heard(leg)).count();
        if deaf == 0 {
            return Ok(legs);
        }
        if Instant::now() > deadline {
            let alone = legs.iter().filter(|leg| !leg.agent.is_connected()).count();
            bail!(
                "{}: in {deaf} of {} calls not both sides hear each other ({alone} agents are not connected)",
                path.name(),
                legs.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Ends all calls, and waits until the phones were told.
async fn end(rig: &Rig, path: &Path, legs: Vec<Leg>) -> Result<()> {
    let calls: Vec<Arc<Call>> = legs.iter().map(|leg| Arc::clone(&leg.call)).collect();
    stream::iter(legs)
        .map(|leg| path.end(rig, leg))
        .buffer_unordered(AT_A_TIME)
        .try_collect::<()>()
        .await?;
    let deadline = Instant::now() + SETUP;
    let up = || calls.iter().filter(|call| call.talks.load(Relaxed)).count();
    while up() > 0 {
        if Instant::now() > deadline {
            bail!("{}: {} phones got no BYE", path.name(), up());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
