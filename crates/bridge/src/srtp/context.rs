//! Packets in and out of SRTP.

use super::{MasterKey, MediaKeys, Suite};
use libsrtp::{ProtectionProfile, RecvSession, SendSession, StreamConfig};
use std::fmt;
use std::mem;

/// A peer changes its SSRC when it transfers or resumes a call. More than this is no call, and each
/// costs memory.
const MAX_SENDERS: usize = 32;

/// How far a packet may be behind the latest: 2.5 s of audio.
const REPLAY_WINDOW: u16 = 128;

/// Why a packet was not encrypted or not taken. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SrtpError {
    /// Not RTP or RTCP, or too short to be it.
    #[error("the packet is not well-formed")]
    Malformed,
    /// Made with another key, or changed on its way.
    #[error("the packet is not from who has the key")]
    NotAuthentic,
    /// Seen before, or too old to tell.
    #[error("the packet was seen before or is too old")]
    Replayed,
    /// More senders (SSRC) than a call has.
    #[error("too many senders with the same key")]
    TooManySenders,
    /// The library refused the key, or it has been used up.
    #[error("the key cannot be used")]
    Key,
}

/// Both directions of a stream.
pub(crate) struct SrtpContext {
    keys: MediaKeys,
    outbound: SendSession,
    inbound: RecvSession,
    /// The SSRCs of packets that were taken.
    senders: Vec<u32>,
    scratch: Vec<u8>,
}

impl SrtpContext {
    /// With the keys that the SDPs agreed on.
    pub(crate) fn new(keys: &MediaKeys) -> Result<Self, SrtpError> {
        Ok(Self {
            keys: keys.clone(),
            outbound: outbound(&keys.send)?,
            inbound: inbound(&keys.receive)?,
            senders: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Keys of a later SDP. A key that stays goes on where it was: neither its counters nor its
    /// memory of what was seen start again.
    pub(crate) fn rekey(&mut self, keys: &MediaKeys) -> Result<(), SrtpError> {
        if keys.send != self.keys.send {
            self.outbound = outbound(&keys.send)?;
            self.keys.send = keys.send.clone();
        }
        if keys.receive != self.keys.receive {
            self.inbound = inbound(&keys.receive)?;
            self.keys.receive = keys.receive.clone();
            self.senders.clear();
        }
        Ok(())
    }

    /// Turns an RTP packet into an SRTP packet; it grows by 4 or 10 bytes. When it fails nothing
    /// is left of the packet: it cannot be sent in clear by mistake.
    pub(crate) fn protect_rtp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        *packet = self.outbound.rtp_protect(mem::take(packet))?;
        Ok(())
    }

    /// Turns an RTCP packet into an SRTCP packet; it grows by 14 bytes. When it fails nothing is
    /// left of the packet.
    pub(crate) fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        *packet = self.outbound.rtcp_protect(mem::take(packet))?;
        Ok(())
    }

    /// Decrypts an SRTP packet in place and gives the RTP packet at its beginning. When it fails
    /// the packet is as it was.
    pub(crate) fn unprotect_rtp<'a>(
        &mut self,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], SrtpError> {
        let ssrc = ssrc(packet, 8)?;
        self.unprotect(ssrc, packet, RecvSession::rtp_unprotect)
    }

    /// As [`Self::unprotect_rtp`], for SRTCP.
    pub(crate) fn unprotect_rtcp<'a>(
        &mut self,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], SrtpError> {
        let ssrc = ssrc(packet, 4)?;
        self.unprotect(ssrc, packet, RecvSession::rtcp_unprotect)
    }

    fn unprotect<'a>(
        &mut self,
        ssrc: u32,
        packet: &'a mut [u8],
        decrypt: impl FnOnce(&mut RecvSession, Vec<u8>) -> Result<Vec<u8>, libsrtp::SrtpError>,
    ) -> Result<&'a mut [u8], SrtpError> {
        let known = self.senders.contains(&ssrc);
        if !known && self.senders.len() >= MAX_SENDERS {
            return Err(SrtpError::TooManySenders);
        }
        let mut copy = mem::take(&mut self.scratch);
        copy.clear();
        copy.extend_from_slice(packet);
        let plain = decrypt(&mut self.inbound, copy)?;
        if !known {
            self.senders.push(ssrc);
        }
        let start = packet.get_mut(..plain.len()).ok_or(SrtpError::Malformed)?;
        start.copy_from_slice(&plain);
        self.scratch = plain;
        Ok(start)
    }
}

impl fmt::Debug for SrtpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpContext").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl From<libsrtp::SrtpError> for SrtpError {
    fn from(error: libsrtp::SrtpError) -> Self {
        match error {
            libsrtp::SrtpError::InvalidPacket => SrtpError::Malformed,
            libsrtp::SrtpError::Authentication => SrtpError::NotAuthentic,
            libsrtp::SrtpError::InvalidPacketIndex => SrtpError::Replayed,
            _ => SrtpError::Key,
        }
    }
}

fn outbound(key: &MasterKey) -> Result<SendSession, SrtpError> {
    let mut session = SendSession::new();
    session.add_stream(None, &config(key))?;
    Ok(session)
}

fn inbound(key: &MasterKey) -> Result<RecvSession, SrtpError> {
    let mut session = RecvSession::new();
    session.add_stream(None, &config(key))?;
    Ok(session)
}

fn config(key: &MasterKey) -> StreamConfig {
    let full = ProtectionProfile::Aes128CmHmacSha180;
    let rtp = match key.suite() {
        Suite::Sha1_80 => full,
        Suite::Sha1_32 => ProtectionProfile::Aes128CmHmacSha132,
    };
    let key = libsrtp::MasterKey::new(key.key(), key.salt(), &None);
    // RTCP has the long tag with either suite (RFC 4568, 6.2.2).
    let mut config = StreamConfig::new(vec![key], &rtp, &full);
    config.set_replay_window_size(REPLAY_WINDOW);
    config
}

fn ssrc(packet: &[u8], at: usize) -> Result<u32, SrtpError> {
    let bytes = packet.get(at..).and_then(<[u8]>::first_chunk).ok_or(SrtpError::Malformed)?;
    Ok(u32::from_be_bytes(*bytes))
}
