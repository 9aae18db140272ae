//! What a call is placed with.

use std::io;

use ipnet::IpNet;

use crate::syntax::{self, HostPort, InvalidText};

/// How SIP messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP connection.
    Tcp,
    /// A TLS connection.
    Tls,
}

impl Transport {
    /// The port that is meant when none is given.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// A digest login, for 401 and 407.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// A call to place.
#[derive(Clone)]
pub struct Invite {
    /// The Call-ID. No other live call may have it.
    pub call_id: String,
    /// User part of the request URI and To: the number as the trunk wants it.
    pub to_user: String,
    /// Host of the request URI and To. It is also where the INVITE goes if there are no proxies.
    pub address: HostPort,
    /// How it goes.
    pub transport: Transport,
    /// Where the INVITE is sent instead of `address`. The next one is tried only while no connection could be made.
    pub proxies: Vec<HostPort>,
    /// User part of From and Contact.
    pub from_user: String,
    /// Host of From. Our public address if not given.
    pub from_host: Option<String>,
    /// Display name of From.
    pub from_display: Option<String>,
    /// Login, if the trunk asks for one.
    pub credentials: Option<Credentials>,
    /// More headers. Those that the call needs for itself are refused.
    pub headers: Vec<(String, String)>,
    /// Our SDP offer.
    pub offer: Vec<u8>,
    /// Who else may send requests for this call, beside where it was sent to. Empty: anybody who knows its tags.
    pub allowed: Vec<IpNet>,
}

impl std::fmt::Debug for Invite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite")
            .field("call_id", &self.call_id)
            .field("address", &self.address)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Why a call could not be placed. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// A value cannot go into a SIP message.
    #[error("{field} cannot be sent: {source}")]
    Invalid {
        /// The field of [`Invite`].
        field: &'static str,
        /// What is wrong with it.
        source: InvalidText,
    },
    /// A header that the call sets by itself.
    #[error("the header {0} cannot be set")]
    ForbiddenHeader(String),
    /// No listener for this transport.
    #[error("there is no listener for this transport")]
    NoListener,
    /// A live call has this Call-ID.
    #[error("a live call has this Call-ID")]
    DuplicateCallId,
    /// [`Limits::calls`](crate::Limits::calls) is reached, or the user agent is shut down.
    #[error("no more calls can be placed")]
    Full,
    /// The name has no address.
    #[error("{host} has no address: {source}")]
    Unresolved {
        /// The host of the last one tried.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// No connection could be made.
    #[error("{host} cannot be reached: {source}")]
    Unreachable {
        /// The host of the last one tried.
        host: String,
        /// The error of the connection.
        source: io::Error,
    },
    /// Nothing answered in time.
    #[error("{host} cannot be reached in time")]
    TimedOut {
        /// The host of the last one tried.
        host: String,
    },
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("no TLS with {host}: {source}")]
    Tls {
        /// The host of the last one tried.
        host: String,
        /// The error of the handshake.
        source: io::Error,
    },
    /// The stack did not take the INVITE.
    #[error("the INVITE could not be built: {0}")]
    Stack(String),
}

impl InviteError {
    /// Whether the peer could not be reached: no connection, no address, no TLS.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Unresolved { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Tls { .. }
        )
    }
}

/// Headers that the stack writes, or that would change what the call means.
const FORBIDDEN: &[&str] = &[
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "contact",
    "m",
    "content-length",
    "l",
    "content-type",
    "c",
    "content-encoding",
    "e",
    "max-forwards",
    "route",
    "record-route",
    "authorization",
    "proxy-authorization",
    "supported",
    "k",
    "require",
    "proxy-require",
    "allow",
    "user-agent",
    "session-expires",
    "x",
    "min-se",
    "rack",
    "rseq",
    "expires",
    "replaces",
    "event",
    "o",
    "session-id",
    "content-disposition",
    "refer-to",
    "r",
];

/// Headers of one call.
const MAX_HEADERS: usize = 32;

impl Invite {
    /// Checks everything that goes into a message.
    pub(crate) fn validate(&self) -> Result<(), InviteError> {
        let invalid = |field| move |source| InviteError::Invalid { field, source };
        syntax::call_id(&self.call_id).map_err(invalid("call_id"))?;
        syntax::user(&self.to_user).map_err(invalid("to_user"))?;
        syntax::user(&self.from_user).map_err(invalid("from_user"))?;
        if let Some(host) = &self.from_host {
            syntax::host(host).map_err(invalid("from_host"))?;
        }
        if let Some(display) = &self.from_display {
            syntax::quoted(display).map_err(invalid("from_display"))?;
        }
        if let Some(login) = &self.credentials {
            syntax::quoted(&login.username).map_err(invalid("credentials"))?;
        }
        if self.offer.len() > 8 * 1024 {
            return Err(invalid("offer")(InvalidText::TooLong));
        }
        if self.headers.len() > MAX_HEADERS {
            return Err(invalid("headers")(InvalidText::TooLong));
        }
        for (name, value) in &self.headers {
            syntax::token(name).map_err(invalid("headers"))?;
            syntax::header_value(value).map_err(invalid("headers"))?;
            if FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
                return Err(InviteError::ForbiddenHeader(name.clone()));
            }
        }
        Ok(())
    }
}
