//! `/livekit/webhook`.

use std::sync::Arc;

use actix_web::test::TestRequest;
use chrono::{DateTime, Utc};
use outdial_api::ApiOptions;
use outdial_domain::ports::RoomHints;
use outdial_domain::{Error, ErrorKind, Hint, LegEnd, Result, RoomName};

use crate::rig::{NEVER_ENDS, Rig, snapshot};

/// The signature is the word `good`; the body names the room whose callee has hung up.
struct Hints;

impl RoomHints for Hints {
    fn read(
        &self,
        authorization: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Option<(RoomName, Vec<Hint>)>> {
        if authorization != "good" {
            return Err(Error::new(ErrorKind::Refused, "livekit.webhook", "bad signature"));
        }
        let body = std::str::from_utf8(body).unwrap();
        if body == "garbage" {
            return Err(Error::new(ErrorKind::Corrupt, "livekit.webhook", "no event"));
        }
        let hint = Hint::Ended { at: now, end: LegEnd::CalleeHangup };
        Ok(body.parse().ok().map(|room| (room, vec![hint])))
    }
}

fn push(signature: &str, body: impl Into<actix_web::web::Bytes>) -> TestRequest {
    TestRequest::post()
        .uri("/livekit/webhook")
        .insert_header(("authorization", signature))
        .insert_header(("content-type", "application/webhook+json"))
        .set_payload(body)
}

#[tokio::test(start_paused = true)]
async fn signed_events_reach_the_call() {
    let hints = ApiOptions { room_hints: Some(Arc::new(Hints)), ..ApiOptions::default() };
    let rig = Rig::with(ApiOptions { rate_limit: None, ..hints }).await;
    let room = rig.place(NEVER_ENDS).await;
    rig.until(&room, "/status", "in_progress").await;

    rig.send(push("bad", room.clone())).await.fails(401, "unauthorized");
    let unsigned = TestRequest::post().uri("/livekit/webhook").set_payload(room.clone());
    rig.send(unsigned).await.fails(401, "unauthorized");
    rig.send(push("good", "garbage")).await.fails(400, "invalid_body");
    rig.send(push("good", vec![b'x'; 512 * 1024 + 1])).await.fails(413, "body_too_large");
    for other in ["about another room", "550e8400-e29b-41d4-a716-446655440000_abc123"] {
        snapshot!("livekit_webhook", rig.send(push("good", other)).await.expect(200));
    }
    let call = rig.get(&format!("/calls/{room}")).await.expect(200);
    assert_eq!(call["data"]["status"], "in_progress");

    rig.send(push("good", room.clone())).await.expect(200);
    let call = rig.until(&room, "/status", "ended").await;
    assert_eq!(call["data"]["end_reason"], "callee_hangup");
}

#[tokio::test(start_paused = true)]
async fn without_livekit_there_is_no_such_route() {
    let rig = Rig::new().await;
    rig.send(push("good", "x")).await.fails(404, "not_found");
}
