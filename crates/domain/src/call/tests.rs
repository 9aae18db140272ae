use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::Digit;

fn t(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn order() -> Order {
    let assistant_id = AssistantId::random();
    let to_number: E164 = "+15550100000".parse().unwrap();
    Order {
        room_name: RoomName::new(CallService::Twilio, assistant_id, &to_number),
        account_id: AccountId::random(),
        assistant_id,
        assistant_name: "a".into(),
        agent_name: "agent".into(),
        assistant_prompt: String::new(),
        assistant_start_instruction: String::new(),
        agent_config: Value::Null,
        recording: true,
        end_call_url: None,
        webhook_secrets: Vec::new(),
        trunk_id: TrunkId::random(),
        route: Route::Sandbox,
        call_service: CallService::Twilio,
        to_number,
        from_number: None,
        metadata: Map::new(),
        placeholders: PlaceholderReport::default(),
        max_concurrent_calls: None,
        max_duration_secs: 60,
        created_at: t(100),
    }
}

fn started() -> Call {
    let mut call = Call::new(order());
    call.started_at = Some(t(101));
    call
}

fn participant() -> Participant {
    Participant { sid: "PA_1".into(), identity: "phone-+15550100000".into() }
}

fn closed_after(base: &Call, hints: &[Hint]) -> Call {
    let mut call = base.clone();
    for hint in hints {
        call.apply(hint);
    }
    call.close(t(10_000));
    call
}

#[test]
fn a_call_from_queue_to_hang_up() {
    let mut call = Call::new(order());
    assert_eq!(call.status(), Status::Queued);
    call.started_at = Some(t(101));
    assert_eq!(call.status(), Status::Starting);
    assert!(call.apply(&Hint::Joined { at: t(102), participant: Some(participant()) }));
    assert_eq!(call.status(), Status::Dialing);
    assert!(call.apply(&Hint::Ringing { at: t(103) }));
    assert!(!call.apply(&Hint::Ringing { at: t(104) }), "a repetition is nothing new");
    assert_eq!(call.status(), Status::Ringing);
    call.apply(&Hint::Answered { at: t(110) });
    assert_eq!(call.status(), Status::InProgress);
    call.apply(&Hint::Ended { at: t(170), end: LegEnd::CalleeHangup });
    call.close(t(171));
    assert_eq!(call.status(), Status::Ended);
    let end = call.termination.clone().unwrap();
    assert_eq!((end.outcome, end.end_reason), (Outcome::Completed, Some(EndReason::CalleeHangup)));
    assert_eq!((call.ended_at, call.talk_secs()), (Some(t(170)), 60.0));
    assert_eq!(call.timeline().len(), 6);
}

#[test]
fn a_missed_answer_is_made_up_at_the_end() {
    let call = closed_after(&started(), &[Hint::Ended { at: t(170), end: LegEnd::CalleeHangup }]);
    assert_eq!(call.facts.answered_at, Some(t(170)));
    assert_eq!(call.talk_secs(), 0.0);
}

#[test]
fn durations_are_minutes_to_four_decimals() {
    for (millis, expect) in [(330_000, 5.5), (0, 0.0), (1_000, 0.0167), (100_123, 1.6687)] {
        let answered = Hint::Answered { at: t(110) };
        let at = t(110) + TimeDelta::milliseconds(millis);
        let ended = Hint::Ended { at, end: LegEnd::CalleeHangup };
        assert_eq!(closed_after(&started(), &[answered, ended]).talk_minutes(), expect);
    }
}

#[test]
fn the_first_decision_to_hang_up_stands() {
    let mut call = started();
    assert!(call.decide_hang_up(t(105), HangUpReason::Api));
    assert!(!call.decide_hang_up(t(104), HangUpReason::MaxDuration));
    call.apply(&Hint::Ended { at: t(106), end: LegEnd::Removed });
    call.close(t(106));
    assert_eq!(call.termination.clone().unwrap().outcome, Outcome::Canceled);
    assert!(!call.decide_hang_up(t(107), HangUpReason::Api), "a closed call takes no decision");
}

#[test]
fn a_record_of_before_the_counts_of_media_loads() {
    let call = closed_after(&started(), &[Hint::Answered { at: t(110) }]);
    let mut json = serde_json::to_value(&call).unwrap();
    json["facts"].as_object_mut().unwrap().remove("media").unwrap();
    assert_eq!(serde_json::from_value::<Call>(json).unwrap(), call);
}

#[test]
fn whoever_has_counted_most_is_believed() {
    let mut call = started();
    let counted = |packets_received, jitter_us| Hint::Media {
        quality: MediaQuality { packets_received, jitter_us, ..Default::default() },
    };
    assert!(call.apply(&counted(100, 9)));
    assert!(!call.apply(&counted(50, 20)), "an earlier count came late");
    assert!(call.apply(&counted(150, 3)));
    assert_eq!(call.facts.media.map(|media| media.jitter_us), Some(3));
}

#[test]
fn fields_of_a_newer_version_survive() {
    let mut json = serde_json::to_value(started()).unwrap();
    json["from_the_future"] = serde_json::json!({"x": [1, 2]});
    let call: Call = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(call).unwrap(), json);
}

