//! SIP participants: the legs that telephony providers dial.

use std::time::Duration;

use livekit_protocol as proto;
use outdial_domain::ports::DialRequest;
use outdial_domain::{
    Error, ErrorKind, LegEnd, MediaEncryption, Participant, Result, RoomName, SipTransport,
};

use crate::leg::Leg;
use crate::rooms::admin_of;
use crate::twirp::{Failure, GET_PARTICIPANT, REMOVE_PARTICIPANT};
use crate::{LiveKit, leg_end_of_dial_error};

const OPERATION: &str = "livekit.dial";

/// livekit-server gives up on a dial after 80 s and then tells nothing: the ringing must be over
/// before. Source: livekit-server 1.13.5, `pkg/service/sip.go`.
const MAX_RINGING: Duration = Duration::from_secs(70);

/// What a dial takes beside the ringing: joining the room, digest, the CANCEL.
const RINGING_MARGIN: Duration = Duration::from_secs(15);

/// What became of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SipDial {
    /// The callee has answered.
    Answered(Participant),
    /// The leg ended before that.
    Ended(LegEnd),
}

/// A dial whose outcome is not known.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct SipDialError {
    /// What went wrong.
    pub error: Error,
    /// Whether an INVITE may be out all the same: then look, and hang up.
    pub may_ring: bool,
}

impl LiveKit {
    /// Dials a leg through livekit-sip and waits until it is answered or has ended, at most
    /// the ringing timeout (70 s at most) and 15 s more. The leg joins the room long before that:
    /// see [`LiveKit::leg`].
    ///
    /// **The request is sent once.** To livekit-sip a second one with the same identity is a second
    /// phone call. Dropping this future does not end the dial; [`LiveKit::remove`] does.
    pub async fn dial_sip(&self, request: &DialRequest) -> Result<SipDial, SipDialError> {
        let ringing = request.ringing_timeout.clamp(Duration::from_secs(1), MAX_RINGING);
        let message = message_of(request, ringing)
            .map_err(|error| SipDialError { error, may_ring: false })?;
        match self.twirp.dial(&message, ringing + RINGING_MARGIN).await {
            Ok(info) => Ok(SipDial::Answered(Participant {
                sid: info.participant_id,
                identity: info.participant_identity,
            })),
            Err(failure) => outcome_of(failure),
        }
    }

    /// Looks at a leg; `None` when it is not in the room, or there is no such room.
    pub async fn leg(&self, room: &RoomName, identity: &str) -> Result<Option<Leg>> {
        let request = identity_in(room, identity);
        let answer = self
            .twirp
            .call_as::<proto::ParticipantInfo>(GET_PARTICIPANT, admin_of(room), &request)
            .await;
        match answer {
            Ok(info) => Ok(Leg::of(info)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure.into_error("livekit.get_participant")),
        }
    }

    /// Removes a leg from its room, which sends CANCEL or BYE. Removing a missing one succeeds.
    pub async fn remove(&self, room: &RoomName, identity: &str) -> Result<()> {
        let request = identity_in(room, identity);
        let answer = self
            .twirp
            .call_as::<proto::RemoveParticipantResponse>(
                REMOVE_PARTICIPANT,
                admin_of(room),
                &request,
            )
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure.into_error("livekit.remove_participant")),
        }
    }
}

fn identity_in(room: &RoomName, identity: &str) -> proto::RoomParticipantIdentity {
    proto::RoomParticipantIdentity {
        room: room.as_str().to_owned(),
        identity: identity.to_owned(),
        ..Default::default()
    }
}

/// A failed dial: an end of the leg where LiveKit tells one, else an error.
fn outcome_of(failure: Failure) -> Result<SipDial, SipDialError> {
    let may_ring = match &failure {
        Failure::Token(_) | Failure::Connect(_) | Failure::Auth => false,
        Failure::Lost(_) => true,
        // A proxy's 5xx may stand for a dial that goes on; its 404 does not.
        Failure::Foreign(status) => status.is_server_error() || status.is_success(),
        // Without a SIP code this is about our own key.
        Failure::Twirp(error)
            if matches!(error.code.as_str(), "unauthenticated" | "permission_denied")
                && !error.meta.contains_key("sip_status_code") =>
        {
            false
        }
        Failure::Twirp(error) => {
            let end = leg_end_of_dial_error(&error.code, &error.msg, &error.meta);
            return Ok(SipDial::Ended(end));
        }
    };
    Err(SipDialError { error: failure.into_error(OPERATION), may_ring })
}

fn message_of(
    request: &DialRequest,
    ringing: Duration,
) -> Result<proto::CreateSipParticipantRequest> {
    let missing = |what: &str| Error::new(ErrorKind::Refused, OPERATION, what);
    let trunk = &request.trunk;
    let address = trunk.address.as_ref().ok_or_else(|| missing("the trunk has no address"))?;
    let from = request
        .from_number
        .as_ref()
        .ok_or_else(|| missing("the trunk has no number to call from"))?;
    let transport = match trunk.transport {
        SipTransport::Udp => proto::SipTransport::Udp,
        SipTransport::Tcp => proto::SipTransport::Tcp,
        SipTransport::Tls => proto::SipTransport::Tls,
    };
    let password = trunk.auth_password.as_ref();
    // Inline, so that no trunk and no password is ever kept in LiveKit.
    let outbound = proto::SipOutboundConfig {
        hostname: address.as_str().to_owned(),
        transport: transport.into(),
        auth_username: trunk.auth_username.clone().unwrap_or_default(),
        auth_password: password.map_or_else(String::new, |p| p.expose().to_owned()),
        from_host: trunk.from_host.as_ref().map_or_else(String::new, |h| h.as_str().to_owned()),
        ..Default::default()
    };
    let encryption = i32::from(match trunk.media_encryption {
        MediaEncryption::Disabled => proto::SipMediaEncryption::SipMediaEncryptDisable,
        MediaEncryption::Require => proto::SipMediaEncryption::SipMediaEncryptRequire,
    });
    #[expect(deprecated, reason = "servers that know no `media` must not fall back to plain RTP")]
    Ok(proto::CreateSipParticipantRequest {
        trunk: Some(outbound),
        sip_call_to: request.to_number.as_str().to_owned(),
        sip_number: from.as_str().to_owned(),
        room_name: request.room_name.as_str().to_owned(),
        participant_identity: request.participant_identity.clone(),
        // Left empty it would be the caller id.
        participant_name: "Phone".to_owned(),
        ringing_timeout: Some(duration(ringing)),
        max_call_duration: Some(duration(request.max_duration)),
        wait_until_answered: true,
        media_encryption: encryption,
        media: Some(proto::SipMediaConfig { encryption: Some(encryption), ..Default::default() }),
        ..Default::default()
    })
}

fn duration(duration: Duration) -> pbjson_types::Duration {
    pbjson_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
