use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use outdial_domain::ports::RoomHints;
use outdial_domain::{ErrorKind, Hint, LegEnd, Participant, Secret};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

const ROOM: &str = "550e8400-e29b-41d4-a716-446655440000_abc123def456";
const SECRET: &str = "the secret";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_400).unwrap()
}

fn webhooks() -> Webhooks {
    Webhooks::new([
        ("old".to_owned(), Secret::new("old secret")),
        ("key".to_owned(), Secret::new(SECRET)),
    ])
}

fn jwt(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

fn claims(body: &[u8]) -> Value {
    let now = now().timestamp();
    let sha256 = STANDARD.encode(Sha256::digest(body));
    json!({"iss": "key", "nbf": now, "exp": now + 300, "sha256": sha256})
}

fn sign(body: &[u8]) -> String {
    jwt(&json!({"alg": "HS256", "typ": "JWT"}), &claims(body), SECRET)
}

fn read(event: &Value) -> Option<Vec<Hint>> {
    let body = event.to_string();
    let hints = webhooks().read(&sign(body.as_bytes()), body.as_bytes(), now());
    hints.unwrap().map(|(room, hints)| {
        assert_eq!(room.as_str(), ROOM);
        hints
    })
}

/// An event of LiveKit, as it writes them.
fn event(name: &str, participant: Value) -> Value {
    json!({
        "event": name,
        "room": {"sid": "RM_1", "name": ROOM, "turnPassword": "x"},
        "participant": participant,
        "id": "EV_1",
        "createdAt": "1700000000",
    })
}

fn phone(status: &str, reason: &str) -> Value {
    json!({
        "sid": "PA_1",
        "identity": "phone-+15550199999",
        "state": "ACTIVE",
        "kind": "SIP",
        "joinedAtMs": "1700000000100",
        "attributes": {"sip.callStatus": status},
        "disconnectReason": reason,
    })
}

fn joined() -> Hint {
    Hint::Joined {
        at: DateTime::from_timestamp_millis(1_700_000_000_100).unwrap(),
        participant: Some(Participant {
            sid: "PA_1".into(),
            identity: "phone-+15550199999".into(),
        }),
    }
}

fn ended(end: LegEnd) -> Hint {
    Hint::Ended { at: now(), end }
}

#[test]
fn the_phone_joins_and_leaves() {
    let joined_with = |status| read(&event("participant_joined", phone(status, ""))).unwrap();
    let (ringing, answered) = (Hint::Ringing { at: now() }, Hint::Answered { at: now() });
    assert_eq!(joined_with("dialing"), [joined()]);
    assert_eq!(joined_with("ringing"), [joined(), ringing.clone()]);
    assert_eq!(joined_with("active"), [joined(), answered.clone()]);

    let left = |status, reason| read(&event("participant_left", phone(status, reason))).unwrap();
    assert_eq!(
        left("hangup", "CLIENT_INITIATED"),
        [joined(), answered.clone(), ended(LegEnd::CalleeHangup)]
    );
    assert_eq!(
        left("active", "CLIENT_INITIATED"),
        [joined(), answered, ended(LegEnd::MediaTimeout)]
    );
    assert_eq!(
        left("ringing", "USER_REJECTED"),
        [joined(), ringing.clone(), ended(LegEnd::Rejected)]
    );
    assert_eq!(
        left("ringing", "A_REASON_OF_NEXT_YEAR"),
        [joined(), ringing, ended(LegEnd::Aborted)]
    );
    let aborted = event("participant_connection_aborted", phone("dialing", "USER_UNAVAILABLE"));
    assert_eq!(read(&aborted).unwrap(), [ended(LegEnd::Unavailable)]);
}

#[test]
fn the_agent_joins_and_leaves() {
    let agent = json!({"sid": "PA_2", "identity": "agent-AJ_1", "kind": "AGENT"});
    let at = now();
    assert_eq!(
        read(&event("participant_joined", agent.clone())).unwrap(),
        [Hint::AgentJoined { at }]
    );
    assert_eq!(read(&event("participant_left", agent)).unwrap(), [Hint::AgentLeft { at }]);
    let hidden = json!({"identity": "a", "kind": "AGENT", "permission": {"hidden": true}});
    assert_eq!(read(&event("participant_joined", hidden)), None);
}

#[test]
fn a_finished_room_is_the_end_of_its_call() {
    let finished = event("room_finished", Value::Null);
    assert_eq!(read(&finished).unwrap(), [ended(LegEnd::Left)]);
}

#[test]
fn what_says_nothing_about_a_call_gives_nothing() {
    let someone = json!({"identity": "someone", "kind": "STANDARD"});
    let observer = json!({"identity": "phone-x", "permission": {"hidden": true}});
    let egress = json!({"identity": "phone-x", "kind": "EGRESS"});
    for event in [
        event("room_started", Value::Null),
        event("track_published", phone("active", "")),
        event("an_event_of_next_year", phone("active", "")),
        event("participant_joined", someone),
        event("participant_joined", observer),
        event("participant_left", egress),
        event("participant_joined", Value::Null),
        json!({"event": "room_finished", "room": {"name": "somebody-elses-room"}}),
        json!({"event": "room_finished"}),
        json!([]),
        json!("room_finished"),
    ] {
        assert_eq!(read(&event), None, "{event}");
    }
    let text = b"not json at all";
    assert_eq!(webhooks().read(&sign(text), text, now()).unwrap(), None);
}

#[test]
fn names_and_numbers_come_in_more_than_one_form() {
    let snake = json!({
        "event": "participant_left",
        "room": {"name": ROOM},
        "created_at": 1_700_000_000,
        "participant": {
            "sid": "PA_1", "identity": "phone-+15550199999", "kind": 3,
            "joined_at_ms": 1_700_000_000_100_i64,
            "attributes": {"sip.callStatus": "ringing"}, "disconnect_reason": 12,
            "a_field_of_next_year": {},
        },
    });
    assert_eq!(read(&snake).unwrap().last(), Some(&ended(LegEnd::Rejected)));
    let no_kind = json!({"sid": "PA_1", "identity": "phone-+15550199999"});
    let hints = read(&event("participant_joined", no_kind)).unwrap();
    assert!(matches!(hints[..], [Hint::Joined { at, .. }] if at == now()));
}

#[test]
fn times_are_never_in_the_future() {
    let time = |created: Value| {
        let mut event = event("room_finished", Value::Null);
        event["createdAt"] = created;
        let hints = read(&event).unwrap();
        let [Hint::Ended { at, .. }] = hints[..] else {
            panic!("{hints:?}");
        };
        (at - now()).num_milliseconds()
    };
    // A second is over when it is named: 400 ms later the message itself is the better time.
    assert_eq!(time(json!("1700000000")), 0);
    assert_eq!(time(json!("1699999990")), -9_400);
    assert_eq!(time(json!(1_699_999_990_500_i64)), -9_900);
    for odd in [
        json!("1700009999"),
        json!(i64::MAX),
        json!(i64::MIN),
        json!("x"),
        json!(0),
        json!(1.5),
        Value::Null,
    ] {
        assert_eq!(time(odd.clone()), 0, "{odd}");
    }
}

#[test]
fn only_livekits_own_messages_are_read() {
    let body = event("room_finished", Value::Null).to_string();
    let body = body.as_bytes();
    let read = |authorization: &str, at: DateTime<Utc>| webhooks().read(authorization, body, at);
    let header = json!({"alg": "HS256"});
    let with = |change: fn(&mut Value)| {
        let mut claims = claims(body);
        change(&mut claims);
        jwt(&header, &claims, SECRET)
    };
    let good = sign(body);
    assert!(read(&good, now()).unwrap().is_some());
    assert!(read(&format!("Bearer {good}"), now()).is_ok());
    assert!(read(&format!(" bearer  {good} "), now()).is_ok());
    // Clocks may disagree by a minute.
    assert!(read(&good, now() + TimeDelta::seconds(355)).is_ok());
    assert!(read(&good, now() - TimeDelta::seconds(55)).is_ok());

    let old = jwt(
        &header,
        &json!({"iss": "old", "exp": i64::MAX, "sha256": claims(body)["sha256"]}),
        "old secret",
    );
    assert!(read(&old, now()).is_ok());

    let none = jwt(&json!({"alg": "none"}), &claims(body), SECRET);
    let unsigned = good.rsplit_once('.').unwrap().0.to_owned() + ".";
    for (what, token, at) in [
        ("nothing", String::new(), now()),
        ("no token", "abc".into(), now()),
        ("alg none", none, now()),
        ("no signature", unsigned, now()),
        ("other secret", jwt(&header, &claims(body), "other"), now()),
        ("unknown key", with(|c| c["iss"] = json!("other")), now()),
        ("key of another secret", with(|c| c["iss"] = json!("old")), now()),
        ("expired", good.clone(), now() + TimeDelta::seconds(365)),
        ("not yet", good.clone(), now() - TimeDelta::seconds(65)),
        ("no exp", with(|c| c["exp"] = Value::Null), now()),
        ("no hash", with(|c| c["sha256"] = json!("")), now()),
        ("odd hash", with(|c| c["sha256"] = json!("?")), now()),
        (
            "hash of nothing",
            with(|c| c["sha256"] = json!("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")),
            now(),
        ),
    ] {
        let error = read(&token, at).expect_err(what);
        assert_eq!(error.kind, ErrorKind::Refused, "{what}");
        assert!(!error.to_string().contains(SECRET), "{what}");
    }
    let other_body = event("room_started", Value::Null).to_string();
    let error = webhooks().read(&good, other_body.as_bytes(), now());
    assert_eq!(error.unwrap_err().kind, ErrorKind::Refused);
}

#[test]
fn an_empty_secret_opens_nothing() {
    let body = b"{}";
    let token = jwt(&json!({"alg": "HS256"}), &claims(body), "");
    let webhooks = Webhooks::new([("key".to_owned(), Secret::new(""))]);
    assert!(webhooks.read(&token, body, now()).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "event",
        "room",
        "name",
        "participant",
        "identity",
        "kind",
        "attributes",
        "sip.callStatus",
        "disconnectReason",
        "createdAt",
        "joinedAtMs",
        "permission",
        "hidden",
    ]);
    let texts = prop::sample::select(vec![
        ROOM,
        "phone-+15550199999",
        "participant_left",
        "participant_joined",
        "AGENT",
        "hangup",
        "CLIENT_INITIATED",
        "99999999999999999999",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_is_too_odd(part in any_json(), name in "participant_(left|joined)|room_finished") {
        let body = part.to_string();
        webhooks().read(&sign(body.as_bytes()), body.as_bytes(), now()).unwrap();
        // The same as a participant of an otherwise good event.
        let body = event(&name, part).to_string();
        let hints = webhooks().read(&sign(body.as_bytes()), body.as_bytes(), now()).unwrap();
        for hint in hints.map(|(_, hints)| hints).unwrap_or_default() {
            let (Hint::Joined { at, .. } | Hint::Ringing { at } | Hint::Answered { at }
                | Hint::Ended { at, .. } | Hint::AgentJoined { at } | Hint::AgentLeft { at }) = hint
            else {
                panic!("{hint:?}");
            };
            prop_assert!(at <= now());
        }
    }

    #[test]
    fn no_bytes_pass_for_a_signature(token in ".{0,80}", body in prop::collection::vec(any::<u8>(), 0..80)) {
        let error = webhooks().read(&token, &body, now()).unwrap_err();
        prop_assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn one_changed_byte_is_seen(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut body = event("room_finished", Value::Null).to_string().into_bytes();
        let token = sign(&body);
        let at = at.index(body.len());
        body[at] ^= flip;
        prop_assert!(webhooks().read(&token, &body, now()).is_err());
    }
}