fn leg_end() -> impl Strategy<Value = LegEnd> {
    prop_oneof![
        (300u16..700).prop_map(|code| LegEnd::Refused(SipStatus { code, reason: "r".into() })),
        Just(LegEnd::Failed {
            outcome: Outcome::Failed,
            cause: Cause::new(Layer::Livekit, "x", "y")
        }),
        Just(LegEnd::CalleeHangup),
        Just(LegEnd::MediaTimeout),
        Just(LegEnd::RingTimeout),
        Just(LegEnd::Removed),
        Just(LegEnd::Lost),
        Just(LegEnd::Unavailable),
        Just(LegEnd::Rejected),
        Just(LegEnd::Aborted),
        Just(LegEnd::Left),
        Just(LegEnd::Gone),
    ]
}

fn media() -> impl Strategy<Value = MediaQuality> {
    let one_way = prop::option::of(prop_oneof![
        Just(OneWay::CalleeNotHeard),
        Just(OneWay::CalleeHearsNothing),
    ]);
    // Few values, so that counts tie.
    let few = || 0u64..4;
    let counts = (few(), few(), few(), few(), few(), few(), few());
    (counts, prop::option::of(few()), one_way).prop_map(|(counts, round_trip_us, one_way)| {
        let (packets_received, packets_sent, packets_lost, remote_packets_lost, ..) = counts;
        let (.., discarded, jitter_us, max_jitter_us) = counts;
        MediaQuality {
            packets_received,
            packets_sent,
            packets_lost,
            remote_packets_lost,
            discarded,
            jitter_us,
            max_jitter_us,
            round_trip_us,
            one_way,
        }
    })
}

fn hint() -> impl Strategy<Value = Hint> {
    // Times from before the call's creation too: other machines' clocks.
    let at = || (90i64..200).prop_map(t);
    prop_oneof![
        at().prop_map(|at| Hint::Joined { at, participant: Some(participant()) }),
        at().prop_map(|at| Hint::Joined { at, participant: None }),
        at().prop_map(|at| Hint::Ringing { at }),
        at().prop_map(|at| Hint::Answered { at }),
        (at(), leg_end()).prop_map(|(at, end)| Hint::Ended { at, end }),
        at().prop_map(|at| Hint::AgentJoined { at }),
        at().prop_map(|at| Hint::AgentLeft { at }),
        at().prop_map(|at| Hint::Held { at }),
        at().prop_map(|at| Hint::Resumed { at }),
        (at(), 0u8..16)
            .prop_map(|(at, code)| Hint::Dtmf { at, digit: Digit::from_code(code).unwrap() }),
        media().prop_map(|quality| Hint::Media { quality }),
    ]
}

#[test]
fn a_call_is_held_from_a_hold_to_its_end_while_it_is_in_progress() {
    let (held, resumed) = (|at| Hint::Held { at: t(at) }, |at| Hint::Resumed { at: t(at) });
    let answered = Hint::Answered { at: t(110) };
    let ended = Hint::Ended { at: t(140), end: LegEnd::CalleeHangup };
    for (hints, expect) in [
        (vec![held(120)], false),
        (vec![answered.clone()], false),
        (vec![answered.clone(), held(120)], true),
        (vec![answered.clone(), held(120), resumed(125)], false),
        (vec![answered.clone(), resumed(125), held(120)], false),
        (vec![answered.clone(), held(120), resumed(125), held(130)], true),
        (vec![answered, held(120), ended], false),
    ] {
        let mut call = started();
        for hint in &hints {
            call.apply(hint);
        }
        assert_eq!(call.is_held(), expect, "{hints:?}");
    }
}

