//! What nodes and calls cost the database while nothing happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::Cluster;
use crate::mongo::Mongo;
use crate::{Options, print_line};

/// Calls are answered 20 s after they were dialled, and then the agent speaks for 200 s, so that for
/// this long nothing happens at all.
const TIME_SCALE: &str = "10";
/// What begins with the answer is over by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Operations a minute, by command.
type PerMinute = BTreeMap<&'static str, f64>;

pub(crate) async fn measure(mongo: &Mongo, options: &Options) -> Result<()> {
    let window = Duration::from_secs(options.idle_seconds);
    let settings = [("OUTDIAL_SANDBOX__TIME_SCALE", TIME_SCALE.to_owned())];
    print_line("\noperations of the database a minute");
    let nobody = watch(mongo, window / 2).await?;
    report("nobody", &nobody);
    let one = Cluster::start(mongo, "outdial_bench_idle", 1, &settings).await?;
    tokio::time::sleep(SETTLE).await;
    let alone = watch(mongo, window).await?;
    report("one idle node", &alone);
    one.end().await?;

    let two = Cluster::start(mongo, "outdial_bench_idle", 2, &settings).await?;
    tokio::time::sleep(SETTLE).await;
    let together = watch(mongo, window).await?;
    report("two idle nodes", &together);
    two.place(options.calls).await?;
    tokio::time::sleep(SETTLE).await;
    let busy = watch(mongo, window).await?;
    report(&format!("two nodes, {} calls", options.calls), &busy);
    let each = (sum(&busy) - sum(&together)) / options.calls as f64;
    print_line(&format!(
        "  an idle node {:.0} alone, {:.0} beside another; an idle call {each:.2}",
        sum(&alone) - sum(&nobody),
        (sum(&together) - sum(&nobody)) / 2.0
    ));
    two.end().await
}

async fn watch(mongo: &Mongo, window: Duration) -> Result<PerMinute> {
    let (begun, before) = (Instant::now(), mongo.operations().await?);
    tokio::time::sleep(window).await;
    let after = mongo.operations().await?;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let rate = |(name, count): (&'static str, i64)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name, (count - before) as f64 / minutes)
    };
    Ok(after.into_iter().map(rate).collect())
}

fn sum(rates: &PerMinute) -> f64 {
    rates.values().sum()
}

fn report(what: &str, rates: &PerMinute) {
    let parts = rates.iter().filter(|(_, rate)| **rate > 0.0);
    let parts: Vec<String> = parts.map(|(name, rate)| format!("{name} {rate:.1}")).collect();
    print_line(&format!("  {what:<22} {:>7.1}   {}", sum(rates), parts.join(", ")));
}
