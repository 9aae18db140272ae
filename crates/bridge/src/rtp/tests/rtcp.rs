use super::*;
use rtcp_types::{
    Compound, Packet, ReceiverReport, ReportBlock, RtcpPacketWriterExt, SenderReport,
};

const PEER_RTCP: &str = "192.0.2.10:4001";
const OURS: u32 = 0x0A0A;

fn rtcp_of(rig: &Rig) -> Vec<(SocketAddr, Vec<u8>)> {
    let rtcp = rig.sent.iter().filter(|(channel, ..)| *channel == Channel::Rtcp);
    rtcp.map(|(_, to, bytes)| (*to, bytes.clone())).collect()
}

fn written(builder: impl RtcpPacketWriterExt) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    let length = builder.write_into(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

fn told(highest: u32, lost: u32) -> Vec<u8> {
    let block = ReportBlock::builder(OURS).extended_sequence_number(highest).cumulative_lost(lost);
    written(ReceiverReport::builder(SSRC).add_report_block(block))
}

#[test]
fn reports_go_out_about_every_five_seconds_after_the_answer() {
    let mut rig = Rig::early();
    rig.talk(60_000);
    assert_eq!(rig.sent.len(), 0);
    rig.leg.answered(rig.now);
    rig.talk(600_000);
    let reports = rtcp_of(&rig);
    assert!((100..=140).contains(&reports.len()), "{}", reports.len());
    assert!(reports.iter().all(|(to, _)| *to == address(PEER_RTCP)));
}

#[test]
fn a_report_tells_what_was_sent_and_what_came() {
    let mut rig = Rig::answered();
    // Of 100 packets each tenth is lost.
    for n in (0..100).filter(|n| n % 10 != 5) {
        rig.receive(audio(SSRC, n));
        rig.pass(if n % 10 == 4 { 40 } else { 20 });
        rig.send();
    }
    rig.leg.finish(rig.now, &mut |channel, to, bytes| rig.sent.push((channel, to, bytes.into())));
    let (_, bytes) = rtcp_of(&rig).pop().unwrap();
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().map(Result::unwrap).collect();
    let [Packet::Sr(report), Packet::Sdes(sdes), Packet::Bye(bye)] = &packets[..] else {
        panic!("{packets:?}")
    };
    assert_eq!((report.ssrc(), report.packet_count(), report.octet_count()), (OURS, 90, 90 * 160));
    let seconds = report.ntp_timestamp() >> 32;
    assert_eq!(seconds, 1_800_000_000 + 2_208_988_800 + 2);
    let block = report.report_blocks().next().unwrap();
    assert_eq!((block.ssrc(), block.cumulative_lost(), block.fraction_lost()), (SSRC, 10, 25));
    assert_eq!(block.extended_sequence_number() & 0xFFFF, 99);
    let chunk = sdes.chunks().next().unwrap();
    assert_eq!(chunk.items().next().unwrap().value(), b"someone");
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [OURS]);
    assert_eq!(rig.leg.quality().packets_lost, 10);
}

#[test]
fn who_sent_nothing_writes_a_receiver_report() {
    let mut rig = Rig::answered();
    rig.receive(audio(SSRC, 0));
    for _ in 0..500 {
        rig.pass(20);
        rig.tick();
    }
    let (_, bytes) = rtcp_of(&rig).pop().unwrap();
    let mut packets = Compound::parse(&bytes).unwrap();
    assert!(matches!(packets.next(), Some(Ok(Packet::Rr(_)))));
}

#[test]
fn reports_share_the_port_or_go_where_the_sdp_says() {
    let check = |remote: &Remote, expect: Option<(Channel, &str)>| {
        let mut rig = Rig::answered();
        rig.remote(remote);
        rig.leg.finish(rig.now, &mut |channel, to, _| rig.sent.push((channel, to, vec![])));
        let sent = rig.sent.first().map(|(channel, to, _)| (*channel, *to));
        assert_eq!(sent, expect.map(|(channel, to)| (channel, address(to))));
    };
    check(&remote(), Some((Channel::Rtcp, PEER_RTCP)));
    check(&Remote { rtcp_mux: true, ..remote() }, Some((Channel::Rtp, PEER)));
    let elsewhere = "192.0.2.12:9000";
    let other = Remote { rtcp: Some(address(elsewhere)), ..remote() };
    check(&other, Some((Channel::Rtcp, elsewhere)));
    check(&Remote { rtcp: None, ..remote() }, None);
}

#[test]
fn reports_follow_a_source_that_was_learned() {
    let mut rig = Rig::answered();
    rig.stream_from("192.0.2.10:5000", SSRC, 0..10);
    rig.leg.finish(rig.now, &mut |channel, to, _| rig.sent.push((channel, to, vec![])));
    assert_eq!(rig.sent[0].1, address("192.0.2.10:5001"));
}

