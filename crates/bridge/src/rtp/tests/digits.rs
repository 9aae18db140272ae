use super::*;
use outdial_domain::Digits;

const PRESS: u32 = 50_000;

fn event(sequence: u16, timestamp: u32, code: u8, end: bool, ticks: u16) -> Vec<u8> {
    let [high, low] = ticks.to_be_bytes();
    packet(101, SSRC, sequence, timestamp, &[code, u8::from(end) << 7 | 10, high, low])
}

/// The packets, 20 ms apart, then a second of nothing. What was pressed, and for how many ms.
fn pressed(packets: &[Vec<u8>]) -> Vec<(char, u128)> {
    let mut rig = Rig::answered();
    for packet in packets {
        assert_eq!(rig.receive(packet.clone()), 0, "digits are no audio");
        rig.pass(20);
        rig.tick();
    }
    rig.pass(1_000);
    rig.tick();
    let events = rig.events().into_iter();
    let digits = events.filter_map(|event| match event {
        Event::Dtmf { digit, duration } => Some((digit.as_char(), duration.as_millis())),
        _ => None,
    });
    digits.collect()
}

/// A key for 100 ms: five packets and the end twice more.
fn key(first: u16, timestamp: u32, code: u8) -> Vec<Vec<u8>> {
    (0..7).map(|n| event(first + n, timestamp, code, n >= 4, 160 * (n.min(4) + 1))).collect()
}

#[test]
fn a_key_is_told_once_whatever_is_lost() {
    let whole = key(0, PRESS, 5);
    assert_eq!(pressed(&whole), [('5', 100)]);
    // Every subset of its packets but none.
    for subset in 1_u32..128 {
        let left: Vec<_> = whole
            .iter()
            .enumerate()
            .filter(|(at, _)| subset & (1 << at) != 0)
            .map(|(_, packet)| packet.clone())
            .collect();
        let told = pressed(&left);
        let longest = 100.min(20 * (32 - subset.leading_zeros()));
        assert_eq!(told, [('5', u128::from(longest))], "{subset:b}");
    }
}

#[test]
fn every_key_has_its_code_and_others_are_none() {
    for (code, digit) in (0..).zip("0123456789*#ABCD".chars()) {
        assert_eq!(pressed(&key(0, PRESS, code)), [(digit, 100)]);
    }
    for code in [16, 17, 36, 255] {
        assert_eq!(pressed(&key(0, PRESS, code)), []);
    }
}

#[test]
fn the_same_key_twice_is_two_keys() {
    let packets = [key(0, PRESS, 1), key(7, PRESS + 1_600, 1)].concat();
    assert_eq!(pressed(&packets), [('1', 100), ('1', 100)]);
}

#[test]
fn a_key_whose_end_is_lost_ends_with_the_next() {
    let first = key(0, PRESS, 1);
    let packets = [&first[..2], &key(7, PRESS + 1_600, 2)[..]].concat();
    assert_eq!(pressed(&packets), [('1', 40), ('2', 100)]);
}

