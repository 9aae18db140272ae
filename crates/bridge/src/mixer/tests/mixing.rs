use super::*;

#[test]
fn nobody_speaks() {
    let mixer = Mixer::new();
    for codec in [Codec::Pcma, Codec::Pcmu] {
        assert_eq!(pull(&mixer, codec), (Voice::Silence, [codec.silence(); FRAME]));
    }
    let _track = mixer.track();
    assert_eq!(pull(&mixer, Codec::Pcma), (Voice::Silence, [0xD5; FRAME]));
}

#[test]
fn one_track_of_the_same_law_passes_untouched_and_of_the_other_sounds_the_same() {
    for (law, other, codec) in
        [(Codec::Pcma, Codec::Pcmu, AudioCodec::Pcma), (Codec::Pcmu, Codec::Pcma, AudioCodec::Pcmu)]
    {
        for wanted in [law, other] {
            let mixer = Mixer::new();
            let mut speaker = Speaker::new(&mixer, codec);
            // All codes there are.
            let said: Vec<u8> = (0..=255).chain(0..=255).chain(0..=127).collect();
            let mut heard = Vec::new();
            for payload in said.chunks(FRAME) {
                speaker.say(payload, 160);
                let (voice, frame) = pull(&mixer, wanted);
                if voice != Voice::Silence {
                    heard.extend(frame);
                }
            }
            heard.extend(pull(&mixer, wanted).1);
            let expect: Vec<u8> = match wanted == law {
                true => said,
                false => said.iter().map(|&code| other.encode(law.decode(code))).collect(),
            };
            assert_eq!(heard, expect);
        }
    }
}

#[test]
fn packets_of_any_length_become_frames_of_20_ms() {
    for samples in [40_u32, 80, 160, 240, 320, 480] {
        let mixer = Mixer::new();
        let mut speaker = Speaker::new(&mixer, AudioCodec::Pcma);
        let mut codes = (0_u8..=255).cycle();
        let said: Vec<u8> = codes.by_ref().take(8_000).collect();
        let (mut heard, mut marks) = (Vec::new(), 0);
        let mut packets = said.chunks(samples as usize);
        for turn in 1..70 {
            while packets.len() > 0 && speaker.sequence - 65_530 < u64::from(turn * 160 / samples) {
                speaker.say(packets.next().unwrap(), samples);
            }
            let (voice, frame) = pull(&mixer, Codec::Pcma);
            if voice != Voice::Silence {
                heard.extend(frame);
            }
            marks += usize::from(voice == Voice::Speech { marker: true });
        }
        // Longer packets than 20 ms make gaps only at the end.
        assert_eq!(heard[..7_680], said[..7_680], "{samples}");
        assert_eq!(marks, 1, "{samples}");
    }
}

#[test]
fn opus_of_one_or_two_channels_is_heard() {
    for channels in [Channels::Mono, Channels::Stereo] {
        for samples in [80, 160, 320, 480] {
            let mixer = Mixer::new();
            let mut speaker = Speaker::new(&mixer, AudioCodec::Opus);
            let mut tone = Tone::new(400.0, channels);
            let mut said = 0;
            for turn in 0..50 {
                while said <= turn * 160 {
                    speaker.say(&tone.next(samples), samples);
                    said += samples;
                }
                let (voice, frame) = pull(&mixer, Codec::Pcma);
                // The first turns wait, and the encoder begins gently.
                if turn > 10 {
                    assert_ne!(voice, Voice::Silence);
                    let loud = tone_in(Codec::Pcma, &frame, 8.0);
                    assert!((6_000.0..10_000.0).contains(&loud), "{channels:?} {samples} {loud}");
                }
            }
        }
    }
}

