//! A phone that is neither sipp nor written by us.

use outdial_tests::{Baresip, Bridge, Desk, Side, Stack, Transport, by_ear};
use serde_json::json;

use super::exotel::recorded;
use super::{HUNG_UP, national};

async fn check(desk: &Desk, phone: &Baresip, number: &str, transport: Transport) {
    let room = desk.place(number).await;
    phone.tells("Call established").await;
    let said = desk.has_lines(&room, 1).await;
    assert_eq!(said[0]["speaker"], "agent");
    phone.hang_up();
    let record = Stack::get().ends(desk, &room, HUNG_UP).await;
    phone.tells("terminated").await;
    assert!(phone.talked_over(transport), "{}", phone.log());
    assert!(record["media"]["packets_received"].as_u64().unwrap() > 50, "{record}");
    let (sound, _) = recorded(desk, &room).await;
    let tone = sound.loud(Side::Callee, -40.0, 0.3);
    let middle = (tone[0].start + tone[0].end) / 2.0;
    let pitch = sound.pitch(Side::Callee, middle..middle + 0.3);
    assert!((pitch / 440.0 - 1.0).abs() < 0.02, "{pitch} Hz: {sound:?}");
    let heard = phone.heard();
    assert!(!heard.loud(Side::Agent, -40.0, 0.3).is_empty(), "the agent was not heard: {heard:?}");
}

#[tokio::test]
async fn over_exotel() {
    by_ear(async |stack| {
        let number = "+918044319290";
        let phone = Baresip::start(&national(number), 440).await;
        let desk = stack.exotel(Bridge::shared().await, &phone.address(), json!({})).await;
        check(&desk, &phone, number, Transport::Tcp).await;
    })
    .await;
}

/// SIP over TLS, and its media over SRTP, which it insists on.
#[tokio::test]
async fn over_tls() {
    by_ear(async |stack| {
        let folder = tempfile::tempdir().unwrap();
        let ours = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (ours.cert.pem(), ours.signing_key.serialize_pem());
        let both = file("both.pem", format!("{key}{certificate}"));
        let (certificate, key) = (file("certificate.pem", certificate), file("key.pem", key));
        let port = outdial_tests::free_port().to_string();
        let bridge = Bridge::start(&[
            ("sip.tls_port", &port),
            ("sip.tls_certificate", &certificate),
            ("sip.tls_key", &key),
            ("sip.tls_ca", &certificate),
        ])
        .await;
        let number = "+15550200093";
        let phone = Baresip::encrypted(number, 440, both.as_ref()).await;
        let trunk = (&*phone.tls_address(), Transport::Tls);
        let who = ("outdial", "s3cret-s3cret");
        let desk = stack.direct(&bridge, trunk, who, json!({})).await;
        assert_eq!(desk.trunk["transport"], "tls");
        check(&desk, &phone, number, Transport::Tls).await;
        assert!(phone.log().contains("RTP/SAVP") && phone.log().contains("a=crypto:"));
    })
    .await;
}

#[tokio::test]
async fn over_udp() {
    by_ear(async |stack| {
        let number = "+15550200091";
        let phone = Baresip::start(number, 440).await;
        let trunk = (&*phone.address(), Transport::Udp);
        let who = ("outdial", "s3cret-s3cret");
        let desk = stack.direct(Bridge::shared().await, trunk, who, json!({})).await;
        check(&desk, &phone, number, Transport::Udp).await;
    })
    .await;
}
