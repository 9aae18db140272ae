//! Getting into a room.

use std::time::Duration;

use livekit_protocol::DisconnectReason;
use outdial_domain::RoomName;
use outdial_room::{Events, JoinError, JoinOptions, Limits, Room};
use tokio::time::{Instant, sleep};

use crate::observer::{OBSERVER_IDENTITY, Shared};

/// Longer than any call: a connection that is lost late must still be made good.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Why a room could not be joined.
enum Refusal {
    NoRoom,
    Other(String),
}

/// Joins the room, as often as it takes; `None` when there is no such room. `is_known`: there was
/// one, and it will not come again.
pub(crate) async fn join(
    shared: &Shared,
    room: &RoomName,
    is_known: bool,
) -> Option<(Room, Events)> {
    let begun = Instant::now();
    let mut pause = shared.pace.first_pause;
    let mut is_told = false;
    loop {
        match try_join(shared, room).await {
            Ok(entered) => return Some(entered),
            Err(Refusal::NoRoom) if is_known || begun.elapsed() >= shared.pace.room_timeout => {
                return None;
            }
            Err(Refusal::NoRoom) => {}
            Err(Refusal::Other(error)) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::info!(%room, error, "a call cannot be observed yet; trying again");
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(shared.pace.longest_pause);
    }
}

async fn try_join(shared: &Shared, room: &RoomName) -> Result<(Room, Events), Refusal> {
    // LiveKit creates a room for whoever joins a missing one, and nobody would delete that.
    let has_room = shared.livekit.has_room(room).await;
    if !has_room.map_err(|error| Refusal::Other(error.to_string()))? {
        return Err(Refusal::NoRoom);
    }
    let token = shared.livekit.observer_token(room, OBSERVER_IDENTITY, TOKEN_LIFE);
    let token = token.map_err(|error| Refusal::Other(error.to_string()))?;
    let options = JoinOptions {
        timeout: shared.pace.join_timeout,
        reconnect_timeout: shared.pace.reconnect_timeout,
        // A room that was deleted meanwhile must not come back.
        rejoin: false,
        limits: Limits { data_backlog: 1 << 20, stream_bytes: 256 << 10, ..Limits::default() },
        ..JoinOptions::default()
    };
    let joining = Room::join(&shared.media, shared.livekit.url(), &token, options);
    Box::pin(joining).await.map_err(|error| match error {
        JoinError::RoomNotFound(_)
        | JoinError::Closed(DisconnectReason::RoomDeleted | DisconnectReason::RoomClosed) => {
            Refusal::NoRoom
        }
        error => Refusal::Other(error.to_string()),
    })
}
