//! The last words of a call: what the agent tells of it when it sees that the callee has left.

use std::time::Duration;

use outdial_observer::{Attendant, OBSERVER_IDENTITY, Outbox};
use outdial_room::{Events, JoinOptions, LeaveReason, Room, RoomEvent};
use tokio::time::timeout;

use super::Leg;
use super::course::until;

/// An agent waits so long at most before it learns that the callee has hung up.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a token is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Joins the room unseen, just before the leg leaves it; `None` if that cannot be done in time.
pub(crate) async fn join(leg: &Leg) -> Option<(Room, Events)> {
    let (bridge, room_name) = (&leg.bridge, &leg.request.room_name);
    let token = bridge.livekit.observer_token(room_name, OBSERVER_IDENTITY, TOKEN_LIFE).ok()?;
    let options = JoinOptions { rejoin: false, timeout: JOIN_TIMEOUT, ..JoinOptions::default() };
    let joined = Box::pin(Room::join(&bridge.media, bridge.livekit.url(), &token, options)).await;
    joined
        .inspect_err(|error| {
            tracing::info!(room = ?room_name, %error, "last words of a call may be missing");
        })
        .ok()
}

/// Listens until all is told, within 2 s, and leaves.
pub(crate) async fn listen(
    (room, mut events): (Room, Events),
    attendant: &mut Attendant,
    outbox: &Outbox,
) {
    let mut hints = attendant.look_around(&room.participants());
    loop {
        attendant.watch(&room);
        hints.extend(attendant.tick());
        for hint in hints.drain(..) {
            attendant.tell(hint, outbox);
        }
        if attendant.is_over() {
            break;
        }
        tokio::select! {
            event = events.next() => match event {
                Some(RoomEvent::Closed(reason)) => {
                    hints = attendant.closed(&reason);
                }
                Some(event) => hints = attendant.hear(event),
                None => break,
            },
            () = until(attendant.due()) => {}
        }
    }
    // The room may be gone by now.
    let _ = timeout(JOIN_TIMEOUT, room.leave(LeaveReason::ClientInitiated)).await;
}
