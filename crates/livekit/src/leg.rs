//! A SIP leg as LiveKit shows it: a participant with an attribute that tells where the call stands.

use chrono::{DateTime, Utc};
use livekit_protocol::participant_info::State;
use livekit_protocol::{DisconnectReason, ParticipantInfo};
use outdial_domain::{Hint, LegEnd, Participant};

use crate::attributes::CALL_STATUS;

/// Where a leg stands, by its attribute [`CALL_STATUS`]. A leg that was refused keeps `dialing` or
/// `ringing` to its end. Source: livekit/sip 1.8, `pkg/sip/participant.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallStatus {
    /// No attribute (yet), or an unknown value.
    #[default]
    Unknown,
    /// The INVITE is being sent.
    Dialing,
    /// A provisional answer came: 180, or 183.
    Ringing,
    /// Answered.
    Active,
    /// Answered, and then hung up by the callee.
    Hangup,
}

impl CallStatus {
    /// Reads the attribute's value. `automation` (DTMF after the answer) counts as answered.
    pub fn parse(text: &str) -> Self {
        match text {
            "dialing" => Self::Dialing,
            "ringing" => Self::Ringing,
            "active" | "automation" => Self::Active,
            "hangup" => Self::Hangup,
            _ => Self::Unknown,
        }
    }

    /// The attribute's value; empty for [`CallStatus::Unknown`], which is none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Active => "active",
            Self::Hangup => "hangup",
        }
    }

    fn is_answered(self) -> bool {
        matches!(self, Self::Active | Self::Hangup)
    }
}

/// A leg, as a look or a message shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Who it is in the room.
    pub participant: Participant,
    /// Where it stands.
    pub status: CallStatus,
    /// When it joined the room.
    pub joined_at: Option<DateTime<Utc>>,
}

impl Leg {
    /// What is known of the call by this leg alone. `at` is the time of what has no time of its own;
    /// nothing is dated later.
    pub fn hints(&self, at: DateTime<Utc>) -> Vec<Hint> {
        let mut hints = vec![Hint::Joined {
            at: self.joined_at.map_or(at, |joined| joined.min(at)),
            participant: Some(self.participant.clone()),
        }];
        if self.status == CallStatus::Ringing {
            hints.push(Hint::Ringing { at });
        }
        if self.status.is_answered() {
            hints.push(Hint::Answered { at });
        }
        if self.status == CallStatus::Hangup {
            let end = LegEnd::CalleeHangup;
            hints.push(Hint::Ended { at, end });
        }
        hints
    }

    /// The leg that a participant is; `None` once it has left without a trace.
    pub(crate) fn of(info: ParticipantInfo) -> Option<Self> {
        let status = info
            .attributes
            .get(CALL_STATUS)
            .map_or(CallStatus::Unknown, |text| CallStatus::parse(text));
        if info.state() == State::Disconnected && status != CallStatus::Hangup {
            return None;
        }
        Some(Self {
            status,
            joined_at: time_of_millis(info.joined_at_ms),
            participant: Participant { sid: info.sid, identity: info.identity },
        })
    }
}

/// Unix time in milliseconds; 0 is "not set".
pub(crate) fn time_of_millis(millis: i64) -> Option<DateTime<Utc>> {
    (millis > 0).then(|| DateTime::from_timestamp_millis(millis))?
}

/// Whether a participant is really there, and not still connecting or gone.
pub(crate) fn has_joined(info: &ParticipantInfo) -> bool {
    matches!(info.state(), State::Joined | State::Active)
}

