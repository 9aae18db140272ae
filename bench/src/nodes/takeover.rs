//! How long calls are nobody's after their node was killed.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use crate::cluster::Cluster;
use crate::mongo::Mongo;
use crate::{Options, print_line};

/// How exactly times are told.
const LOOK: Duration = Duration::from_millis(10);
/// Far beyond any lease.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) async fn measure(mongo: &Mongo, options: &Options) -> Result<()> {
    print_line(&format!(
        "\nkill -9 of a node with {} calls in progress: from the kill until",
        options.calls
    ));
    for lease in &options.lease {
        let settings = [("OUTDIAL_NODE__LEASE", lease.clone())];
        let mut cluster = Cluster::start(mongo, "outdial_bench_takeover", 2, &settings).await?;
        cluster.place(options.calls).await?;
        take_over(&mut cluster, options.calls, lease).await?;
        cluster.end().await?;
    }
    Ok(())
}

async fn take_over(cluster: &mut Cluster, calls: usize, lease: &str) -> Result<()> {
    let dead = cluster.nodes[0].id.clone();
    let its_own = doc! {"owner": &dead};
    let owned = cluster.count(its_own.clone()).await?;
    ensure!(owned == calls as u64, "{owned} of {calls} calls belong to {dead}");
    let begun = Instant::now();
    cluster.nodes[0].kill().await?;
    let (taken, ended) = tokio::join!(
        gone(cluster, its_own, calls, begun),
        gone(cluster, doc! {"status": {"$ne": "ended"}}, calls, begun),
    );
    for (what, mut times) in
        [("another node owns the call", taken?), ("the call's end is stored", ended?)]
    {
        times.sort_unstable();
        let at = |index: usize| times[index].as_secs_f64();
        print_line(&format!(
            "  lease {lease:>4}  {what:<27} min {:>6.2} s  median {:>6.2} s  max {:>6.2} s",
            at(0),
            at(times.len() / 2),
            at(times.len() - 1)
        ));
    }
    Ok(())
}

/// When each of the calls no longer matched, counted from `begun`.
async fn gone(
    cluster: &Cluster,
    filter: Document,
    calls: usize,
    begun: Instant,
) -> Result<Vec<Duration>> {
    let collection = cluster.database.collection::<Document>("calls");
    let mut times = Vec::new();
    while times.len() < calls {
        ensure!(begun.elapsed() < PATIENCE, "{} of {calls} calls changed only", times.len());
        let left = collection.find(filter.clone()).projection(doc! {"_id": 1}).await?;
        let left: HashSet<String> = left
            .map_ok(|call| call.get_str("_id").unwrap_or_default().to_owned())
            .try_collect()
            .await?;
        times.resize(calls.saturating_sub(left.len()).max(times.len()), begun.elapsed());
        tokio::time::sleep(LOOK).await;
    }
    Ok(times)
}
