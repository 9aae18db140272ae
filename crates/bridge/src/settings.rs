//! How to set up a bridge.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub use outdial_sip::TlsListener;

/// How a [`Bridge`](crate::Bridge) reaches the telephone network.
#[derive(Clone)]
#[non_exhaustive]
pub struct BridgeSettings {
    /// The address under which trunks reach this machine: it stands in Via, Contact and SDP.
    pub public_ip: IpAddr,
    /// Where SIP and RTP are listened for. Default: all addresses of `public_ip`'s family.
    pub bind: IpAddr,
    /// The port for SIP over UDP; `None`: not listened on. Default: 5060.
    pub udp_port: Option<u16>,
    /// The port for SIP over TCP; `None`: not listened on, and a BYE can come on the connection of
    /// the INVITE only. Default: 5060.
    pub tcp_port: Option<u16>,
    /// The listener for SIP over TLS. Calls over TLS can be placed without one. Default: none.
    pub tls: Option<TlsListener>,
    /// More certificate authorities for trunks over TLS, as PEM. Default: those of the system only.
    pub tls_ca: Option<Vec<u8>>,
    /// The ports of RTP and RTCP: two for each call. Default: 31000-31999.
    pub rtp_ports: RangeInclusive<u16>,
    /// A call of which no audio at all has come so long after the answer is ended. Default: 60 s.
    pub no_media_timeout: Duration,
    /// A call whose audio has stopped for so long, without hold, is ended. Default: 30 s.
    pub media_timeout: Duration,
    /// A folder for what is needed to hang up calls of a process that was killed. Default: none, so
    /// that their far ends notice by the silence only.
    pub journal: Option<PathBuf>,
}

impl BridgeSettings {
    /// The defaults, with the one thing that has none.
    pub fn new(public_ip: IpAddr) -> Self {
        Self {
            public_ip,
            bind: match public_ip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            },
            udp_port: Some(5060),
            tcp_port: Some(5060),
            tls: None,
            tls_ca: None,
            rtp_ports: 31_000..=31_999,
            no_media_timeout: Duration::from_secs(60),
            media_timeout: Duration::from_secs(30),
            journal: None,
        }
    }
}

impl fmt::Debug for BridgeSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeSettings")
            .field("public_ip", &self.public_ip)
            .field("bind", &self.bind)
            .field("rtp_ports", &self.rtp_ports)
            .finish_non_exhaustive()
    }
}
