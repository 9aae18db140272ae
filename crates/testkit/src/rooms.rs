//! The conformance suite of [`Rooms`] and [`Provider`], for a pair that works on the same rooms.
//!
//! [`all`] runs everything; each rule is a function of its own, so that a failing one can be run
//! alone. A broken rule panics with a message that says what was expected. Real phones may be
//! behind the numbers: every rule dials at most twice and deletes its rooms.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use outdial_domain::ports::{
    DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Provider, RoomLook, Rooms, TrunkAccess,
};
use outdial_domain::{
    AssistantId, CallService, Digits, E164, EndReason, ErrorKind, Facts, HangUpReason, Hint,
    LegEnd, Outcome, RoomName, Termination,
};
use serde_json::json;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep, timeout};

/// What is to be tested, and whom it may call.
#[derive(Clone)]
pub struct Fixture {
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
    /// The provider, which dials into these rooms.
    pub provider: Arc<dyn Provider>,
    /// The form of the rooms' names.
    pub call_service: CallService,
    /// The trunk to dial through.
    pub trunk: TrunkAccess,
    /// The caller id.
    pub from_number: Option<E164>,
    /// A number that is answered and stays on the line until it is hung up.
    pub answers: E164,
    /// A number whose network refuses the call, and the SIP code it does so with.
    pub refuses: Option<(E164, u16)>,
    /// An agent that comes when it is dispatched; without one that rule is left out.
    pub agent_name: Option<String>,
    /// How long anything may take that is not immediate.
    pub patience: Duration,
}

/// Runs every rule, one after the other.
pub async fn all(fixture: &Fixture) {
    rooms_check(fixture).await;
    creating_twice_changes_nothing(fixture).await;
    a_missing_room_is_no_error(fixture).await;
    a_deleted_room_is_gone(fixture).await;
    a_dispatched_agent_comes(fixture).await;
    a_dialled_leg_joins_under_its_identity(fixture).await;
    an_answer_is_told_and_seen(fixture).await;
    a_hung_up_leg_ends(fixture).await;
    a_leg_is_canceled_before_the_answer(fixture).await;
    digits_reach_an_answered_leg_only(fixture).await;
    another_identity_is_left_alone(fixture).await;
    another_room_is_left_alone(fixture).await;
    deleting_the_room_ends_the_leg(fixture).await;
    a_dropped_receiver_is_borne(fixture).await;
    a_refusal_keeps_its_code(fixture).await;
}

/// [`Rooms::check`] succeeds, or nothing else could.
pub async fn rooms_check(fixture: &Fixture) {
    fixture.rooms.check().await.expect("check");
}

/// A second [`Rooms::create`] succeeds, and a new room is empty.
pub async fn creating_twice_changes_nothing(fixture: &Fixture) {
    let room = fixture.room(&fixture.answers);
    for _ in 0..2 {
        fixture.rooms.create(&room).await.expect("create");
        let look = fixture.rooms.look(&room).await.expect("look");
        assert_eq!(look, Some(RoomLook::default()), "a new room is empty");
    }
    fixture.delete(&room).await;
}

/// Looking at, hanging up in and deleting a room that never was all succeed.
pub async fn a_missing_room_is_no_error(fixture: &Fixture) {
    let room = fixture.room(&fixture.answers);
    let look = fixture.rooms.look(&room).await.expect("look");
    assert_eq!(look, None, "there is no such room");
    let leg = fixture.look_at_leg(&room, &fixture.answers).await;
    assert_eq!(leg, LegLook::Absent, "there is no such leg");
    fixture.hang_up(&room, &fixture.answers).await;
    fixture.delete(&room).await;
}

/// After [`Rooms::delete`] the room is gone; deleting it again succeeds.
pub async fn a_deleted_room_is_gone(fixture: &Fixture) {
    let room = fixture.room(&fixture.answers);
    fixture.rooms.create(&room).await.expect("create");
    fixture.delete(&room).await;
    fixture.room_goes(&room).await;
    fixture.delete(&room).await;
}

