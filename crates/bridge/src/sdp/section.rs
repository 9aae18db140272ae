//! One audio section of a peer's SDP: which one counts, where it is, who sends.

use super::body::quote;
use super::{Direction, Offer, SdpError};
use sdp_types::{Media, Session};
use std::net::{IpAddr, SocketAddr};

/// The audio section that an SDP is about.
pub(super) enum Section<'a> {
    /// One that we can use, and its place among all sections.
    Open(usize, &'a Media),
    /// There is audio, but all of it has port 0: refused, or taken out of the call.
    Closed(&'a Media),
}

/// How the packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Plain,
    Sdes,
    Other,
}

impl Transport {
    /// The profiles with feedback (the F) are the same for who sends none.
    fn of(media: &Media) -> Self {
        match media.proto.to_ascii_uppercase().as_str() {
            "RTP/AVP" | "RTP/AVPF" => Transport::Plain,
            "RTP/SAVP" | "RTP/SAVPF" => Transport::Sdes,
            _ => Transport::Other,
        }
    }
}

/// Finds the first audio section that is as secret as ours has to be.
pub(super) fn find<'a>(session: &'a Session, ours: &Offer) -> Result<Section<'a>, SdpError> {
    let wanted = if ours.crypto.is_empty() { Transport::Plain } else { Transport::Sdes };
    let audio = || {
        let sections = session.medias.iter().enumerate();
        sections.filter(|(_, media)| media.media.eq_ignore_ascii_case("audio"))
    };
    let mut open = audio().filter(|(_, media)| media.port != 0);
    if let Some((place, media)) = open.clone().find(|(_, media)| Transport::of(media) == wanted) {
        return Ok(Section::Open(place, media));
    }
    let Some((_, unusable)) = open.next() else {
        let (_, media) = audio().next().ok_or(SdpError::NoAudio)?;
        return Ok(Section::Closed(media));
    };
    Err(match Transport::of(unusable) {
        Transport::Plain => SdpError::NotEncrypted,
        Transport::Sdes => SdpError::Encrypted,
        Transport::Other => SdpError::Transport(quote(&unusable.proto)),
    })
}

/// The value of an attribute of the section, the first if there are several.
pub(super) fn attribute<'a>(media: &'a Media, name: &str) -> Option<&'a str> {
    let line = media.attributes.iter().find(|line| line.attribute == name)?;
    line.value.as_deref().map(str::trim)
}

/// What its line says, or the whole session's, or the default (RFC 8866, 6.7).
pub(super) fn direction(session: &Session, media: &Media) -> Direction {
    let lines = media.attributes.iter().chain(&session.attributes);
    let mut said = lines.filter_map(|line| Direction::named(&line.attribute));
    said.next().unwrap_or(Direction::SendRecv)
}

/// Where RTP goes; `None` when nothing may be sent there: the hold of old.
pub(super) fn address(
    session: &Session,
    media: &Media,
    ours: &Offer,
) -> Result<Option<SocketAddr>, SdpError> {
    let line = media.connections.first().or(session.connection.as_ref());
    let text = line.ok_or(SdpError::NoAddress)?.connection_address.as_str();
    // IPv6 has no address for "nowhere" that may be written, but a name (RFC 6157).
    if text == "invalid" || text.ends_with(".invalid") {
        return Ok(None);
    }
    // A number of hops may follow, as for groups.
    let ip = text.split('/').next().unwrap_or(text).parse();
    let unusable = |why| SdpError::Address { address: quote(text), why };
    let ip = ip.map_err(|_| unusable("it is not an IP address"))?;
    host(ip, ours).map(|ip| ip.map(|ip| SocketAddr::new(ip, media.port))).map_err(unusable)
}

/// An address that packets can be sent to from ours; `None` is 0.0.0.0.
fn host(ip: IpAddr, ours: &Offer) -> Result<Option<IpAddr>, &'static str> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Ok(None);
    }
    if ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast()) {
        return Err("it is that of a group");
    }
    if ip.is_ipv4() != ours.address.ip().to_canonical().is_ipv4() {
        return Err("its IP version is not ours");
    }
    Ok(Some(ip))
}

/// Where RTCP goes when RTP goes to `rtp`: as `a=rtcp` says, else the port above (RFC 3605).
pub(super) fn rtcp(media: &Media, rtp: SocketAddr, ours: &Offer) -> Option<SocketAddr> {
    let said = || {
        let mut words = attribute(media, "rtcp")?.split_ascii_whitespace();
        let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
        let Some(address) = words.nth(2) else {
            return Some(SocketAddr::new(rtp.ip(), port));
        };
        let ip = host(address.parse().ok()?, ours).ok()??;
        Some(SocketAddr::new(ip, port))
    };
    let above = || Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
    said().or_else(above)
}

/// How many ms of audio the peer wants in a packet.
pub(super) fn ptime(media: &Media) -> u8 {
    let ms = |name| attribute(media, name)?.parse().ok().filter(|ms| *ms != 0);
    let longest = ms("maxptime").unwrap_or(u8::MAX);
    ms("ptime").unwrap_or(20).min(longest)
}
