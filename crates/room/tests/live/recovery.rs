//! Lost connections, and servers that stand still or start anew.

use outdial_room::{AudioCodec, CloseReason, JoinOptions, Publication, RoomEvent, TextStreamEvent};
use serde_json::json;

use crate::guest::Guest;
use crate::judge::Judge;
use crate::log::until;
use crate::relay::Relay;
use crate::server::{Server, Setup};
use crate::stack::{Place, seat};
use crate::tone::{Ear, SKIPPED};

const OURS: f64 = 440.0;
const THEIRS: f64 = 1000.0;

/// Sound in both directions between the judge and us.
struct Talk {
    judge: Judge,
    guest: Guest,
    ear: Ear,
    publication: Publication,
}

impl Talk {
    /// Joins by an address of the signal connection, which may be a relay's.
    async fn begins(place: &Place, url: &str, options: JoinOptions) -> Self {
        let judge = Judge::joined(place, "judge").await;
        let guest = Guest::join(url, &place.token("guest"), options).await;
        let publication = guest.plays(AudioCodec::Pcmu, OURS).await;
        judge.plays(THEIRS).await;
        let ear = guest.listens_to("judge").await;
        let talk = Self { judge, guest, ear, publication };
        talk.is_heard(2).await;
        talk
    }

    /// Waits for seconds without a flaw, both ways, from now on.
    async fn is_heard(&self, seconds: usize) {
        let (told, heard) = (self.judge.now(), self.ear.seconds.len());
        self.judge.hears(told, "guest", seconds, |heard| heard.is_clean(OURS)).await;
        self.ear.hears(heard, seconds, |heard| heard.is_clean(THEIRS)).await;
    }

    async fn told(&self, event: RoomEvent, from: usize) {
        self.guest.told_of(&event, from).await;
    }

    /// What is said passes, both ways.
    async fn texts_pass(&self) {
        let from = self.guest.now();
        let topic = "lk.chat";
        let text = format!("still here {from}");
        self.judge.obeys("text", json!({"text": text, "topic": topic})).await;
        let pick = |event: &RoomEvent| match event {
            RoomEvent::TextStream(TextStreamEvent::Chunk { text: t, .. }) => {
                (*t == text).then_some(())
            }
            _ => None,
        };
        self.guest.told("the text", from, pick).await;
        self.guest.room.send_text(topic, &text, Default::default()).await.unwrap();
        self.judge.told(0, "text", |e| e["from"] == "guest" && e["text"] == json!(text)).await;
    }

    /// Seconds in which the judge heard holes in our tone.
    fn flaws(&self) -> Vec<crate::heard::Heard> {
        let mut heard = self.judge.heard(0, "guest");
        heard.retain(|heard| !heard.is_clean(OURS));
        heard
    }
}

/// `allowed`: packets to us that each resume may cost.
async fn a_cut_is_resumed(options: JoinOptions, allowed: u64) {
    let _seat = seat().await;
    let server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "cut");
    let relay = Relay::to(server.signal_port(), None).await;
    let talk = Talk::begins(&place, &relay.url(), options).await;
    let (sid, flaws) = (talk.guest.room.local().sid, talk.flaws().len());
    for round in 1..=3 {
        let from = talk.guest.now();
        relay.cuts();
        talk.told(RoomEvent::Reconnecting, from).await;
        talk.told(RoomEvent::Resumed, from).await;
        talk.is_heard(2).await;
        talk.texts_pass().await;
        let (lost, stats) = (talk.ear.lost(), talk.guest.room.stats());
        assert!(lost <= allowed * round, "round {round}: {lost} lost; {stats:?}");
    }
    // Nobody noticed: the same participant, the same track, no hole in our sound.
    assert_eq!(talk.guest.room.local().sid, sid);
    assert_eq!(talk.guest.all(0, |e| (*e == RoomEvent::Rejoined).then_some(())), []);
    assert_eq!(talk.judge.all(0, "participant_disconnected"), Vec::<serde_json::Value>::new());
    assert_eq!(talk.judge.all(0, "track_unpublished"), Vec::<serde_json::Value>::new());
    // (A busy machine may make one by itself.)
    assert!(talk.flaws().len() <= flaws + 1, "{:?}", talk.flaws());
}

#[tokio::test]
async fn a_cut_signal_socket_is_resumed_without_a_hole_in_the_sound() {
    a_cut_is_resumed(JoinOptions::default(), SKIPPED).await;
}

#[tokio::test]
async fn a_cut_signal_socket_is_resumed_over_two_peer_connections() {
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    // The server starts ICE anew on the connection to us, and sends nothing until that is done:
    // some 50 ms, 300 ms when a check is lost.
    a_cut_is_resumed(options, 20).await;
}

#[tokio::test]
async fn what_is_asked_for_while_the_signal_is_away_is_done_afterwards() {
    let _seat = seat().await;
    let server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "away");
    let relay = Relay::to(server.signal_port(), None).await;
    let talk = Talk::begins(&place, &relay.url(), JoinOptions::default()).await;
    let from = talk.guest.now();
    relay.closes();
    talk.told(RoomEvent::Reconnecting, from).await;
    // The sound goes on without it.
    let heard = talk.ear.seconds.len();
    talk.ear.hears(heard, 2, |heard| heard.is_clean(THEIRS)).await;
    let attributes = [("while".to_owned(), "away".to_owned())].into();
    let accepted = relay.accepted();
    let (set, ()) = tokio::join!(talk.guest.room.set_attributes(attributes), async {
        until("another try", async || {
            if relay.accepted() > accepted { Ok(()) } else { Err("none".to_owned()) }
        })
        .await;
        relay.opens();
    });
    set.unwrap();
    talk.told(RoomEvent::Resumed, from).await;
    talk.judge
        .told(0, "participant_attributes_changed", |e| e["attributes"]["while"] == "away")
        .await;
    talk.is_heard(2).await;
    assert!(talk.ear.is_whole(), "{} lost", talk.ear.lost());
}