#[test]
fn packets_out_of_order_change_nothing() {
    let (one, two) = (key(0, PRESS, 1), key(7, PRESS + 1_600, 2));
    // The end first; a packet of the first key amidst the second; an end after a timeout.
    let backwards: Vec<_> = one.iter().rev().cloned().collect();
    assert_eq!(pressed(&backwards), [('1', 100)]);
    let packets = [&one[..5], &two[..2], &one[5..], &two[2..]].concat();
    assert_eq!(pressed(&packets), [('1', 100), ('2', 100)]);
    let mut rig = Rig::answered();
    rig.receive(one[0].clone());
    rig.pass(500);
    rig.tick();
    one[1..].iter().for_each(|packet| assert_eq!(rig.receive(packet.clone()), 0));
    rig.pass(500);
    rig.tick();
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_long_key_is_one_key() {
    // 20 s in packets of 50 ms: segments of 0xFFFF ticks (RFC 4733, section 2.5.1.3).
    let mut packets = Vec::new();
    let (mut start, mut length) = (PRESS, 0_u32);
    for n in 0..400 {
        length += 400;
        if length > 0xFFFF {
            start = start.wrapping_add(0xFFFF);
            length -= 0xFFFF;
        }
        packets.push(event(n, start, 9, n == 399, length as u16));
    }
    assert_eq!(pressed(&packets), [('9', 20_000)]);
}

#[test]
fn digits_may_have_a_stream_of_their_own_and_leave_the_audio_as_it_is() {
    let mut rig = Rig::answered();
    for n in 0..50_u16 {
        assert_eq!(rig.receive(audio(SSRC, n)), 1);
        let mut digit = event(n, PRESS, 7, n > 40, n * 160);
        digit[8..12].copy_from_slice(&9_u32.to_be_bytes());
        rig.receive(digit);
        rig.pass(20);
    }
    assert!(rig.heard.iter().all(|heard| heard.stream == 1));
    assert_eq!(rig.events().len(), 2);
}

#[test]
fn digits_amidst_the_stream_are_not_lost_audio() {
    let mut rig = Rig::answered();
    rig.stream_from(PEER, SSRC, 0..10);
    for n in 10..17 {
        rig.receive(event(n, 1_600, 3, n >= 14, 160));
    }
    rig.pass(140);
    rig.stream_from(PEER, SSRC, 17..30);
    assert_eq!(rig.leg.quality().packets_lost, 0);
    let times: Vec<u32> = rig.heard.iter().map(|heard| heard.timestamp).collect();
    assert_eq!(times[10] - times[9], 8 * 160);
}

#[test]
fn before_the_answer_keys_are_none() {
    let mut rig = Rig::early();
    key(0, PRESS, 1).into_iter().for_each(|packet| assert_eq!(rig.receive(packet), 0));
    rig.pass(1_000);
    rig.tick();
    assert_eq!(rig.events(), []);
}

/// What was sent, a line for each frame: `-` nothing, `a` audio, else digit, ticks and end.
fn spoken(digits: &str, frames: usize) -> Vec<String> {
    let mut rig = Rig::answered();
    rig.leg.send_dtmf(&digits.parse().unwrap()).unwrap();
    let mut lines = Vec::new();
    for _ in 0..frames {
        rig.send();
        rig.pass(20);
        let sent = rig.sent.pop().map(|(_, _, packet)| packet);
        lines.push(match sent {
            None => "-".into(),
            Some(packet) if packet[1] & 0x7F == 8 => "a".into(),
            Some(packet) => {
                let ticks = u16::from_be_bytes([packet[14], packet[15]]);
                let [marker, end] = [packet[1], packet[13]].map(|byte| byte >> 7 == 1);
                let marker = if marker { "first " } else { "" };
                format!("{marker}{} {ticks}{}", packet[12], if end { " end" } else { "" })
            }
        });
    }
    lines
}

#[test]
fn digits_are_sent_as_the_rfc_wants_them() {
    let key = |code: u8| {
        let texts =
            ["first C 160", "C 320", "C 480", "C 640", "C 800 end", "C 800 end", "C 800 end", "-"];
        texts.map(|text| text.replace('C', &code.to_string()))
    };
    assert_eq!(spoken("1#", 18), [&key(1)[..], &key(11)[..], &["a".into(), "a".into()]].concat());
    let pause = vec!["a".to_owned(); 25];
    assert_eq!(spoken("1w2", 41), [&key(1)[..], &pause, &key(2)[..]].concat());
}

#[test]
fn all_packets_of_a_key_have_its_timestamp_and_the_audio_goes_on() {
    let mut rig = Rig::answered();
    rig.talk(40);
    rig.leg.send_dtmf(&"12".parse().unwrap()).unwrap();
    rig.talk(360);
    let field =
        |at: usize, packet: &[u8]| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    let times: Vec<u32> = rig
        .sent
        .iter()
        .map(|(_, _, packet)| field(4, packet).wrapping_sub(u32::MAX - 100))
        .collect();
    let key = |at: u32| vec![at * 160; 7];
    assert_eq!(times, [&[0, 160][..], &key(2), &key(10), &[18 * 160, 19 * 160]].concat());
    let numbers = rig.sent.iter().map(|(_, _, packet)| u16::from_be_bytes([packet[2], packet[3]]));
    let expect = (0..18).map(|n| 0xFFFE_u16.wrapping_add(n));
    assert!(numbers.eq(expect));
}

#[test]
fn digits_need_a_peer_that_takes_them_and_do_not_pile_up() {
    let mut rig = Rig::answered();
    let digits: Digits = "0123456789".repeat(3).parse().unwrap();
    assert_eq!(rig.leg.send_dtmf(&digits), Ok(()));
    assert_eq!(rig.leg.send_dtmf(&digits), Ok(()));
    assert_eq!(rig.leg.send_dtmf(&digits), Err(DtmfError::Busy));
    // On hold they are forgotten.
    rig.remote(&Remote { direction: Direction::Inactive, ..remote() });
    rig.remote(&remote());
    rig.send();
    assert_eq!(rig.sent.pop().unwrap().2[1] & 0x7F, 8);
    rig.remote(&Remote { telephone_event: None, ..remote() });
    assert_eq!(rig.leg.send_dtmf(&digits), Err(DtmfError::NotNegotiated));
}
