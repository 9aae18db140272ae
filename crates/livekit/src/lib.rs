#![doc = include_str!("../README.md")]

pub mod attributes;
mod config;
mod dial_error;
mod error;
mod leg;
mod presence;
mod rooms;
mod sip;
mod text;
mod twirp;
mod webhook;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use self::config::{ConfigError, LiveKitConfig};
pub use self::dial_error::leg_end_of_dial_error;
pub use self::leg::{CallStatus, Leg, leg_end_of_disconnect};
pub use self::sip::{SipDial, SipDialError};
pub use self::webhook::Webhooks;

use self::twirp::Twirp;

/// LiveKit's server APIs, as far as calls need them.
///
/// Implements [`Rooms`](outdial_domain::ports::Rooms), and has the SIP functions that telephony
/// providers are made of. Cheap to share behind an `Arc`; holds pooled connections.
pub struct LiveKit {
    twirp: Twirp,
    empty_timeout: u32,
    departure_timeout: u32,
}

impl LiveKit {
    /// Checks the settings and prepares the connections; nothing is sent yet
    /// ([`Rooms::check`](outdial_domain::ports::Rooms::check) does that).
    ///
    /// Errors: [`ConfigError`], which names the setting to mend.
    pub fn new(config: LiveKitConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            empty_timeout: config::whole_seconds(config.empty_timeout),
            departure_timeout: config::whole_seconds(config.departure_timeout),
            twirp: Twirp::new(&config)?,
        })
    }
}

impl std::fmt::Debug for LiveKit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveKit").field("url", &self.twirp.base().as_str()).finish_non_exhaustive()
    }
}
