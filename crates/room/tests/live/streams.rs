//! Text streams, byte streams and data packets, in and out.

use std::collections::HashMap;

use outdial_room::{ByteStreamEvent, RoomEvent, StreamError, TextStreamEvent};
use serde_json::json;

use crate::guest::Guest;
use crate::judge::Judge;
use crate::stack::{Place, seat};

const TRANSCRIPTION: &str = "lk.transcription";

/// A text stream that ended.
#[derive(Debug, Clone, PartialEq)]
struct Text {
    topic: String,
    from: String,
    opened: HashMap<String, String>,
    closed: HashMap<String, String>,
    chunks: Vec<String>,
}

/// Waits for the end of a stream and puts together what was told of it.
async fn text(guest: &Guest, stream: &str) -> Text {
    let closed = guest.told("the end of the stream", 0, |event| match event {
        RoomEvent::TextStream(TextStreamEvent::Closed { stream_id, attributes }) => {
            (stream_id == stream).then(|| attributes.clone())
        }
        _ => None,
    });
    let closed = closed.await;
    let opened = guest.all(0, |event| match event {
        RoomEvent::TextStream(TextStreamEvent::Opened {
            stream_id,
            topic,
            participant_identity,
            attributes,
            ..
        }) if stream_id == stream => {
            Some((topic.clone(), participant_identity.clone(), attributes.clone()))
        }
        _ => None,
    });
    let [(topic, from, opened)] = <[_; 1]>::try_from(opened).unwrap();
    let chunks = guest.all(0, |event| match event {
        RoomEvent::TextStream(TextStreamEvent::Chunk { stream_id, text }) => {
            (stream_id == stream).then(|| text.clone())
        }
        _ => None,
    });
    Text { topic, from, opened, closed, chunks }
}

/// Has the judge send a whole text; the stream's id.
async fn sends(judge: &Judge, message: serde_json::Value) -> String {
    judge.obeys("text", message).await["stream"].as_str().unwrap().to_owned()
}

fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Text that no border between chunks of any size divides evenly.
fn long_text() -> String {
    let mut text = String::from("x");
    while text.len() < 25_000 {
        text.push_str("é आप 話 🙂 ");
    }
    text
}

#[tokio::test]
async fn an_agents_stream_grows_and_its_trailer_says_that_it_is_final() {
    let _seat = seat().await;
    let place = Place::shared("grow");
    let guest = Guest::joined(&place, "guest").await;
    let judge = Judge::joined(&place, "judge").await;
    let header = json!({"lk.segment_id": "SG_1", "lk.transcription_final": "false"});
    let opening = json!({"topic": TRANSCRIPTION, "attributes": header});
    let answer = judge.obeys("open", opening).await;
    let stream = answer["stream"].as_str().unwrap();
    let mut so_far = String::new();
    for part in ["Hello, ", "नमस्ते ", "what is the status of my order?"] {
        judge.obeys("grow", json!({"stream": stream, "text": part})).await;
        so_far.push_str(part);
        // Each part comes while the stream is still open.
        let mut text = String::new();
        let pick = |event: &RoomEvent| {
            if let RoomEvent::TextStream(TextStreamEvent::Chunk { text: chunk, .. }) = event {
                text.push_str(chunk);
            }
            (text == so_far).then_some(())
        };
        guest.told("the part", 0, pick).await;
    }
    let trailer = json!({"lk.transcription_final": "true"});
    judge.obeys("close", json!({"stream": stream, "attributes": trailer})).await;
    let text = text(&guest, stream).await;
    assert_eq!((&*text.topic, &*text.from), (TRANSCRIPTION, "judge"));
    assert_eq!(
        text.opened,
        attributes([("lk.segment_id", "SG_1"), ("lk.transcription_final", "false")])
    );
    assert_eq!(
        text.closed,
        attributes([("lk.segment_id", "SG_1"), ("lk.transcription_final", "true")])
    );
    assert_eq!(text.chunks.concat(), so_far);
}

#[tokio::test]
async fn interims_of_one_segment_are_streams_of_their_own() {
    let _seat = seat().await;
    let place = Place::shared("interims");
    let guest = Guest::joined(&place, "guest").await;
    let judge = Judge::joined(&place, "judge").await;
    for (words, last) in [("what", "false"), ("what is", "false"), ("what is it", "true")] {
        let header = json!({"lk.segment_id": "SG_7", "lk.transcription_final": last});
        let message = json!({"text": words, "topic": TRANSCRIPTION, "attributes": header});
        let stream = sends(&judge, message).await;
        let text = text(&guest, &stream).await;
        assert_eq!(text.chunks.concat(), words);
        let expected = attributes([("lk.segment_id", "SG_7"), ("lk.transcription_final", last)]);
        assert_eq!((&text.opened, &text.closed), (&expected, &expected));
    }
}

#[tokio::test]
async fn a_long_text_comes_in_chunks_that_split_no_letter() {
    let _seat = seat().await;
    let place = Place::shared("long");
    let guest = Guest::joined(&place, "guest").await;
    let judge = Judge::joined(&place, "judge").await;
    for compress in [true, false] {
        let message = json!({"text": long_text(), "topic": "lk.chat", "compress": compress});
        let stream = sends(&judge, message).await;
        let text = text(&guest, &stream).await;
        assert!(text.chunks.concat() == long_text(), "compressed: {compress}");
    }
}