/// [`Rooms::dispatch`] gives an id, and the agent is seen in the room some time later.
pub async fn a_dispatched_agent_comes(fixture: &Fixture) {
    if fixture.agent_name.is_none() {
        return;
    }
    let room = fixture.room(&fixture.answers);
    fixture.rooms.create(&room).await.expect("create");
    fixture.dispatch(&room).await;
    fixture
        .eventually("the agent is in the room", async || {
            let look = fixture.rooms.look(&room).await.expect("look");
            look.is_some_and(|look| look.agent)
        })
        .await;
    fixture.delete(&room).await;
}

/// A dial joins, the participant bears the requested identity, and both looks show it.
pub async fn a_dialled_leg_joins_under_its_identity(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, _hints) = fixture.place(number).await;
    fixture.leg_comes(&room, number).await;
    fixture
        .eventually("the room's look names the leg", async || {
            let look = fixture.rooms.look(&room).await.expect("look");
            look.is_some_and(|look| look.others.contains(&identity(number)))
        })
        .await;
    fixture.delete(&room).await;
}

/// The answer comes as a hint, and a look shows it from then on.
pub async fn an_answer_is_told_and_seen(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, mut hints) = fixture.place(number).await;
    let facts = fixture.answered(&mut hints).await;
    assert!(facts.ringing_at <= facts.answered_at, "it does not ring after the answer: {facts:?}");
    fixture
        .eventually("a look shows the answer", async || fixture.is_answered(&room, number).await)
        .await;
    fixture.delete(&room).await;
}

/// After [`Provider::hang_up`] the end is told, the leg is absent, and hanging up again succeeds.
pub async fn a_hung_up_leg_ends(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, mut hints) = fixture.place(number).await;
    let mut facts = fixture.answered(&mut hints).await;
    fixture.hang_up(&room, number).await;
    fixture.hang_up(&room, number).await;
    fixture.ended(&mut hints, &mut facts).await;
    check_api_hangup(&facts);
    fixture.leg_goes(&room, number).await;
    fixture.hang_up(&room, number).await;
    fixture.delete(&room).await;
}

/// [`Provider::send_dtmf`] succeeds once the leg is answered; before that it is a conflict, and
/// without a leg nothing is found.
pub async fn digits_reach_an_answered_leg_only(fixture: &Fixture) {
    let number = &fixture.answers;
    let room = fixture.room(number);
    assert_eq!(fixture.dtmf(&room, number).await, Err(ErrorKind::NotFound), "there is no leg");

    let (room, mut hints) = fixture.place(number).await;
    match fixture.dtmf(&room, number).await {
        Err(kind) => assert_eq!(kind, ErrorKind::Conflict, "the leg is not answered yet"),
        // The answer was quicker: then the hints say so.
        Ok(()) => assert!(fixture.is_answered(&room, number).await, "digits before the answer"),
    }
    fixture.answered(&mut hints).await;
    fixture
        .eventually("digits are taken after the answer", async || {
            fixture.dtmf(&room, number).await.is_ok()
        })
        .await;
    let nobody = fixture.provider.send_dtmf(&room, "phone-nobody", &digits()).await;
    assert_eq!(nobody.map_err(|error| error.kind), Err(ErrorKind::NotFound), "nobody is there");

    fixture.hang_up(&room, number).await;
    fixture.leg_goes(&room, number).await;
    assert_eq!(fixture.dtmf(&room, number).await, Err(ErrorKind::NotFound), "the leg is gone");
    fixture.delete(&room).await;
}

/// A leg can be hung up as soon as it was dialled: it ends as cancelled (or, if the answer was
/// quicker, as hung up).
pub async fn a_leg_is_canceled_before_the_answer(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, mut hints) = fixture.place(number).await;
    fixture.hang_up(&room, number).await;
    let mut facts = Facts::default();
    fixture.ended(&mut hints, &mut facts).await;
    check_api_hangup(&facts);
    fixture.leg_goes(&room, number).await;
    fixture.delete(&room).await;
}

