//! Sound: pitch, level and holes, in both directions and every codec.

use std::time::Instant;

use outdial_room::{AudioCodec, JoinOptions, RoomEvent, RtpSource as _};
use serde_json::json;

use crate::guest::Guest;
use crate::heard::{AMPLITUDE, Heard};
use crate::judge::Judge;
use crate::stack::{Place, seat};
use crate::tone::{SKIPPED, Tone};

/// Seconds in a row without a flaw.
const SECONDS: usize = 5;

/// Our tone, as libwebrtc hears it.
async fn the_judge_hears(codec: AudioCodec, options: JoinOptions) {
    let _seat = seat().await;
    let place = Place::shared("out");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::join(&place.url, &place.token("guest"), options).await;
    let publication = guest.plays(codec, 440.0).await;
    let track = judge.told(0, "track_subscribed", |e| e["from"] == "guest").await;
    assert_eq!(track["track"], json!(publication.track_sid()));
    let mime = format!("audio/{codec:?}").to_lowercase();
    assert_eq!(track["mime"].as_str().unwrap().to_lowercase(), mime);
    let heard = judge.hears(0, "guest", SECONDS, |heard| heard.is_clean(440.0)).await;
    println!("{codec:?} out: {heard:?}");
    let stats = judge.obeys("stats", json!({"track": publication.track_sid()})).await;
    let lost = stats["lost"].as_u64().unwrap();
    assert!(lost <= SKIPPED, "{stats} {:?}", guest.room.stats());
    assert_eq!(guest.room.stats().dropped_frames, 0);
    // The loudness that is sent along makes us a speaker.
    judge.told(0, "active_speakers_changed", |e| e["speakers"] == json!(["guest"])).await;
}

#[tokio::test]
async fn the_judge_hears_pcmu_at_pitch_and_level_without_a_hole() {
    the_judge_hears(AudioCodec::Pcmu, JoinOptions::default()).await;
}

#[tokio::test]
async fn the_judge_hears_pcma_at_pitch_and_level_without_a_hole() {
    the_judge_hears(AudioCodec::Pcma, JoinOptions::default()).await;
}

#[tokio::test]
async fn the_judge_hears_opus_at_pitch_and_level_without_a_hole() {
    the_judge_hears(AudioCodec::Opus, JoinOptions::default()).await;
}

#[tokio::test]
async fn the_judge_hears_us_over_two_peer_connections() {
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    the_judge_hears(AudioCodec::Pcmu, options).await;
}

/// The judge's Opus tone, as we receive it.
async fn we_hear_the_judge(options: JoinOptions, red: bool) {
    let _seat = seat().await;
    let place = Place::shared("in");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::join(&place.url, &place.token("guest"), options).await;
    judge.obeys("publish", json!({"hz": 1000.0, "red": red})).await;
    let ear = guest.listens_to("judge").await;
    let heard = ear.hears(0, SECONDS, |heard| heard.is_clean(1000.0)).await;
    println!("Opus in: {heard:?}");
    assert!(ear.is_whole(), "{} lost", ear.lost());
    assert_eq!(ear.codec(), Some(AudioCodec::Opus));
}

#[tokio::test]
async fn we_hear_opus_at_pitch_and_level_without_a_hole() {
    we_hear_the_judge(JoinOptions::default(), false).await;
}

#[tokio::test]
async fn a_track_published_with_redundancy_comes_as_plain_opus() {
    we_hear_the_judge(JoinOptions::default(), true).await;
}

#[tokio::test]
async fn we_hear_the_judge_over_two_peer_connections() {
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    we_hear_the_judge(options, true).await;
}

/// libwebrtc publishes Opus only, so one of us plays and another one listens.
async fn we_hear_each_other(codec: AudioCodec) {
    let _seat = seat().await;
    let place = Place::shared("each");
    let player = Guest::joined(&place, "player").await;
    let listener = Guest::joined(&place, "listener").await;
    player.plays(codec, 620.0).await;
    let ear = listener.listens_to("player").await;
    let heard = ear.hears(0, SECONDS, |heard| heard.is_clean(620.0)).await;
    println!("{codec:?} in: {heard:?}");
    assert_eq!((ear.codec(), ear.is_whole()), (Some(codec), true));
}

#[tokio::test]
async fn pcmu_passes_the_server_untouched() {
    we_hear_each_other(AudioCodec::Pcmu).await;
}

#[tokio::test]
async fn pcma_passes_the_server_untouched() {
    we_hear_each_other(AudioCodec::Pcma).await;
}

#[tokio::test]
async fn opus_passes_the_server_untouched() {
    we_hear_each_other(AudioCodec::Opus).await;
}

#[tokio::test]
async fn two_peer_connections_carry_both_directions_at_once() {
    let _seat = seat().await;
    let place = Place::shared("both");
    let judge = Judge::joined(&place, "judge").await;
    let options = JoinOptions { single_peer_connection: false, ..Default::default() };
    let guest = Guest::join(&place.url, &place.token("guest"), options).await;
    judge.plays(1000.0).await;
    let ear = guest.listens_to("judge").await;
    guest.plays(AudioCodec::Pcma, 440.0).await;
    judge.hears(0, "guest", SECONDS, |heard| heard.is_clean(440.0)).await;
    ear.hears(0, SECONDS, |heard| heard.is_clean(1000.0)).await;
    assert!(ear.is_whole(), "{} lost; {:?}", ear.lost(), guest.room.stats());
}

