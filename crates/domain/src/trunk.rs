//! SIP trunks: how a call leaves for the telephone network.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
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
    /// Twilio, or whatever takes the same, through the SIP bridge.
    Direct,
}

/// By which way a Twilio trunk's calls leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkRoute {
    /// LiveKit SIP dials.
    #[default]
    LivekitSip,
    /// This server dials by itself, through its SIP bridge.
    Direct,
}

/// Whether a call's media is encrypted (SRTP, its keys in the SDP: RFC 4568).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaEncryption {
    /// Never: plain RTP.
    Disabled,
    /// Always: a call whose media would be plain fails.
    Require,
}

impl MediaEncryption {
    /// What a trunk does that says nothing: keys that went over TLS are worth something.
    pub fn default_for(transport: SipTransport) -> Self {
        match transport {
            SipTransport::Tls => Self::Require,
            SipTransport::Udp | SipTransport::Tcp => Self::Disabled,
        }
    }
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

    /// The host: a name, an IPv4 address, or an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        match self.0.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host,
            None => self.0.split_once(':').map_or(&*self.0, |(host, _)| host),
        }
    }

    /// The port, when one is named.
    pub fn port(&self) -> Option<u16> {
        let behind = self.0.rsplit_once(']').map_or(&*self.0, |(_, behind)| behind);
        behind.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
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
        let host_ok = host.is_none_or(is_host);
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

/// A name or an IPv4 address; a label may hold `_` too, as some networks have such names.
fn is_host(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// The domain of a SIP URI: a host without a port.
///
/// ```
/// use outdial_domain::SipHost;
/// assert!("exotest1m.pstn.exotel.com".parse::<SipHost>().is_ok());
/// assert!("pstn.exotel.com:5070".parse::<SipHost>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SipHost(String);

/// The text is no [`SipHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SIP domain is a host like acme.pstn.exotel.com: no sip:, user, port or parameters")]
pub struct SipHostError;

impl SipHost {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SipHost {
    type Err = SipHostError;
    fn from_str(text: &str) -> Result<Self, SipHostError> {
        if is_host(text) { Ok(Self(text.to_owned())) } else { Err(SipHostError) }
    }
}

impl TryFrom<String> for SipHost {
    type Error = SipHostError;
    fn try_from(text: String) -> Result<Self, SipHostError> {
        text.parse()
    }
}

impl From<SipHost> for String {
    fn from(host: SipHost) -> Self {
        host.0
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
    /// By which way its calls leave. Means something for Twilio only: Exotel's always take the SIP
    /// bridge.
    #[serde(default)]
    pub route: TrunkRoute,
    /// The domain of the From URI; `None`: what the service asks for.
    #[serde(default)]
    pub from_host: Option<SipHost>,
    /// Where the INVITE is sent instead of `address`, which stays its request URI. In order: the next
    /// is tried only when no connection could be made.
    #[serde(default)]
    pub outbound_proxies: Vec<SipAddress>,
    /// Who else may send SIP and RTP for its calls, beside the addresses that the signalling names.
    #[serde(default)]
    pub allowed_addresses: Vec<IpNet>,
    /// Whether media is encrypted; `None`: as is usual for `transport`.
    #[serde(default)]
    pub media_encryption: Option<MediaEncryption>,
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
        match (self.sandbox, self.call_service, self.route) {
            (true, _, _) => Route::Sandbox,
            (false, CallService::Twilio, TrunkRoute::LivekitSip) => Route::Twilio,
            (false, CallService::Twilio, TrunkRoute::Direct) => Route::Direct,
            (false, CallService::Exotel, _) => Route::Exotel,
        }
    }

    /// Whether the media of its calls is encrypted.
    pub fn media_encryption(&self) -> MediaEncryption {
        self.media_encryption.unwrap_or(MediaEncryption::default_for(self.transport))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_perhaps_a_port() {
        let check = |text: &str, host, port| {
            let address: SipAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
        };
        check("acme.pstn.twilio.com", "acme.pstn.twilio.com", None);
        check("10.0.0.1:5070", "10.0.0.1", Some(5070));
        check("[2001:db8::1]", "2001:db8::1", None);
        check("[::1]:5070", "::1", Some(5070));
    }

    #[test]
    fn hosts() {
        for good in ["a", "acme.pstn.exotel.com", "10.0.0.1"] {
            assert_eq!(good.parse::<SipHost>().unwrap().as_str(), good);
        }
        for bad in ["", "host:5060", "user@host", "sip:host", "[::1]", "h;x=y", "a\r\nb", "a>b"] {
            assert!(bad.parse::<SipHost>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_trunk_stored_before_the_bridge_loads() {
        let stored = serde_json::json!({
            "trunk_id": "ST_1", "account_id": "AC_1", "call_service": "twilio", "name": "main",
            "numbers": ["+15550100000"], "address": "acme.pstn.twilio.com", "transport": "tls",
            "auth_username": null, "auth_password": null, "sandbox": false,
            "calls_per_second": null, "max_concurrent_calls": null,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        });
        let trunk: Trunk = serde_json::from_value(stored).unwrap();
        assert_eq!((trunk.route(), trunk.from_host.clone()), (Route::Twilio, None));
        assert!(trunk.outbound_proxies.is_empty() && trunk.allowed_addresses.is_empty());
        assert_eq!(trunk.media_encryption(), MediaEncryption::Require);
        let direct = Trunk { route: TrunkRoute::Direct, transport: SipTransport::Udp, ..trunk };
        assert_eq!(direct.route(), Route::Direct);
        assert_eq!(direct.media_encryption(), MediaEncryption::Disabled);
        let exotel = Trunk { call_service: CallService::Exotel, ..direct };
        assert_eq!(exotel.route(), Route::Exotel);
    }

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
