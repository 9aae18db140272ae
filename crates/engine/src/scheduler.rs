//! Takes up what is due: after a restart, when a wait is over, when another node has died.

use std::sync::Arc;

use outdial_domain::Result;
use tokio::time::{MissedTickBehavior, interval};

use crate::Inner;

const CLAIM_AT_ONCE: u32 = 256;

/// Says that this node lives, takes its own calls back, and starts claiming.
pub(crate) async fn start(inner: &Arc<Inner>) -> Result<()> {
    let (store, node) = (&inner.parts.store, &inner.parts.node);
    let now = inner.now();
    store.heartbeat(node, now + inner.parts.policy.lease).await?;
    let taken_back = store.release(node, now).await?;
    if taken_back > 0 {
        tracing::info!(calls = taken_back, "took back the calls of the last run");
    }
    inner.spawn(heartbeats(inner.clone()));
    inner.spawn(claims(inner.clone()));
    Ok(())
}

async fn heartbeats(inner: Arc<Inner>) {
    let mut ticks = interval(inner.parts.policy.lease / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let until = inner.now() + inner.parts.policy.lease;
        if let Err(error) = inner.parts.store.heartbeat(&inner.parts.node, until).await {
            tracing::error!(%error, "the sign of life could not be stored");
        }
    }
}

async fn claims(inner: Arc<Inner>) {
    let mut ticks = interval(inner.parts.policy.claim_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Nothing new is begun while draining; what is due then waits for the next start.
        tokio::select! {
            () = inner.draining.cancelled() => return,
            () = inner.due.notified() => {}
            _ = ticks.tick() => {}
        }
        while claim(&inner).await == CLAIM_AT_ONCE as usize {}
    }
}

async fn claim(inner: &Arc<Inner>) -> usize {
    let claimed = inner.parts.store.claim_due(&inner.parts.node, inner.now(), CLAIM_AT_ONCE).await;
    match claimed {
        Ok(calls) => {
            let count = calls.len();
            for call in calls {
                inner.work_on(call, false, None);
            }
            count
        }
        Err(error) => {
            tracing::error!(%error, "due calls could not be claimed");
            0
        }
    }
}
