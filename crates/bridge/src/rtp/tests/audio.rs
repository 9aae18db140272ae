use super::*;

fn timestamps(rig: &Rig) -> Vec<u32> {
    let first = rig.heard[0].timestamp;
    rig.heard.iter().map(|heard| heard.timestamp.wrapping_sub(first)).collect()
}

#[test]
fn packets_of_any_length_pass_untouched() {
    for samples in [80_u16, 160, 240, 320] {
        let mut rig = Rig::answered();
        for n in 0..20 {
            let payload = vec![0xD5; samples.into()];
            rig.receive(packet(8, SSRC, n, u32::from(n) * u32::from(samples), &payload));
            rig.pass(u64::from(samples) / 8);
        }
        assert!(rig.heard.iter().all(|heard| heard.bytes == usize::from(samples)));
        let expect: Vec<u32> = (0..20).map(|n| n * u32::from(samples)).collect();
        assert_eq!(timestamps(&rig), expect);
        assert_eq!(rig.heard.iter().filter(|heard| heard.marker).count(), 1);
        assert!(rig.heard.iter().all(|heard| heard.level == -127 && heard.stream == 1));
        let quality = rig.leg.quality();
        assert_eq!((quality.packets_lost, quality.max_jitter_us), (0, 0));
    }
}

#[test]
fn numbers_and_timestamps_wrap() {
    let mut rig = Rig::answered();
    let start = u32::MAX - 5 * 160;
    for n in 0..20_u16 {
        let timestamp = start.wrapping_add(u32::from(n) * 160);
        rig.receive(packet(8, SSRC, n.wrapping_sub(10), timestamp, &[1; 160]));
        rig.pass(20);
    }
    assert_eq!(timestamps(&rig), (0..20).map(|n| n * 160).collect::<Vec<u32>>());
    assert_eq!(rig.leg.quality().packets_lost, 0);
    assert_eq!(rig.leg.quality().packets_received, 20);
}

#[test]
fn doubled_packets_are_heard_once_and_late_ones_in_their_place() {
    let mut rig = Rig::answered();
    for n in [0, 1, 1, 3, 2, 3, 2, 5, 0] {
        rig.receive(audio(SSRC, n));
        rig.pass(20);
    }
    let numbers: Vec<u16> = rig.heard.iter().map(|heard| heard.sequence).collect();
    assert_eq!(numbers, [0, 1, 3, 2, 5]);
    assert_eq!(timestamps(&rig), [0, 160, 480, 320, 800]);
    let quality = rig.leg.quality();
    assert_eq!((quality.packets_received, quality.packets_lost), (5, 1));
}

#[test]
fn packets_later_than_a_second_are_dropped() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    rig.stream_from(PEER, SSRC, 11..100);
    let count = rig.heard.len();
    // 90 packets of 20 ms late, then 200.
    assert_eq!(rig.receive(audio(SSRC, 10)), 0);
    rig.stream_from(PEER, SSRC, 100..211);
    assert_eq!(rig.heard.len(), count + 111);
    for _ in 0..3 {
        assert_eq!(rig.stream_from(PEER, SSRC, 10..13), 0);
    }
    assert_eq!(rig.receive(audio(SSRC, 211)), 1);
    assert!(rig.heard.iter().all(|heard| heard.stream == 1));
}

#[test]
fn a_new_stream_goes_on_where_the_time_is() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    // A pause of 1 s (with the 20 ms of the last packet), then somebody else, anywhere in numbers.
    rig.pass(1_000);
    rig.stream_from(PEER, 7, 30_000..30_010);
    let heard = &rig.heard;
    assert_eq!(heard.len(), 20);
    assert_eq!(heard[10].timestamp.wrapping_sub(heard[9].timestamp), 8_000 + 160);
    assert!(heard[10].marker && !heard[11].marker);
    assert_eq!((heard[9].stream, heard[10].stream), (1, 2));
    assert_eq!(heard[19].timestamp.wrapping_sub(heard[10].timestamp), 9 * 160);
    assert_eq!(rig.leg.quality().packets_lost, 0);
}

#[test]
fn a_stream_that_takes_over_at_once_does_not_go_back_in_time() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    assert_eq!(rig.stream_from(PEER, 7, 100..110), 8);
    // Even when all of it comes at once.
    let at = rig.now;
    rig.stream_from(PEER, 9, 20..30);
    rig.now = at;
    rig.stream_from(PEER, 11, 20..30);
    let times = timestamps(&rig);
    assert!(times.windows(2).all(|pair| pair[1] >= pair[0] + 160), "{times:?}");
}

#[test]
fn of_two_streams_that_come_together_one_is_heard() {
    let mut rig = Rig::answered();
    for n in 0..100 {
        assert_eq!(rig.receive(audio(SSRC, n)), 1);
        assert_eq!(rig.receive(audio(9, n + 5_000)), 0);
        rig.pass(20);
    }
    assert!(rig.heard.iter().all(|heard| heard.stream == 1));
}

#[test]
fn a_stream_that_starts_again_is_a_new_one() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    for (n, expect) in [(40_000, 0), (40_001, 1), (40_002, 1)] {
        assert_eq!(rig.receive(packet(8, SSRC, n, u32::from(n) + 5, &[0; 160])), expect);
        rig.pass(20);
    }
    let times = timestamps(&rig);
    // One packet of 20 ms is not believed.
    assert_eq!(times[10] - times[9], 320);
    assert_eq!(rig.heard[10].stream, 2);
    assert!(rig.heard[10].marker);
}

