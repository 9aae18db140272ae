//! Keys for a leg that lives in another process: asked for, and answered, by data packets in its room.
//!
//! What goes through the room is the whole request, not key by key: the leg takes it or refuses it as it
//! does at home, and never plays half of it because somebody else was cut off.

use std::time::Duration;

use outdial_domain::{Digits, Error, ErrorKind, Result, RoomName, random_text};
use outdial_room::{Events, JoinOptions, LeaveReason, Room, RoomEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use crate::bridge::Inner;

/// The topic of what a leg is asked.
pub(crate) const ASKED: &str = "outdial.press_keys";
/// The topic of what it answers.
pub(crate) const TOLD: &str = "outdial.keys_pressed";

pub(crate) const OPERATION: &str = "bridge.send_dtmf";

const JOIN_TIMEOUT: Duration = Duration::from_secs(4);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
const UNSURE: &str = "the digits may have been sent, or none of them";

/// What a leg is asked.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ask {
    /// Who asks: the server does not tell of hidden participants.
    pub(crate) from: String,
    pub(crate) digits: String,
}

/// What it answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    Sent,
    Conflict(String),
    Refused(String),
    Busy(String),
    NotFound(String),
    Unavailable(String),
}

impl From<Result<()>> for Told {
    fn from(result: Result<()>) -> Self {
        let Err(Error { kind, message, .. }) = result else { return Self::Sent };
        match kind {
            ErrorKind::Conflict => Self::Conflict(message),
            ErrorKind::Refused => Self::Refused(message),
            ErrorKind::Busy => Self::Busy(message),
            ErrorKind::NotFound => Self::NotFound(message),
            _ => Self::Unavailable(message),
        }
    }
}

impl From<Told> for Result<()> {
    fn from(told: Told) -> Self {
        let (kind, message) = match told {
            Told::Sent => return Ok(()),
            Told::Conflict(message) => (ErrorKind::Conflict, message),
            Told::Refused(message) => (ErrorKind::Refused, message),
            Told::Busy(message) => (ErrorKind::Busy, message),
            Told::NotFound(message) => (ErrorKind::NotFound, message),
            Told::Unavailable(message) => (ErrorKind::Unavailable, message),
        };
        Err(Error::new(kind, OPERATION, message))
    }
}

/// Has the leg with this identity, wherever it lives, send keys to its callee.
pub(crate) async fn press(
    bridge: &Inner,
    room_name: &RoomName,
    identity: &str,
    digits: &Digits,
) -> Result<()> {
    let unsent = |why: &str| unavailable(format!("nothing was sent: {why}"));
    // Who joins a room that is gone makes a new one.
    let leg = bridge.livekit.leg(room_name, identity).await;
    if leg.map_err(|error| unsent(&error.message))?.is_none() {
        return Err(no_leg());
    }
    let from = format!("outdial-keypad-{}", random_text(8));
    let token = bridge.livekit.dtmf_token(room_name, &from);
    let token = token.map_err(|error| unsent(&error.message))?;
    let options = JoinOptions { rejoin: false, timeout: JOIN_TIMEOUT, ..JoinOptions::default() };
    let joining = Room::join(&bridge.media, bridge.livekit.url(), &token, options);
    let (room, mut events) = Box::pin(joining).await.map_err(|error| unsent(&error.to_string()))?;
    let ask = Ask { from, digits: digits.to_string() };
    let answer = timeout(ANSWER_TIMEOUT, asked(&room, &mut events, identity, &ask)).await;
    bridge.spawn(room.leave(LeaveReason::ClientInitiated));
    answer.unwrap_or_else(|_| Err(no_answer()))
}

async fn asked(room: &Room, events: &mut Events, identity: &str, ask: &Ask) -> Result<()> {
    let ask = json!(ask).to_string();
    let sent = room.send_data_to(&[identity], ask.as_bytes(), ASKED, true).await;
    sent.map_err(|error| unavailable(format!("{error}: {UNSURE}")))?;
    while let Some(event) = events.next().await {
        match event {
            RoomEvent::Data { participant_identity, topic, payload, .. }
                if topic == TOLD && participant_identity == identity =>
            {
                let told: Told = serde_json::from_slice(&payload).map_err(|_| {
                    unavailable(format!("the leg's answer makes no sense: {UNSURE}"))
                })?;
                return told.into();
            }
            RoomEvent::ParticipantLeft { participant, .. } if participant.identity == identity => {
                return Err(no_leg());
            }
            _ => {}
        }
    }
    Err(unavailable(format!("the connection to the room was lost: {UNSURE}")))
}

pub(crate) fn no_leg() -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "the call has no leg")
}

pub(crate) fn no_answer() -> Error {
    unavailable(format!("the leg did not answer in time: {UNSURE}"))
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of another version read it, too.
    #[test]
    fn what_is_asked_and_answered_is_read_back() {
        let ask = Ask { from: "outdial-keypad-x".into(), digits: "1w#".into() };
        assert_eq!(json!(ask), json!({"from": "outdial-keypad-x", "digits": "1w#"}));
        assert_eq!(json!(Told::from(Ok(()))), json!("sent"));
        assert!(Result::<()>::from(Told::Sent).is_ok());
        for (kind, word) in [
            (ErrorKind::Conflict, "conflict"),
            (ErrorKind::Refused, "refused"),
            (ErrorKind::Busy, "busy"),
            (ErrorKind::NotFound, "not_found"),
            (ErrorKind::Unavailable, "unavailable"),
        ] {
            let told = json!(Told::from(Err(Error::new(kind, OPERATION, "why"))));
            assert_eq!(told, json!({ word: "why" }));
            let told: Told = serde_json::from_value(told).unwrap();
            let error = Result::<()>::from(told).unwrap_err();
            assert_eq!((error.kind, &*error.message), (kind, "why"));
        }
    }
}