#[tokio::test]
async fn a_stream_whose_sender_goes_is_told_as_failed() {
    let _seat = seat().await;
    let place = Place::shared("cut");
    let guest = Guest::joined(&place, "guest").await;
    let judge = Judge::joined(&place, "judge").await;
    let answer = judge.obeys("open", json!({"topic": TRANSCRIPTION})).await;
    let stream = answer["stream"].as_str().unwrap();
    judge.obeys("grow", json!({"stream": stream, "text": "I was about to"})).await;
    let chunk = |event: &RoomEvent| {
        matches!(event, RoomEvent::TextStream(TextStreamEvent::Chunk { .. })).then_some(())
    };
    guest.told("the chunk", 0, chunk).await;
    drop(judge);
    let failed = guest.told("the failure", 0, |event| match event {
        RoomEvent::TextStream(TextStreamEvent::Failed { stream_id, error }) => {
            Some((stream_id.clone(), error.clone()))
        }
        _ => None,
    });
    assert_eq!(failed.await, (stream.to_owned(), StreamError::Interrupted));
}

#[tokio::test]
async fn the_judge_reads_our_streams() {
    let _seat = seat().await;
    let place = Place::shared("send");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    let header = attributes([("lk.segment_id", "SG_9"), ("lk.transcription_final", "true")]);
    for text in [String::new(), "hello नमस्ते".to_owned(), long_text()] {
        let stream = guest.room.send_text(TRANSCRIPTION, &text, header.clone()).await.unwrap();
        let told = judge.told(0, "text", |e| e["stream"] == json!(stream)).await;
        assert!(told["text"] == json!(text), "{} bytes", text.len());
        assert_eq!(told["attributes"], json!(header));
        assert_eq!((&told["from"], &told["topic"]), (&json!("guest"), &json!(TRANSCRIPTION)));
        assert!(told["error"].is_null(), "{told}");
    }
    let bytes: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
    guest.room.send_bytes("files", "order.bin", &bytes, HashMap::new()).await.unwrap();
    let told = judge.told(0, "bytes", |_| true).await;
    assert_eq!(told["name"], "order.bin");
    assert_eq!((&told["size"], &told["right"]), (&json!(40_000), &json!(true)));
}

#[tokio::test]
async fn a_byte_stream_comes_whole() {
    let _seat = seat().await;
    let place = Place::shared("bytes");
    let guest = Guest::joined(&place, "guest").await;
    let judge = Judge::joined(&place, "judge").await;
    judge.obeys("file", json!({"size": 40_000, "topic": "files"})).await;
    let closed = |event: &RoomEvent| {
        matches!(event, RoomEvent::ByteStream(ByteStreamEvent::Closed { .. })).then_some(())
    };
    guest.told("the end of the file", 0, closed).await;
    let chunks = guest.all(0, |event| match event {
        RoomEvent::ByteStream(ByteStreamEvent::Chunk { bytes, .. }) => Some(bytes.clone()),
        _ => None,
    });
    let expected: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
    assert!(chunks.concat() == expected, "{} bytes", chunks.concat().len());
}

#[tokio::test]
async fn data_packets_pass_both_ways_reliable_or_not() {
    let _seat = seat().await;
    let place = Place::shared("data");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    // Before that it would not know who sends.
    judge.told(0, "participant_connected", |e| e["from"] == "guest").await;
    for reliable in [true, false] {
        let content = format!("{{\"event\":\"call_answered\",\"reliable\":{reliable}}}");
        guest.room.send_data(content.as_bytes(), "events", reliable).await.unwrap();
        let told = judge.told(0, "data_received", |e| e["data"] == json!(content)).await;
        let expected = json!({"event": "data_received", "from": "guest", "topic": "events",
            "data": content, "reliable": reliable});
        assert_eq!(told, expected);

        let message = json!({"payload": content, "topic": "back", "reliable": reliable});
        judge.obeys("data", message).await;
        let expected = RoomEvent::Data {
            participant_identity: "judge".to_owned(),
            topic: "back".to_owned(),
            payload: content.into_bytes(),
            reliable,
        };
        guest.told_of(&expected, 0).await;
    }
}

#[tokio::test]
async fn a_hundred_packets_come_in_order() {
    let _seat = seat().await;
    let place = Place::shared("order");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    for n in 0..100 {
        guest.room.send_data(n.to_string().as_bytes(), "count", true).await.unwrap();
        judge.obeys("data", json!({"payload": n.to_string(), "topic": "count"})).await;
    }
    judge.told(0, "data_received", |e| e["data"] == "99").await;
    let told = judge.all(0, "data_received");
    let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(told.iter().map(|e| e["data"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    let payload = |event: &RoomEvent| match event {
        RoomEvent::Data { payload, .. } => Some(String::from_utf8(payload.clone()).unwrap()),
        _ => None,
    };
    guest.told("the last one", 0, |e| (payload(e)? == "99").then_some(())).await;
    assert_eq!(guest.all(0, payload), expected);
}