/// As they were stored before holds were.
#[test]
fn facts_without_holds_are_read() {
    let mut stored = serde_json::to_value(Facts::default()).unwrap();
    for key in ["held_at", "resumed_at"] {
        assert!(stored.as_object_mut().unwrap().remove(key).is_some());
    }
    assert_eq!(serde_json::from_value::<Facts>(stored).unwrap(), Facts::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn order_and_repetition_of_hints_do_not_matter(
        (hints, shuffled) in prop::collection::vec(hint(), 0..10).prop_flat_map(|hints| {
            let doubled: Vec<Hint> = hints.iter().chain(&hints).cloned().collect();
            (Just(hints), Just(doubled).prop_shuffle())
        }),
        hang_up in any::<bool>(),
    ) {
        let mut base = started();
        if hang_up {
            base.decide_hang_up(t(150), HangUpReason::Api);
        }
        prop_assert_eq!(closed_after(&base, &hints), closed_after(&base, &shuffled));
    }

    #[test]
    fn a_look_that_knows_what_was_lost_makes_good_for_any_loss(
        (hints, kept) in prop::collection::vec(hint(), 0..10).prop_flat_map(|hints| {
            let kept = prop::sample::subsequence(hints.clone(), 0..=hints.len()).prop_shuffle();
            (Just(hints), kept)
        }),
    ) {
        let base = started();
        let whole = closed_after(&base, &hints);
        // What a look reports is itself a set of hints.
        let looked: Vec<Hint> = kept.into_iter().chain(hints).collect();
        prop_assert_eq!(closed_after(&base, &looked), whole);
    }

    #[test]
    fn two_halves_of_the_hints_absorb_into_the_whole(
        (hints, some) in prop::collection::vec(hint(), 0..10).prop_flat_map(|hints| {
            let some = prop::sample::subsequence(hints.clone(), 0..=hints.len());
            (Just(hints), some)
        }),
    ) {
        let facts = |hints: &[Hint]| {
            let mut facts = Facts::default();
            for hint in hints {
                facts.merge(hint);
            }
            facts
        };
        let (mut one, mut other) = (facts(&some), facts(&hints));
        other.absorb(&one);
        one.absorb(&facts(&hints));
        prop_assert_eq!(&one, &facts(&hints));
        prop_assert_eq!(&other, &one);
    }

    #[test]
    fn an_ended_call_never_changes(hints in prop::collection::vec(hint(), 0..6), late in prop::collection::vec(hint(), 1..6)) {
        let closed = closed_after(&started(), &hints);
        let mut after = closed.clone();
        for hint in &late {
            prop_assert!(!after.apply(hint));
        }
        after.close(t(99_999));
        prop_assert_eq!(after, closed);
    }

    #[test]
    fn times_are_in_order_and_the_status_never_goes_back(hints in prop::collection::vec(hint(), 0..10)) {
        let mut call = started();
        let mut last = call.status();
        for hint in &hints {
            call.apply(hint);
            prop_assert!(call.status() >= last);
            last = call.status();
        }
        call.close(t(300));
        let times: Vec<_> = call.timeline().into_iter().map(|(_, at)| at).collect();
        prop_assert!(times.is_sorted());
        prop_assert_eq!(call.status(), Status::Ended);
        prop_assert!(call.talk_secs() >= 0.0);
        prop_assert_eq!(serde_json::from_value::<Call>(serde_json::to_value(&call).unwrap()).unwrap(), call);
    }
}

/// What an older program wrote of a call lacks the newer fields; empty ones are left out, so that an
/// older program gets back what it knows.
#[test]
fn newer_fields_are_left_out_when_empty() {
    let mut call = started();
    for _ in 0..2 {
        let text = serde_json::to_string(&call).unwrap();
        assert_eq!(text.contains("captured_by"), !call.captured_by.is_empty());
        assert_eq!(text.contains("\"attention\""), call.attention);
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), call);
        call.captured_by = vec![NodeId::random()];
        call.attention = true;
    }
}
