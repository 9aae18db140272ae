//! Takes up what is due: after a restart, when a wait is over, when another node has died.

use std::sync::Arc;
use std::time::Duration;

use outdial_domain::{Error, ErrorKind, Result};
use tokio::time::{MissedTickBehavior, interval};

use crate::Inner;
use crate::membership::signs_of_life;
use crate::worker::Origin;

const CLAIM_AT_ONCE: u32 = 256;
/// How long a start waits for the store.
const JOIN_WITHIN: Duration = Duration::from_secs(3);

/// Says that this node lives, takes its own calls back, and starts claiming. What does not work yet
/// is tried until it does.
///
/// # Errors
/// Those that do not go away.
pub(crate) async fn start(inner: &Arc<Inner>) -> Result<()> {
    // A store that does not answer is waited for elsewhere: meanwhile the server can say so.
    let given = match tokio::time::timeout(JOIN_WITHIN, inner.try_beat()).await {
        Ok(joined) => {
            let given = joined.is_ok();
            joined.or_else(tolerate)?;
            given
        }
        Err(_) => false,
    };
    let beats = inner.runtime.spawn(signs_of_life(inner.clone(), given));
    *inner.beats.lock().await = Some(beats);
    inner.spawn(claims(inner.clone()));
    inner.spawn(crate::astray::attention(inner.clone()));
    inner.spawn(crate::astray::astray(inner.clone()));
    inner.spawn(crate::recording::captures(inner.clone()));
    Ok(())
}

fn tolerate(error: Error) -> Result<()> {
    match error.kind {
        ErrorKind::Refused | ErrorKind::Corrupt => Err(error),
        _ => Ok(()),
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
    // Taken before the claim: a stop in between is noticed by it.
    let Ok(term) = inner.term() else { return 0 };
    let claimed = inner.parts.store.claim_due(&inner.parts.node, inner.now(), CLAIM_AT_ONCE).await;
    match claimed {
        Ok(calls) => {
            let count = calls.len();
            for call in calls {
                inner.work_on(call, Origin::found(term));
            }
            count
        }
        Err(error) => {
            tracing::error!(%error, "due calls could not be claimed");
            0
        }
    }
}
