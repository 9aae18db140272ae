//! Signatures, with the `standardwebhooks` crate as the other side.

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use outdial_webhooks::sign::{
    Received, SecretError, SigningSecret, TOLERANCE, VerifyError, WEBHOOK_ID, WEBHOOK_SIGNATURE,
    WEBHOOK_TIMESTAMP, signature_header, verify,
};
use proptest::collection::vec;
use proptest::prelude::*;
use standardwebhooks::Webhook;

fn both_sides(key: &[u8]) -> (SigningSecret, Webhook) {
    use base64::Engine;
    let text = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(key));
    let ours: SigningSecret = text.parse().unwrap();
    assert_eq!(ours.to_secret().expose(), text);
    (ours, Webhook::new(&text).unwrap())
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[test]
fn the_vector_of_the_reference_implementations() {
    let secret: SigningSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    let signature = secret.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", at(1649367553), body);
    assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
}

#[test]
fn secrets_are_parsed_strictly() {
    let length = |bytes| Err(SecretError::Length(bytes));
    for (text, expect) in [
        ("", Err(SecretError::Prefix)),
        ("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Err(SecretError::Prefix)),
        ("WHSEC_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Err(SecretError::Prefix)),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", Ok(())),
        ("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", Err(SecretError::Base64)),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n", Err(SecretError::Base64)),
        ("whsec_", length(0)),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7o=", length(23)),
        (&format!("whsec_{}==", "A".repeat(86)), Ok(())),
        (&format!("whsec_{}=", "A".repeat(87)), length(65)),
    ] {
        assert_eq!(text.parse::<SigningSecret>().map(drop), expect, "{text:?}");
    }
}

#[test]
fn generated_secrets_are_long_and_different() {
    let texts = [(); 2].map(|()| SigningSecret::generate().to_secret());
    assert_ne!(texts[0], texts[1]);
    for text in texts {
        assert_eq!(text.expose().len(), "whsec_".len() + 44, "32 bytes");
        assert!(SigningSecret::try_from(&text).is_ok());
    }
}

#[test]
fn timestamps_have_a_tolerance_both_ways() {
    let secret = SigningSecret::generate();
    let sent = at(1_700_000_000);
    let signature = secret.sign("id", sent, b"x");
    let message = |timestamp| Received { id: "id", timestamp, signature: &signature, body: b"x" };
    let check = |timestamp, now| verify([&secret], &message(timestamp), now);
    let second = TimeDelta::seconds(1);
    for (now, expect) in [
        (sent, Ok(())),
        (sent + TOLERANCE, Ok(())),
        (sent - TOLERANCE, Ok(())),
        (sent + TOLERANCE + second, Err(VerifyError::TooOld)),
        (sent - TOLERANCE - second, Err(VerifyError::TooNew)),
    ] {
        assert_eq!(check("1700000000", now), expect, "{now}");
    }
    for text in ["", "x", "-1", "+1700000000", " 1700000000", "1.7e9", "99999999999999999999"] {
        assert_eq!(check(text, sent), Err(VerifyError::Timestamp), "{text:?}");
    }
    assert_eq!(
        check("01700000000", sent),
        Err(VerifyError::Signature),
        "the text is signed, not its value"
    );
}

#[test]
fn only_a_whole_v1_signature_counts() {
    let secret = SigningSecret::generate();
    let now = at(1_700_000_000);
    let good = secret.sign("id", now, b"x");
    let base64 = &good[3..];
    for (signature, expect) in [
        (good.clone(), true),
        (format!("v1,AAAA v1a,{base64} {good}"), true),
        (format!("{good} nonsense"), true),
        (String::new(), false),
        ("v1,".into(), false),
        (base64.into(), false),
        (format!("v2,{base64}"), false),
        (format!("v1a,{base64}"), false),
        (format!("v1,{}", &base64[..40]), false),
        (format!("v1,{base64},{good}"), false),
    ] {
        let message =
            Received { id: "id", timestamp: "1700000000", signature: &signature, body: b"x" };
        assert_eq!(verify([&secret], &message, now).is_ok(), expect, "{signature}");
        let nobody: [&SigningSecret; 0] = [];
        assert_eq!(verify(nobody, &message, now), Err(VerifyError::Signature));
    }
}

proptest! {
    #[test]
    fn both_sides_make_the_same_signature(
        key in vec(any::<u8>(), 24..=64),
        id in "[A-Za-z0-9_-]{1,40}",
        seconds in 0..4_000_000_000i64,
        body: String,
    ) {
        let (ours, theirs) = both_sides(&key);
        let expect = theirs.sign(&id, seconds, body.as_bytes()).unwrap();
        prop_assert_eq!(ours.sign(&id, at(seconds), body.as_bytes()), expect);
    }

    #[test]
    fn they_accept_what_we_sign(
        keys in vec(vec(any::<u8>(), 24..=64), 1..4),
        id in "[A-Za-z0-9_-]{1,40}",
        body: String,
    ) {
        let (ours, theirs): (Vec<_>, Vec<_>) = keys.iter().map(|key| both_sides(key)).unzip();
        let now = Utc::now();
        let signature = signature_header(&ours, &id, now, body.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(WEBHOOK_ID, id.parse().unwrap());
        headers.insert(WEBHOOK_TIMESTAMP, now.timestamp().into());
        headers.insert(WEBHOOK_SIGNATURE, signature.parse().unwrap());
        for theirs in &theirs {
            prop_assert!(theirs.verify(body.as_bytes(), &headers).is_ok());
        }
    }

    #[test]
    fn we_accept_what_they_sign_and_nothing_else(
        key in vec(any::<u8>(), 24..=64),
        other in vec(any::<u8>(), 24..=64),
        id in "[A-Za-z0-9_-]{1,40}",
        seconds in 0..4_000_000_000i64,
        body: String,
        shift in 1..=300i64,
    ) {
        prop_assume!(key != other);
        let (ours, theirs) = both_sides(&key);
        let (stranger, _) = both_sides(&other);
        let signature = theirs.sign(&id, seconds, body.as_bytes()).unwrap();
        let (now, timestamp) = (at(seconds), seconds.to_string());
        let message = Received {
            id: &id,
            timestamp: &timestamp,
            signature: &signature,
            body: body.as_bytes(),
        };
        prop_assert_eq!(verify([&ours], &message, now), Ok(()));
        prop_assert_eq!(verify([&stranger, &ours], &message, now), Ok(()));

        let longer = format!("{body}x");
        let shifted = (seconds + shift).to_string();
        for forged in [
            Received { body: longer.as_bytes(), ..message },
            Received { id: "another id", ..message },
            Received { timestamp: &shifted, ..message },
        ] {
            prop_assert_eq!(verify([&ours], &forged, now), Err(VerifyError::Signature));
        }
        prop_assert_eq!(verify([&stranger], &message, now), Err(VerifyError::Signature));
    }
}

#[test]
fn no_secrets_no_header() {
    let nobody: [&SigningSecret; 0] = [];
    assert_eq!(signature_header(nobody, "id", at(0), b""), None);
}