#[test]
fn two_voices_are_both_heard_and_do_not_clip() {
    let mixer = Mixer::new();
    let mut opus = Speaker::new(&mixer, AudioCodec::Opus);
    let mut g711 = Speaker::new(&mixer, AudioCodec::Pcmu);
    let mut tone = Tone::new(400.0, Channels::Mono);
    let other: Vec<u8> = (0..FRAME)
        .map(|n| (n as f64 * std::f64::consts::TAU * 20.0 / FRAME as f64).sin() * f64::from(LOUD))
        .map(|sample| Codec::Pcmu.encode(sample as i16))
        .collect();
    for turn in 0..50 {
        opus.say(&tone.next(160), 160);
        g711.say(&other, 160);
        let (_, frame) = pull(&mixer, Codec::Pcma);
        if turn > 10 {
            for periods in [8.0, 20.0] {
                let loud = tone_in(Codec::Pcma, &frame, periods);
                assert!((6_000.0..10_000.0).contains(&loud), "{periods} {loud}");
            }
        }
    }
    drop((opus, g711));
    // Three at full loudness bend, and keep their sign.
    let mut speakers: Vec<_> = (0..3).map(|_| Speaker::new(&mixer, AudioCodec::Pcma)).collect();
    let loud = [Codec::Pcma.encode(30_000); FRAME];
    for _ in 0..5 {
        speakers.iter_mut().for_each(|speaker| speaker.say(&loud, 160));
        let (_, frame) = pull(&mixer, Codec::Pcma);
        assert!(frame.iter().all(|&code| Codec::Pcma.decode(code) > -10_000));
    }
}

#[test]
fn the_limiter_is_even_and_never_goes_back() {
    let mut before = i16::MIN;
    for sum in (-200_000..=200_000).step_by(7) {
        let limited = limit(sum);
        assert!(limited >= before);
        assert_eq!(limited, -limit(-sum));
        assert!(sum.abs() > 24_576 || i32::from(limited) == sum);
        before = limited;
    }
}

#[test]
fn who_leaves_is_heard_no_more_and_others_still_are() {
    let mixer = Mixer::new();
    let mut first = Speaker::new(&mixer, AudioCodec::Pcma);
    let mut second = Speaker::new(&mixer, AudioCodec::Pcma);
    for _ in 0..3 {
        first.say(&[0x2A; FRAME], 160);
        second.say(&[0x35; FRAME], 160);
        pull(&mixer, Codec::Pcma);
    }
    drop(first);
    assert_eq!(pull(&mixer, Codec::Pcma).1, [0x35; FRAME]);
    drop(second);
    assert_eq!(pull(&mixer, Codec::Pcma).0, Voice::Silence);
    assert_eq!(mixer.shared().tracks.len(), 0);
}

#[test]
fn what_waited_can_be_discarded() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Pcma);
    for _ in 0..30 {
        speaker.say(&[0x2A; FRAME], 160);
    }
    mixer.clear();
    assert_eq!(pull(&mixer, Codec::Pcma).0, Voice::Silence);
    speaker.say(&[0x35; FRAME], 160);
    pull(&mixer, Codec::Pcma);
    assert_eq!(pull(&mixer, Codec::Pcma).1, [0x35; FRAME]);
}

#[test]
fn a_codec_may_change_in_a_stream() {
    let mixer = Mixer::new();
    let mut speaker = Speaker::new(&mixer, AudioCodec::Opus);
    let mut tone = Tone::new(400.0, Channels::Mono);
    for _ in 0..5 {
        speaker.say(&tone.next(160), 160);
        pull(&mixer, Codec::Pcmu);
    }
    speaker.codec = AudioCodec::Pcmu;
    for _ in 0..5 {
        speaker.say(&[0x2A; FRAME], 160);
        pull(&mixer, Codec::Pcmu);
    }
    assert_eq!(pull(&mixer, Codec::Pcmu).1, [0x2A; FRAME]);
}

#[test]
fn more_tracks_than_a_room_has_are_not_heard() {
    let mixer = Mixer::new();
    let mut tracks: Vec<_> = (0..100).map(|_| Speaker::new(&mixer, AudioCodec::Pcma)).collect();
    tracks.iter_mut().for_each(|speaker| speaker.say(&[0x2A; FRAME], 160));
    assert_eq!(mixer.shared().tracks.len(), 32);
    drop(tracks);
    assert!(peak(Codec::Pcma, &pull(&mixer, Codec::Pcma).1) < 10);
}
