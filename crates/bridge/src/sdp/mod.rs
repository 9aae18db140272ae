//! Offer and answer for one audio stream (RFC 3264, RFC 8866), as SIP trunks speak it.
//!
//! We offer once, in the INVITE. What comes back is read by [`read_answer`]; a later offer of the
//! peer (hold, resume, another address or codec) is answered by [`answer`].

mod body;
mod formats;
mod read;
mod section;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::{answer, read_answer};

use crate::g711::Codec;
use crate::srtp::{CryptoLine, CryptoLineError, MediaKeys};
use std::net::SocketAddr;

/// Longer bodies are refused unread. Real ones have 200 to 3000 bytes.
pub(crate) const MAX_BODY: usize = 16 * 1024;

/// The payload type that we offer for DTMF (RFC 4733).
pub(crate) const TELEPHONE_EVENT: u8 = 101;

/// Who sends, from the view of the one who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// Sends and listens.
    SendRecv,
    /// Sends only: the usual hold, with music.
    SendOnly,
    /// Listens only.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// Our side of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Where the peer shall send RTP to: our public address. RTCP goes to the port above.
    pub(crate) address: SocketAddr,
    /// What we speak, what we like best first.
    pub(crate) codecs: Vec<Codec>,
    /// What we do.
    pub(crate) direction: Direction,
    /// Names the session; one for all SDPs of a call.
    pub(crate) session_id: u64,
    /// Goes up with each SDP of a call.
    pub(crate) version: u64,
    /// The keys that we offer, or none for plain RTP. With keys plain RTP is refused.
    pub(crate) crypto: Vec<CryptoLine>,
}

/// What the peer said of its side of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Where to send RTP to; `None` when nothing may be sent (`c=0.0.0.0`, or port 0).
    pub(crate) address: Option<SocketAddr>,
    /// What to speak.
    pub(crate) codec: Codec,
    /// The payload type to send it with.
    pub(crate) payload_type: u8,
    /// The payload type to send DTMF with, if the peer understands it.
    pub(crate) telephone_event: Option<u8>,
    /// The payload type of comfort noise, if the peer knows it (13).
    pub(crate) comfort_noise: Option<u8>,
    /// What the peer does.
    pub(crate) direction: Direction,
    /// How many ms of audio the peer wants in a packet; 20 unless it says otherwise.
    pub(crate) ptime: u8,
    /// Where to send RTCP to; `None` when nothing may be sent.
    pub(crate) rtcp: Option<SocketAddr>,
    /// RTCP comes and goes on the port of RTP.
    pub(crate) rtcp_mux: bool,
    /// The keys, when the stream is encrypted.
    pub(crate) crypto: Option<MediaKeys>,
    /// What may come in, by payload type: see [`Remote::payload`].
    pub(crate) accepts: Vec<(u8, Payload)>,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Payload {
    /// Voice.
    Audio(Codec),
    /// DTMF (RFC 4733), clock of 8000 Hz.
    TelephoneEvent,
    /// A description of silence (RFC 3389).
    ComfortNoise,
}

/// Why an SDP cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SdpError {
    /// There is none.
    #[error("there is no SDP")]
    Empty,
    /// More than [`MAX_BODY`] bytes.
    #[error("the SDP has {0} bytes; at most {MAX_BODY} are read")]
    TooLarge(usize),
    /// Not SDP.
    #[error("the SDP is not well-formed: {0}")]
    Malformed(String),
    /// It has no line `m=audio`.
    #[error("the SDP has no audio")]
    NoAudio,
    /// The answer has the audio with port 0.
    #[error("the audio was refused (port 0)")]
    AudioRefused,
    /// Neither side's codecs are the other's.
    #[error("no codec in common: we speak {ours}, they {theirs}")]
    NoCommonCodec {
        /// What we offered.
        ours: String,
        /// What they wrote, cut when it is long.
        theirs: String,
    },
    /// No line `c=`.
    #[error("the SDP has no address (c=)")]
    NoAddress,
    /// A host name, a group address, or of the other IP version.
    #[error("the address {address:?} in the SDP cannot be used: {why}")]
    Address {
        /// As written, cut when it is long.
        address: String,
        /// In words.
        why: &'static str,
    },
    /// Audio only over something else than RTP: DTLS-SRTP, for example.
    #[error("the transport {0:?} of the audio cannot be used")]
    Transport(String),
    /// We need SRTP and they have none.
    #[error("the audio would not be encrypted, but the trunk requires it")]
    NotEncrypted,
    /// They need SRTP and we did not offer it.
    #[error("the audio would be encrypted (SRTP), but the trunk does not ask for it")]
    Encrypted,
    /// Encrypted, but without a line `a=crypto`.
    #[error("the audio has no key (a=crypto)")]
    NoKey,
    /// None of its lines `a=crypto` can be used. This is of the first.
    #[error("the key of the audio (a=crypto) cannot be used: {0}")]
    Key(#[source] CryptoLineError),
    /// An answer that takes what we did not offer.
    #[error("the answer takes a key (a=crypto) that was not offered")]
    UnknownKey,
}

impl Direction {
    /// As in `a=sendrecv`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all =
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        all.into_iter().find(|direction| direction.name() == name)
    }

    /// The same, but without listening.
    fn deaf(self) -> Self {
        if self.sends() { Direction::SendOnly } else { Direction::Inactive }
    }

    /// The answer to it (RFC 3264, 6.1).
    pub(crate) fn mirrored(self) -> Direction {
        match self {
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            same @ (Direction::SendRecv | Direction::Inactive) => same,
        }
    }

    /// Who wrote it listens.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// Who wrote it sends.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }
}

impl Offer {
    /// The first offer of a call. `encrypted` offers SRTP, with new keys, and nothing else.
    pub(crate) fn new(
        address: SocketAddr,
        codecs: Vec<Codec>,
        encrypted: bool,
        session_id: u64,
    ) -> Self {
        let crypto = if encrypted { CryptoLine::offer() } else { Vec::new() };
        Self { address, codecs, direction: Direction::SendRecv, session_id, version: 1, crypto }
    }

    /// Its SDP.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        write::offer(self)
    }
}

impl Remote {
    /// The plainest peer: one codec with its usual payload type, DTMF with 101, and RTCP on the
    /// port above.
    #[cfg(test)]
    pub(crate) fn new(address: SocketAddr, codec: Codec) -> Self {
        let rtcp = address.port().checked_add(1).map(|port| SocketAddr::new(address.ip(), port));
        Self {
            address: Some(address),
            codec,
            payload_type: codec.payload_type(),
            telephone_event: Some(TELEPHONE_EVENT),
            comfort_noise: None,
            direction: Direction::SendRecv,
            ptime: 20,
            rtcp,
            rtcp_mux: false,
            crypto: None,
            accepts: vec![
                (8, Payload::Audio(Codec::Pcma)),
                (0, Payload::Audio(Codec::Pcmu)),
                (TELEPHONE_EVENT, Payload::TelephoneEvent),
                (13, Payload::ComfortNoise),
            ],
        }
    }

    /// The peer does not listen: whatever we say is not heard. So it is with `sendonly`,
    /// `inactive`, the address 0.0.0.0 of old and port 0.
    pub(crate) fn is_hold(&self) -> bool {
        self.address.is_none() || !self.direction.listens()
    }

    /// What a packet with this payload type carries. Peers switch between all that was agreed on
    /// without a word; whatever is not listed is not for us.
    pub(crate) fn payload(&self, payload_type: u8) -> Option<Payload> {
        let found = self.accepts.iter().find(|(accepted, _)| *accepted == payload_type)?;
        Some(found.1)
    }
}
