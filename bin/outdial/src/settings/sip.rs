//! The section `sip`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Read, Reader};

/// The SIP bridge: how this server dials by itself.
#[derive(Debug, Clone)]
pub struct Sip {
    /// The address that is told to others, in SIP and SDP.
    pub public_ip: IpAddr,
    /// The local address of all its sockets.
    pub bind: IpAddr,
    /// Where SIP over UDP is taken in; `None`: it is off.
    pub udp_port: Option<u16>,
    /// Where SIP over TCP is taken in; `None`: it is off.
    pub tcp_port: Option<u16>,
    /// SIP over TLS; `None`: it is off.
    pub tls: Option<SipTls>,
    /// PEM files of certificates to trust beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// The ports of media, RTP and RTCP: a call takes two.
    pub rtp_ports: RangeInclusive<u16>,
    /// An answered call without any audio ends after this long.
    pub no_media_timeout: Duration,
    /// A call whose audio has stopped ends after this long.
    pub media_timeout: Duration,
}

/// SIP over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipTls {
    /// Where it is taken in.
    pub port: u16,
    /// The PEM file of this server's certificate, and of those above it.
    pub certificate: PathBuf,
    /// The PEM file of its key.
    pub key: PathBuf,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// `None` when the bridge is off.
pub(super) fn read(reader: &Reader<'_>) -> Read<Option<Sip>> {
    let public_ip = reader.parsed("sip.public_ip", |text| match text {
        "" => Ok(None),
        ip => ip
            .parse()
            .ok()
            .filter(|ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast())
            .map(Some)
            .ok_or("must be the IP address under which others reach this machine"),
    });
    let bind = reader.parsed("sip.bind", |text| {
        text.parse::<IpAddr>().map_err(|_| "must be an IP address of this machine, or 0.0.0.0")
    });
    let (udp_port, tcp_port) = (port(reader, "sip.udp_port"), port(reader, "sip.tcp_port"));
    let (tls, tls_ca) = (tls(reader), file(reader, "sip.tls_ca"));
    let rtp_ports = reader.parsed("sip.rtp_ports", rtp_ports);
    let no_media_timeout = reader.duration("sip.no_media_timeout", SECOND..=HOUR);
    let media_timeout = reader.duration("sip.media_timeout", SECOND..=HOUR);
    let (public_ip, tls_ca, bind) = (public_ip?, tls_ca?, bind?);
    let (udp_port, tcp_port, tls, rtp_ports) = (udp_port?, tcp_port?, tls?, rtp_ports?);
    let Some(public_ip) = public_ip else { return Ok(None) };
    if bind.is_ipv4() != public_ip.is_ipv4() {
        return Err(reader.problem(format!(
            "sip.bind is {bind} and sip.public_ip {public_ip}: both must be IPv4, or both IPv6"
        )));
    }
    if udp_port.is_none() && tcp_port.is_none() && tls.is_none() {
        return Err(reader.problem(
            "sip.udp_port, sip.tcp_port and sip.tls_port are all 0: the SIP bridge needs one, or \
             an empty sip.public_ip, which turns it off",
        ));
    }
    if let Some(port) = udp_port.filter(|port| rtp_ports.contains(port)) {
        return Err(reader.problem(format!(
            "sip.udp_port {port} lies in sip.rtp_ports: take a port outside of them"
        )));
    }
    Ok(Some(Sip {
        public_ip,
        bind,
        udp_port,
        tcp_port,
        tls,
        tls_ca,
        rtp_ports,
        no_media_timeout: no_media_timeout?,
        media_timeout: media_timeout?,
    }))
}

fn port(reader: &Reader<'_>, key: &'static str) -> Read<Option<u16>> {
    let port = reader.integer(key, 0..=65_535)?;
    Ok(u16::try_from(port).ok().filter(|port| *port > 0))
}

fn file(reader: &Reader<'_>, key: &'static str) -> Read<Option<PathBuf>> {
    let path = reader.text(key)?;
    Ok((!path.is_empty()).then(|| PathBuf::from(path)))
}

fn tls(reader: &Reader<'_>) -> Read<Option<SipTls>> {
    let port = port(reader, "sip.tls_port");
    let (certificate, key) = (file(reader, "sip.tls_certificate"), file(reader, "sip.tls_key"));
    let (port, certificate, key) = (port?, certificate?, key?);
    match (port, certificate, key) {
        (None, _, _) => Ok(None),
        (Some(port), Some(certificate), Some(key)) => Ok(Some(SipTls { port, certificate, key })),
        (Some(_), None, _) => {
            Err(reader.problem("sip.tls_certificate is missing: sip.tls_port is set"))
        }
        (Some(_), _, None) => Err(reader.problem("sip.tls_key is missing: sip.tls_port is set")),
    }
}

fn rtp_ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    const RULE: &str = "must be two ports from 1024 to 65535, like \"31000-31999\": the first even, \
                        the last odd and behind it";
    let (first, last) = text.split_once('-').ok_or(RULE)?;
    let port = |text: &str| {
        let text = text.trim();
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port >= 1024).ok_or(RULE)
    };
    let (first, last) = (port(first)?, port(last)?);
    let pairs = first % 2 == 0 && last % 2 == 1 && first < last;
    if pairs { Ok(first..=last) } else { Err(RULE) }
}
