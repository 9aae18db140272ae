use super::*;
use proptest::prelude::*;

/// Whatever comes from wherever: no panic, little memory, and no answer before the answer.
#[test]
fn arbitrary_datagrams_do_no_harm() {
    bolero::check!().with_type::<Vec<(u8, u16, Vec<u8>)>>().for_each(|turns| {
        let mut rig = Rig::early();
        let mut heard = 0;
        for (kind, time, bytes) in turns {
            rig.pass(u64::from(*time));
            let from = [PEER, "192.0.2.10:4001", "198.51.100.7:6000", "203.0.113.9:4000"];
            let mut datagram = bytes.clone();
            // Without a right beginning hardly any is looked into.
            if kind & 4 != 0 && datagram.len() > 1 {
                datagram[0] = datagram[0] & 0x3F | 0x80;
                datagram[1] = [8, 0, 101, 13, 200, 201, 202, 203][usize::from(kind >> 5)];
            }
            rig.receive_from(from[usize::from(kind & 3)], datagram);
            rig.tick();
            heard += rig.heard.drain(..).map(|audio| audio.bytes).sum::<usize>();
        }
        assert!(rig.sent.is_empty());
        assert!(heard <= turns.iter().map(|(.., bytes)| bytes.len()).sum());
        assert!(rig.events().len() <= 64);
        rig.leg.answered(rig.now);
        rig.talk(20_000);
        // Nothing of that made a source: too little time has passed since the answer.
        assert_eq!(rig.sent_to(), [address(PEER)]);
    });
}

#[derive(Debug, Clone)]
enum Step {
    Audio { ssrc: u32, sequence: u16, timestamp: u32, marker: bool, bytes: usize },
    Digit { sequence: u16, timestamp: u32, payload: [u8; 4] },
    Pass(u64),
    Frame,
    Press,
    Hold(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let near = |n: u16| prop_oneof![4 => 0..n, 1 => any::<u16>()];
    prop_oneof![
        4 => (0..3_u32, near(300), near(5_000), any::<bool>(), 0..400_usize).prop_map(
            |(ssrc, sequence, timestamp, marker, bytes)| {
                let timestamp = u32::from(timestamp) * 160;
                Step::Audio { ssrc, sequence, timestamp, marker, bytes }
            },
        ),
        1 => (near(300), any::<u32>(), any::<[u8; 4]>()).prop_map(
            |(sequence, timestamp, payload)| Step::Digit { sequence, timestamp, payload },
        ),
        2 => (0..3_000_u64).prop_map(Step::Pass),
        2 => Just(Step::Frame),
        1 => Just(Step::Press),
        1 => any::<bool>().prop_map(Step::Hold),
    ]
}

proptest! {
    /// Streams of all kinds from the right source: the counters stay true to each other.
    #[test]
    fn any_order_of_packets_is_counted(steps in proptest::collection::vec(step(), 0..200)) {
        let mut rig = Rig::answered();
        let mut taken = 0;
        for step in steps {
            match step {
                Step::Audio { ssrc, sequence, timestamp, marker, bytes } => {
                    let mut datagram = packet(8, ssrc, sequence, timestamp, &vec![3; bytes]);
                    datagram[1] |= u8::from(marker) << 7;
                    taken += rig.receive(datagram);
                }
                Step::Digit { sequence, timestamp, payload } => {
                    rig.receive(packet(101, 1, sequence, timestamp, &payload));
                }
                Step::Pass(time) => rig.pass(time),
                Step::Frame => { rig.send(); rig.tick(); }
                Step::Press => { let _ = rig.leg.send_dtmf(&"1w".parse().unwrap()); }
                Step::Hold(true) => rig.remote(&Remote { address: None, ..remote() }),
                Step::Hold(false) => rig.remote(&remote()),
            }
        }
        let quality = rig.leg.quality();
        prop_assert_eq!(quality.packets_received, taken as u64);
        prop_assert!(rig.events().len() <= 64);
        // Within a stream no packet is heard twice.
        let mut seen: Vec<_> = rig.heard.iter().map(|heard| (heard.stream, heard.sequence)).collect();
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        prop_assert_eq!(seen.len(), all);
    }
}
