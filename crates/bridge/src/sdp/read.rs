//! Reads what the peer wrote, and answers it.

use super::body::parse;
use super::formats::Formats;
use super::section::{self, Section};
use super::{Direction, Offer, Payload, Remote, SdpError, write};
use crate::srtp::{CryptoLine, CryptoLineError, MasterKey, MediaKeys};
use sdp_types::{Media, Session};

/// Reads the answer to our offer.
pub(crate) fn read_answer(ours: &Offer, body: &[u8]) -> Result<Remote, SdpError> {
    let session = parse(body)?;
    let Section::Open(_, media) = section::find(&session, ours)? else {
        return Err(SdpError::AudioRefused);
    };
    let mut remote = remote(ours, &session, media)?;
    if !ours.crypto.is_empty() {
        remote.crypto = Some(answered_keys(ours, media)?);
    }
    remote.rtcp_mux = media.attributes.iter().any(|line| line.attribute == "rtcp-mux");
    if remote.rtcp_mux {
        remote.rtcp = remote.address;
    }
    Ok(remote)
}

/// Answers a later offer of the peer: gives our SDP and what theirs means. `ours` then holds what
/// we said; when it fails it is as it was (the response is 488).
pub(crate) fn answer(ours: &mut Offer, body: &[u8]) -> Result<(Vec<u8>, Remote), SdpError> {
    let session = parse(body)?;
    let mut next = Offer { version: ours.version.wrapping_add(1), ..ours.clone() };
    // Sections are answered in their order, and all but one refused (RFC 3264, 6).
    let mut medias: Vec<_> = session.medias.iter().map(write::refused).collect();
    let remote = match section::find(&session, ours)? {
        Section::Closed(media) => {
            next.direction = Direction::Inactive;
            removed(ours, media)?
        }
        Section::Open(place, media) => {
            let mut remote = remote(ours, &session, media)?;
            if !ours.crypto.is_empty() {
                remote.crypto = Some(take_key(&mut next, media)?);
            }
            next.direction = remote.direction.mirrored();
            if let Some(section) = medias.get_mut(place) {
                *section = answering(&next, media, &remote);
            }
            remote
        }
    };
    let body = write::session(&next, session.times, medias);
    *ours = next;
    Ok((body, remote))
}

/// What a section says, but for its keys.
fn remote(ours: &Offer, session: &Session, media: &Media) -> Result<Remote, SdpError> {
    let formats = Formats::of(media);
    let (payload_type, codec) = formats.voice(ours, media)?;
    let address = section::address(session, media, ours)?;
    let mut direction = section::direction(session, media);
    if address.is_none() {
        // Who has no address does not listen, whatever it says besides.
        direction = direction.deaf();
    }
    Ok(Remote {
        address,
        codec,
        payload_type,
        telephone_event: formats.number_of(Payload::TelephoneEvent),
        comfort_noise: formats.number_of(Payload::ComfortNoise),
        direction,
        ptime: section::ptime(media),
        rtcp: address.and_then(|rtp| section::rtcp(media, rtp, ours)),
        rtcp_mux: false,
        crypto: None,
        accepts: formats.accepted(ours),
    })
}

/// The peer took the audio out of the call. It may put it back.
fn removed(ours: &Offer, media: &Media) -> Result<Remote, SdpError> {
    let formats = Formats::of(media);
    let usual = ours.codecs.first().map(|codec| (codec.payload_type(), *codec));
    let (payload_type, codec) = formats.voice(ours, media).or_else(|none| usual.ok_or(none))?;
    Ok(Remote {
        address: None,
        codec,
        payload_type,
        telephone_event: None,
        comfort_noise: None,
        direction: Direction::Inactive,
        ptime: 20,
        rtcp: None,
        rtcp_mux: false,
        crypto: None,
        accepts: Vec::new(),
    })
}

/// Our section in an answer: one codec, under the peer's numbers.
fn answering(ours: &Offer, theirs: &Media, remote: &Remote) -> Media {
    let mut formats = vec![(remote.payload_type, Payload::Audio(remote.codec))];
    formats.extend(remote.telephone_event.map(|number| (number, Payload::TelephoneEvent)));
    write::audio(&write::Audio {
        port: ours.address.port(),
        transport: &theirs.proto,
        formats: &formats,
        direction: ours.direction,
        crypto: &ours.crypto,
    })
}

/// The keys after an answer: it names the line of ours that it takes, by tag and suite.
fn answered_keys(ours: &Offer, media: &Media) -> Result<MediaKeys, SdpError> {
    let theirs = first_key(media)?;
    let same =
        |line: &&CryptoLine| line.tag == theirs.tag && line.key.suite() == theirs.key.suite();
    let line = ours.crypto.iter().find(same).ok_or(SdpError::UnknownKey)?;
    Ok(MediaKeys { send: line.key.clone(), receive: theirs.key })
}

/// The keys after an offer: its first line that we understand. Our own key stays as long as the
/// suite does, and one that was given up is never used again: packets are numbered on, and a
/// number must not meet a key twice.
fn take_key(ours: &mut Offer, media: &Media) -> Result<MediaKeys, SdpError> {
    let CryptoLine { tag, key: receive } = first_key(media)?;
    let suite = receive.suite();
    let kept = ours.crypto.iter().map(|line| &line.key).find(|key| key.suite() == suite);
    let send = kept.cloned().unwrap_or_else(|| MasterKey::generate(suite));
    ours.crypto = vec![CryptoLine { tag, key: send.clone() }];
    Ok(MediaKeys { send, receive })
}

/// The first usable `a=crypto`; if none is, why the first is not.
fn first_key(media: &Media) -> Result<CryptoLine, SdpError> {
    let lines = media.attributes.iter().filter(|line| line.attribute == "crypto");
    let mut wrong = None;
    for line in lines {
        match CryptoLine::parse(line.value.as_deref().unwrap_or_default()) {
            Ok(line) => return Ok(line),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    Err(wrong.map_or(SdpError::NoKey, |error: CryptoLineError| SdpError::Key(error)))
}
