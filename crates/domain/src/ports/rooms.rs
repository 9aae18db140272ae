//! Rooms, and the legs that are dialled into them.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    Digits, E164, Hint, LegEnd, MediaEncryption, Participant, Result, RoomName, Secret, SipAddress,
    SipHost, SipTransport, Trunk, TrunkId,
};

/// Where the hints about one call go.
///
/// Bounded: a sender waits while the call's worker is behind. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HintSink(mpsc::Sender<Hint>);

impl HintSink {
    /// A sink, and the end at which its hints come out; at most `capacity` wait in between.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Hint>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Passes a hint on; `false` when nobody listens any more.
    pub async fn send(&self, hint: Hint) -> bool {
        self.0.send(hint).await.is_ok()
    }

    /// Resolves when nobody listens any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// An agent to dispatch into a room.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatchRequest {
    /// The name the worker registered with.
    pub agent_name: String,
    /// What the agent is told: `{assistant_id, assistant_name, assistant_prompt,
    /// assistant_start_instruction, agent_config, call{…}}`.
    pub metadata: Value,
}

/// Who is in a room, as far as a call cares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomLook {
    /// An agent that has joined.
    pub agent: bool,
    /// The identities of all others that have joined.
    pub others: Vec<String>,
}

/// The rooms in which agent and callee meet.
///
/// Errors: [`Unavailable`](crate::ErrorKind::Unavailable) when the server cannot be reached or does
/// not answer in time, [`Refused`](crate::ErrorKind::Refused) when it does not accept us.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// Creates the room. Creating it again changes nothing.
    async fn create(&self, room: &RoomName) -> Result<()>;

    /// Dispatches an agent and returns the dispatch's id. Not idempotent. Whether the agent comes is
    /// seen only by looking.
    async fn dispatch(&self, room: &RoomName, request: &DispatchRequest) -> Result<String>;

    /// Who is in the room; `None` when there is no such room.
    async fn look(&self, room: &RoomName) -> Result<Option<RoomLook>>;

    /// Deletes the room and so ends whatever goes on in it. Deleting a missing room succeeds.
    async fn delete(&self, room: &RoomName) -> Result<()>;

    /// Succeeds when calls could be placed now.
    async fn check(&self) -> Result<()>;
}

/// How to reach a trunk, its password in the clear.
#[derive(Debug, Clone)]
pub struct TrunkAccess {
    /// The trunk.
    pub trunk_id: TrunkId,
    /// Where the INVITE goes; `None` on a sandbox trunk.
    pub address: Option<SipAddress>,
    /// How.
    pub transport: SipTransport,
    /// The digest user name.
    pub auth_username: Option<String>,
    /// The digest password.
    pub auth_password: Option<Secret>,
    /// The domain of the From URI; `None`: what the service asks for.
    pub from_host: Option<SipHost>,
    /// Where the INVITE is sent instead of `address`, in order; the next only when no connection
    /// could be made.
    pub outbound_proxies: Vec<SipAddress>,
    /// Who else may send SIP and RTP for the call.
    pub allowed_addresses: Vec<IpNet>,
    /// Whether media is encrypted.
    pub media_encryption: MediaEncryption,
}

impl TrunkAccess {
    /// How to reach this trunk, with its password unsealed.
    pub fn of(trunk: &Trunk, auth_password: Option<Secret>) -> Self {
        Self {
            trunk_id: trunk.trunk_id.clone(),
            address: trunk.address.clone(),
            transport: trunk.transport,
            auth_username: trunk.auth_username.clone(),
            auth_password,
            from_host: trunk.from_host.clone(),
            outbound_proxies: trunk.outbound_proxies.clone(),
            allowed_addresses: trunk.allowed_addresses.clone(),
            media_encryption: trunk.media_encryption(),
        }
    }

    /// A trunk at this address, with a fresh id and nothing else set.
    pub fn at(address: Option<SipAddress>, transport: SipTransport) -> Self {
        Self {
            trunk_id: TrunkId::random(),
            address,
            transport,
            auth_username: None,
            auth_password: None,
            from_host: None,
            outbound_proxies: Vec::new(),
            allowed_addresses: Vec::new(),
            media_encryption: MediaEncryption::default_for(transport),
        }
    }
}

