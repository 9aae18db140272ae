use super::*;
use proptest::prelude::*;

#[test]
fn the_delay_is_20_ms_and_a_second_at_most() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Pcma);
    speaker.say(&[0x2A; FRAME], 160);
    assert_eq!(pull(&mixer, Codec::Pcma).0, Voice::Silence);
    assert_eq!(pull(&mixer, Codec::Pcma).0, Voice::Speech { marker: true });
    // Nobody pulls: the last second is kept.
    for n in 0..500_u32 {
        speaker.say(&[(n / 2) as u8; FRAME], 160);
    }
    assert_eq!(mixer.shared().tracks[0].1.waiting(), 8_000);
    assert_eq!(pull(&mixer, Codec::Pcma).1, [225; FRAME]);
}

#[test]
fn a_delay_that_stays_is_caught_up() {
    let check = |code: fn(u32) -> u8, turns: u32| {
        let mixer = Mixer::new();
        let mut speaker = Speaker::new(&mixer, AudioCodec::Pcma);
        for _ in 0..20 {
            speaker.say(&[0x2A; FRAME], 160);
        }
        for turn in 0..turns {
            speaker.say(&[code(turn); FRAME], 160);
            assert_ne!(pull(&mixer, Codec::Pcma).0, Voice::Silence);
        }
        mixer.shared().tracks[0].1.waiting()
    };
    // For a second it is left alone.
    assert_eq!(check(|_| 0x2A, 45), 20 * FRAME);
    // Loud all the time: a frame in five; with silence between at once.
    assert!(check(|_| 0x2A, 200) <= 3 * FRAME);
    assert!(check(|turn| if turn > 60 { 0xD5 } else { 0x2A }, 90) <= 3 * FRAME);
}

#[test]
fn a_packet_that_is_late_comes_in_its_place() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Pcma);
    let said: Vec<[u8; FRAME]> = (0..8_u8).map(|n| [n * 16 + 5; FRAME]).collect();
    let mut heard = Vec::new();
    let (sequence, timestamp) = (speaker.sequence, speaker.timestamp);
    // Two a turn at first, then each second one comes before the one before it.
    for order in [&[0, 1][..], &[3], &[2], &[5], &[4], &[7, 6], &[], &[]] {
        for &n in order {
            speaker.sequence = sequence + n;
            speaker.timestamp = timestamp.wrapping_add(n as u32 * 160);
            speaker.put(&said[n as usize]);
            speaker.put(&said[n as usize]);
        }
        heard.push(pull(&mixer, Codec::Pcma).1);
    }
    assert_eq!(heard, said);
}

#[test]
fn a_lost_packet_is_made_up_for() {
    for codec in [AudioCodec::Opus, AudioCodec::Pcma] {
        let mixer = Mixer::new();
        let mut speaker = Speaker::new(&mixer, codec);
        let mut tone = Tone::new(400.0, Channels::Mono);
        let g711: Vec<u8> = (0..FRAME)
            .map(|n| (n as f64 * std::f64::consts::TAU * 8.0 / 160.0).sin() * f64::from(LOUD))
            .map(|sample| Codec::Pcma.encode(sample as i16))
            .collect();
        for turn in 0..200 {
            let opus = tone.next(160);
            let payload = if codec == AudioCodec::Opus { &opus } else { &g711 };
            if turn > 10 && turn % 20 == 0 {
                speaker.lose(160);
            } else {
                speaker.say(payload, 160);
            }
            let (voice, frame) = pull(&mixer, Codec::Pcma);
            if turn > 15 {
                assert_ne!(voice, Voice::Silence, "{codec:?} {turn}");
                let loud = tone_in(Codec::Pcma, &frame, 8.0);
                // The first loss by what the next packet tells of it (FEC): better than a guess.
                let least = if turn == 21 && codec == AudioCodec::Opus { 7_500.0 } else { 500.0 };
                assert!(loud > least, "{codec:?} {turn} {loud}");
            }
        }
        // It did not get slower by that.
        assert!(mixer.shared().tracks[0].1.waiting() <= 3 * FRAME);
    }
}

#[test]
fn many_lost_packets_are_not_made_up() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Opus);
    let mut tone = Tone::new(400.0, Channels::Mono);
    let mut say_after = |lost: u32, speaker: &mut Speaker| {
        mixer.clear();
        (0..lost).for_each(|_| speaker.lose(160));
        speaker.say(&tone.next(160), 160);
        mixer.shared().tracks[0].1.waiting()
    };
    assert_eq!(say_after(0, &mut speaker), 160);
    assert_eq!(say_after(3, &mut speaker), 160 * 4);
    assert_eq!(say_after(40, &mut speaker), 160 * 6);
    // A jump is not even that; backwards too, and another stream.
    assert_eq!(say_after(4_000, &mut speaker), 160);
    speaker.sequence = 12;
    assert_eq!(say_after(0, &mut speaker), 160);
    speaker.ssrc = 2;
    assert_eq!(say_after(30, &mut speaker), 160);
    // Packets without sound are no loss of sound: no time passed.
    speaker.sequence += 3;
    assert_eq!(say_after(0, &mut speaker), 160);
}

#[test]
fn silence_of_opus_is_silence() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Opus);
    let mut tone = Tone::new(400.0, Channels::Mono);
    let mut marks = 0;
    let mut turn = |mixer: &Mixer| match pull(mixer, Codec::Pcma).0 {
        Voice::Speech { marker } => {
            marks += usize::from(marker);
            true
        }
        Voice::Silence => false,
    };
    for _ in 0..10 {
        speaker.say(&tone.next(160), 160);
        turn(&mixer);
    }
    // DTX: one short packet each 400 ms.
    let mut speech = 0;
    for _ in 0..5 {
        speaker.say(&[0xF8], 160);
        speaker.pause(160 * 19);
        speech += (0..20).filter(|_| turn(&mixer)).count();
    }
    assert!(speech <= 2, "{speech}");
    let waiting = mixer.shared().tracks[0].1.waiting();
    assert_eq!(waiting, 0);
    for _ in 0..10 {
        speaker.say(&tone.next(160), 160);
        turn(&mixer);
    }
    assert_eq!(marks, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes from the room: no panic, and no more than a second waits.
    #[test]
    fn arbitrary_packets_do_no_harm(
        packets in proptest::collection::vec(
            (
                prop_oneof![3 => 0..60_u64, 1 => any::<u64>()],
                prop_oneof![3 => 0..60_000_u32, 1 => any::<u32>()],
                0..3_u32,
                0..8_u8,
                proptest::collection::vec(any::<u8>(), 0..300),
            ),
            0..120,
        ),
    ) {
        let mixer = Mixer::new();
        let mut track = mixer.track();
        for (sequence, timestamp, ssrc, kind, payload) in &packets {
            let codec = match kind {
                0 => AudioCodec::Pcmu,
                1 => AudioCodec::Pcma,
                _ => AudioCodec::Opus,
            };
            track.packet(&RtpPacket {
                ssrc: *ssrc,
                sequence: *sequence,
                timestamp: *timestamp,
                codec,
                marker: false,
                arrived_at: Instant::now(),
                payload,
            });
            if kind & 1 == 0 {
                pull(&mixer, Codec::Pcma);
            }
            prop_assert!(mixer.shared().tracks[0].1.waiting() <= 8_000);
        }
    }
}