#[test]
fn what_the_peer_counted_is_known() {
    let mut rig = Rig::answered();
    rig.talk(10_000);
    rig.receive_from(PEER_RTCP, told(400, 17));
    // From elsewhere: nothing.
    rig.receive_from("203.0.113.9:4001", told(400, 200));
    rig.receive_from("192.0.2.10:4003", told(400, 200));
    // With less than nothing lost, and of another stream.
    rig.receive_from(PEER_RTCP, told(420, 0x00FF_FFF0));
    let other = ReportBlock::builder(1).cumulative_lost(99);
    rig.receive_from(PEER_RTCP, written(ReceiverReport::builder(SSRC).add_report_block(other)));
    let quality = rig.leg.quality();
    assert_eq!((quality.remote_packets_lost, quality.discarded), (17, 2));
}

#[test]
fn the_round_trip_is_measured_at_both_ends() {
    let mut rig = Rig::answered();
    rig.send();
    rig.leg.finish(rig.now, &mut |channel, to, bytes| rig.sent.push((channel, to, bytes.into())));
    let (_, bytes) = rtcp_of(&rig).pop().unwrap();
    let Some(Ok(Packet::Sr(ours))) = Compound::parse(&bytes).unwrap().next() else { panic!() };
    // They held it for 250 ms; both ways took the rest.
    rig.pass(330);
    let block = ReportBlock::builder(OURS)
        .last_sender_report_timestamp((ours.ntp_timestamp() >> 16) as u32)
        .delay_since_last_sender_report_timestamp((250 << 16) / 1_000);
    let ntp = 0x1234_5678_9ABC_DEF0;
    let theirs = SenderReport::builder(SSRC).ntp_timestamp(ntp).add_report_block(block);
    rig.receive_from(PEER_RTCP, written(theirs));
    let trip = rig.leg.quality().round_trip_us.unwrap();
    assert!((79_900..80_100).contains(&trip), "{trip}");
    // Nonsense changes nothing.
    let block = ReportBlock::builder(OURS)
        .last_sender_report_timestamp(1)
        .delay_since_last_sender_report_timestamp(u32::MAX / 2);
    rig.receive_from(PEER_RTCP, written(ReceiverReport::builder(SSRC).add_report_block(block)));
    assert_eq!(rig.leg.quality().round_trip_us, Some(trip));
    // And what they need for theirs.
    rig.receive(audio(SSRC, 0));
    rig.pass(500);
    rig.leg.finish(rig.now, &mut |channel, to, bytes| rig.sent.push((channel, to, bytes.into())));
    let (_, bytes) = rtcp_of(&rig).pop().unwrap();
    let Some(Ok(Packet::Sr(ours))) = Compound::parse(&bytes).unwrap().next() else { panic!() };
    let block = ours.report_blocks().next().unwrap();
    assert_eq!(block.last_sender_report_timestamp(), 0x5678_9ABC);
    assert_eq!(block.delay_since_last_sender_report_timestamp(), 1 << 15);
}

#[test]
fn a_peer_that_hears_nothing_says_so() {
    let mut rig = Rig::answered();
    let deaf = Event::OneWay(OneWay::CalleeHearsNothing);
    rig.receive(audio(SSRC, 0));
    for round in 0..6_u32 {
        rig.talk(5_000);
        rig.receive_from(PEER_RTCP, told(0, 0));
        assert_eq!(rig.events().contains(&deaf), round == 2, "{round}");
    }
    assert_eq!(rig.leg.quality().one_way, Some(OneWay::CalleeHearsNothing));
    // It hears again; and while nothing is sent, nothing is missed.
    rig.receive_from(PEER_RTCP, told(1_000, 0));
    for _ in 0..6 {
        rig.pass(5_000);
        rig.receive_from(PEER_RTCP, told(1_000, 0));
    }
    assert_eq!(rig.leg.quality().one_way, None);
}

#[test]
fn jitter_is_that_of_the_rfc() {
    let mut rig = Rig::answered();
    // Each second packet 8 ms late: in the end as much is the difference each time.
    for n in 0..1_000 {
        rig.receive(audio(SSRC, n));
        rig.pass(if n % 2 == 0 { 28 } else { 12 });
    }
    let quality = rig.leg.quality();
    assert!((7_500..=8_000).contains(&quality.jitter_us), "{quality:?}");
    assert!(quality.max_jitter_us >= quality.jitter_us);
}

#[test]
fn garbage_on_the_port_of_reports_is_dropped() {
    let mut rig = Rig::answered();
    for bytes in [&[0x80, 200][..], &[0x80, 200, 0xFF, 0xFF], &[0x9F, 201, 0, 1, 0, 0, 0, 0]] {
        rig.receive_from(PEER_RTCP, bytes.to_vec());
    }
    assert_eq!(rig.leg.quality().discarded, 3);
}
