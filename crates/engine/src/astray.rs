//! Calls of this node that others have changed, or that nobody works on though the node owns them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::{Call, Hint, LegEnd, Result, RoomName};

use crate::Inner;
use crate::live::Request;
use crate::worker::Origin;

/// How often calls that went astray are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// The same while it is not known whether a call was stored.
const LOOK_IN_DOUBT: Duration = Duration::from_secs(5);
/// A call that was not there so many times was not stored.
const LOOKS_IN_DOUBT: u32 = 60;
/// How old a call may be that is found to be stored and is gone on with.
const STILL_WANTED: TimeDelta = TimeDelta::seconds(60);

/// Calls that may have been stored although their insert has failed, as whoever asked for them was
/// told. One with an idempotency key is asked for again by that key, and there is one call for it
/// however often that happens: it is gone on with. Any other may have been replaced by another call
/// meanwhile: it is not dialled.
#[derive(Default)]
pub(crate) struct Doubts(Mutex<HashMap<RoomName, Doubt>>);

#[derive(Clone, Copy)]
struct Doubt {
    has_key: bool,
    looks: u32,
}

impl Doubt {
    fn is_wanted(self, call: &Call, now: DateTime<Utc>) -> bool {
        // Nobody has had it in hand since it was inserted.
        self.has_key && call.version == 1 && now - call.order.created_at < STILL_WANTED
    }
}

impl Doubts {
    pub(crate) fn add(&self, room: &RoomName, has_key: bool) {
        self.rooms().insert(room.clone(), Doubt { has_key, looks: 0 });
    }

    fn find(&self, room: &RoomName) -> Option<Doubt> {
        self.rooms().get(room).copied()
    }

    fn remove(&self, room: &RoomName) {
        self.rooms().remove(room);
    }

    fn is_empty(&self) -> bool {
        self.rooms().is_empty()
    }

    /// Those that are left were looked for in vain.
    fn grow_old(&self) {
        self.rooms().retain(|_, doubt| {
            doubt.looks += 1;
            doubt.looks < LOOKS_IN_DOUBT
        });
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, HashMap<RoomName, Doubt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what others have changed: often while there are others, which may do so at any time.
pub(crate) async fn attention(inner: Arc<Inner>) {
    let policy = &inner.parts.policy;
    loop {
        let pause =
            if inner.has_other(|_| true) { policy.claim_interval } else { policy.lease / 6 };
        tokio::select! {
            () = inner.stopping.cancelled() => return,
            () = inner.attend.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = inner.attend().await {
            tracing::warn!(%error, "it could not be seen which calls need attention");
        }
    }
}

/// Takes up calls that this node owns and nobody works on: their insert or claim was stored though
/// its answer was lost, or their worker could not give them up.
pub(crate) async fn astray(inner: Arc<Inner>) {
    let mut seen = HashMap::new();
    loop {
        let look = async {
            let begun = tokio::time::Instant::now();
            while begun.elapsed() < LOOK {
                tokio::time::sleep(LOOK_IN_DOUBT).await;
                if !inner.doubts.is_empty() {
                    return;
                }
            }
        };
        tokio::select! {
            () = inner.draining.cancelled() => return,
            () = look => {}
        }
        match inner.take_up_astray(&seen).await {
            Ok(now_seen) => seen = now_seen,
            Err(error) => tracing::warn!(%error, "calls that went astray could not be looked for"),
        }
    }
}

impl Inner {
    async fn attend(self: &Arc<Self>) -> Result<()> {
        // A node that may have lost its calls leaves them alone.
        let Ok(term) = self.term() else { return Ok(()) };
        for room in self.parts.store.needing_attention(&self.parts.node).await? {
            if let Some(entry) = self.live.find(&room) {
                // When its mailbox is full, it is asked again.
                let _ = entry.requests.try_send(Request::Look);
            } else if !self.live.is_held(&room)
                && let Some(call) = self.own(&room).await
            {
                self.work_on(call, Origin::found(term));
            }
        }
        Ok(())
    }

    /// `seen`: what was without a worker at the last look, with its version. Returns what is now.
    async fn take_up_astray(
        self: &Arc<Self>,
        seen: &HashMap<RoomName, u64>,
    ) -> Result<HashMap<RoomName, u64>> {
        let Ok(term) = self.term() else { return Ok(HashMap::new()) };
        let mut owned = self.parts.store.owned(&self.parts.node).await?;
        owned.retain(|(room, _)| self.live.find(room).is_none() && !self.live.is_held(room));
        for (room, version) in &owned {
            let doubt = self.doubts.find(room);
            // One that was seen only now may be somebody's who is about to register.
            if doubt.is_none() && seen.get(room) != Some(version) {
                continue;
            }
            let Some(mut call) = self.own(room).await else { continue };
            if let Some(doubt) = doubt {
                self.doubts.remove(room);
                let now = self.now();
                if doubt.is_wanted(&call, now) {
                    // The moment reserved for it on its trunk has passed: it leaves the queue anew.
                    (call.started_at, call.due_at) = (None, Some(now));
                } else {
                    call.apply(&Hint::Ended { at: now, end: LegEnd::Gone });
                }
            }
            tracing::warn!(?room, in_doubt = doubt.is_some(), "a call had nobody who works on it");
            self.work_on(call, Origin::found(term));
        }
        self.doubts.grow_old();
        Ok(owned.into_iter().collect())
    }

    /// The call, if this node owns it. One that cannot be read hinders no other.
    async fn own(&self, room: &RoomName) -> Option<Call> {
        let call = self.parts.store.get(room).await.unwrap_or_else(|error| {
            tracing::warn!(?room, %error, "a call could not be read");
            None
        });
        call.filter(|call| call.owner.as_ref() == Some(&self.parts.node))
    }
}
