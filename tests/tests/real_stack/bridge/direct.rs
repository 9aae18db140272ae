//! A trunk with a password that is dialed without livekit-sip.

use outdial_tests::{Bridge, Callee, Challenge, Desk, End, Law, Leg, Stack, Transport, by_ear};
use serde_json::{Value, json};

use super::HUNG_UP;
use crate::NOBODY;

const WHO: (&str, &str) = ("outdial", "s3cret-s3cret");
const NUMBER: &str = "+15550200090";

/// Places a call to a callee that asks for credentials; gives the callee's side and whether they
/// were right.
async fn challenged(
    (callee, transport): (&Callee, Transport),
    by: Challenge,
    password: &str,
    assistant: Value,
) -> (Desk, String, Leg, bool) {
    let bridge = Bridge::shared().await;
    let address = callee.address();
    let trunk = (&*address, transport);
    let desk = Stack::get().direct(bridge, trunk, (WHO.0, password), assistant).await;
    let room = desk.place(NUMBER).await;
    let mut leg = callee.rings(NUMBER).await;
    let right = leg.challenge(by, WHO.0, WHO.1).await;
    (desk, room, leg, right)
}

async fn conversation(transport: Transport, by: Challenge) {
    by_ear(async |stack| {
        let callee = Callee::start(transport).await;
        let way = (&callee, transport);
        let (desk, room, mut leg, right) = challenged(way, by, WHO.1, json!({})).await;
        assert!(right, "{:?}", leg.invite);
        let caller = leg.invite.header("From");
        assert!(caller.contains("sip:+15550100000@"), "{caller}");
        leg.answer(Law::Pcmu).await;
        leg.media.hears_speech().await;
        leg.media.is_even();
        desk.has_lines(&room, 1).await;
        leg.hang_up().await;
        let record = stack.ends(&desk, &room, HUNG_UP).await;
        assert_eq!(record["transcript_status"], "complete");
        assert_eq!(record["recording"]["status"], "available");
        assert!(!callee.seen().join("\n").contains("s3cret"));
    })
    .await;
}

#[tokio::test]
async fn a_callee_asks_for_the_password_over_udp() {
    conversation(Transport::Udp, Challenge::Callee).await;
}

#[tokio::test]
async fn a_proxy_asks_for_the_password_over_tcp() {
    conversation(Transport::Tcp, Challenge::Proxy).await;
}

#[tokio::test]
async fn the_password_is_wrong() {
    let (_seat, stack) = (Stack::seat_without_agent().await, Stack::get());
    for (transport, by) in [(Transport::Udp, Challenge::Proxy), (Transport::Tcp, Challenge::Callee)]
    {
        let callee = Callee::start(transport).await;
        let nobody = json!({"agent_name": NOBODY});
        let way = (&callee, transport);
        let (desk, room, mut leg, right) = challenged(way, by, "wrong-wrong", nobody).await;
        assert!(!right);
        leg.deny(by).await;
        let code = if by == Challenge::Proxy { "407" } else { "401" };
        stack.ends(&desk, &room, End::because("failed", "sip", code)).await;
        assert_eq!(callee.calls(), 1);
    }
}
