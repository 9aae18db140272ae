//! Calls that come to nothing: each has its outcome, its cause, and one webhook.

use std::pin::Pin;

use futures_util::future::join_all;
use outdial_tests::{Bridge, Callee, Desk, End, Law, Leg, Media, Say, Stack, Transport};
use serde_json::{Value, json};

use super::{HUNG_UP, national};
use crate::NOBODY;

/// Nobody waits for long: one server for all of them.
const IMPATIENT: [(&str, &str); 2] =
    [("calls.ringing_timeout", "4s"), ("sip.no_media_timeout", "4s")];

type Play<'a> = Pin<Box<dyn Future<Output = Leg> + 'a>>;
/// What the callee does; it may use the desk to hang up.
type Script = for<'a> fn(Leg, &'a Desk, &'a str) -> Play<'a>;

struct Case {
    name: &'static str,
    end: End,
    script: Script,
}

/// A final response; the INVITE is not sent anywhere else.
macro_rules! refused {
    ($end:expr, $code:expr, $phrase:expr $(, $more:expr)*) => {
        Case {
            name: $phrase,
            end: $end,
            script: |mut leg, _, _| Box::pin(async move {
                leg.refuse(($code, $phrase), &[$($more),*]).await;
                leg
            }),
        }
    };
}

fn refusals() -> Vec<Case> {
    vec![
        refused!(End::passing("busy", "sip", "486"), 486, "Busy Here"),
        refused!(End::passing("busy", "sip", "600"), 600, "Busy Everywhere"),
        refused!(End::because("rejected", "sip", "603"), 603, "Decline"),
        refused!(End::passing("no_answer", "sip", "480"), 480, "Temporarily Unavailable"),
        refused!(End::because("unreachable", "sip", "404"), 404, "Not Found"),
        refused!(End::because("rejected", "sip", "403"), 403, "Forbidden"),
        refused!(End::because("unreachable", "sip", "484"), 484, "Address Incomplete"),
        refused!(End::passing("failed", "sip", "500"), 500, "Server Internal Error"),
        refused!(
            End::passing("failed", "sip", "503"),
            503,
            "Service Unavailable",
            ("Retry-After", "7")
        ),
        refused!(End::passing("throttled", "sip", "503"), 503, "Trunk CPS limit exceeded"),
        refused!(
            End::because("failed", "sip", "302"),
            302,
            "Moved Temporarily",
            ("Contact", "<sip:other@127.0.0.1:9>")
        ),
    ]
}

fn silences() -> Vec<Case> {
    vec![
        Case {
            name: "180, then silence",
            end: End::because("no_answer", "sip", "ring_timeout"),
            script: |mut leg, _, _| {
                Box::pin(async move {
                    leg.ring().await;
                    leg.is_canceled().await;
                    leg
                })
            },
        },
        Case {
            name: "100, then hung up by the API",
            end: End::because("canceled", "api", "hangup"),
            script: |mut leg, desk, room| {
                Box::pin(async move {
                    leg.respond(&leg.invite, (100, "Trying"), &[], None).await;
                    desk.api.hang_up(room).await.data();
                    leg.is_canceled().await;
                    leg
                })
            },
        },
        Case {
            name: "a 200 that crosses the CANCEL",
            end: End::because("canceled", "api", "hangup"),
            script: |mut leg, desk, room| {
                Box::pin(async move {
                    leg.ring().await;
                    desk.api.hang_up(room).await.data();
                    let cancel = leg.wants("CANCEL").await;
                    leg.respond(&cancel, (200, "OK"), &[], None).await;
                    let sdp = leg.sdp(Law::Pcma, "sendrecv");
                    leg.answer_with(Some(&sdp)).await;
                    leg.is_hung_up().await;
                    leg
                })
            },
        },
        Case {
            name: "no sound after the answer",
            end: End::completed("media_timeout"),
            script: |mut leg, _, _| {
                Box::pin(async move {
                    leg.media.say(Say::Nothing);
                    leg.answer(Law::Pcma).await;
                    leg.is_hung_up().await;
                    leg
                })
            },
        },
    ]
}

