//! Transcripts and the log of deliveries.

use std::sync::Arc;

use outdial_domain::ports::{Delivery, Store};
use outdial_domain::{DeliveryId, RoomName, Speaker, TranscriptLine};

use super::{account, at_once, stored};
use crate::sample::{self, line};

async fn room(store: &Arc<dyn Store>) -> RoomName {
    stored(store, &account(), |_| {}).await.room_name().clone()
}

fn three_lines() -> Vec<TranscriptLine> {
    vec![
        line(Speaker::Agent, "Hello, this is Ava.", 1.0),
        line(Speaker::User, "Grüß Gott \u{1F44B} 'quoted' \"text\"", 2.5),
        line(Speaker::Agent, "", 3.0),
    ]
}

/// Lines come back in the order of their appends, not in that of their times.
pub async fn a_transcript_is_read_in_the_order_of_its_appends(store: Arc<dyn Store>) {
    let room = room(&store).await;
    assert_eq!(store.read(&room, 0).await.unwrap(), []);
    let mut lines = three_lines();
    store.append(&room, &lines).await.unwrap();
    let late = line(Speaker::User, "said first, heard last", 0.5);
    store.append(&room, std::slice::from_ref(&late)).await.unwrap();
    store.append(&room, &[]).await.unwrap();
    lines.push(late);
    assert_eq!(store.read(&room, 0).await.unwrap(), lines);
}

/// Appending the same lines again, alone or together with new ones, adds only the new ones.
pub async fn a_repeated_append_changes_nothing(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let mut lines = three_lines();
    for _ in 0..3 {
        store.append(&room, &lines).await.unwrap();
        assert_eq!(store.read(&room, 0).await.unwrap(), lines);
    }
    let new = line(Speaker::User, "Bye", 4.0);
    let again = [lines[1].clone(), new.clone(), new.clone()];
    store.append(&room, &again).await.unwrap();
    lines.push(new);
    assert_eq!(store.read(&room, 0).await.unwrap(), lines);
}

/// Lines are the same only when speaker, text and timestamp are.
pub async fn lines_that_differ_in_one_thing_are_kept(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let lines = [
        line(Speaker::User, "Yes", 1.0),
        line(Speaker::Agent, "Yes", 1.0),
        line(Speaker::User, "yes", 1.0),
        line(Speaker::User, "Yes", 1.001),
    ];
    store.append(&room, &lines).await.unwrap();
    assert_eq!(store.read(&room, 0).await.unwrap(), lines);
}

/// `from` counts lines from 0; behind the end there is nothing.
pub async fn a_transcript_can_be_read_from_a_line_on(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let lines = three_lines();
    store.append(&room, &lines).await.unwrap();
    for from in 0..=3 {
        assert_eq!(store.read(&room, from).await.unwrap(), lines[from..]);
    }
    for from in [4, usize::MAX] {
        assert_eq!(store.read(&room, from).await.unwrap(), []);
    }
}

/// Each call has its own lines, also where they are the same.
pub async fn transcripts_of_calls_are_apart(store: Arc<dyn Store>) {
    let (one, two) = (room(&store).await, room(&store).await);
    let lines = three_lines();
    store.append(&one, &lines).await.unwrap();
    assert_eq!(store.read(&two, 0).await.unwrap(), []);
    store.append(&two, &lines[1..]).await.unwrap();
    assert_eq!(store.read(&two, 0).await.unwrap(), lines[1..]);
    assert_eq!(store.read(&one, 0).await.unwrap(), lines);
}

/// Appends at the same time, each line by two of them: every line is there once.
pub async fn concurrent_appends_keep_each_line_once(store: Arc<dyn Store>) {
    let room = room(&store).await;
    let text = |number: usize| line(Speaker::User, &format!("line {number}"), 1.0);
    at_once(0..32, |number| {
        let (store, room) = (Arc::clone(&store), room.clone());
        async move { store.append(&room, &[text(number % 16)]).await.unwrap() }
    })
    .await;
    let read = store.read(&room, 0).await.unwrap();
    assert_eq!(read.len(), 16);
    assert!((0..16).all(|number| read.contains(&text(number))));
    let tail = store.read(&room, 10).await.unwrap();
    assert_eq!(tail, read[10..], "lines are numbered without gaps");
}

/// All attempts for a call with all they say, oldest first; other calls' attempts are not among them.
pub async fn deliveries_are_logged_oldest_first(store: Arc<dyn Store>) {
    let (room, other) = (room(&store).await, room(&store).await);
    let attempt = |room: &RoomName, attempt: u32, seconds| Delivery {
        delivery_id: DeliveryId::random(),
        room_name: room.clone(),
        webhook_id: "msg_1".into(),
        attempt,
        at: sample::at(seconds),
        duration_ms: 12,
        status_code: (attempt > 1).then_some(503),
        error: Some("connection refused".into()),
    };
    assert_eq!(store.deliveries(&room).await.unwrap(), []);
    let [first, second, third] = [(1, 0.0), (2, 5.0), (3, 35.0)].map(|(n, s)| attempt(&room, n, s));
    // One of them twice, as after a doubt.
    for delivery in [&second, &first, &third, &second, &attempt(&other, 1, 1.0)] {
        store.log(delivery).await.unwrap();
    }
    let logged = store.deliveries(&room).await.unwrap();
    assert_eq!(logged, [first, second, third]);
}
