use super::Streams;
use crate::{
    core::data::{DataInbox, Incoming},
    events::{ByteStreamEvent, RoomEvent, StreamError, TextStreamEvent},
    options::Limits,
};
use futures_util::FutureExt as _;
use livekit_protocol::{self as proto, data_packet::Value, data_stream};
use proptest::prelude::*;
use prost::Message as _;
use std::{collections::HashSet, time::Duration};

/// A participant's inbox and streams.
struct Receiver {
    inbox: DataInbox,
    streams: Streams,
    malformed: usize,
}

impl Receiver {
    fn new(limits: Limits) -> Self {
        Self { inbox: DataInbox::default(), streams: Streams::new(limits), malformed: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.inbox.read(bytes, true) {
            Incoming::Stream { id, opens, packet } => self.streams.push(id, opens, packet),
            Incoming::Malformed => self.malformed += 1,
            Incoming::User { .. } | Incoming::Dtmf { .. } | Incoming::Ignored => {}
        }
    }

    /// Everything that is there now.
    fn events(&mut self) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        // the manager runs when it is polled, and what it gives is seen at the next poll
        let mut quiet = 0;
        while quiet < 3 {
            match self.streams.next().now_or_never() {
                Some(event) => events.push(event),
                None => quiet += 1,
            }
        }
        events
    }
}

fn packet(value: Value) -> Vec<u8> {
    let participant_identity = "ann".to_owned();
    proto::DataPacket { participant_identity, value: Some(value), ..Default::default() }
        .encode_to_vec()
}

fn header(id: &str, text: bool) -> Vec<u8> {
    use data_stream::header::ContentHeader;
    let content = match text {
        true => ContentHeader::TextHeader(data_stream::TextHeader::default()),
        false => ContentHeader::ByteHeader(data_stream::ByteHeader::default()),
    };
    packet(Value::StreamHeader(data_stream::Header {
        stream_id: id.to_owned(),
        topic: "lk.transcription".to_owned(),
        attributes: [("lk.segment_id".to_owned(), "1".to_owned())].into(),
        content_header: Some(content),
        ..Default::default()
    }))
}

fn chunk(id: &str, index: u64, content: &[u8]) -> Vec<u8> {
    packet(Value::StreamChunk(data_stream::Chunk {
        stream_id: id.to_owned(),
        chunk_index: index,
        content: content.to_vec(),
        ..Default::default()
    }))
}

fn trailer(id: &str) -> Vec<u8> {
    packet(Value::StreamTrailer(data_stream::Trailer {
        stream_id: id.to_owned(),
        attributes: [("lk.transcription_final".to_owned(), "true".to_owned())].into(),
        ..Default::default()
    }))
}

#[tokio::test]
async fn a_growing_stream_is_seen_chunk_by_chunk() {
    let mut receiver = Receiver::new(Limits::default());
    receiver.take(&header("s", true));
    let events = receiver.events();
    assert!(matches!(
        &events[..],
        [RoomEvent::TextStream(TextStreamEvent::Opened { participant_identity, topic, .. })]
            if participant_identity == "ann" && topic == "lk.transcription"
    ));
    for (index, text) in ["Hel", "lo"].into_iter().enumerate() {
        receiver.take(&chunk("s", index as u64, text.as_bytes()));
        let (stream_id, text) = ("s".to_owned(), text.to_owned());
        let expected = RoomEvent::TextStream(TextStreamEvent::Chunk { stream_id, text });
        assert_eq!(receiver.events(), [expected]);
    }
    receiver.take(&trailer("s"));
    let events = receiver.events();
    let [RoomEvent::TextStream(TextStreamEvent::Closed { attributes, .. })] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(attributes["lk.segment_id"], "1");
    assert_eq!(attributes["lk.transcription_final"], "true");
}