#[tokio::test]
async fn one_peer_connection_carries_both_directions_whoever_comes_first() {
    let _seat = seat().await;
    let place = Place::shared("one");
    let guest = Guest::joined(&place, "guest").await;
    // Published before anybody is there to hear it.
    guest.plays(AudioCodec::Pcmu, 440.0).await;
    let judge = Judge::joined(&place, "judge").await;
    judge.plays(1000.0).await;
    let ear = guest.listens_to("judge").await;
    judge.hears(0, "guest", SECONDS, |heard| heard.is_clean(440.0)).await;
    ear.hears(0, SECONDS, |heard| heard.is_clean(1000.0)).await;
    assert!(ear.is_whole(), "{} lost; {:?}", ear.lost(), guest.room.stats());
}

/// What the judge says is worth something: it notices what is wrong.
#[tokio::test]
async fn the_judge_notices_a_hole_another_pitch_and_another_level() {
    let _seat = seat().await;
    let place = Place::shared("flaws");
    let judge = Judge::joined(&place, "judge").await;
    let guest = Guest::joined(&place, "guest").await;
    let publication = guest.plays(AudioCodec::Pcmu, 440.0).await;
    judge.hears(0, "guest", 2, |heard| heard.is_clean(440.0)).await;

    // 100 ms of each second are not sent.
    let (mut tone, mut tick) = (Tone::new(AudioCodec::Pcmu, 440.0), 0);
    publication.set_source(Box::new(move |now: Instant| {
        tick += 1;
        tone.pull(now).filter(|_| tick % 50 >= 5)
    }));
    let from = judge.now();
    let holes = judge.hears(from, "guest", 2, |h| h.is_pitch(440.0) && h.dropouts > 0).await;
    assert!(holes.iter().all(|heard| !heard.is_clean(440.0)), "{holes:?}");

    publication.set_source(Box::new(Tone::new(AudioCodec::Pcmu, 444.0)));
    let heard = judge.hears(judge.now(), "guest", 2, |heard| heard.is_clean(444.0)).await;
    assert!(heard.iter().all(|heard| !heard.is_clean(440.0)), "{heard:?}");

    let quieter = Tone::new(AudioCodec::Pcmu, 444.0).with_amplitude(AMPLITUDE * 0.8);
    publication.set_source(Box::new(quieter));
    let fits = |h: &Heard| (h.hz - 444.0).abs() < 2.0 && h.dropouts == 0 && !h.is_tone(444.0);
    judge.hears(judge.now(), "guest", 2, fits).await;
}

#[tokio::test]
async fn only_the_chosen_track_is_received() {
    let _seat = seat().await;
    let place = Place::shared("chosen");
    let guest = Guest::joined(&place, "guest").await;
    let low = Guest::joined(&place, "low").await;
    let high = Guest::joined(&place, "high").await;
    low.plays(AudioCodec::Pcmu, 440.0).await;
    let wanted = high.plays(AudioCodec::Pcmu, 800.0).await;
    let low_track = guest.track_of("low").await;
    let ear = guest.listens_to("high").await;
    ear.hears(0, 2, |heard| heard.is_clean(800.0)).await;
    let subscribed = guest.all(0, |event| match event {
        RoomEvent::TrackSubscribed { track_sid, participant_identity, codec } => {
            Some((track_sid.clone(), participant_identity.clone(), *codec))
        }
        _ => None,
    });
    assert_eq!(subscribed, [(wanted.track_sid(), "high".to_owned(), AudioCodec::Pcmu)]);
    assert_eq!(guest.room.stats().packets_ignored, 0);

    // The other one is chosen, the first one given up.
    let begun = ear.packets();
    assert!(begun >= 100);
    guest.room.unsubscribe(&wanted.track_sid());
    let other = guest.listens(&low_track);
    other.hears(0, 2, |heard| heard.is_clean(440.0)).await;
    let stopped = ear.packets();
    other.hears(other.seconds.len(), 2, |heard| heard.is_clean(440.0)).await;
    assert_eq!(ear.packets(), stopped);
}

#[tokio::test]
async fn with_auto_subscribe_every_audio_track_comes_by_itself() {
    let _seat = seat().await;
    let place = Place::shared("auto");
    let early = Guest::joined(&place, "early").await;
    early.plays(AudioCodec::Pcmu, 440.0).await;
    let options = JoinOptions { auto_subscribe: true, ..Default::default() };
    let guest = Guest::join(&place.url, &place.token("guest"), options).await;
    let late = Guest::joined(&place, "late").await;
    late.plays(AudioCodec::Pcma, 800.0).await;
    for (identity, hz) in [("early", 440.0), ("late", 800.0)] {
        let what = format!("the track of {identity}");
        let pick = |event: &RoomEvent| match event {
            RoomEvent::TrackSubscribed { track_sid, participant_identity, .. } => {
                (participant_identity == identity).then(|| track_sid.clone())
            }
            _ => None,
        };
        let track = guest.told(&what, 0, pick).await;
        let ear = guest.listens(&track);
        ear.hears(0, 2, |heard| heard.is_clean(hz)).await;
        assert!(ear.is_whole(), "{} lost", ear.lost());
    }
}
