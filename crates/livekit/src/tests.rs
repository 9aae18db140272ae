//! Against a scripted server: what is sent, how often, and what becomes of each kind of answer.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use livekit_protocol as proto;
use livekit_protocol::participant_info::{Kind, State};
use outdial_domain::ports::{DialRequest, DispatchRequest, Rooms, TrunkAccess};
use outdial_domain::{ErrorKind, LegEnd, RoomName, Secret, SipStatus, SipTransport};
use serde_json::{Value, json};

use crate::testing::{FakeLiveKit, Reply, Request};
use crate::twirp::Twirp;
use crate::{CallStatus, LiveKit, LiveKitConfig, SipDial};

const SECRET: &str = "a-secret-that-must-never-be-shown";

fn config(url: &str) -> LiveKitConfig {
    let mut config = LiveKitConfig::new(url, "APIkey", Secret::new(SECRET));
    config.request_timeout = Duration::from_millis(300);
    config
}

fn room() -> RoomName {
    "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap()
}

async fn server(
    script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (FakeLiveKit, LiveKit) {
    let server = FakeLiveKit::start(script).await.unwrap();
    let livekit = LiveKit::new(config(&server.url())).unwrap();
    (server, livekit)
}

fn claims(request: &Request) -> Value {
    let token = request.authorization.strip_prefix("Bearer ").unwrap();
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn dial_request() -> DialRequest {
    DialRequest {
        room_name: room(),
        participant_identity: "phone-+15550199999".into(),
        to_number: "+15550199999".parse().unwrap(),
        from_number: Some("+15550100000".parse().unwrap()),
        trunk: TrunkAccess {
            auth_username: Some("user".into()),
            auth_password: Some(Secret::new("password")),
            from_host: Some("acme.example.com".parse().unwrap()),
            ..TrunkAccess::at(Some("acme.pstn.twilio.com".parse().unwrap()), SipTransport::Tls)
        },
        ringing_timeout: Duration::from_secs(300),
        max_duration: Duration::from_secs(600),
    }
}

#[test]
fn tls_needs_no_preparation() {
    for url in ["wss://acme.livekit.cloud", "https://127.0.0.1:1"] {
        LiveKit::new(config(url)).unwrap();
    }
}

#[tokio::test]
async fn a_tls_url_speaks_tls() {
    let server = FakeLiveKit::start(|_| Reply::not_found()).await.unwrap();
    let url = server.url().replace("ws://", "wss://");
    let error = LiveKit::new(config(&url)).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_room_is_created_with_its_timeouts_and_rights() {
    let (server, livekit) = server(|_| Reply::ok(&proto::Room::default())).await;
    livekit.create(&room()).await.unwrap();
    let [request] = server.requests().try_into().unwrap();
    assert_eq!(request.path, "/twirp/livekit.RoomService/CreateRoom");
    let message: proto::CreateRoomRequest = request.message();
    assert_eq!(message.name, room().as_str());
    assert_eq!((message.empty_timeout, message.departure_timeout), (120, 10));
    let claims = claims(&request);
    assert_eq!(claims["iss"], "APIkey");
    assert_eq!(claims["video"], json!({"roomCreate": true}));
    assert!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap() <= 600);
}

#[tokio::test]
async fn a_dispatch_carries_its_metadata_as_json() {
    let (server, livekit) =
        server(|_| Reply::ok(&proto::AgentDispatch { id: "AD_1".into(), ..Default::default() }))
            .await;
    let metadata = json!({"assistant_name": "Ava", "agent_config": {"voice": "x"}});
    let request = DispatchRequest { agent_name: "support".into(), metadata: metadata.clone() };
    assert_eq!(livekit.dispatch(&room(), &request).await.unwrap(), "AD_1");
    let [sent] = server.requests().try_into().unwrap();
    let message: proto::CreateAgentDispatchRequest = sent.message();
    assert_eq!(message.agent_name, "support");
    let sent_metadata: Value = serde_json::from_str(&message.metadata).unwrap();
    assert_eq!(sent_metadata, metadata);
    assert_eq!(claims(&sent)["video"], json!({"roomAdmin": true, "room": room().as_str()}));
}

#[tokio::test]
async fn only_those_who_joined_and_show_themselves_count() {
    let someone = |identity: &str, kind: Kind, state: State, hidden| proto::ParticipantInfo {
        identity: identity.into(),
        kind: kind.into(),
        state: state.into(),
        permission: Some(proto::ParticipantPermission { hidden, ..Default::default() }),
        ..Default::default()
    };
    let look = |participants: Vec<proto::ParticipantInfo>| async move {
        let answer = proto::ListParticipantsResponse { participants };
        let (_server, livekit) = server(move |_| Reply::ok(&answer)).await;
        livekit.look(&room()).await.unwrap().unwrap()
    };
    let all = look(vec![
        someone("agent", Kind::Agent, State::Active, false),
        someone("phone", Kind::Sip, State::Joined, false),
        someone("observer", Kind::Standard, State::Active, true),
        someone("coming", Kind::Standard, State::Joining, false),
        someone("gone", Kind::Standard, State::Disconnected, false),
    ])
    .await;
    assert!(all.agent);
    assert_eq!(all.others, ["phone"]);
    for (state, hidden) in [(State::Joining, false), (State::Active, true)] {
        let look = look(vec![someone("agent", Kind::Agent, state, hidden)]).await;
        assert!(!look.agent, "{state:?} {hidden}");
    }
}

#[tokio::test]
async fn what_is_missing_is_no_error() {
    let (server, livekit) = server(|_| Reply::not_found()).await;
    assert_eq!(livekit.look(&room()).await.unwrap(), None);
    livekit.delete(&room()).await.unwrap();
    assert_eq!(livekit.leg(&room(), "phone-+1").await.unwrap(), None);
    livekit.remove(&room(), "phone-+1").await.unwrap();
    assert_eq!(server.requests().len(), 4);
    // Somebody else is deleting the room.
    let going = |_: &_| Reply::error(500, "unknown", "could not find object", &[]);
    let (_server, livekit) = self::server(going).await;
    livekit.delete(&room()).await.unwrap();
}

#[tokio::test]
async fn a_leg_is_seen_with_its_status() {
    let info = proto::ParticipantInfo {
        sid: "PA_1".into(),
        identity: "phone-+15550199999".into(),
        attributes: HashMap::from([("sip.callStatus".to_owned(), "ringing".to_owned())]),
        joined_at_ms: 1_700_000_000_123,
        ..Default::default()
    };
    let (_server, livekit) = server(move |_| Reply::ok(&info)).await;
    let leg = livekit.leg(&room(), "phone-+15550199999").await.unwrap();
    let leg = leg.unwrap();
    assert_eq!(leg.participant.sid, "PA_1");
    assert_eq!(leg.status, CallStatus::Ringing);
    assert_eq!(leg.joined_at.unwrap().timestamp_millis(), 1_700_000_000_123);
}

#[tokio::test]
async fn every_failure_has_its_kind_and_tells_what_to_mend() {
    use ErrorKind::*;
    let check = |reply: Reply, kind, words: &'static str| async move {
        let (_server, livekit) = server(move |_| reply.clone()).await;
        let error = livekit.check().await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(SECRET) && !shown.contains("eyJ"), "{shown}");
    };
    let twirp = |status, code, msg| Reply::error(status, code, msg, &[]);
    // livekit-server 1.13 answers so, and repeats the token.
    let plain = Reply::text(401, "invalid token: eyJhbGciOi, error: signature");
    check(plain, Refused, "livekit.api_secret").await;
    check(twirp(401, "unauthenticated", "permissions denied"), Refused, "livekit.api_key").await;
    check(twirp(403, "permission_denied", ""), Refused, "livekit.api_key").await;
    check(
        twirp(400, "invalid_argument", "bad name +15550100000"),
        Refused,
        "bad name +155*****000",
    )
    .await;
    check(twirp(429, "resource_exhausted", "quota"), Busy, "quota").await;
    check(twirp(503, "unavailable", "no response from servers"), Unavailable, "no response").await;
    check(twirp(500, "internal", "oops"), Internal, "oops").await;
    check(Reply::text(502, "<html>"), Unavailable, "HTTP 502").await;
    check(Reply::text(404, "not found"), Refused, "livekit.url").await;
    check(Reply::text(200, "<html>"), Refused, "livekit.url").await;
    check(Reply::text(301, ""), Refused, "livekit.url").await;
    check(Reply::close(), Unavailable, "broke").await;
    check(Reply::never(), Unavailable, "in time").await;

    let nobody = LiveKit::new(config("ws://127.0.0.1:1")).unwrap();
    let error = nobody.check().await.unwrap_err();
    assert_eq!(error.kind, Unavailable);
    assert!(error.message.contains("livekit.url"), "{error}");
}