async fn a_frozen_server_heals(options: JoinOptions) {
    let _seat = seat().await;
    let server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "frozen");
    let talk = Talk::begins(&place, &server.url(), options).await;
    let from = talk.judge.now();
    server.freezes();
    talk.judge.hears(from, "guest", 3, |heard| !heard.is_tone(OURS)).await;
    server.goes_on();
    talk.is_heard(3).await;
    talk.texts_pass().await;
    let ended = |event: &RoomEvent| matches!(event, RoomEvent::Closed(_)).then_some(());
    assert_eq!(talk.guest.all(0, ended), []);
}

#[tokio::test]
async fn a_server_that_stands_still_for_three_seconds_heals() {
    a_frozen_server_heals(JoinOptions::default()).await;
}

#[tokio::test]
async fn a_server_that_stands_still_heals_over_two_peer_connections() {
    a_frozen_server_heals(JoinOptions { single_peer_connection: false, ..Default::default() })
        .await;
}

/// After a restart the judge may come back by itself or not; that is not what is tested.
async fn a_new_server_is_joined_afresh(options: JoinOptions, in_order: bool) {
    let _seat = seat().await;
    let mut server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "restart");
    let talk = Talk::begins(&place, &server.url(), options).await;
    let attributes = [("kept".to_owned(), "yes".to_owned())].into();
    talk.guest.room.set_attributes(attributes).await.unwrap();
    let (sid, track) = (talk.guest.room.local().sid, talk.publication.track_sid());
    let from = talk.guest.now();
    match in_order {
        true => server.restarts_in_order().await,
        false => server.restarts().await,
    }
    talk.told(RoomEvent::Rejoined, from).await;
    assert_ne!(talk.guest.room.local().sid, sid);
    until("a new track", async || {
        let now = talk.publication.track_sid();
        if now != track { Ok(()) } else { Err(now) }
    })
    .await;

    let second = Judge::start().await;
    second.join(&place, "second").await;
    second.plays(1300.0).await;
    second.hears(0, "guest", 3, |heard| heard.is_clean(OURS)).await;
    let ear = talk.guest.listens_to("second").await;
    ear.hears(0, 3, |heard| heard.is_clean(1300.0)).await;
    let seen = second.obeys("sees", json!({})).await;
    assert_eq!(seen["sees"]["guest"]["attributes"], json!({"kept": "yes"}));
}

#[tokio::test]
async fn after_a_crash_of_the_server_we_are_back_and_heard() {
    a_new_server_is_joined_afresh(JoinOptions::default(), false).await;
}

#[tokio::test]
async fn after_a_crash_we_are_back_over_two_peer_connections() {
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    a_new_server_is_joined_afresh(options, false).await;
}

#[tokio::test]
async fn after_a_shutdown_in_order_we_are_back_and_heard() {
    a_new_server_is_joined_afresh(JoinOptions::default(), true).await;
}

#[tokio::test]
async fn the_subscription_moves_to_the_same_participants_new_track() {
    let _seat = seat().await;
    let mut server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "moves");
    let player = Guest::joined(&place, "player").await;
    player.plays(AudioCodec::Pcmu, OURS).await;
    let listener = Guest::joined(&place, "listener").await;
    let ear = listener.listens_to("player").await;
    ear.hears(0, 1, |heard| heard.is_clean(OURS)).await;
    server.restarts().await;
    player.told_of(&RoomEvent::Rejoined, 0).await;
    listener.told_of(&RoomEvent::Rejoined, 0).await;
    // The sink that was given at first hears the track of the new session.
    let heard = ear.seconds.len();
    ear.hears(heard, 3, |heard| heard.is_clean(OURS)).await;
}

#[tokio::test]
async fn who_cannot_get_back_is_told_so_in_the_end() {
    let _seat = seat().await;
    let server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "gone");
    let reconnect_timeout = std::time::Duration::from_secs(2);
    let options = JoinOptions { reconnect_timeout, ..Default::default() };
    let guest = Guest::join(&server.url(), &place.token("guest"), options).await;
    drop(server);
    guest.told_of(&RoomEvent::Reconnecting, 0).await;
    let reason = guest.told("the end", 0, |event| match event {
        RoomEvent::Closed(reason) => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.await;
    assert!(matches!(reason, CloseReason::ConnectionLost(_)), "{reason:?}");
}

#[tokio::test]
async fn taken_out_while_the_signal_is_away_is_the_end() {
    let _seat = seat().await;
    let server = Server::start(Setup::default()).await;
    let place = Place::at(&server.url(), "taken");
    let relay = Relay::to(server.signal_port(), None).await;
    let guest = Guest::join(&relay.url(), &place.token("guest"), JoinOptions::default()).await;
    relay.closes();
    guest.told_of(&RoomEvent::Reconnecting, 0).await;
    place.ask("DeleteRoom", json!({})).await;
    relay.opens();
    // The room is made anew by who joins afresh: either is a right end of this story, but it must
    // be told.
    let end = guest.told("an end", 0, |event| match event {
        RoomEvent::Closed(reason) => Some(format!("{reason:?}")),
        RoomEvent::Rejoined => Some("rejoined".to_owned()),
        _ => None,
    });
    println!("deleted while away: {}", end.await);
}
