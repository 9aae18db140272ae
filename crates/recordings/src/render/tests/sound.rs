//! What is heard, and where.

use outdial_domain::Speaker;
use outdial_domain::ports::AudioCodec::{Opus, Pcma, Pcmu};

use super::rig::{Line, loudness, part, peak, play, tone};

#[test]
fn the_callee_is_left_and_the_agent_right() {
    for codec in [Opus, Pcmu, Pcma] {
        let left = Line::new(Speaker::User, codec, 5.0, |time| tone(500.0, time));
        let right = Line::new(Speaker::Agent, codec, 5.0, |time| tone(1_300.0, time));
        let heard = play([left.packets(), right.packets()].concat());
        for second in 1..4 {
            let (from, until) = (f64::from(second), f64::from(second) + 1.0);
            let loud = |channel, hertz| loudness(part(channel, from, until), hertz);
            let of_left = [loud(&heard.left, 500.0), loud(&heard.left, 1_300.0)];
            let of_right = [loud(&heard.right, 1_300.0), loud(&heard.right, 500.0)];
            for [own, other] in [of_left, of_right] {
                assert!((0.36..0.44).contains(&own), "{codec:?}: {own}");
                assert!(other < 0.004, "{codec:?}: {other} of the other side");
            }
        }
    }
}

#[test]
fn a_side_that_is_silent_hears_nothing_of_the_other() {
    let right = Line::new(Speaker::Agent, Opus, 5.0, |time| tone(900.0, time));
    let heard = play(right.packets());
    assert!(peak(part(&heard.left, 0.5, 4.5)) < 0.01);
    assert!(loudness(part(&heard.right, 1.0, 4.0), 900.0) > 0.36);
}

#[test]
fn a_lost_packet_is_concealed_and_a_long_loss_is_silent() {
    for codec in [Opus, Pcmu] {
        let mut packets = Line::new(Speaker::User, codec, 6.0, |time| tone(400.0, time)).packets();
        packets.retain(|packet| {
            let at = packet.arrival / 20_000;
            at != 100 && !(200..250).contains(&at)
        });
        let heard = play(packets);
        let loud = |from: f64| loudness(part(&heard.left, from, from + 0.02), 400.0);
        assert!(loud(2.0) > 0.15, "{codec:?}: {}", loud(2.0));
        assert!(peak(part(&heard.left, 4.2, 4.98)) < 0.01, "{codec:?}");
        assert!(loud(3.5) > 0.36 && loud(5.5) > 0.36);
    }
}

#[test]
fn late_and_doubled_packets_change_nothing() {
    for codec in [Opus, Pcma] {
        let line = Line::new(Speaker::User, codec, 6.0, |time| tone(400.0, time));
        let plain = play(line.packets());
        let mut packets = line.packets();
        let mut doubled: Vec<_> = packets.iter().step_by(7).cloned().collect();
        doubled.iter_mut().for_each(|packet| packet.arrival += 35_000);
        for packet in packets.iter_mut().skip(3).step_by(5) {
            packet.arrival += 110_000;
        }
        packets.extend(doubled);
        let heard = play(packets);
        assert_eq!(heard.left.len(), plain.left.len());
        assert_eq!(heard.bytes, plain.bytes, "{codec:?}");
    }
}

#[test]
fn streams_of_one_side_are_added_up() {
    let one = Line::new(Speaker::Agent, Opus, 4.0, |time| tone(500.0, time));
    let mut other = Line::new(Speaker::Agent, Pcmu, 4.0, |time| tone(1_700.0, time));
    other.stream = 2;
    let mut third = Line::new(Speaker::Agent, Pcmu, 4.0, |time| tone(500.0, time));
    third.stream = 3;
    let heard = play([one.packets(), other.packets()].concat());
    let middle = part(&heard.right, 1.0, 3.0);
    assert!(loudness(middle, 500.0) > 0.36 && loudness(middle, 1_700.0) > 0.36);
    let heard = play([one.packets(), other.packets(), third.packets()].concat());
    assert!(peak(&heard.right) > 0.95, "too loud is cut off, not turned over");
}

#[test]
fn what_comes_after_a_silence_sounds_as_it_did() {
    fn sound(time: f64) -> f64 {
        if (10.0..20.0).contains(&time) { 0.0 } else { tone(600.0, time) }
    }
    let heard = play(Line::new(Speaker::User, Pcmu, 30.0, sound).packets());
    assert!(peak(part(&heard.left, 10.3, 19.9)) < 0.001);
    for from in [9.5, 20.02, 20.2, 25.0] {
        let loud = loudness(part(&heard.left, from, from + 0.1), 600.0);
        assert!((0.36..0.44).contains(&loud), "{from}: {loud}");
    }
    // 10 s of silence are worth less than half a second of sound.
    let whole = play(Line::new(Speaker::User, Pcmu, 20.0, |time| tone(600.0, time)).packets());
    let (with, without) = (heard.bytes.len(), whole.bytes.len());
    assert!(with < without + 5_000, "{with} and {without} bytes");
}
