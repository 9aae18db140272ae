//! The task of one call: it tells the state machine what happens and does what the machine says.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::DialogId;
use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TerminatedReason};
use rsipstack::sip::{Response, SipMessage, StatusCode};
use rsipstack::transaction::transaction::Transaction;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::call::Call;
use super::queue::EventSender;
use super::{Shared, lock, message, orphan, requests};
use crate::session::Duty;
use crate::state::{Act, Happening, Machine};
use crate::{Answered, End, Event};

/// A BYE or final answer that was sent right before the connection was closed still counts.
const LOST_GRACE: Duration = Duration::from_millis(300);

pub(super) type Invited = oneshot::Receiver<rsipstack::Result<(DialogId, Option<Response>)>>;

/// Runs the INVITE transaction; afterwards it takes repeated answers, and ends what another fork answers.
pub(super) fn start_invite(
    shared: &Arc<Shared>,
    call: &Arc<Call>,
    mut transaction: Transaction,
) -> Invited {
    let (sender, receiver) = oneshot::channel();
    let (owner, call) = (shared.clone(), call.clone());
    shared.spawn(async move {
        let result = call.dialog.process_invite(&mut transaction).await;
        let answered = matches!(&result, Ok((_, Some(response))) if message::is_success(response));
        let _ = sender.send(result);
        if answered {
            drain(&owner, &call, &mut transaction).await;
        }
    });
    receiver
}

async fn drain(shared: &Arc<Shared>, call: &Arc<Call>, transaction: &mut Transaction) {
    let mut seen = vec![call.dialog.id().remote_tag];
    while let Some(message) = transaction.receive().await {
        let SipMessage::Response(response) = message else { continue };
        let Some(tag) = message::to_tag(&response) else { continue };
        if message::is_success(&response) && !seen.contains(&tag) && seen.len() < 16 {
            seen.push(tag);
            tracing::info!(call_id = call.id(), "a second callee answered; it is hung up");
            orphan::end_answer(shared, call, &response);
        }
    }
}

/// Everything the task of a call waits for.
struct Drive {
    shared: Arc<Shared>,
    call: Arc<Call>,
    events: EventSender,
    machine: Machine,
    guard: Option<Instant>,
    setup: Option<Instant>,
    lost: Option<Instant>,
    duty: Option<(Instant, Duty)>,
    bye: Option<JoinHandle<()>>,
    refresh: Option<JoinHandle<requests::Refreshed>>,
    /// When an ended call stops to wait for a late end of its INVITE.
    tail: Option<Instant>,
}

pub(super) async fn drive(
    shared: Arc<Shared>,
    call: Arc<Call>,
    mut states: DialogStateReceiver,
    mut invited: Invited,
    events: EventSender,
) {
    let mut drive = Drive {
        shared: shared.clone(),
        call: call.clone(),
        events,
        machine: Machine::new(),
        guard: None,
        setup: Some(Instant::now() + shared.settings.timers.setup),
        lost: None,
        duty: None,
        bye: None,
        refresh: None,
        tail: None,
    };
    let (mut inviting, mut hung_up, mut cut) = (true, false, false);
    let lost = call.lost();
    while !drive.is_done(inviting) {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => {
                drive.happen(Happening::Failed(End::Protocol { what: "the user agent was shut down".to_owned() }));
                break;
            }
            Some(state) = states.recv() => drive.on_state(state).await,
            result = &mut invited, if inviting => {
                inviting = false;
                drive.setup = None;
                // Events that came before it go first.
                while let Ok(state) = states.try_recv() {
                    drive.on_state(state).await;
                }
                drive.on_invited(result.ok());
            }
            () = call.hang_up.cancelled(), if !hung_up => {
                hung_up = true;
                drive.happen(Happening::HangUp);
            }
            () = lost.cancelled(), if !cut => {
                cut = true;
                drive.lost = Some(Instant::now() + LOST_GRACE);
            }
            () = at(drive.lost) => {
                drive.lost = None;
                drive.happen(Happening::ConnectionLost);
            }
            () = at(drive.guard) => {
                drive.guard = None;
                tracing::warn!(call_id = call.id(), "a cancelled INVITE did not end in time");
                drive.happen(Happening::GuardExpired);
            }
            () = at(drive.setup) => {
                drive.setup = None;
                drive.happen(Happening::Broken(End::NoAnswerFromServer));
            }
            () = at(drive.tail) => break,
            () = done(&mut drive.bye) => {
                drive.bye = None;
                drive.happen(Happening::ByeDone);
            }
            refreshed = refreshed(&mut drive.refresh) => {
                drive.refresh = None;
                drive.on_refreshed(refreshed);
            }
            () = at(drive.duty.map(|(when, _)| when)) => drive.on_duty(),
        }
    }
    drive.close();
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

