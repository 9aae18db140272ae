//! What follows from what: the rules of a call, without the stack.

use crate::{Answered, End, Event};

/// What happened to a call.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A provisional answer to the INVITE.
    Provisional { code: u16, sdp: Vec<u8> },
    /// The callee answered and the stack sent the ACK.
    Answer(Box<Answered>),
    /// The callee answered a cancelled INVITE; the stack sends ACK and BYE.
    AnswerAfterCancel,
    /// The INVITE is over without an answer.
    Failed(End),
    /// The stack gave the INVITE up while the callee may still ring.
    Broken(End),
    /// Our owner hangs up.
    HangUp,
    /// The callee hung up.
    RemoteBye { reason: Option<String> },
    /// The connection of the call was lost.
    ConnectionLost,
    /// The call cannot go on: no ACK, no session refresh.
    Expired(String),
    /// The INVITE is not over long after the CANCEL.
    GuardExpired,
    /// Our BYE is answered, or was given up.
    ByeDone,
}

/// What has to be done about it.
#[derive(Debug)]
pub(crate) enum Act {
    /// Tell the owner.
    Tell(Event),
    /// Send CANCEL and start its guard.
    Cancel,
    /// Send BYE and say when that is done.
    Bye,
    /// The stack sends BYE; say when that is done.
    AwaitBye,
    /// Send what ends the call over a new connection, and do not wait for it.
    Abandon,
    /// The call is over.
    End(End),
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Inviting,
    Cancelling,
    Talking,
    /// BYE is on its way.
    Leaving(End),
    Over,
}

/// A call from INVITE to end.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Inviting }
    }

    pub(crate) fn is_talking(&self) -> bool {
        self.phase == Phase::Talking
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Takes what happened; acts come back in the order they have to be done.
    pub(crate) fn on(&mut self, happening: Happening) -> Vec<Act> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Inviting => self.inviting(happening),
            Phase::Cancelling => self.cancelling(happening),
            Phase::Talking => self.talking(happening),
            Phase::Leaving(end) => self.leaving(end, happening),
            // Nobody is left to talk to whoever answers now.
            Phase::Over => match happening {
                Happening::Answer(_) => vec![Act::Bye],
                _ => Vec::new(),
            },
        }
    }

    fn stay(&mut self, phase: Phase, acts: Vec<Act>) -> Vec<Act> {
        self.phase = phase;
        acts
    }

    fn inviting(&mut self, happening: Happening) -> Vec<Act> {
        match happening {
            Happening::Provisional { code, sdp } => {
                let acts = match code {
                    100 => Vec::new(),
                    _ if sdp.is_empty() => vec![Act::Tell(Event::Ringing { code })],
                    _ => vec![Act::Tell(Event::EarlyMedia { code, sdp })],
                };
                self.stay(Phase::Inviting, acts)
            }
            Happening::Answer(answered) => {
                self.stay(Phase::Talking, vec![Act::Tell(Event::Answered(*answered))])
            }
            Happening::HangUp => self.stay(Phase::Cancelling, vec![Act::Cancel]),
            Happening::Failed(end) => vec![Act::End(end)],
            Happening::Broken(end) => vec![Act::Abandon, Act::End(end)],
            Happening::RemoteBye { reason } => vec![Act::End(End::RemoteHangUp { reason })],
            Happening::ConnectionLost => vec![Act::Abandon, Act::End(End::ConnectionLost)],
            Happening::AnswerAfterCancel
            | Happening::Expired(_)
            | Happening::GuardExpired
            | Happening::ByeDone => self.stay(Phase::Inviting, Vec::new()),
        }
    }

    fn cancelling(&mut self, happening: Happening) -> Vec<Act> {
        match happening {
            // The answer crossed our CANCEL before the stack knew of it.
            Happening::Answer(_) => self.stay(Phase::Leaving(End::Cancelled), vec![Act::Bye]),
            Happening::AnswerAfterCancel => {
                self.stay(Phase::Leaving(End::Cancelled), vec![Act::AwaitBye])
            }
            Happening::Failed(_) | Happening::RemoteBye { .. } | Happening::GuardExpired => {
                vec![Act::End(End::Cancelled)]
            }
            Happening::Broken(_) | Happening::ConnectionLost => {
                vec![Act::Abandon, Act::End(End::Cancelled)]
            }
            Happening::Provisional { .. }
            | Happening::HangUp
            | Happening::Expired(_)
            | Happening::ByeDone => self.stay(Phase::Cancelling, Vec::new()),
        }
    }

    fn talking(&mut self, happening: Happening) -> Vec<Act> {
        match happening {
            Happening::HangUp => self.stay(Phase::Leaving(End::LocalHangUp), vec![Act::Bye]),
            Happening::Expired(what) => {
                self.stay(Phase::Leaving(End::Protocol { what }), vec![Act::Bye])
            }
            Happening::RemoteBye { reason } => vec![Act::End(End::RemoteHangUp { reason })],
            Happening::ConnectionLost => vec![Act::Abandon, Act::End(End::ConnectionLost)],
            // The stack says "confirmed" again after each request within the call.
            Happening::Provisional { .. }
            | Happening::Answer(_)
            | Happening::AnswerAfterCancel
            | Happening::Failed(_)
            | Happening::Broken(_)
            | Happening::GuardExpired
            | Happening::ByeDone => self.stay(Phase::Talking, Vec::new()),
        }
    }

    fn leaving(&mut self, end: End, happening: Happening) -> Vec<Act> {
        match happening {
            // BYEs may cross.
            Happening::ByeDone | Happening::RemoteBye { .. } => vec![Act::End(end)],
            Happening::ConnectionLost => vec![Act::Abandon, Act::End(end)],
            _ => self.stay(Phase::Leaving(end), Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
