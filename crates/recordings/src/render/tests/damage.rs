//! Whatever is in a capture, it is rendered as far as it goes, in bounded memory.

use chrono::DateTime;
use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec::{Opus, Pcmu};
use proptest::prelude::*;

use super::rig::{Line, STARTED, beep, onsets, play_file};
use crate::capture::testing::{Sent, session};
use crate::capture::{Gap, GapReason};
use crate::render::RenderError;

fn beeps(time: f64) -> f64 {
    beep(1_000.0, time)
}

#[test]
fn a_recording_begins_at_the_answer() {
    let capture = session(STARTED, Line::new(Speaker::User, Pcmu, 10.0, beeps).packets(), &[]);
    let answered = DateTime::from_timestamp_micros(STARTED + 3_500_000);
    let heard = play_file(std::slice::from_ref(&capture), answered).unwrap();
    assert_eq!(Some(heard.rendered.begins_at), answered);
    let seconds = heard.rendered.duration.as_secs_f64();
    assert!((seconds - 6.5).abs() < 0.02, "{seconds}");
    assert!((onsets(&heard.left)[0] - 0.5).abs() < 0.02);
    // An answer outside of the capture is by another clock.
    let answered = DateTime::from_timestamp_micros(STARTED + 3_600_000_000);
    let heard = play_file(&[capture], answered).unwrap();
    assert_eq!(heard.rendered.begins_at.timestamp_micros(), STARTED);
    assert_eq!(heard.rendered.gaps, None);
}

#[test]
fn sessions_follow_each_other_by_the_wall_clock() {
    let part = || Line::new(Speaker::User, Pcmu, 10.0, beeps).packets();
    let first = session(STARTED, part(), &[]);
    let torn = &first[..first.len() - 100];
    let second = session(STARTED + 15_000_000, part(), &[]);
    // The clock was set back by an hour.
    let third = session(STARTED - 3_600_000_000, part(), &[]);
    let heard = play_file(&[torn.to_vec(), second, third], None).unwrap();
    let seconds = heard.rendered.duration.as_secs_f64();
    assert!((seconds - 35.0).abs() < 0.1, "{seconds}");
    let gaps = heard.rendered.gaps.unwrap();
    assert!(gaps.starts_with("capturing was interrupted 2 times, for 6."), "{gaps}");
    assert!(gaps.contains("bytes of the capture were damaged"), "{gaps}");
    let second: Vec<_> = onsets(&heard.left).into_iter().filter(|at| *at > 14.0).collect();
    assert!((second[0] - 15.0).abs() < 0.02, "{second:?}");
}

#[test]
fn what_is_missing_is_told() {
    let gap = |reason, packets| Gap { reason, packets, from: 1_000_000, until: 3_500_000 };
    let gaps = [gap(GapReason::DiskFull, 7), gap(GapReason::DiskFull, 5), gap(GapReason::Slow, 1)];
    let packets = Line::new(Speaker::User, Pcmu, 1.0, beeps).packets();
    let heard = play_file(&[session(STARTED, packets, &gaps)], None).unwrap();
    assert_eq!(
        heard.rendered.gaps.as_deref(),
        Some(
            "1 packets in 2.5 s are missing: the disk was too slow; \
             12 packets in 5.0 s are missing: the disk was full"
        )
    );
    let nothing = play_file(&[session(STARTED, Vec::new(), &gaps[..1])], None);
    let Err(RenderError::Empty(Some(why))) = nothing else { panic!("something was captured") };
    assert_eq!(why, "7 packets in 2.5 s are missing: the disk was full");
    assert!(matches!(play_file(&[], None), Err(RenderError::Empty(None))));
}

#[test]
fn a_clock_that_jumps_by_years_makes_no_huge_file() {
    let part = || Line::new(Speaker::User, Pcmu, 2.0, beeps).packets();
    let years = session(STARTED + 100_000_000_000_000, part(), &[]);
    let heard = play_file(&[session(STARTED, part(), &[]), years], None).unwrap();
    assert!(heard.rendered.duration.as_secs() < 3);
    assert!(heard.rendered.gaps.unwrap().contains("after 12 hours"));
}

fn anything() -> impl Strategy<Value = Vec<Sent>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(vec![0xD8, 0xFF, 0xFE]),
        Just(vec![0xFF; 160]),
    ];
    let time = prop_oneof![3 => 0..2_000_000_u64, 1 => 0..40_000_000_u64, 1 => (1_u64 << 63)..];
    let number = prop_oneof![3 => 0..60_u16, 1 => any::<u16>()];
    let timestamp = prop_oneof![3 => (0..60_u32).prop_map(|at| at * 960), 1 => any::<u32>()];
    let packet = (any::<bool>(), 0..3_u32, any::<bool>(), number, timestamp, time, payload);
    let packet = packet.prop_map(|(agent, stream, opus, sequence, timestamp, arrival, payload)| {
        let speaker = if agent { Speaker::Agent } else { Speaker::User };
        let codec = if opus { Opus } else { Pcmu };
        Sent { speaker, stream, codec, sequence, timestamp, arrival, payload }
    });
    proptest::collection::vec(packet, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_packets_are_rendered(packets in anything()) {
        // Times of 285,000 years and more are none.
        let empty = packets.iter().all(|packet| packet.arrival > 1 << 62);
        let heard = play_file(&[session(STARTED, packets, &[])], None);
        prop_assert_eq!(heard.is_err(), empty);
    }
}
