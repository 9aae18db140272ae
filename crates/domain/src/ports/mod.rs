//! The ports: what the engine needs of the world.
//!
//! Each is a trait because it has more than one real implementation. Its documentation states
//! atomicity, idempotence and error kinds; `outdial-testkit` holds a conformance suite for each,
//! to be run against every implementation, also one of your own.

mod archive;
mod observer;
mod recordings;
mod rooms;
mod store;
mod webhook;

pub use self::archive::{Archive, Record, RecordKind};
pub use self::observer::{
    AudioCodec, AudioPacket, AudioSink, Observation, ObserveRequest, Observer,
};
pub use self::recordings::{KeepFile, KeepRequest, Keeper, RecordingSource, Recordings};
pub use self::rooms::{
    DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Provider, RoomHints, RoomLook, Rooms,
    TrunkAccess, TrunkFault,
};
pub use self::store::{
    CallFilter, Calls, Cursor, Deliveries, Delivery, Directory, IdempotencyKey, Inserted, Page,
    PageRequest, Store, Transcripts,
};
pub use self::webhook::{WebhookReply, WebhookRequest, WebhookSender};

use chrono::{DateTime, Utc};

/// Where the time comes from. Tests use a clock that follows tokio's virtual time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
