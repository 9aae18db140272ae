//! Writes our SDP.

use super::{Direction, Offer, Payload, TELEPHONE_EVENT};
use crate::srtp::CryptoLine;
use sdp_types::{Attribute, Connection, Media, Origin, RtpMap, Session, Time};

/// Our audio section: what differs between an offer and an answer.
pub(super) struct Audio<'a> {
    pub(super) port: u16,
    pub(super) transport: &'a str,
    pub(super) formats: &'a [(u8, Payload)],
    pub(super) direction: Direction,
    pub(super) crypto: &'a [CryptoLine],
}

/// The offer of `ours`.
pub(super) fn offer(ours: &Offer) -> Vec<u8> {
    let mut formats: Vec<_> =
        ours.codecs.iter().map(|codec| (codec.payload_type(), Payload::Audio(*codec))).collect();
    formats.push((TELEPHONE_EVENT, Payload::TelephoneEvent));
    let transport = if ours.crypto.is_empty() { "RTP/AVP" } else { "RTP/SAVP" };
    let media = audio(&Audio {
        port: ours.address.port(),
        transport,
        formats: &formats,
        direction: ours.direction,
        crypto: &ours.crypto,
    });
    session(ours, vec![Time::new(0, 0)], vec![media])
}

/// An SDP of `ours` with these sections.
pub(super) fn session(ours: &Offer, times: Vec<Time>, medias: Vec<Media>) -> Vec<u8> {
    let ip = ours.address.ip();
    let mut session = Session::new(Origin::with_ip_addr(ours.session_id, ours.version, ip), "-");
    session.set_connection(Connection::from_ip_addr(ip));
    session.times = times;
    session.medias = medias;
    let mut body = Vec::with_capacity(512);
    // Writing to memory does not fail.
    if session.write(&mut body).is_err() {
        body.clear();
    }
    body
}

/// An audio section of ours.
pub(super) fn audio(audio: &Audio<'_>) -> Media {
    let numbers: Vec<_> = audio.formats.iter().map(|(number, _)| number.to_string()).collect();
    let mut media = section("audio", audio.port, audio.transport, &numbers.join(" "));
    for (number, payload) in audio.formats {
        media.add_attribute(RtpMap::new(*number, encoding_name(*payload), 8000));
        if *payload == Payload::TelephoneEvent {
            // The digits, and nothing else that the same RFC has events for.
            media.add_attribute_with_value("fmtp", format!("{number} 0-16"));
        }
    }
    media.add_attribute_with_value("ptime", 20);
    for line in audio.crypto {
        media.add_attribute_with_value("crypto", line.to_value());
    }
    media.add_attribute(Attribute::new(audio.direction.name()));
    media
}

/// The answer to a section that we do not want: the same with port 0 (RFC 3264, 6).
pub(super) fn refused(theirs: &Media) -> Media {
    section(&theirs.media, 0, &theirs.proto, &theirs.fmt)
}

fn section(kind: &str, port: u16, transport: &str, formats: &str) -> Media {
    Media {
        media: kind.to_owned(),
        port,
        num_ports: None,
        proto: transport.to_owned(),
        fmt: formats.to_owned(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn encoding_name(payload: Payload) -> &'static str {
    match payload {
        Payload::Audio(codec) => codec.name(),
        Payload::TelephoneEvent => "telephone-event",
        Payload::ComfortNoise => "CN",
    }
}