/// How a leg ended, by the reason with which it left the room and where it last stood.
///
/// A coarse source: livekit-server 1.13 passes only four reasons of a leaving client on, so that
/// busy, declined and a refused password all look alike. The answer to the dial knows better, and
/// [`LegEnd`]'s order of authority puts it first.
pub fn leg_end_of_disconnect(reason: DisconnectReason, last: CallStatus) -> LegEnd {
    use DisconnectReason as Reason;
    if last == CallStatus::Hangup {
        // Set when the BYE came, whatever was done to the room after that.
        return LegEnd::CalleeHangup;
    }
    let answered = last.is_answered();
    match reason {
        Reason::RoomDeleted | Reason::ParticipantRemoved => LegEnd::Removed,
        Reason::UserUnavailable => LegEnd::Unavailable,
        Reason::UserRejected => LegEnd::Rejected,
        // livekit-sip leaves by itself, without a BYE: no audio came for 30 s.
        Reason::ClientInitiated | Reason::MediaFailure if answered => LegEnd::MediaTimeout,
        Reason::MediaFailure => LegEnd::Rejected,
        // 500, 503, 504 or no connection to the trunk: which one is not told.
        Reason::ClientInitiated | Reason::UnknownReason | Reason::SipTrunkFailure if !answered => {
            LegEnd::Aborted
        }
        Reason::RoomClosed => LegEnd::Left,
        _ => LegEnd::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_end() {
        use CallStatus::*;
        use DisconnectReason as Reason;
        let check = |reason, last, expect| {
            assert_eq!(leg_end_of_disconnect(reason, last), expect, "{reason:?} {last:?}");
        };
        // Seen with livekit-server 1.13.5 and livekit-sip 1.8.0:
        check(Reason::ClientInitiated, Hangup, LegEnd::CalleeHangup);
        check(Reason::ClientInitiated, Active, LegEnd::MediaTimeout);
        check(Reason::ClientInitiated, Dialing, LegEnd::Aborted);
        check(Reason::ClientInitiated, Ringing, LegEnd::Aborted);
        check(Reason::UserRejected, Ringing, LegEnd::Rejected);
        check(Reason::UserRejected, Dialing, LegEnd::Rejected);
        check(Reason::UserUnavailable, Ringing, LegEnd::Unavailable);
        check(Reason::RoomDeleted, Ringing, LegEnd::Removed);
        check(Reason::RoomDeleted, Active, LegEnd::Removed);
        check(Reason::ParticipantRemoved, Active, LegEnd::Removed);
        check(Reason::ConnectionTimeout, Active, LegEnd::Lost);
        check(Reason::ConnectionTimeout, Ringing, LegEnd::Lost);
        // The BYE was first.
        check(Reason::RoomDeleted, Hangup, LegEnd::CalleeHangup);
        // Not passed on today, but part of the protocol:
        check(Reason::SipTrunkFailure, Dialing, LegEnd::Aborted);
        check(Reason::SipTrunkFailure, Active, LegEnd::Lost);
        check(Reason::MediaFailure, Active, LegEnd::MediaTimeout);
        check(Reason::MediaFailure, Ringing, LegEnd::Rejected);
        check(Reason::UnknownReason, Unknown, LegEnd::Aborted);
        check(Reason::UnknownReason, Active, LegEnd::Lost);
        check(Reason::RoomClosed, Active, LegEnd::Left);
        check(Reason::ServerShutdown, Active, LegEnd::Lost);
        check(Reason::DuplicateIdentity, Active, LegEnd::Lost);
        check(Reason::AgentError, Active, LegEnd::Lost);
    }

    #[test]
    fn hints_of_a_leg() {
        let now = Utc::now();
        let leg = |status| Leg {
            participant: Participant { sid: "PA_1".into(), identity: "phone-+15550100000".into() },
            status,
            joined_at: Some(now + chrono::TimeDelta::seconds(9)),
        };
        let kinds = |status| -> Vec<&'static str> {
            leg(status)
                .hints(now)
                .iter()
                .map(|hint| match hint {
                    Hint::Joined { at, .. } if *at == now => "joined",
                    Hint::Ringing { .. } => "ringing",
                    Hint::Answered { .. } => "answered",
                    Hint::Ended { .. } => "ended",
                    _ => "?",
                })
                .collect()
        };
        assert_eq!(kinds(CallStatus::Unknown), ["joined"]);
        use CallStatus::{Active, Dialing, Hangup, Ringing, Unknown};
        for status in [Unknown, Dialing, Ringing, Active, Hangup] {
            assert_eq!(CallStatus::parse(status.as_str()), status);
        }
        assert_eq!(kinds(CallStatus::parse("dialing")), ["joined"]);
        assert_eq!(kinds(CallStatus::parse("ringing")), ["joined", "ringing"]);
        assert_eq!(kinds(CallStatus::parse("active")), ["joined", "answered"]);
        assert_eq!(kinds(CallStatus::parse("automation")), ["joined", "answered"]);
        assert_eq!(kinds(CallStatus::parse("hangup")), ["joined", "answered", "ended"]);
    }
}