#[tokio::test]
async fn a_dial_says_all_that_livekit_sip_needs() {
    let (server, livekit) = server(|_| {
        Reply::ok(&proto::SipParticipantInfo {
            participant_id: "PA_1".into(),
            participant_identity: "phone-+15550199999".into(),
            ..Default::default()
        })
    })
    .await;
    let dial = livekit.dial_sip(&dial_request()).await.unwrap();
    assert!(matches!(dial, SipDial::Answered(p) if p.sid == "PA_1"));
    let [request] = server.requests().try_into().unwrap();
    assert_eq!(request.path, "/twirp/livekit.SIP/CreateSIPParticipant");
    assert_eq!(claims(&request)["sip"], json!({"call": true}));
    let message: proto::CreateSipParticipantRequest = request.message();
    assert!(message.wait_until_answered && !message.krisp_enabled);
    assert_eq!(message.sip_call_to, "+15550199999");
    assert_eq!(message.sip_number, "+15550100000");
    assert_eq!(message.participant_identity, "phone-+15550199999");
    // 300 s were asked for, but LiveKit gives up after 80 s and then tells nothing.
    assert_eq!(message.ringing_timeout.unwrap().seconds, 70);
    assert_eq!(message.max_call_duration.unwrap().seconds, 600);
    let required = i32::from(proto::SipMediaEncryption::SipMediaEncryptRequire);
    assert_eq!(message.media.unwrap().encryption, Some(required));
    let trunk = message.trunk.unwrap();
    assert_eq!(trunk.hostname, "acme.pstn.twilio.com");
    assert_eq!(trunk.from_host, "acme.example.com");
    assert_eq!(trunk.transport(), proto::SipTransport::Tls);
    assert_eq!((trunk.auth_username.as_str(), trunk.auth_password.as_str()), ("user", "password"));
}

