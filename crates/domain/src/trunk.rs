//! SIP trunks: how a call leaves for the telephone network.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AccountId, E164, Sealed, TrunkId};

/// The telephony provider named in a call request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallService {
    /// Twilio Elastic SIP Trunking.
    Twilio,
    /// Exotel vSIP.
    Exotel,
}

impl CallService {
    /// `twilio` or `exotel`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Exotel => "exotel",
        }
    }
}

impl fmt::Display for CallService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which backend carries a call: the provider of its service, or the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Simulated; no phone rings.
    Sandbox,
    /// Twilio through LiveKit SIP.
    Twilio,
    /// Exotel through the SIP bridge.
    Exotel,
}

/// The transport of SIP signalling (RFC 3261, section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SipTransport {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// `host` or `host:port` of a SIP server, without scheme, user or parameters.
///
/// ```
/// use outdial_domain::SipAddress;
/// assert!("acme.pstn.twilio.com".parse::<SipAddress>().is_ok());
/// assert!("127.0.0.1:5070".parse::<SipAddress>().is_ok());
/// assert!("sip:acme@host;transport=tcp".parse::<SipAddress>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SipAddress(String);

/// The text is no [`SipAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address is host or host:port, like acme.pstn.twilio.com: no sip:, user, path or parameters"
)]
pub struct SipAddressError;

impl SipAddress {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SipAddress {
    type Err = SipAddressError;
    fn from_str(text: &str) -> Result<Self, SipAddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(SipAddressError)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| SipAddressError)?;
                match port.strip_prefix(':') {
                    None if port.is_empty() => (None, None),
                    port => (None, Some(port.ok_or(SipAddressError)?)),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (Some(host), Some(port)),
                None => (Some(text), None),
            },
        };
        let host_ok = host.is_none_or(|host| {
            (1..=253).contains(&host.len())
                && host.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                })
        });
        let port_ok = port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        if host_ok && port_ok { Ok(Self(text.to_owned())) } else { Err(SipAddressError) }
    }
}

impl TryFrom<String> for SipAddress {
    type Error = SipAddressError;
    fn try_from(text: String) -> Result<Self, SipAddressError> {
        text.parse()
    }
}

impl From<SipAddress> for String {
    fn from(address: SipAddress) -> Self {
        address.0
    }
}

/// A SIP trunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trunk {
    /// Its id.
    pub trunk_id: TrunkId,
    /// Whose it is.
    pub account_id: AccountId,
    /// The service it belongs to; a call must name the same.
    pub call_service: CallService,
    /// Its name.
    pub name: String,
    /// Caller ids; the first is used. A sandbox trunk may have none.
    pub numbers: Vec<E164>,
    /// Where the INVITE goes. `None` only on a sandbox trunk.
    pub address: Option<SipAddress>,
    /// How the INVITE goes.
    pub transport: SipTransport,
    /// The user name of SIP digest authentication.
    pub auth_username: Option<String>,
    /// The password of SIP digest authentication, sealed.
    pub auth_password: Option<Sealed>,
    /// Calls are simulated.
    pub sandbox: bool,
    /// New calls started per second at most; `None`: no limit.
    pub calls_per_second: Option<f64>,
    /// Calls at the same time at most; `None`: no limit.
    pub max_concurrent_calls: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Trunk {
    /// The backend that carries this trunk's calls.
    pub fn route(&self) -> Route {
        match (self.sandbox, self.call_service) {
            (true, _) => Route::Sandbox,
            (false, CallService::Twilio) => Route::Twilio,
            (false, CallService::Exotel) => Route::Exotel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in
            ["a", "acme.pstn.twilio.com", "10.0.0.1:5060", "[::1]:5070", "[2001:db8::1]", "h_x:1"]
        {
            assert!(good.parse::<SipAddress>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ":5060",
            "host:",
            "host:0",
            "host:70000",
            "host:+5",
            "sip:host",
            "user@host",
            "host;transport=tcp",
            "host/path",
            "ho st",
            "host\r\nVia: x",
            "-host",
            "a..b",
            "[::1",
            "[::g]",
            "[::1]5060",
            "host:50:60",
        ] {
            assert!(bad.parse::<SipAddress>().is_err(), "{bad:?}");
        }
    }
}
