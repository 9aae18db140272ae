//! A network that loses packets.

use std::sync::atomic::Ordering::Relaxed;

use outdial_room::{AudioCodec, JoinOptions};

use crate::guest::Guest;
use crate::judge::Judge;
use crate::lossy::{Lossy, Way};
use crate::relay::Relay;
use crate::server::{Server, Setup};
use crate::stack::{Place, seat};

/// Share of the packets that were lost, in percent.
fn percent(lost: u64, packets: u64) -> f64 {
    lost as f64 * 100.0 / packets as f64
}

async fn one_of_twenty_is_lost(options: JoinOptions) {
    let _seat = seat().await;
    let server = Server::start(Setup { ice_lite: true, ..Default::default() }).await;
    let place = Place::at(&server.url(), "loss");
    let lossy = Lossy::to(server.media_port()).await;
    // The port that the server tells us becomes that of the lossy way.
    let rewrite =
        (format!(" {} typ host", server.media_port()), format!(" {} typ host", lossy.port()));
    let relay = Relay::to(server.signal_port(), Some(rewrite)).await;
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::join(&relay.url(), &place.token("guest"), options).await;
    guest.plays(AudioCodec::Pcmu, 440.0).await;
    judge.plays(1000.0).await;
    let ear = guest.listens_to("judge").await;
    judge.hears(0, "guest", 2, |heard| heard.is_clean(440.0)).await;
    ear.hears(0, 2, |heard| heard.is_clean(1000.0)).await;
    let count = |way: &Way| (way.packets.load(Relaxed), way.lost.load(Relaxed));
    assert!(count(&lossy.up).0 >= 100 && count(&lossy.down).0 >= 100, "{lossy:?}");
    assert!(ear.is_whole(), "{} lost", ear.lost());

    let (told, heard) = (judge.now(), ear.seconds.len());
    let (before, from) = ((ear.packets(), ear.lost()), count(&lossy.down));
    lossy.loses_one_of(20);
    judge.hears(told, "guest", 15, |heard| heard.is_pitch(440.0)).await;
    ear.hears(heard, 15, |heard| heard.is_pitch(1000.0)).await;
    lossy.loses_one_of(0);
    let to = count(&lossy.down);
    let relayed = percent(to.1 - from.1, to.0 - from.0);
    assert!((2.0..9.0).contains(&relayed), "{relayed} %");
    // Every loss is seen, and hardly anything is sent once more.
    let missing = ear.lost() - before.1;
    let counted = percent(missing, ear.packets() - before.0 + missing);
    println!("lost on the way: {relayed:.2} %; missing in the end: {counted:.2} %; {lossy:?}");
    assert!((relayed - counted).abs() <= 1.5, "{counted} % of {relayed} %");

    // Afterwards all is as before.
    let (told, heard) = (judge.now(), ear.seconds.len());
    judge.hears(told, "guest", 3, |heard| heard.is_clean(440.0)).await;
    ear.hears(heard, 3, |heard| heard.is_clean(1000.0)).await;
}

#[tokio::test]
async fn one_packet_of_twenty_lost_is_counted_and_the_tones_go_on() {
    one_of_twenty_is_lost(JoinOptions::default()).await;
}

#[tokio::test]
async fn the_same_over_two_peer_connections() {
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    one_of_twenty_is_lost(options).await;
}