fn answers() -> Vec<Case> {
    vec![
        Case {
            name: "183 with one SDP, 200 with another",
            end: HUNG_UP,
            script: |mut leg, desk, room| {
                Box::pin(async move {
                    let early = Media::start();
                    let map = "a=rtpmap:0 PCMU/8000\r\n";
                    let sdp = leg.sdp_with(early.port(), "0 101", map, "sendrecv");
                    leg.respond(&leg.invite, (183, "Progress"), &[], Some(&sdp)).await;
                    desk.reaches(room, "ringing").await;
                    leg.answer(Law::Pcma).await;
                    leg.media.hears(20).await;
                    assert_eq!(early.heard().len(), 0);
                    leg.hang_up().await;
                    leg
                })
            },
        },
        Case {
            name: "200 without SDP",
            end: End::because("failed", "sip", "no_audio"),
            script: |mut leg, _, _| {
                Box::pin(async move {
                    leg.answer_with(None).await;
                    leg.is_hung_up().await;
                    leg
                })
            },
        },
        Case {
            name: "200 with G.729 only",
            end: End::because("failed", "sip", "no_common_codec"),
            script: |mut leg, _, _| {
                Box::pin(async move {
                    let map = "a=rtpmap:18 G729/8000\r\n";
                    let sdp = leg.sdp_with(leg.media.port(), "18", map, "sendrecv");
                    leg.answer_with(Some(&sdp)).await;
                    leg.is_hung_up().await;
                    leg
                })
            },
        },
        Case {
            name: "hung up in the same breath",
            end: HUNG_UP,
            script: |mut leg, _, _| {
                Box::pin(async move {
                    leg.answer(Law::Pcmu).await;
                    leg.hang_up().await;
                    leg
                })
            },
        },
    ]
}

async fn play(case: &Case, desk: &Desk, callee: &Callee, number: &str, user: &str) {
    eprintln!("{}: {number}", case.name);
    let (room, leg) = tokio::join!(desk.place_anyhow(number), async { callee.rings(user).await });
    let leg = (case.script)(leg, desk, &room).await;
    let record = Stack::get().ends(desk, &room, case.end).await;
    if record["answered_at"] == Value::Null {
        assert_eq!(leg.media.heard().len(), 0, "{}: spoken to before the answer", case.name);
        assert_eq!(record["call_duration_minutes"], 0.0, "{}", case.name);
    }
    // The leg is kept until here: what it is sent late would be seen.
    drop(leg);
}

fn cases() -> Vec<Case> {
    [refusals(), silences(), answers()].into_iter().flatten().collect()
}

fn nobody() -> Value {
    json!({"agent_name": NOBODY})
}

#[tokio::test]
async fn over_exotel() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let port = stack.webhook_port().await;
    let bridge = Bridge::start_at(port.number, &IMPATIENT).await;
    let callee = Callee::start(Transport::Tcp).await;
    let desk = stack.exotel(&bridge, &callee.address(), nobody()).await;
    let cases = cases();
    let plays = cases.iter().enumerate().map(async |(index, case)| {
        let number = format!("+9180443193{index:02}");
        play(case, &desk, &callee, &number, &national(&number)).await;
    });
    join_all(plays.map(Box::pin)).await;
    assert_eq!(callee.calls(), cases.len(), "each was dialed once");
    // The discard service: nowhere in use.
    let desk = stack.exotel(&bridge, "127.0.0.1:9", nobody()).await;
    let room = desk.place_anyhow("+918044319399").await;
    stack.ends(&desk, &room, End::passing("unreachable", "sip", "connection_failed")).await;
}

#[tokio::test]
async fn over_udp() {
    let (_seat, stack) = (Stack::seat().await, Stack::get());
    let bridge = Bridge::start(&IMPATIENT).await;
    let callee = Callee::start(Transport::Udp).await;
    let address = callee.address();
    let who = ("outdial", "s3cret-s3cret");
    let desk = stack.direct(&bridge, (&address, Transport::Udp), who, nobody()).await;
    let cases = cases();
    let plays = cases.iter().enumerate().map(async |(index, case)| {
        let number = format!("+155502004{index:02}");
        play(case, &desk, &callee, &number, &number).await;
    });
    join_all(plays.map(Box::pin)).await;
    assert_eq!(callee.calls(), cases.len(), "each was dialed once");
}
