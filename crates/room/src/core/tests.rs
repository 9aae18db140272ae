//! The peer against a second str0m as the server, in virtual time and without sockets.

use super::{
    data::Incoming,
    feed::{Feed, Pushed},
    peer::{MediaSignal, Peer, PeerEvent, Role},
};
use crate::{
    core::data::DataInbox,
    options::AudioCodec,
    rtp::{RtpFrame, RtpPacket},
};
use livekit_protocol::{self as proto, signal_request::Message as Request};
use prost::Message as _;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpOffer,
    media::Mid,
    net::{Protocol, Receive},
    rtp::RtpWrite,
};

type Seen = Arc<Mutex<Vec<(u32, u64, AudioCodec, Vec<u8>)>>>;

/// A participant and a server, joined by a wire.
struct Pair {
    peer: Peer,
    server: Rtc,
    now: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    events: Vec<PeerEvent>,
    server_events: Vec<Event>,
    offers: Vec<proto::SessionDescription>,
    /// What the server would put into its next answer.
    mids: HashMap<String, String>,
    answering: bool,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let (local, remote) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap());
        let mut peer = Peer::new(true, "PA_me".to_owned());
        peer.open(Role::Publisher, local, now);
        let mut server = RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .set_rtp_mode(true)
            .build(now);
        server.add_local_candidate(Candidate::host(remote, "udp").unwrap());
        let (events, server_events, offers) = (Vec::new(), Vec::new(), Vec::new());
        let mids = HashMap::new();
        let mut pair = Self {
            peer,
            server,
            now,
            local,
            remote,
            events,
            server_events,
            offers,
            mids,
            answering: true,
        };
        pair.peer.start(now);
        pair
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.run(Duration::from_secs(3));
        assert!(pair.peer.is_up());
        pair
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(5);
            self.peer.write_due(self.now, 1);
            self.peer.timeout(Role::Publisher, self.now);
            self.poll_peer();
            while self.peer.write_data() {
                self.poll_peer();
            }
            self.server.handle_input(Input::Timeout(self.now)).unwrap();
            self.poll_server();
            self.take_requests();
        }
    }

    fn poll_peer(&mut self) {
        let mut wire = Vec::new();
        self.peer.poll(Role::Publisher, self.now, &mut |_, bytes| wire.push(bytes.to_vec()));
        for bytes in wire {
            let receive = Receive::new(Protocol::Udp, self.local, self.remote, &bytes).unwrap();
            self.server.handle_input(Input::Receive(self.now, receive)).unwrap();
            self.poll_server();
        }
        self.events.extend(self.peer.events.drain(..));
    }

    fn poll_server(&mut self) {
        loop {
            match self.server.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(t) => {
                    self.peer.receive(Role::Publisher, self.remote, &t.contents, self.now);
                    self.poll_peer();
                }
                Output::Event(event) => self.server_events.push(event),
            }
        }
    }

    fn take_requests(&mut self) {
        let requests = self.events.extract_if(.., |e| matches!(e, PeerEvent::Request(_)));
        for request in requests.collect::<Vec<_>>() {
            let PeerEvent::Request(request) = request else { continue };
            let Request::Offer(offer) = *request else { continue };
            self.offers.push(offer.clone());
            if self.answering {
                self.answer(&offer);
            }
        }
    }

    fn answer(&mut self, offer: &proto::SessionDescription) {
        let sdp = SdpOffer::from_sdp_string(&offer.sdp).unwrap();
        let answer = self.server.sdp_api().accept_offer(sdp).unwrap();
        let answer = proto::SessionDescription {
            r#type: "answer".to_owned(),
            sdp: answer.to_sdp_string(),
            id: offer.id,
            mid_to_track_id: self.mids.clone(),
        };
        self.peer.take_signal(MediaSignal::Answer(answer), self.now);
    }

    fn require(&mut self, audios: u32) {
        let sections = proto::MediaSectionsRequirement { num_audios: audios, num_videos: 0 };
        self.peer.take_signal(MediaSignal::Sections(sections), self.now);
        self.run(Duration::from_millis(100));
    }

    fn publish(&mut self, cid: &str, codec: AudioCodec) -> Arc<Feed> {
        let feed = Arc::new(Feed::new(10));
        self.peer.publish(cid.to_owned(), codec, Arc::clone(&feed), self.now);
        feed
    }

    fn subscribe(&mut self, sid: &str) -> Seen {
        let seen = Seen::default();
        let sink = Arc::clone(&seen);
        let sink = move |p: &RtpPacket<'_>| {
            sink.lock().unwrap().push((p.ssrc, p.sequence, p.codec, p.payload.to_vec()));
        };
        self.peer.subscribe(sid, Box::new(sink));
        seen
    }

    /// The first receiving m-line of the peer, as the server sees it.
    fn sending_mid(&self) -> Mid {
        let mut added = self.server_events.iter().filter_map(|e| match e {
            Event::MediaAdded(media) if media.direction.is_sending() => Some(media.mid),
            _ => None,
        });
        added.next_back().unwrap()
    }

    fn server_sends(&mut self, mid: Mid, payload_type: u8, sequence: u64, payload: &[u8]) {
        let now = self.now;
        let mut api = self.server.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let time = u32::try_from(sequence).unwrap_or(0) * 160;
        stream.write_rtp(RtpWrite::new(
            payload_type.into(),
            sequence.into(),
            time,
            now,
            payload.to_vec(),
        ));
        self.run(Duration::from_millis(20));
    }
}