/// Hanging up an identity that is not there succeeds and ends nobody else's leg.
pub async fn another_identity_is_left_alone(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, mut hints) = fixture.place(number).await;
    fixture.answered(&mut hints).await;
    let provider = &fixture.provider;
    let hung_up = provider.hang_up(&room, "phone-nobody").await;
    hung_up.expect("hanging up nobody");
    let nobody = provider.look(&room, "phone-nobody").await;
    assert_eq!(nobody.expect("look"), LegLook::Absent, "nobody is there");
    fixture.leg_comes(&room, number).await;
    fixture.delete(&room).await;
}

/// Hanging up in one room does not touch a leg of the same identity in another one.
pub async fn another_room_is_left_alone(fixture: &Fixture) {
    let number = &fixture.answers;
    let (first, mut first_hints) = fixture.place(number).await;
    let (second, mut second_hints) = fixture.place(number).await;
    fixture.answered(&mut first_hints).await;
    fixture.answered(&mut second_hints).await;
    fixture.hang_up(&first, number).await;
    fixture.leg_goes(&first, number).await;
    fixture.leg_comes(&second, number).await;
    fixture.delete(&first).await;
    fixture.delete(&second).await;
}

/// [`Rooms::delete`] ends the leg, and its end is told.
pub async fn deleting_the_room_ends_the_leg(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, mut hints) = fixture.place(number).await;
    let mut facts = fixture.answered(&mut hints).await;
    fixture.delete(&room).await;
    fixture.ended(&mut hints, &mut facts).await;
    check_api_hangup(&facts);
    fixture.leg_goes(&room, number).await;
    fixture.room_goes(&room).await;
}

/// When nobody listens any more, everything else still works.
pub async fn a_dropped_receiver_is_borne(fixture: &Fixture) {
    let number = &fixture.answers;
    let (room, hints) = fixture.place(number).await;
    drop(hints);
    fixture.hang_up(&room, number).await;
    fixture.leg_goes(&room, number).await;
    fixture.delete(&room).await;
    fixture.room_goes(&room).await;
}

/// A refused leg ends with the SIP code, whether the dial itself says so or a hint.
pub async fn a_refusal_keeps_its_code(fixture: &Fixture) {
    let Some((number, code)) = &fixture.refuses else {
        return;
    };
    let room = fixture.room(number);
    fixture.rooms.create(&room).await.expect("create");
    let (dialed, mut hints) = fixture.dial(&room, number).await;
    let end = match dialed {
        Dialed::Ended(end) => end,
        Dialed::Joined(_) => {
            let mut facts = Facts::default();
            fixture.ended(&mut hints, &mut facts).await;
            assert_eq!(facts.answered_at, None, "a refused leg was answered");
            facts.leg_end.expect("the end was told")
        }
    };
    match end {
        LegEnd::Refused(status) => assert_eq!(status.code, *code, "{status:?}"),
        other => panic!("expected a refusal with {code}, the leg ended as {other:?}"),
    }
    fixture.leg_goes(&room, number).await;
    fixture.delete(&room).await;
}

fn digits() -> Digits {
    "1w#".parse().expect("digits")
}

fn identity(number: &E164) -> String {
    format!("phone-{number}")
}

/// The end must be one that our own decision to hang up can explain.
fn check_api_hangup(facts: &Facts) {
    let end = facts.leg_end.as_ref().expect("the end was told");
    let answered = facts.answered_at.is_some();
    let got = Termination::derive(end, answered, Some(&HangUpReason::Api));
    let expect = match answered {
        true => (Outcome::Completed, Some(EndReason::ApiHangup)),
        false => (Outcome::Canceled, None),
    };
    assert_eq!((got.outcome, got.end_reason), expect, "{facts:?}");
}