#[tokio::test]
async fn streams_that_break_the_rules_fail() {
    let limits = Limits { stream_bytes: 100, ..Default::default() };
    let long = [chunk("s", 0, &[b'a'; 60]), chunk("s", 1, &[b'a'; 60])];
    let gap = [chunk("s", 1, b"a"), trailer("s")];
    let not_utf8 = [chunk("s", 0, &[0xff, 0xfe]), chunk("s", 1, b"a")];
    let is_long = |e: &StreamError| *e == StreamError::TooLong;
    let is_damaged = |e: &StreamError| matches!(e, StreamError::Damaged(_));
    type Check = fn(&StreamError) -> bool;
    let cases: [(_, Check); 3] = [(long, is_long), (gap, is_damaged), (not_utf8, is_damaged)];
    for (packets, expected) in cases {
        let mut receiver = Receiver::new(limits);
        receiver.take(&header("s", true));
        packets.iter().for_each(|p| receiver.take(p));
        let events = receiver.events();
        let failed = events.iter().filter_map(|e| match e {
            RoomEvent::TextStream(TextStreamEvent::Failed { error, .. }) => Some(error),
            _ => None,
        });
        let failed: Vec<_> = failed.collect();
        assert!(failed.len() == 1 && expected(failed[0]), "{events:?}");
        assert!(receiver.streams.open.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_never_end_are_closed() {
    let limits = Limits { open_streams: 2, ..Default::default() };
    let mut receiver = Receiver::new(limits);
    for id in ["a", "b", "c"] {
        receiver.take(&header(id, true));
    }
    assert_eq!(receiver.events().len(), 2);
    assert_eq!(receiver.streams.dropped, 1);
    receiver.take(&chunk("c", 0, b"of a refused stream"));
    tokio::time::advance(Duration::from_secs(40)).await;
    receiver.take(&chunk("b", 0, b"x"));
    assert_eq!(receiver.events().len(), 1);
    tokio::time::advance(Duration::from_secs(30)).await;
    let failed = |id: &str| {
        RoomEvent::TextStream(TextStreamEvent::Failed {
            stream_id: id.to_owned(),
            error: StreamError::Idle,
        })
    };
    assert_eq!(receiver.streams.next().await, failed("a"));
    // now there is room, even for the same id
    receiver.take(&header("a", false));
    assert!(matches!(
        receiver.streams.next().await,
        RoomEvent::ByteStream(ByteStreamEvent::Opened { .. })
    ));
    assert_eq!(receiver.streams.next().await, failed("b"));
    assert_eq!(receiver.streams.open.len(), 1);
}

#[tokio::test]
async fn streams_end_with_their_sender() {
    let mut receiver = Receiver::new(Limits::default());
    receiver.take(&header("a", true));
    receiver.take(&header("b", false));
    receiver.events();
    receiver.streams.abort_from("bob");
    assert!(receiver.events().is_empty());
    receiver.streams.abort_from("ann");
    assert_eq!(receiver.events().len(), 2);
    assert!(receiver.streams.open.is_empty());
}

/// Packets of few streams in any order, some of them damaged.
fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c"), Just("")];
    let content = prop::collection::vec(any::<u8>(), 0..40);
    let whole = prop_oneof![
        (id.clone(), any::<bool>()).prop_map(|(id, text)| header(id, text)),
        (id.clone(), 0..4u64, content.clone()).prop_map(|(id, n, c)| chunk(id, n, &c)),
        (id.clone(), 0..4u64, "[a-zé]{0,9}").prop_map(|(id, n, c)| chunk(id, n, c.as_bytes())),
        id.prop_map(trailer),
    ];
    let damaged = (whole.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let at = at.index(bytes.len().max(1));
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
            bytes
        },
    );
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    prop::collection::vec(prop_oneof![4 => whole, 2 => damaged, 1 => noise], 0..60)
}

proptest! {
    #[test]
    fn any_bytes_are_survived(packets in packets()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let limits = Limits { open_streams: 2, stream_bytes: 64, ..Default::default() };
            let mut receiver = Receiver::new(limits);
            let mut open = HashSet::new();
            for bytes in packets {
                receiver.take(&bytes);
                assert!(receiver.streams.open.len() <= 2);
                for event in receiver.events() {
                    check_order(&mut open, &event);
                }
            }
        });
    }
}

/// Each stream opens, grows, and ends once.
fn check_order(open: &mut HashSet<String>, event: &RoomEvent) {
    match event {
        RoomEvent::TextStream(TextStreamEvent::Opened { stream_id, .. })
        | RoomEvent::ByteStream(ByteStreamEvent::Opened { stream_id, .. }) => {
            assert!(open.insert(stream_id.clone()));
        }
        RoomEvent::TextStream(TextStreamEvent::Chunk { stream_id, .. })
        | RoomEvent::ByteStream(ByteStreamEvent::Chunk { stream_id, .. }) => {
            assert!(open.contains(stream_id));
        }
        RoomEvent::TextStream(
            TextStreamEvent::Closed { stream_id, .. } | TextStreamEvent::Failed { stream_id, .. },
        )
        | RoomEvent::ByteStream(
            ByteStreamEvent::Closed { stream_id, .. } | ByteStreamEvent::Failed { stream_id, .. },
        ) => assert!(open.remove(stream_id)),
        other => panic!("{other:?}"),
    }
}
