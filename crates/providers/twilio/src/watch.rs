//! Follows one dial from the request to the end of its leg.

use std::future::Future;
use std::mem::replace;
use std::pin::Pin;
use std::sync::Arc;

use outdial_domain::ports::{Clock, DialRequest, Dialed, HintSink};
use outdial_domain::{Error, ErrorKind, Hint, LegEnd, Result};
use outdial_livekit::{CallStatus, Leg, LiveKit, SipDial, SipDialError};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::Pace;
use crate::legs::Place;

type Outcome = Result<SipDial, SipDialError>;

/// The request that dials; it lasts until the answer or the end of the ringing.
struct Dial<'a>(Option<Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>>);

impl Dial<'_> {
    /// What came of it, once; pending for ever after that.
    async fn outcome(&mut self) -> Outcome {
        let Some(dial) = self.0.as_mut() else {
            return std::future::pending().await;
        };
        let outcome = dial.await;
        self.0 = None;
        outcome
    }
}

/// What the first moments of a dial brought.
enum Start {
    /// The leg is in the room.
    Joined(Leg),
    /// It ended before it was seen.
    Ended(LegEnd),
    /// No leg was seen.
    Failed(SipDialError),
    /// It was hung up on before it was seen.
    HungUp,
    /// Nobody listens any more.
    Unheard,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Then {
    GoOn,
    Stop,
}

/// What has been told already.
#[derive(Default)]
struct Told {
    joined: bool,
    ringing: bool,
    answered: bool,
}

pub(crate) struct Watch {
    pub(crate) livekit: Arc<LiveKit>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pace: Pace,
    pub(crate) request: DialRequest,
    pub(crate) hints: HintSink,
}

impl Watch {
    /// Dials, tells `early` how that began, and the hints all that follows.
    pub(crate) async fn run(self, early: oneshot::Sender<Result<Dialed>>, place: Place) {
        let mut dial = Dial(Some(Box::pin(self.livekit.dial_sip(&self.request))));
        let mut told = Told::default();
        // When the caller of `dial` is gone, `early` reaches nobody. The hints repeat all of it.
        match self.start(&mut dial, &place).await {
            Start::Joined(leg) => {
                let _ = early.send(Ok(Dialed::Joined(Some(leg.participant.clone()))));
                if self.tell_leg(&leg, &mut told).await == Then::GoOn {
                    self.follow(&mut dial, told, &place).await;
                }
            }
            Start::Ended(end) => {
                let _ = early.send(Ok(Dialed::Ended(end.clone())));
                self.tell_end(end).await;
            }
            Start::Failed(SipDialError { error, may_ring }) => {
                let _ = early.send(Err(error));
                if may_ring {
                    self.abandon(&mut dial).await;
                }
            }
            Start::HungUp => {
                // What was not there could not be removed, and may still come.
                let _ = early.send(Ok(Dialed::Ended(LegEnd::Removed)));
                self.tell_end(LegEnd::Removed).await;
                self.abandon(&mut dial).await;
            }
            Start::Unheard => self.abandon(&mut dial).await,
        }
    }

    async fn start(&self, dial: &mut Dial<'_>, place: &Place) -> Start {
        tokio::select! {
            biased;
            outcome = dial.outcome() => match outcome {
                Ok(SipDial::Answered(participant)) => Start::Joined(Leg {
                    participant,
                    status: CallStatus::Active,
                    joined_at: None,
                }),
                Ok(SipDial::Ended(end)) => Start::Ended(end),
                Err(failure) => Start::Failed(failure),
            },
            () = place.removed() => Start::HungUp,
            leg = self.until_joined() => Start::Joined(leg),
            () = self.hints.closed() => Start::Unheard,
            () = sleep(self.pace.join_timeout) => Start::Failed(SipDialError {
                error: Error::new(
                    ErrorKind::Unavailable,
                    "twilio.dial",
                    "livekit-sip did not bring the phone into the room in time",
                ),
                may_ring: true,
            }),
        }
    }

    async fn until_joined(&self) -> Leg {
        let mut pause = self.pace.joining;
        loop {
            sleep(pause).await;
            pause = (pause * 3 / 2).min(self.pace.joining_longest);
            if let Ok(Some(leg)) = self.look().await {
                return leg;
            }
        }
    }

    async fn look(&self) -> Result<Option<Leg>> {
        let request = &self.request;
        let room = &request.room_name;
        let looked = self.livekit.leg(room, &request.participant_identity).await;
        looked.inspect_err(|error| tracing::debug!(%room, %error, "a leg could not be looked at"))
    }