#[tokio::test]
async fn a_dial_is_sent_once_whatever_happens() {
    let check = |reply: Reply, may_ring: Option<bool>| async move {
        let shown = format!("{reply:?}");
        let (server, livekit) = server(move |_| reply.clone()).await;
        // A connection that was used before must not be used again for a dial.
        livekit.leg(&room(), "x").await.ok();
        let result = livekit.dial_sip(&dial_request()).await;
        assert_eq!(result.err().map(|e| e.may_ring), may_ring, "{shown}");
        assert_eq!(server.count("CreateSIPParticipant"), 1, "{shown}");
    };
    check(Reply::close(), Some(true)).await;
    check(Reply::text(502, "bad gateway"), Some(true)).await;
    check(Reply::text(503, "no healthy upstream"), Some(true)).await;
    check(Reply::text(200, "<html>"), Some(true)).await;
    check(Reply::text(307, ""), Some(false)).await;
    check(Reply::text(404, ""), Some(false)).await;
    check(Reply::text(401, "invalid token"), Some(false)).await;
    check(Reply::error(403, "permission_denied", "", &[]), Some(false)).await;
    check(Reply::error(503, "unavailable", "x", &[]), None).await;
    check(Reply::error(500, "internal", "x", &[]), None).await;
    check(Reply::sip(503, "Service Unavailable"), None).await;

    let nobody = LiveKit::new(config("ws://127.0.0.1:1")).unwrap();
    let error = nobody.dial_sip(&dial_request()).await.unwrap_err();
    assert!(!error.may_ring);
    assert_eq!(error.error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_dial_without_an_answer_is_not_sent_again() {
    let server = FakeLiveKit::start(|_| Reply::never()).await.unwrap();
    let twirp = Twirp::new(&config(&server.url())).unwrap();
    let message = proto::CreateSipParticipantRequest::default();
    let result = twirp.dial(&message, Duration::from_millis(200)).await;
    let error = result.unwrap_err().into_error("dial");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_refused_dial_is_an_end_with_its_sip_code() {
    let (_server, livekit) = server(|_| Reply::sip(486, "Busy Here")).await;
    let refused = LegEnd::Refused(SipStatus { code: 486, reason: "Busy Here".into() });
    assert_eq!(livekit.dial_sip(&dial_request()).await.unwrap(), SipDial::Ended(refused));
}

#[tokio::test]
async fn a_dial_that_cannot_be_made_sends_nothing() {
    let (server, livekit) = server(|_| Reply::close()).await;
    let mut no_address = dial_request();
    no_address.trunk.address = None;
    let mut no_number = dial_request();
    no_number.from_number = None;
    for request in [no_address, no_number] {
        let error = livekit.dial_sip(&request).await.unwrap_err();
        assert_eq!(error.error.kind, ErrorKind::Refused);
        assert!(!error.may_ring);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn settings_are_checked() {
    let fault = |change: fn(&mut LiveKitConfig)| {
        let mut config = config("ws://127.0.0.1:7880");
        change(&mut config);
        LiveKit::new(config).unwrap_err().to_string()
    };
    for (text, setting) in [
        (fault(|c| c.url = "localhost".into()), "livekit.url"),
        (fault(|c| c.api_key = " ".into()), "livekit.api_key"),
        (fault(|c| c.api_secret = Secret::new("")), "livekit.api_secret"),
        (fault(|c| c.request_timeout = Duration::ZERO), "livekit.request_timeout"),
    ] {
        assert!(text.starts_with(setting), "{text}");
    }
    let livekit = LiveKit::new(config("ws://127.0.0.1:7880")).unwrap();
    assert!(!format!("{livekit:?}").contains(SECRET));
}
