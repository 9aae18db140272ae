use super::*;
use crate::srtp::{MasterKey, MediaKeys, SrtpContext, Suite};

fn keys() -> (MediaKeys, MediaKeys) {
    let (send, receive) =
        (MasterKey::generate(Suite::Sha1_80), MasterKey::generate(Suite::Sha1_80));
    let theirs = MediaKeys { send: receive.clone(), receive: send.clone() };
    (MediaKeys { send, receive }, theirs)
}

fn sealed(srtp: &mut SrtpContext, mut packet: Vec<u8>) -> Vec<u8> {
    srtp.protect_rtp(&mut packet).unwrap();
    packet
}

#[test]
fn with_keys_only_sealed_packets_come_and_go() {
    let (ours, theirs) = keys();
    let mut peer = SrtpContext::new(&theirs).unwrap();
    let mut rig = Rig::answered();
    rig.remote(&Remote { crypto: Some(ours.clone()), ..remote() });
    assert_eq!(rig.receive(audio(SSRC, 0)), 0, "not sealed");
    let first = sealed(&mut peer, audio(SSRC, 0));
    assert_eq!(rig.receive(first.clone()), 1);
    assert_eq!(rig.receive(first), 0, "replayed");
    // The same keys again: nothing begins anew.
    rig.remote(&Remote { crypto: Some(ours), ..remote() });
    assert_eq!(rig.receive(sealed(&mut peer, audio(SSRC, 1))), 1);
    assert_eq!(rig.heard[0].bytes, FRAME);
    assert_eq!(rig.leg.quality().discarded, 2);

    rig.send();
    rig.leg.finish(rig.now, &mut |channel, to, bytes| rig.sent.push((channel, to, bytes.into())));
    let mut rtp = rig.sent[0].2.clone();
    let plain = peer.unprotect_rtp(&mut rtp).unwrap();
    assert_eq!(plain[12..], [0xD5; FRAME]);
    let mut rtcp = rig.sent[1].2.clone();
    assert!(peer.unprotect_rtcp(&mut rtcp).is_ok());
}

#[test]
fn a_source_without_the_key_is_never_learned() {
    let (ours, theirs) = keys();
    let mut peer = SrtpContext::new(&theirs).unwrap();
    let mut rig = Rig::answered();
    rig.remote(&Remote { crypto: Some(ours), ..remote() });
    rig.pass(300);
    let spoofed = "192.0.2.10:6666";
    assert_eq!(rig.stream_from(spoofed, SSRC, 0..500), 0);
    let moved = "192.0.2.10:5000";
    let heard = (0..10).map(|n| rig.receive_from(moved, sealed(&mut peer, audio(SSRC, n))));
    assert_eq!(heard.sum::<usize>(), 6);
}

#[test]
fn an_encrypted_call_never_becomes_a_plain_one() {
    let (ours, theirs) = keys();
    let mut peer = SrtpContext::new(&theirs).unwrap();
    let mut rig = Rig::answered();
    rig.remote(&Remote { crypto: Some(ours.clone()), ..remote() });
    let first = sealed(&mut peer, audio(SSRC, 0));
    assert_eq!(rig.receive(first.clone()), 1);
    // The audio is taken out (port 0) and comes back with the same keys.
    rig.remote(&Remote { address: None, crypto: None, ..remote() });
    assert_eq!(rig.receive(audio(SSRC, 1)), 0);
    rig.remote(&Remote { crypto: Some(ours), ..remote() });
    assert_eq!(rig.receive(first), 0, "replayed");
    assert_eq!(rig.receive(sealed(&mut peer, audio(SSRC, 1))), 1);
}