/// A leg to dial.
#[derive(Debug, Clone)]
pub struct DialRequest {
    /// The room, and the call.
    pub room_name: RoomName,
    /// Who the leg will be in the room.
    pub participant_identity: String,
    /// The number to call.
    pub to_number: E164,
    /// The caller id.
    pub from_number: Option<E164>,
    /// The trunk.
    pub trunk: TrunkAccess,
    /// How long it may ring.
    pub ringing_timeout: Duration,
    /// A bound on the whole leg, ringing included, for when this server is gone.
    pub max_duration: Duration,
}

/// What a dial came to, by the time it can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialed {
    /// The leg is in the room, or its INVITE is out; hints tell the rest.
    Joined(Option<Participant>),
    /// It ended before that.
    Ended(LegEnd),
}

/// What a look at a leg found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegLook {
    /// There is no such leg.
    Absent,
    /// There is; these hints say all that can be seen of it.
    Present(Vec<Hint>),
}

/// A telephony service: dials a leg into a room and tells what becomes of it.
///
/// **One dial, one INVITE**: implementations never repeat a dial by themselves, not even when its
/// outcome is unknown.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Dials and returns as soon as the leg has joined the room (or its INVITE is out), within
    /// seconds. What happens afterwards goes to `hints` until the leg has ended or the receiver is
    /// dropped; an [`Ended`](Hint::Ended) hint is sent at least once when the end is seen.
    ///
    /// A leg that was refused is `Ok(Dialed::Ended)`. An error means that the dial could not be made
    /// or that its outcome is unknown: the engine then hangs up and never dials again.
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed>;

    /// Ends the leg in whatever state it is (CANCEL or BYE). Succeeds when there is none.
    async fn hang_up(&self, room: &RoomName, participant_identity: &str) -> Result<()>;

    /// Looks at the leg: for recovery, and as a fallback where hints may have been lost.
    async fn look(&self, room: &RoomName, participant_identity: &str) -> Result<LegLook>;

    /// Sends digits to the callee, behind those that are still being sent. Returns when they are on
    /// their way, at the latest when the last has been handed over: they take up to a minute to be
    /// heard. What cannot be sent any more when the leg ends is dropped.
    ///
    /// Any process may be asked, not only that which has dialled: what reaches the room reaches the leg.
    ///
    /// Errors: [`NotFound`](crate::ErrorKind::NotFound) when there is no such leg,
    /// [`Conflict`](crate::ErrorKind::Conflict) when it is not answered yet or on hold,
    /// [`Refused`](crate::ErrorKind::Refused) when the callee's side takes no digits,
    /// [`Busy`](crate::ErrorKind::Busy) when too many wait,
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the leg cannot be reached; the message says
    /// whether something may have been sent.
    async fn send_dtmf(
        &self,
        room: &RoomName,
        participant_identity: &str,
        digits: &Digits,
    ) -> Result<()>;

    /// Whether legs live in this process and end with it. Those that do not are handed over to
    /// another node when this one stops.
    fn legs_are_local(&self) -> bool {
        false
    }

    /// Checks that a trunk has what this service needs; the error's message names the field.
    fn check_trunk(&self, trunk: &Trunk) -> Result<(), TrunkFault>;
}

/// What is wrong with a trunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct TrunkFault {
    /// The field of the trunk.
    pub field: &'static str,
    /// The rule it breaks, and the fix.
    pub rule: String,
}

/// Reads the hints that a room server pushes (LiveKit's webhooks).
pub trait RoomHints: Send + Sync {
    /// Verifies and reads a pushed message: `authorization` is its header's value, `body` the raw
    /// bytes, `now` the time of arrival. Messages about rooms that are not ours, and kinds of events
    /// that say nothing about a call, give no hints.
    ///
    /// Errors: [`Refused`](crate::ErrorKind::Refused) when the signature or the body's hash is wrong.
    fn read(
        &self,
        authorization: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, Vec<Hint>)>>;
}
