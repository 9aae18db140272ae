//! Which received stream belongs to which track, and who takes it.

use crate::{
    options::AudioCodec,
    rtp::{RtpPacket, RtpSink},
};
use std::collections::HashMap;
use str0m::media::Mid;

/// SSRCs remembered at once. Each m-line has one at a time; more only come from misuse.
const MAX_STREAMS: usize = 256;

/// Maps m-lines to tracks and tracks to sinks. The server re-uses m-lines when tracks come and go,
/// so only the map in its descriptions counts, never what the m-line was first made for.
pub(crate) struct Routes {
    routes: Vec<Route>,
    /// Sinks of tracks that have no m-line yet.
    waiting: HashMap<String, Box<dyn RtpSink>>,
    /// SSRC to m-line, so that the packet path does not ask str0m.
    streams: Vec<(u32, Mid)>,
    codecs: [Option<AudioCodec>; 128],
}

struct Route {
    mid: Mid,
    track_sid: String,
    sink: Option<Box<dyn RtpSink>>,
}

/// A received packet before its codec and track are known.
pub(crate) struct Arrived<'a> {
    pub(crate) packet: RtpPacket<'a>,
    pub(crate) payload_type: u8,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self {
            routes: Vec::new(),
            waiting: HashMap::new(),
            streams: Vec::new(),
            codecs: [None; 128],
        }
    }

    /// Takes the map of a description. Returns the tracks that are new.
    pub(crate) fn update(&mut self, mids: &HashMap<String, String>) -> Vec<String> {
        self.streams.clear();
        let mut old = std::mem::take(&mut self.routes);
        let mut new = Vec::new();
        for route in &mut old {
            if let Some(sink) = route.sink.take() {
                self.waiting.insert(route.track_sid.clone(), sink);
            }
        }
        for (mid, track_sid) in mids {
            if track_sid.is_empty() {
                continue;
            }
            if !old.iter().any(|r| r.track_sid == *track_sid) {
                new.push(track_sid.clone());
            }
            let sink = self.waiting.remove(track_sid);
            self.routes.push(Route {
                mid: mid.as_str().into(),
                track_sid: track_sid.clone(),
                sink,
            });
        }
        new
    }

    pub(crate) fn set_codecs(&mut self, codecs: impl Iterator<Item = (u8, AudioCodec)>) {
        for (payload_type, codec) in codecs {
            if let Some(slot) = self.codecs.get_mut(usize::from(payload_type)) {
                *slot = Some(codec);
            }
        }
    }

    pub(crate) fn subscribe(&mut self, track_sid: &str, sink: Box<dyn RtpSink>) {
        match self.routes.iter_mut().find(|r| r.track_sid == track_sid) {
            Some(route) => route.sink = Some(sink),
            None => {
                self.waiting.insert(track_sid.to_owned(), sink);
            }
        }
    }

    /// Takes the sink of a track away.
    pub(crate) fn unsubscribe(&mut self, track_sid: &str) -> Option<Box<dyn RtpSink>> {
        let routed = self.routes.iter_mut().find(|r| r.track_sid == track_sid);
        routed.and_then(|r| r.sink.take()).or_else(|| self.waiting.remove(track_sid))
    }

    /// Takes all sinks, to move them to a new session.
    pub(crate) fn take_sinks(&mut self) -> Vec<(String, Box<dyn RtpSink>)> {
        let routed = self.routes.drain(..).filter_map(|r| Some((r.track_sid, r.sink?)));
        routed.chain(self.waiting.drain()).collect()
    }

    pub(crate) fn known_stream(&self, ssrc: u32) -> Option<Mid> {
        self.streams.iter().find(|s| s.0 == ssrc).map(|s| s.1)
    }

    pub(crate) fn remember_stream(&mut self, ssrc: u32, mid: Mid) {
        if self.streams.len() >= MAX_STREAMS {
            self.streams.clear();
        }
        self.streams.push((ssrc, mid));
    }

    /// Gives a packet to its sink. False: nobody wants it.
    pub(crate) fn deliver(&mut self, mid: Mid, arrived: Arrived<'_>) -> bool {
        let codec = self.codecs.get(usize::from(arrived.payload_type)).copied().flatten();
        let Some(codec) = codec else { return false };
        let route = self.routes.iter_mut().find(|r| r.mid == mid);
        let Some(sink) = route.and_then(|r| r.sink.as_mut()) else { return false };
        sink.packet(&RtpPacket { codec, ..arrived.packet });
        true
    }
}