async fn done(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

async fn refreshed(task: &mut Option<JoinHandle<requests::Refreshed>>) -> requests::Refreshed {
    match task {
        Some(task) => task.await.unwrap_or(requests::Refreshed::Later),
        None => std::future::pending().await,
    }
}

impl Drive {
    fn is_done(&self, inviting: bool) -> bool {
        self.machine.is_over() && !inviting && self.bye.is_none()
    }

    fn happen(&mut self, happening: Happening) {
        for act in self.machine.on(happening) {
            self.act(act);
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Tell(event) => self.events.tell(event),
            Act::Cancel => {
                self.guard = Some(Instant::now() + self.shared.settings.timers.cancel);
                let call = self.call.clone();
                self.shared.spawn(async move {
                    // Held back by the stack until the first provisional answer.
                    if let Err(error) = call.dialog.cancel().await {
                        tracing::debug!(call_id = call.id(), %error, "CANCEL was refused");
                    }
                });
            }
            Act::Bye => self.bye = Some(orphan::bye(&self.shared, &self.call)),
            Act::AwaitBye => {
                let (call, limit) = (self.call.clone(), self.shared.settings.timers.bye);
                self.bye = Some(self.shared.spawn(async move {
                    let _ = tokio::time::timeout(limit, call.bye_answered.cancelled()).await;
                }));
            }
            Act::Abandon => orphan::abandon(&self.shared, &self.call),
            Act::End(end) => self.end(end),
        }
    }

    fn end(&mut self, end: End) {
        (self.guard, self.setup, self.duty) = (None, None, None);
        self.tail = Some(Instant::now() + self.shared.settings.timers.transaction);
        tracing::debug!(call_id = self.call.id(), ?end, "a SIP call ended");
        self.shared.release(&self.call);
        self.events.tell(Event::Ended(end));
    }

    /// Also when the task ends early: the owner hears of the end.
    fn close(&mut self) {
        if !self.machine.is_over() {
            self.end(End::Protocol { what: "the user agent was shut down".to_owned() });
        }
    }

    async fn on_state(&mut self, state: DialogState) {
        match state {
            DialogState::Early(_, response) => self.happen(Happening::Provisional {
                code: response.status_code.code(),
                sdp: message::sdp(&response.headers, &response.body),
            }),
            // It comes again after each request within the call; only the first is the answer.
            DialogState::Confirmed(id, response) => {
                if !self.call.confirmed.is_cancelled() {
                    self.on_answer(id, &response);
                }
            }
            DialogState::Updated(_, request, handle) => {
                requests::on_offer(&self.call, request, handle, self.settings()).await.map_or_else(
                    || {},
                    |(event, duty)| {
                        self.set_duty(duty);
                        if let Some(event) = event {
                            self.tell_while_talking(event);
                        }
                    },
                );
            }
            DialogState::Info(_, request, handle) => {
                let _ = handle.reply(StatusCode::OK).await;
                let info = requests::info(&request);
                self.tell_while_talking(Event::Info(info));
            }
            DialogState::Options(_, _, handle) => {
                let _ =
                    handle.respond(StatusCode::OK, Some(super::inbound::abilities()), None).await;
            }
            DialogState::Refer(_, _, handle)
            | DialogState::Notify(_, _, handle)
            | DialogState::Message(_, _, handle)
            | DialogState::Publish(_, _, handle) => {
                let _ = handle.reply(StatusCode::MethodNotAllowed).await;
            }
            DialogState::Terminated(_, reason) => self.on_terminated(&reason),
            DialogState::Calling(_) | DialogState::Trying(_) | DialogState::WaitAck(..) => {}
        }
    }

    fn settings(&self) -> &crate::Settings {
        &self.shared.settings
    }

    fn tell_while_talking(&mut self, event: Event) {
        if self.machine.is_talking() {
            self.events.tell(event);
        }
    }

    fn on_answer(&mut self, id: DialogId, response: &Response) {
        let peer = lock(&self.call.wire).answered_by;
        let peer = peer.unwrap_or_else(|| self.call.target.address.ip());
        let answered = Answered {
            sdp: message::sdp(&response.headers, &response.body),
            peer,
            call_id: id.call_id,
            to_tag: id.remote_tag,
            headers: message::extensions(&response.headers),
        };
        let least = self.settings().timers.min_session;
        let duty = message::header(&response.headers, "Session-Expires")
            .and_then(|header| Duty::from_response(header, least));
        self.set_duty(duty);
        // First this: whoever is told of the answer may ask for a snapshot at once.
        self.call.confirmed.cancel();
        self.happen(Happening::Answer(Box::new(answered)));
    }

    fn set_duty(&mut self, duty: Option<Duty>) {
        if let Some(duty) = duty {
            self.duty = Some((Instant::now() + duty.due(), duty));
        }
    }

    fn on_terminated(&mut self, reason: &TerminatedReason) {
        match reason {
            TerminatedReason::UasBye => {
                let reason = lock(&self.call.wire).bye_reason.take();
                self.happen(Happening::RemoteBye { reason });
            }
            TerminatedReason::Timeout if self.machine.is_talking() => {
                self.happen(Happening::Expired("no ACK came for an answer of ours".to_owned()));
            }
            // The stack gives a dialog up when a request within it is challenged and there is no login.
            TerminatedReason::ProxyAuthRequired if self.machine.is_talking() => {
                self.happen(Happening::Expired(
                    "a request within the call was challenged".to_owned(),
                ));
            }
            // What the INVITE came to is told by its own result.
            _ => {}
        }
    }

    /// The result of the INVITE. On an error no other event comes.
    fn on_invited(&mut self, result: Option<rsipstack::Result<(DialogId, Option<Response>)>>) {
        let refusal = lock(&self.call.wire).refusal.take();
        match result {
            Some(Ok((_, Some(response)))) => self.on_final(&response, refusal.is_some()),
            Some(Ok((_, None))) | None => self.happen(Happening::Broken(End::Protocol {
                what: "the SIP stack gave the INVITE up".to_owned(),
            })),
            Some(Err(error)) => match refusal {
                Some(refusal) => self.happen(Happening::Failed(End::Refused(refusal))),
                None => {
                    let what = format!("an answer to the INVITE cannot be used: {error}");
                    self.happen(Happening::Broken(End::Protocol { what }));
                }
            },
        }
    }

    fn on_final(&mut self, response: &Response, on_wire: bool) {
        let code = response.status_code.code();
        if response.status_code == StatusCode::OK {
            if !self.call.confirmed.is_cancelled() {
                self.happen(Happening::AnswerAfterCancel);
            }
        } else if message::is_success(response) {
            orphan::end_answer(&self.shared, &self.call, response);
            let what = format!("the INVITE was answered with {code}");
            self.happen(Happening::Failed(End::Protocol { what }));
        } else if on_wire {
            self.happen(Happening::Failed(End::Refused(message::refusal(response))));
        } else if response.status_code == StatusCode::RequestTimeout {
            self.happen(Happening::Failed(End::NoAnswerFromServer));
        } else {
            self.happen(Happening::Failed(End::ConnectionLost));
        }
    }

    fn on_duty(&mut self) {
        match self.duty.take() {
            Some((_, Duty::Watch { .. })) => {
                self.happen(Happening::Expired("the session was not refreshed".to_owned()));
            }
            Some((_, Duty::Refresh { every })) if self.machine.is_talking() => {
                self.refresh = Some(requests::refresh(&self.shared, &self.call, every));
            }
            _ => {}
        }
    }

    fn on_refreshed(&mut self, refreshed: requests::Refreshed) {
        match refreshed {
            requests::Refreshed::Done(duty) => self.set_duty(Some(duty)),
            requests::Refreshed::Over => {}
            requests::Refreshed::Later => {
                let duty = Duty::Refresh { every: requests::RETRY };
                self.set_duty(Some(duty));
            }
            requests::Refreshed::Gone(code) => {
                self.happen(Happening::Expired(format!(
                    "the session refresh was refused with {code}"
                )));
            }
        }
    }
}
