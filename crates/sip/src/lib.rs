#![doc = include_str!("../README.md")]

mod agent;
mod dialog;
mod dtmf;
mod event;
mod invite;
mod session;
mod settings;
mod snapshot;
mod stack;
mod state;
mod syntax;

pub use agent::{StartError, Stats, UserAgent};
pub use dialog::{Dialog, Events, Offer, RequestError};
pub use dtmf::DtmfRelay;
pub use event::{Answered, End, Event, Info, Refusal};
pub use invite::{Credentials, Invite, InviteError, Transport};
pub use settings::{Limits, Settings, Timers, TlsListener};
pub use snapshot::{DialogSnapshot, OrphanError};
pub use syntax::{HostPort, InvalidText};
