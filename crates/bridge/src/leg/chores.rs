//! What a leg has to tell the room, one after the other, while it goes on.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;

use outdial_livekit::{CallStatus, attributes};
use outdial_room::{Room, RoomError};
use serde_json::json;

use crate::elsewhere;

/// The topic of data packets about the call, for agents.
pub(crate) const CALL_EVENTS: &str = "outdial.call_events";
/// More than a call brings while the room's server is slow; what comes beyond is dropped.
const MAX_WAITING: usize = 64;

/// Something to tell.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Where the call stands: the attribute `sip.callStatus`, and what else is known by then.
    Status(CallStatus, Vec<(&'static str, String)>),
    /// A data packet `{"event": …}` with the topic [`CALL_EVENTS`].
    Event(&'static str),
    /// A key that the callee has pressed.
    Dtmf { code: u32, digit: char },
    /// The answer to a node that has asked for keys.
    Told { to: String, answer: String },
}

/// The chores of one leg. Each fails on its own: the call goes on.
pub(crate) struct Chores<'a> {
    room: &'a Room,
    waiting: VecDeque<Chore>,
    doing: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Chores<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self { room, waiting: VecDeque::new(), doing: None }
    }

    pub(crate) fn push(&mut self, chore: Chore) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(chore);
        }
    }

    /// Resolves when one is done; never when there is none. Nothing is lost when it is dropped.
    pub(crate) async fn next(&mut self) {
        if self.doing.is_none() {
            let Some(chore) = self.waiting.pop_front() else { return pending().await };
            self.doing = Some(Box::pin(perform(self.room, chore)));
        }
        if let Some(doing) = &mut self.doing {
            doing.await;
            self.doing = None;
        }
    }

    /// Does all that waits.
    pub(crate) async fn finish(mut self) {
        while self.doing.is_some() || !self.waiting.is_empty() {
            self.next().await;
        }
    }
}

async fn perform(room: &Room, chore: Chore) {
    let done: Result<(), RoomError> = match &chore {
        Chore::Status(status, more) => {
            let mut attributes: HashMap<_, _> =
                more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            attributes.insert(attributes::CALL_STATUS.to_owned(), status.as_str().to_owned());
            room.set_attributes(attributes).await
        }
        Chore::Event(event) => {
            let packet = json!({ "event": event }).to_string();
            room.send_data(packet.as_bytes(), CALL_EVENTS, true).await
        }
        Chore::Dtmf { code, digit } => room.send_dtmf(*code, &digit.to_string()).await,
        Chore::Told { to, answer } => {
            room.send_data_to(&[to.as_str()], answer.as_bytes(), elsewhere::TOLD, true).await
        }
    };
    if let Err(error) = done {
        tracing::info!(%error, "the room could not be told of a call");
    }
}