    /// From joining to the end.
    async fn follow(&self, dial: &mut Dial<'_>, mut told: Told, place: &Place) {
        let mut pause = self.pace.ringing / 8;
        let mut missed = false;
        loop {
            let then = tokio::select! {
                biased;
                outcome = dial.outcome() => self.tell_outcome(outcome, &mut told).await,
                leg = async { sleep(pause).await; self.look().await } => match leg {
                    Ok(Some(leg)) => {
                        missed = false;
                        self.tell_leg(&leg, &mut told).await
                    }
                    // Once may be the moment before the answer to the dial that tells why.
                    Ok(None) if missed => return self.gone(dial, &mut told).await,
                    Ok(None) => {
                        missed = true;
                        Then::GoOn
                    }
                    Err(_) => Then::GoOn,
                },
                () = place.removed() => match dial.0 {
                    // Its answer comes in a moment, and may tell of an end before ours. If not,
                    // the next look does.
                    Some(_) => {
                        missed = true;
                        Then::GoOn
                    }
                    None => {
                        self.tell_end(LegEnd::Removed).await;
                        Then::Stop
                    }
                },
                () = self.hints.closed() => Then::Stop,
            };
            if then == Then::Stop {
                return;
            }
            pause = match told.answered {
                _ if missed => self.pace.ringing,
                true => self.pace.answered,
                false => (pause * 2).min(self.pace.ringing),
            };
        }
    }

    /// The leg is not in the room any more. The answer to a dial under way may still tell why: not
    /// if the SIP node is gone, for then it comes only when LiveKit gives up.
    async fn gone(&self, dial: &mut Dial<'_>, told: &mut Told) {
        if self.tell_end(LegEnd::Left).await == Then::GoOn && dial.0.is_some() {
            tokio::select! {
                outcome = dial.outcome() => {
                    self.tell_outcome(outcome, told).await;
                }
                () = self.hints.closed() => {}
            }
        }
    }

    async fn tell_outcome(&self, outcome: Outcome, told: &mut Told) -> Then {
        match outcome {
            Ok(SipDial::Answered(_)) if told.answered => Then::GoOn,
            Ok(SipDial::Answered(_)) => {
                told.answered = true;
                let at = self.clock.now();
                self.tell(Hint::Answered { at }).await
            }
            Ok(SipDial::Ended(end)) => {
                self.tell_end(end).await;
                Then::Stop
            }
            Err(SipDialError { error, .. }) => {
                let room = &self.request.room_name;
                tracing::warn!(
                    %room, %error,
                    "the answer to a dial is lost: the leg is followed by looking at it"
                );
                Then::GoOn
            }
        }
    }

    /// Tells what is new about a leg that is there.
    async fn tell_leg(&self, leg: &Leg, told: &mut Told) -> Then {
        for hint in leg.hints(self.clock.now()) {
            let mut is_last = false;
            let was_told = match &hint {
                Hint::Joined { .. } => replace(&mut told.joined, true),
                Hint::Ringing { .. } => replace(&mut told.ringing, true),
                Hint::Answered { .. } => replace(&mut told.answered, true),
                _ => replace(&mut is_last, true),
            };
            if !was_told && (self.tell(hint).await == Then::Stop || is_last) {
                return Then::Stop;
            }
        }
        Then::GoOn
    }

    async fn tell_end(&self, end: LegEnd) -> Then {
        let at = self.clock.now();
        self.tell(Hint::Ended { at, end }).await
    }

    async fn tell(&self, hint: Hint) -> Then {
        if self.hints.send(hint).await { Then::GoOn } else { Then::Stop }
    }

    /// A dial that nobody waits for, and whose INVITE may be out or still go out: should its leg
    /// come into the room late, it is removed. No phone rings for nothing.
    async fn abandon(&self, dial: &mut Dial<'_>) {
        let room = &self.request.room_name;
        tracing::warn!(%room, "a dial is given up; its leg is removed should it still come");
        let hunt = async {
            loop {
                let ended = tokio::select! {
                    biased;
                    outcome = dial.outcome() => matches!(outcome, Ok(SipDial::Ended(_))),
                    () = sleep(self.pace.ringing) => false,
                };
                if ended || self.removed().await {
                    return;
                }
            }
        };
        tokio::select! {
            () = hunt => {}
            () = sleep(self.pace.abandoned) => {}
        }
    }

    async fn removed(&self) -> bool {
        let (room, identity) = (&self.request.room_name, &self.request.participant_identity);
        matches!(self.look().await, Ok(Some(_)))
            && self.livekit.remove(room, identity).await.is_ok()
    }
}