#[test]
fn timestamps_that_jump_go_on_where_the_time_is() {
    // Each with the step of the timestamp and of the time after ten good packets.
    let check = |step: u32, time: u64, marker: bool, expect: u32| {
        let mut rig = Rig::answered();
        rig.stream_from(PEER, SSRC, 0..10);
        rig.pass(time - 20);
        let mut next = packet(8, SSRC, 10, (9_u32 * 160).wrapping_add(step), &[0; 160]);
        next[1] |= u8::from(marker) << 7;
        assert_eq!(rig.receive(next), 1);
        let times = timestamps(&rig);
        assert_eq!(times[10].wrapping_sub(times[9]), expect, "{step} {time} {marker}");
    };
    check(160, 20, false, 160);
    check(8_000, 1_000, true, 8_000);
    // A network that held packets up.
    check(160, 3_000, false, 160);
    // A clock that stood still in the silence.
    check(160, 3_000, true, 24_000);
    // Forwards, backwards, and not at all.
    check(1_000_000, 20, false, 160);
    check(0_u32.wrapping_sub(5_000_000), 40, false, 320);
    check(0, 20, false, 160);
    // Odd, but near enough to be true.
    check(320, 20, false, 320);
}

#[test]
fn the_payload_type_tells_the_codec() {
    let mut rig = Rig::answered();
    for (n, (payload_type, expect)) in
        [(8, Some(Codec::Pcma)), (0, Some(Codec::Pcmu)), (8, Some(Codec::Pcma))]
            .into_iter()
            .chain([13, 19, 101, 18, 96, 3].map(|other| (other, None)))
            .enumerate()
    {
        let n = n as u16;
        rig.heard.clear();
        rig.receive(packet(payload_type, SSRC, n, u32::from(n) * 160, &[0x2A; 160]));
        rig.pass(20);
        assert_eq!(rig.heard.first().map(|heard| heard.codec), expect, "{payload_type}");
    }
    let quality = rig.leg.quality();
    // Comfort noise and digits are the stream's, the last three are not.
    assert_eq!((quality.packets_received, quality.discarded, quality.packets_lost), (3, 3, 0));
}

#[test]
fn paddings_and_extensions_are_no_audio() {
    let mut rig = Rig::answered();
    let mut padded = audio(SSRC, 0);
    padded[0] |= 0x20;
    padded.extend([0, 0, 0, 4]);
    let mut extended = packet(8, SSRC, 1, 160, &[0xBE, 0xDE, 0, 1, 0x10, 0x7F, 0, 0]);
    extended[0] |= 0x10;
    extended.extend([0x2A; 160]);
    rig.receive(padded);
    rig.receive(extended);
    rig.receive(packet(8, SSRC, 2, 320, &[]));
    assert_eq!(rig.heard.iter().map(|heard| heard.bytes).collect::<Vec<_>>(), [160, 160]);
}

#[test]
fn ours_wraps_and_goes_on_after_a_pause() {
    let mut rig = Rig::answered();
    for _ in 0..4 {
        rig.send();
        rig.pass(20);
    }
    // A thread that was late makes up for it: no pause.
    rig.pass(180);
    rig.send();
    rig.send();
    rig.pass(1_000);
    rig.send();
    let field = |at: usize, length: usize| -> Vec<u32> {
        let fields = rig.sent.iter().map(|(_, _, packet)| &packet[at..at + length]);
        fields.map(|bytes| bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))).collect()
    };
    let first = u32::MAX - 100;
    let steps: Vec<u32> = field(4, 4).iter().map(|time| time.wrapping_sub(first)).collect();
    assert_eq!(steps, [0, 160, 320, 480, 640, 800, 800 + 8_000]);
    assert_eq!(field(2, 2), [0xFFFE, 0xFFFF, 0, 1, 2, 3, 4]);
    assert_eq!(field(1, 1), [0x88, 8, 8, 8, 8, 8, 0x88]);
    assert!(field(8, 4).iter().all(|ssrc| *ssrc == 0x0A0A));
}

#[test]
fn the_answers_payload_type_is_ours() {
    let mut rig = Rig::answered();
    rig.remote(&Remote { payload_type: 98, ..remote() });
    rig.send();
    assert_eq!(rig.sent[0].2[1] & 0x7F, 98);
}

#[test]
fn while_on_hold_nothing_is_sent_but_music_is_heard() {
    let holds = [
        (Remote { direction: Direction::SendOnly, ..remote() }, 10),
        (Remote { direction: Direction::Inactive, ..remote() }, 10),
        (Remote { address: None, ..remote() }, 10),
    ];
    for (hold, heard) in holds {
        let mut rig = Rig::answered();
        rig.talk(100);
        rig.sent.clear();
        rig.remote(&hold);
        assert!(rig.leg.is_held());
        assert_eq!(rig.leg.send_dtmf(&"1".parse().unwrap()), Err(DtmfError::Held));
        for _ in 0..50 {
            rig.send();
            rig.pass(20);
        }
        assert_eq!(rig.sent.len(), 0);
        assert_eq!(rig.stream_from(PEER, SSRC, 0..10), heard);
        rig.remote(&remote());
        rig.send();
        assert!(!rig.leg.is_held());
        assert_eq!(rig.sent.len(), 1);
        assert_eq!(rig.sent[0].2[1], 0x80 | 8, "with a marker");
    }
}