fn frame(payload: &[u8], timestamp: u32) -> RtpFrame {
    RtpFrame { payload: payload.into(), timestamp, marker: false, level: Some(-10) }
}

fn last(seen: &Seen) -> Option<(u64, AudioCodec, Vec<u8>)> {
    seen.lock().unwrap().last().map(|(_, s, c, p)| (*s, *c, p.clone()))
}

#[test]
fn re_offers_wait_for_the_connection() {
    let mut pair = Pair::new();
    pair.take_requests();
    pair.events.extend(pair.peer.events.drain(..));
    pair.take_requests();
    assert_eq!(pair.offers.len(), 1);
    pair.publish("cid-1", AudioCodec::Pcmu);
    pair.peer.take_signal(
        MediaSignal::Sections(proto::MediaSectionsRequirement { num_audios: 2, num_videos: 0 }),
        pair.now,
    );
    pair.events.extend(pair.peer.events.drain(..));
    pair.take_requests();
    assert_eq!(pair.offers.len(), 1, "held although not connected");
    pair.run(Duration::from_secs(3));
    assert_eq!(pair.offers.len(), 2, "all changes in one offer");
    assert_eq!(pair.offers[1].sdp.matches("a=recvonly").count(), 3);
}

#[test]
fn published_frames_arrive_in_the_wanted_codec() {
    for codec in [AudioCodec::Opus, AudioCodec::Pcmu, AudioCodec::Pcma] {
        let mut pair = Pair::connected();
        let feed = pair.publish("cid-1", codec);
        pair.run(Duration::from_millis(100));
        for n in 0..3 {
            assert_eq!(feed.push(frame(&[n; 20], u32::from(n) * 160)), Pushed::Queued);
            pair.run(Duration::from_millis(20));
        }
        let got: Vec<_> = pair
            .server_events
            .iter()
            .filter_map(|e| match e {
                Event::RtpPacket(p) => Some(p),
                _ => None,
            })
            .collect();
        assert_eq!(got.len(), 3);
        assert_eq!(&got[2].payload[..], [2; 20]);
        assert_eq!(got[2].header.timestamp, 320);
        assert_eq!(got[2].header.ext_vals.audio_level, Some(-10));
        let expected = match codec {
            AudioCodec::Opus => 111,
            AudioCodec::Pcmu => 0,
            AudioCodec::Pcma => 8,
        };
        assert_eq!(*got[2].header.payload_type, expected);
        assert_eq!(pair.peer.counts.sent, 3);
    }
}

#[test]
fn m_lines_are_re_used_for_other_tracks() {
    let mut pair = Pair::connected();
    let (first, second) = (pair.subscribe("TR_1"), pair.subscribe("TR_2"));
    let mid = pair.sending_mid();
    pair.mids.insert(mid.to_string(), "TR_1".to_owned());
    pair.require(0);
    pair.server_sends(mid, 0, 10, b"one");
    assert_eq!(last(&first), Some((10, AudioCodec::Pcmu, b"one".to_vec())));
    // the same m-line, another track, another codec
    pair.mids.insert(mid.to_string(), "TR_2".to_owned());
    pair.require(0);
    pair.server_sends(mid, 111, 11, b"two");
    assert_eq!(last(&second), Some((11, AudioCodec::Opus, b"two".to_vec())));
    assert_eq!(first.lock().unwrap().len(), 1);
    let subscribed = pair.events.iter().filter_map(|e| match e {
        PeerEvent::Subscribed(sids) => Some(sids.join(",")),
        _ => None,
    });
    assert_eq!(subscribed.collect::<Vec<_>>(), ["TR_1", "TR_2"]);
    // unsubscribed: ignored, not delivered
    drop(pair.peer.routes.unsubscribe("TR_2"));
    pair.server_sends(mid, 111, 12, b"three");
    assert_eq!(second.lock().unwrap().len(), 1);
    assert_eq!(pair.peer.counts.ignored, 1);
}

#[test]
fn sequence_numbers_are_extended_and_gaps_kept() {
    let mut pair = Pair::connected();
    let seen = pair.subscribe("TR_1");
    let mid = pair.sending_mid();
    pair.mids.insert(mid.to_string(), "TR_1".to_owned());
    pair.require(0);
    for sequence in [65_534, 65_535, 65_536, 65_540, 65_538] {
        pair.server_sends(mid, 8, sequence, &sequence.to_be_bytes());
    }
    let got: Vec<u64> = seen.lock().unwrap().iter().map(|p| p.1).collect();
    assert_eq!(got, [65_534, 65_535, 65_536, 65_540, 65_538]);
}

