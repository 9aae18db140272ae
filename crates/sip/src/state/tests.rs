use std::net::{IpAddr, Ipv4Addr};

use super::{Act, Happening, Machine};
use crate::{Answered, End, Event};

fn answer() -> Happening {
    Happening::Answer(Box::new(Answered {
        sdp: b"v=0".to_vec(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        call_id: "c".to_owned(),
        to_tag: "t".to_owned(),
        headers: Vec::new(),
    }))
}

fn provisional(code: u16, sdp: &str) -> Happening {
    Happening::Provisional { code, sdp: sdp.as_bytes().to_vec() }
}

fn bye() -> Happening {
    Happening::RemoteBye { reason: Some("Q.850;cause=16".to_owned()) }
}

fn word(act: &Act) -> String {
    match act {
        Act::Tell(Event::Ringing { code }) => format!("ringing {code}"),
        Act::Tell(Event::EarlyMedia { code, .. }) => format!("early {code}"),
        Act::Tell(Event::Answered(_)) => "answered".to_owned(),
        Act::Tell(other) => format!("{other:?}"),
        Act::Cancel => "CANCEL".to_owned(),
        Act::Bye => "BYE".to_owned(),
        Act::AwaitBye => "await".to_owned(),
        Act::Abandon => "abandon".to_owned(),
        Act::End(end) => format!("end {end:?}"),
    }
}

fn check(happenings: Vec<Happening>, expect: &[&str]) {
    let mut machine = Machine::new();
    let mut said = Vec::new();
    for happening in happenings {
        said.extend(machine.on(happening).iter().map(word));
    }
    assert_eq!(said, expect);
    let ends = said.iter().filter(|word| word.starts_with("end ")).count();
    assert!(ends <= 1, "{said:?}");
    assert_eq!(ends == 1, machine.is_over());
}

#[test]
fn a_call_is_answered_once_and_ended_by_whoever_is_first() {
    check(
        vec![
            provisional(100, ""),
            provisional(180, ""),
            provisional(183, "v=0"),
            answer(),
            answer(),
            bye(),
            Happening::HangUp,
            Happening::ConnectionLost,
        ],
        &[
            "ringing 180",
            "early 183",
            "answered",
            "end RemoteHangUp { reason: Some(\"Q.850;cause=16\") }",
        ],
    );
    check(
        vec![answer(), Happening::HangUp, Happening::HangUp, bye(), Happening::ByeDone],
        &["answered", "BYE", "end LocalHangUp"],
    );
    check(
        vec![answer(), Happening::HangUp, Happening::ByeDone],
        &["answered", "BYE", "end LocalHangUp"],
    );
    check(
        vec![answer(), Happening::ConnectionLost, bye()],
        &["answered", "abandon", "end ConnectionLost"],
    );
    check(
        vec![answer(), Happening::Expired("no ACK".to_owned()), Happening::ByeDone],
        &["answered", "BYE", "end Protocol { what: \"no ACK\" }"],
    );
    check(
        vec![answer(), Happening::HangUp, Happening::ConnectionLost],
        &["answered", "BYE", "abandon", "end LocalHangUp"],
    );
}

#[test]
fn a_cancelled_call_is_never_answered() {
    check(
        vec![Happening::HangUp, Happening::Failed(End::NoAnswerFromServer)],
        &["CANCEL", "end Cancelled"],
    );
    check(
        vec![
            provisional(180, ""),
            Happening::HangUp,
            provisional(183, "v=0"),
            answer(),
            Happening::ByeDone,
        ],
        &["ringing 180", "CANCEL", "BYE", "end Cancelled"],
    );
    check(
        vec![Happening::HangUp, Happening::AnswerAfterCancel, Happening::ByeDone],
        &["CANCEL", "await", "end Cancelled"],
    );
    check(
        vec![Happening::HangUp, Happening::GuardExpired, answer()],
        &["CANCEL", "end Cancelled", "BYE"],
    );
    check(
        vec![Happening::HangUp, Happening::ConnectionLost],
        &["CANCEL", "abandon", "end Cancelled"],
    );
}

#[test]
fn a_call_without_an_answer_ends_with_its_cause() {
    check(vec![Happening::Failed(End::NoAnswerFromServer)], &["end NoAnswerFromServer"]);
    check(vec![Happening::ConnectionLost, answer()], &["abandon", "end ConnectionLost", "BYE"]);
    check(
        vec![Happening::Broken(End::Protocol { what: "x".to_owned() })],
        &["abandon", "end Protocol { what: \"x\" }"],
    );
}

/// Whatever comes in whatever order: one end at most, nothing told after it, no answer told after our hang-up.
#[test]
fn any_order() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|order| {
        let mut machine = Machine::new();
        let (mut ended, mut hung_up) = (false, false);
        for step in order {
            let happening = match step % 11 {
                0 => provisional(180, ""),
                1 => provisional(183, "v=0"),
                2 => answer(),
                3 => Happening::AnswerAfterCancel,
                4 => Happening::Failed(End::ConnectionLost),
                5 => Happening::HangUp,
                6 => bye(),
                7 => Happening::ConnectionLost,
                8 => Happening::Expired(String::new()),
                9 => Happening::GuardExpired,
                _ => Happening::ByeDone,
            };
            hung_up |= matches!(happening, Happening::HangUp);
            for act in machine.on(happening) {
                match act {
                    Act::Tell(Event::Answered(_)) => assert!(!ended && !hung_up),
                    Act::Tell(_) => assert!(!ended),
                    Act::End(_) => {
                        assert!(!ended);
                        ended = true;
                    }
                    _ => {}
                }
            }
            assert_eq!(ended, machine.is_over());
        }
    });
}
