//! Both sides are where they belong in time.

use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec::{self, Opus, Pcma, Pcmu};

use super::rig::{Dice, Heard, Line, beep, loudness, onsets, part, play, tone};
use crate::capture::testing::Sent;

fn beeps(time: f64) -> f64 {
    beep(1_000.0, time)
}

/// Delays each packet by up to `most` seconds, a few by nothing; loses a share of them.
fn network(packets: &mut Vec<Sent>, most: f64, loss: f64, seed: u64) {
    let mut dice = Dice(seed);
    // The first one comes at once: the recording's time begins with it.
    packets.retain(|packet| packet.arrival == 0 || dice.roll() >= loss);
    for packet in packets.iter_mut().skip(1) {
        packet.arrival += (dice.roll().powi(2) * most * 1e6) as u64;
    }
}

#[track_caller]
fn beeps_are_in_time(channel: &[i16], seconds: u32, tolerance: f64) {
    let heard = onsets(channel);
    let missed = (1..seconds)
        .filter(|&second| !heard.iter().any(|at| (at - f64::from(second)).abs() <= tolerance))
        .count();
    assert!(
        missed * 50 <= seconds as usize,
        "{missed} of {seconds} beeps are not in time: {:?}",
        heard.iter().step_by(50).collect::<Vec<_>>()
    );
    let stray = heard.iter().filter(|at| (*at - at.round()).abs() > tolerance).count();
    assert!(stray * 50 <= seconds as usize, "{stray} beeps are at the wrong time");
}

fn both(seconds: f64, left: AudioCodec, right: AudioCodec, ppm: f64, sent: bool) -> Heard {
    let mut packets = Vec::new();
    for (speaker, codec, ppm, seed) in
        [(Speaker::User, left, ppm, 1), (Speaker::Agent, right, -ppm, 2)]
    {
        let mut line = Line::new(speaker, codec, seconds, beeps);
        (line.ppm, line.silence_sent) = (ppm, sent);
        let mut sent = line.packets();
        network(&mut sent, 0.06, 0.01, seed);
        packets.extend(sent);
    }
    play(packets)
}

#[test]
fn over_an_hour_of_clocks_that_drift_apart() {
    for (seconds, codecs, ppm) in [(3_600, (Pcmu, Opus), 100.0), (600, (Opus, Pcma), -100.0)] {
        let heard = both(f64::from(seconds), codecs.0, codecs.1, ppm, true);
        beeps_are_in_time(&heard.left, seconds, 0.01);
        beeps_are_in_time(&heard.right, seconds, 0.01);
        let off = heard.rendered.duration.as_secs_f64() - f64::from(seconds);
        assert!(off.abs() < 0.1, "{off}");
    }
}

#[test]
fn over_an_hour_when_silence_is_not_sent() {
    let heard = both(3_600.0, Pcmu, Pcma, 100.0, false);
    beeps_are_in_time(&heard.left, 3_600, 0.01);
    beeps_are_in_time(&heard.right, 3_600, 0.01);
}

#[test]
fn a_tone_stays_whole_while_the_clock_is_followed() {
    for codec in [Opus, Pcmu] {
        let mut line = Line::new(Speaker::User, codec, 60.0, |time| tone(700.0, time));
        line.ppm = 300.0;
        let heard = play(line.packets());
        for second in 1..59 {
            let loud = loudness(part(&heard.left, second.into(), f64::from(second) + 0.1), 700.0);
            assert!((0.33..0.45).contains(&loud), "second {second}: {loud}");
        }
    }
}

#[test]
fn a_stall_of_the_network_moves_nothing() {
    let mut packets = Line::new(Speaker::User, Opus, 20.0, beeps).packets();
    for packet in &mut packets {
        // From 5 s to 8 s nothing comes, and then all at once.
        if (5_000_000..8_000_000).contains(&packet.arrival) {
            packet.arrival = 8_000_000 + u64::from(packet.sequence) % 50;
        }
    }
    beeps_are_in_time(&play(packets).left, 20, 0.02);
}

#[test]
fn timestamps_may_jump_and_sequences_begin_anew() {
    for (sequences, timestamps) in [(0, 3_000_000_000), (0, 500_000_000), (30_000, 0), (200, 77)] {
        let mut packets = Line::new(Speaker::Agent, Opus, 20.0, beeps).packets();
        for packet in packets.iter_mut().filter(|packet| packet.arrival >= 10_500_000) {
            packet.sequence = packet.sequence.wrapping_add(sequences);
            packet.timestamp = packet.timestamp.wrapping_add(timestamps);
        }
        let heard = play(packets);
        beeps_are_in_time(&heard.right, 20, 0.02);
        assert_eq!(onsets(&heard.right).len(), 20);
    }
}

#[test]
fn a_pause_that_the_timestamps_do_not_count_is_a_pause() {
    for codec in [Opus, Pcmu] {
        let mut line = Line::new(Speaker::Agent, codec, 20.0, beeps);
        let mut packets = line.packets();
        let last = packets.last().unwrap().clone();
        line.from = 29.5;
        line.until = 40.0;
        line.first_sequence = last.sequence.wrapping_add(1);
        line.first_timestamp = last.timestamp.wrapping_add(codec.clock_rate() / 50);
        packets.extend(line.packets());
        let heard = onsets(&play(packets).right);
        assert_eq!(heard.len(), 30);
        assert!(heard.iter().all(|at| (at - at.round()).abs() < 0.02), "{heard:?}");
    }
}

#[test]
fn a_new_codec_goes_on_where_the_old_one_stopped() {
    let mut packets = Vec::new();
    for (codec, stream, from) in [(Pcmu, 1, 0.0), (Opus, 2, 7.5), (Pcma, 2, 15.5)] {
        let mut line = Line::new(Speaker::User, codec, from + 8.0, beeps);
        (line.stream, line.from) = (stream, from);
        line.first_timestamp = 1_000 * stream;
        packets.extend(line.packets());
    }
    let heard = play(packets);
    assert_eq!(onsets(&heard.left).len(), 24);
    beeps_are_in_time(&heard.left, 23, 0.02);
}
