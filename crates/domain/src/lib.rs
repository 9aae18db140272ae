#![doc = include_str!("../README.md")]

mod account;
mod assistant;
mod call;
mod digits;
mod e164;
mod error;
mod ids;
mod node;
pub mod placeholder;
pub mod ports;
mod recording;
mod room_name;
mod secret;
mod tombstone;
mod transcript;
mod trunk;

pub use self::account::{Account, ApiKey, ApiKeyToken, ApiKeyTokenError};
pub use self::assistant::{Assistant, WebhookSecret};
pub use self::call::{
    AgentState, Call, Cause, EndReason, Facts, HangUp, HangUpReason, Hint, Layer, LegEnd,
    MediaQuality, OneWay, Order, Outcome, Participant, SipStatus, Status, Termination,
    WebhookState,
};
pub use self::digits::{Digit, Digits, DigitsError, DtmfStep};
pub use self::e164::{E164, E164Error};
pub use self::error::{Error, ErrorKind, Result};
pub use self::ids::{
    AccountId, ApiKeyId, AssistantId, DeliveryId, IdError, NodeId, TrunkId, random_text,
};
pub use self::node::Node;
pub use self::recording::{Recording, RecordingState};
pub use self::room_name::{RoomName, RoomNameError};
pub use self::secret::{Sealed, Secret};
pub use self::tombstone::Tombstone;
pub use self::transcript::{Speaker, TranscriptLine, TranscriptStatus};
pub use self::trunk::{
    CallService, MediaEncryption, Route, SipAddress, SipAddressError, SipHost, SipHostError,
    SipTransport, Trunk, TrunkRoute,
};