impl Fixture {
    async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !holds().await {
            assert!(Instant::now() < deadline, "not within {:?}: {what}", self.patience);
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn room(&self, number: &E164) -> RoomName {
        RoomName::new(self.call_service, AssistantId::random(), number)
    }

    async fn dispatch(&self, room: &RoomName) {
        let Some(agent_name) = self.agent_name.clone() else {
            return;
        };
        let metadata = json!({
            "assistant_start_instruction": "Say: Hello, this is a test.",
            "call": {"room_name": room.as_str(), "to_number": self.answers.as_str()},
        });
        let request = DispatchRequest { agent_name, metadata };
        let id = self.rooms.dispatch(room, &request).await.expect("dispatch");
        assert!(!id.is_empty(), "a dispatch has an id");
    }

    async fn dial(&self, room: &RoomName, number: &E164) -> (Dialed, Receiver<Hint>) {
        let (sink, hints) = HintSink::channel(32);
        let request = DialRequest {
            room_name: room.clone(),
            participant_identity: identity(number),
            to_number: number.clone(),
            from_number: self.from_number.clone(),
            trunk: self.trunk.clone(),
            ringing_timeout: Duration::from_secs(60),
            max_duration: Duration::from_secs(300),
        };
        let dialed = self.provider.dial(request, sink);
        (self.in_time("dial", dialed).await.expect("dial"), hints)
    }

    /// Places a call that joins.
    async fn place(&self, number: &E164) -> (RoomName, Receiver<Hint>) {
        let room = self.room(number);
        self.rooms.create(&room).await.expect("create");
        self.dispatch(&room).await;
        let (dialed, hints) = self.dial(&room, number).await;
        match dialed {
            Dialed::Joined(Some(who)) => assert_eq!(who.identity, identity(number)),
            Dialed::Joined(None) => {}
            Dialed::Ended(end) => panic!("the leg ended at once: {end:?}"),
        }
        (room, hints)
    }

    async fn hang_up(&self, room: &RoomName, number: &E164) {
        let hung_up = self.provider.hang_up(room, &identity(number)).await;
        hung_up.expect("hang_up");
    }

    async fn delete(&self, room: &RoomName) {
        self.rooms.delete(room).await.expect("delete");
    }

    async fn look_at_leg(&self, room: &RoomName, number: &E164) -> LegLook {
        let look = self.provider.look(room, &identity(number)).await;
        look.expect("look at a leg")
    }

    /// Whether a look shows the answer of a leg that is there.
    async fn is_answered(&self, room: &RoomName, number: &E164) -> bool {
        match self.look_at_leg(room, number).await {
            LegLook::Present(seen) => seen.iter().any(|h| matches!(h, Hint::Answered { .. })),
            LegLook::Absent => panic!("an answered leg is absent"),
        }
    }

    async fn dtmf(&self, room: &RoomName, number: &E164) -> Result<(), ErrorKind> {
        let (identity, digits) = (identity(number), digits());
        let sent = self.provider.send_dtmf(room, &identity, &digits);
        self.in_time("send_dtmf", sent).await.map_err(|error| error.kind)
    }

    async fn leg_comes(&self, room: &RoomName, number: &E164) {
        self.eventually("a look finds the leg", async || {
            self.look_at_leg(room, number).await != LegLook::Absent
        })
        .await;
    }

    async fn leg_goes(&self, room: &RoomName, number: &E164) {
        self.eventually("the leg is absent", async || {
            self.look_at_leg(room, number).await == LegLook::Absent
        })
        .await;
    }

    async fn room_goes(&self, room: &RoomName) {
        self.eventually("the room is gone", async || {
            self.rooms.look(room).await.expect("look").is_none()
        })
        .await;
    }

    /// Gathers hints until the answer.
    async fn answered(&self, hints: &mut Receiver<Hint>) -> Facts {
        let mut facts = Facts::default();
        let answered = async {
            while facts.answered_at.is_none() {
                let hint = hints.recv().await.expect("hints stopped before the answer");
                facts.merge(&hint);
                assert_eq!(facts.leg_end, None, "the leg ended before the answer");
            }
        };
        self.in_time("the answer", answered).await;
        facts
    }

    /// Gathers hints until the end.
    async fn ended(&self, hints: &mut Receiver<Hint>, facts: &mut Facts) {
        let ended = async {
            while facts.leg_end.is_none() {
                let hint = hints.recv().await.expect("hints stopped before the end");
                facts.merge(&hint);
            }
        };
        self.in_time("the end of the leg", ended).await;
    }

    async fn in_time<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        match timeout(self.patience, pin!(future)).await {
            Ok(done) => done,
            Err(_) => panic!("not within {:?}: {what}", self.patience),
        }
    }
}
