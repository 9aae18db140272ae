//! One peer connection: a str0m `Rtc` with the rules that LiveKit and str0m need.

use crate::options::AudioCodec;
use std::{net::SocketAddr, time::Instant};
use str0m::{
    Candidate, Input, Rtc, RtcConfig,
    format::Codec,
    media::{Mid, Pt},
    net::{Protocol, Receive},
};

/// Candidates that may come before the description they belong to.
const MAX_EARLY_CANDIDATES: usize = 32;
/// What LiveKit servers announce and use as the largest SCTP message.
const SCTP_MESSAGE: u32 = 65_535;

pub(crate) struct Connection {
    pub(crate) rtc: Rtc,
    /// When str0m wants time next.
    pub(crate) wake: Instant,
    /// DTLS is done.
    pub(crate) up: bool,
    /// ICE has a working pair.
    pub(crate) reachable: bool,
    local: SocketAddr,
    described: bool,
    early: Vec<Candidate>,
}

impl Connection {
    pub(crate) fn new(local: SocketAddr, now: Instant) -> Result<Self, String> {
        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .set_rtp_mode(true)
            .set_sctp_max_message_size(SCTP_MESSAGE)
            .set_stats_interval(None)
            .set_send_buffer_audio(10)
            .set_reordering_timeout_audio(None)
            .build(now);
        // the candidate must be there before the first description is made
        let host = Candidate::host(local, "udp").map_err(|e| e.to_string())?;
        rtc.add_local_candidate(host);
        Ok(Self {
            rtc,
            wake: now,
            up: false,
            reachable: false,
            local,
            described: false,
            early: Vec::new(),
        })
    }

    /// The remote description is set: candidates that came before it can be used.
    pub(crate) fn described(&mut self) {
        self.described = true;
        for candidate in self.early.drain(..) {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    pub(crate) fn add_candidate(&mut self, candidate: Candidate) {
        if self.described {
            self.rtc.add_remote_candidate(candidate);
        } else if self.early.len() < MAX_EARLY_CANDIDATES {
            self.early.push(candidate);
        }
    }

    /// Takes a datagram. Anything may come in from the network; what is not understood is dropped.
    pub(crate) fn receive(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        let Ok(contents) = bytes.try_into() else { return };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        if let Err(error) = self.rtc.handle_input(Input::Receive(now, receive)) {
            tracing::debug!(%error, "datagram refused");
        }
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        if let Err(error) = self.rtc.handle_input(Input::Timeout(now)) {
            tracing::debug!(%error, "timeout failed");
        }
    }

    /// The payload type to send `codec` with on `mid`, once the server has answered.
    pub(crate) fn payload_type(&self, mid: Mid, codec: AudioCodec) -> Option<Pt> {
        let accepted = self.rtc.media(mid)?.remote_pts();
        let params = self.rtc.codec_config().params();
        params
            .iter()
            .filter(|p| audio_codec(p.spec().codec) == Some(codec))
            .map(|p| p.pt())
            .find(|pt| accepted.contains(pt))
    }

    /// Which codec each payload type is.
    pub(crate) fn codecs(&self) -> impl Iterator<Item = (u8, AudioCodec)> {
        self.rtc
            .codec_config()
            .params()
            .iter()
            .filter_map(|p| Some((*p.pt(), audio_codec(p.spec().codec)?)))
    }
}

fn audio_codec(codec: Codec) -> Option<AudioCodec> {
    match codec {
        Codec::Opus => Some(AudioCodec::Opus),
        Codec::PCMU => Some(AudioCodec::Pcmu),
        Codec::PCMA => Some(AudioCodec::Pcma),
        _ => None,
    }
}