#[test]
fn an_open_offer_is_repeated_after_a_resume() {
    let mut pair = Pair::connected();
    pair.answering = false;
    pair.publish("cid-1", AudioCodec::Pcmu);
    pair.run(Duration::from_millis(50));
    assert_eq!(pair.offers.len(), 2);
    pair.answering = true;
    pair.peer.resume(true);
    pair.run(Duration::from_secs(2));
    // the same again, then the ICE restart
    assert_eq!(pair.offers.len(), 4);
    assert_eq!(pair.offers[1], pair.offers[2]);
    assert!(pair.peer.is_up() && !pair.peer.is_urgent());
    // a late second answer to the first offer changes nothing
    let stale = proto::SessionDescription { id: pair.offers[1].id, ..Default::default() };
    pair.peer.take_signal(MediaSignal::Answer(stale), pair.now);
    pair.run(Duration::from_millis(50));
    assert!(!pair.events.iter().any(|e| matches!(e, PeerEvent::Failed(_))));
}

#[test]
fn damaged_signals_and_datagrams_do_not_panic() {
    let mut pair = Pair::connected();
    for bytes in [&b""[..], &[0], &[0x16; 40], &[0x80; 12], &[0x80; 1500], &[1; 2048]] {
        pair.peer.receive(Role::Publisher, pair.remote, bytes, pair.now);
        pair.poll_peer();
    }
    let trickle = proto::TrickleRequest { candidate_init: "{".to_owned(), ..Default::default() };
    pair.peer.take_signal(MediaSignal::Trickle(trickle), pair.now);
    pair.peer.take_signal(MediaSignal::Offer(Default::default()), pair.now);
    pair.run(Duration::from_millis(100));
    assert!(pair.peer.is_up());
    pair.answering = false;
    pair.publish("cid-1", AudioCodec::Pcmu);
    pair.run(Duration::from_millis(50));
    let id = pair.offers.last().unwrap().id;
    let damaged = proto::SessionDescription { id, sdp: "v=1".to_owned(), ..Default::default() };
    pair.peer.take_signal(MediaSignal::Answer(damaged), pair.now);
    pair.run(Duration::from_millis(50));
    assert!(pair.events.iter().any(|e| matches!(e, PeerEvent::Failed(_))));
}

#[test]
fn an_unanswered_offer_fails() {
    let mut pair = Pair::connected();
    pair.answering = false;
    pair.publish("cid-1", AudioCodec::Pcmu);
    pair.peer.check_overdue(pair.now + Duration::from_secs(10));
    assert!(!pair.peer.events.iter().any(|e| matches!(e, PeerEvent::Failed(_))));
    pair.peer.check_overdue(pair.now + Duration::from_secs(20));
    assert!(pair.peer.events.iter().any(|e| matches!(e, PeerEvent::Failed(_))));
}

#[test]
fn data_goes_both_ways() {
    let mut pair = Pair::connected();
    let user = |payload: &[u8]| proto::DataPacket {
        participant_identity: "ann".to_owned(),
        value: Some(proto::data_packet::Value::User(proto::UserPacket {
            payload: payload.to_vec(),
            topic: Some("t".to_owned()),
            ..Default::default()
        })),
        ..Default::default()
    };
    assert!(pair.peer.data.push_all(true, vec![user(b"a"), user(b"b")]));
    pair.run(Duration::from_millis(200));
    let got: Vec<_> = pair
        .server_events
        .iter()
        .filter_map(|e| match e {
            Event::ChannelData(d) => Some((d.id, proto::DataPacket::decode(&d.data[..]).unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(got.iter().map(|(_, p)| p.sequence).collect::<Vec<_>>(), [1, 2]);
    assert!(pair.peer.data_is_idle());
    let id = got[0].0;
    assert!(pair.server.channel(id).unwrap().write(true, &user(b"c").encode_to_vec()).unwrap());
    pair.run(Duration::from_millis(200));
    let data = pair.events.iter().find_map(|e| match e {
        PeerEvent::Data { reliable, bytes } => Some((*reliable, bytes.clone())),
        _ => None,
    });
    let (reliable, bytes) = data.unwrap();
    assert!(reliable);
    assert!(matches!(
        DataInbox::default().read(&bytes, reliable),
        Incoming::User { identity, topic, payload }
            if identity == "ann" && topic == "t" && payload == b"c"
    ));
    // more than fits is refused as a whole
    let many = vec![user(&[0; 50_000]); 100];
    assert!(!pair.peer.data.push_all(true, many));
    assert!(pair.peer.data_is_idle());
}
