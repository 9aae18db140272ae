//! One leg: from its room and its INVITE to its end.

mod chores;
mod course;
mod ending;
mod keys;
mod phone;
mod standing;
mod tail;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outdial_domain::ports::{DialRequest, Dialed, HintSink};
use outdial_domain::{
    Digits, Error, ErrorKind, Hint, LegEnd, MediaEncryption, Participant, Result, SipAddress,
    SipTransport,
};
use outdial_livekit::{CallStatus, attributes};
use outdial_observer::{Audio, Outbox};
use outdial_room::{Events, JoinOptions, LeaveReason, PublishOptions, Room};
use outdial_sip::{Credentials, Dialog, HostPort, Invite, InviteError, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::course::Course;
use self::phone::{Phone, PhoneSettings};
pub(crate) use self::standing::Standing;
use crate::bridge::{Inner, lock};
use crate::journal;
use crate::plan::LegPlan;
use crate::ports::PortPair;
use crate::rtp::RtpSettings;
use crate::sdp::Offer;

/// What a leg is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// To end.
    HangUp,
    /// To send keys to the callee.
    Dtmf {
        /// Which.
        digits: Digits,
        /// Told when they are on their way.
        reply: oneshot::Sender<Result<()>>,
    },
}

/// A leg to be dialled.
pub(crate) struct Leg {
    pub(crate) bridge: Arc<Inner>,
    pub(crate) request: DialRequest,
    pub(crate) plan: LegPlan,
    pub(crate) hints: HintSink,
    pub(crate) audio: Option<Audio>,
    pub(crate) standing: Arc<Mutex<Standing>>,
}

/// A leg that never came to be.
enum Failure {
    /// It could not be tried.
    Error(Error),
    /// It was, in vain.
    Ended(LegEnd),
}

/// A leg whose INVITE is out.
struct Begun {
    room: Room,
    events: Events,
    phone: phone::Handle,
    offer: Offer,
    dialog: Dialog,
    sip: outdial_sip::Events,
}

/// Runs a leg to its end. `early` is told how it began.
pub(crate) async fn run(
    mut leg: Leg,
    commands: mpsc::Receiver<Command>,
    early: oneshot::Sender<Result<Dialed>>,
    stop: CancellationToken,
) {
    // When the caller of `dial` is gone, `early` reaches nobody. The hints repeat all of it.
    match leg.begin().await {
        Ok(begun) => {
            let local = begun.room.local();
            let participant = Participant { sid: local.sid, identity: local.identity };
            let at = leg.bridge.clock.now();
            let joined = Hint::Joined { at, participant: Some(participant.clone()) };
            lock(&leg.standing).note(&joined);
            let _ = early.send(Ok(Dialed::Joined(Some(participant))));
            let Begun { room, events, phone, offer, dialog, sip } = begun;
            let (outbox, inbox) = Outbox::new();
            outbox.tell(joined);
            let hints = leg.hints.clone();
            let delivering = tokio::spawn(async move { inbox.deliver(&hints).await });
            let delivering = AbortOnDropHandle::new(delivering);
            let course = Course::new(leg, phone, offer, dialog, outbox);
            course.run(room, events, sip, commands, stop, delivering).await;
        }
        Err(Failure::Error(error)) => {
            let _ = early.send(Err(error));
        }
        Err(Failure::Ended(end)) => {
            let _ = early.send(Ok(Dialed::Ended(end.clone())));
            let at = leg.bridge.clock.now();
            // Nobody may listen any more.
            let _ = leg.hints.send(Hint::Ended { at, end }).await;
        }
    }
}

impl Leg {
    async fn begin(&mut self) -> Result<Begun, Failure> {
        let ports = self.bridge.ports.take(Instant::now()).map_err(|error| unavailable(&error))?;
        let call_id = uuid::Uuid::new_v4().simple().to_string();
        let (room, events) = self.join(&call_id).await?;
        match Box::pin(self.call(&room, ports, call_id)).await {
            Ok((phone, offer, dialog, sip)) => {
                self.write_down(&dialog).await;
                Ok(Begun { room, events, phone, offer, dialog, sip })
            }
            Err(failure) => {
                let reason = match &failure {
                    Failure::Ended(end) => ending::leave_reason(end),
                    Failure::Error(_) => LeaveReason::ClientInitiated,
                };
                room.leave(reason).await;
                Err(failure)
            }
        }
    }

    /// Joins the room as livekit-sip would.
    async fn join(&self, call_id: &str) -> Result<(Room, Events), Failure> {
        let Self { bridge, request, .. } = self;
        let host = request.trunk.address.as_ref().map_or("", |address| address.host());
        let from = request.from_number.as_ref().map_or("", |number| number.as_str());
        let short_id = format!("SCL_{}", &call_id[..12]);
        let token = bridge.livekit.leg_token(
            &request.room_name,
            &request.participant_identity,
            request.to_number.as_str(),
            &[
                (attributes::CALL_STATUS, CallStatus::Dialing.as_str()),
                (attributes::CALL_ID, &short_id),
                (attributes::CALL_ID_FULL, call_id),
                (attributes::TRUNK_ID, request.trunk.trunk_id.as_str()),
                (attributes::TRUNK_PHONE_NUMBER, from),
                (attributes::PHONE_NUMBER, request.to_number.as_str()),
                (attributes::HOSTNAME, host),
            ],
        );
        let token = token.map_err(Failure::Error)?;
        // A room that was deleted must not come to life again.
        let options = JoinOptions { rejoin: false, ..JoinOptions::default() };
        let joining = Room::join(&bridge.media, bridge.livekit.url(), &token, options);
        Box::pin(joining).await.map_err(|error| unavailable(&error))
    }

    /// Makes the phone, and sends the INVITE.
    async fn call(
        &mut self,
        room: &Room,
        ports: PortPair,
        call_id: String,
    ) -> Result<(phone::Handle, Offer, Dialog, outdial_sip::Events), Failure> {
        let codecs = self.plan.codecs.clone();
        let codec = *codecs.first().ok_or_else(|| invalid("the plan names no codec"))?;
        let publishing = room.publish(PublishOptions {
            name: "phone".to_owned(),
            codec: phone::room_codec(codec),
            ..PublishOptions::default()
        });
        let publication = publishing.await.map_err(|error| unavailable(&error))?;
        let settings = &self.bridge.settings;
        let address = SocketAddr::new(settings.public_ip, ports.port());
        let is_encrypted = self.request.trunk.media_encryption == MediaEncryption::Require;
        // Shown as a signed number by some.
        let session = u64::from(rand::random::<u32>() >> 1);
        let offer = Offer::new(address, codecs, is_encrypted, session);
        let rtp = RtpSettings {
            no_media: settings.no_media_timeout,
            silence: settings.media_timeout,
            ..RtpSettings::random()
        };
        let audio = self.audio.take();
        let phone = Phone::attach(room, ports, publication, PhoneSettings { codec, rtp, audio });
        let invite = self.invite(call_id, &offer)?;
        let (dialog, sip) = self.bridge.sip.invite(invite).await.map_err(|error| match error {
            InviteError::Invalid { .. } | InviteError::ForbiddenHeader(_) => {
                invalid(&error.to_string())
            }
            InviteError::Full | InviteError::DuplicateCallId => unavailable(&error),
            error => Failure::Ended(ending::unreachable(&error)),
        })?;
        Ok((phone, offer, dialog, sip))
    }

    fn invite(&self, call_id: String, offer: &Offer) -> Result<Invite, Failure> {
        let Self { request, plan, .. } = self;
        let trunk = &request.trunk;
        let address = trunk.address.as_ref().ok_or_else(|| invalid("the trunk has no address"))?;
        let place = |address: &SipAddress| -> Result<HostPort, Failure> {
            let port = address.port().or(plan.default_port);
            let host = address.host();
            let text = match port {
                Some(port) if host.contains(':') => format!("[{host}]:{port}"),
                Some(port) => format!("{host}:{port}"),
                None => address.as_str().to_owned(),
            };
            text.parse::<HostPort>().map_err(|error| invalid(&error.to_string()))
        };
        let credentials = trunk.auth_username.clone().zip(trunk.auth_password.as_ref());
        Ok(Invite {
            call_id,
            to_user: plan.to_user.clone(),
            address: place(address)?,
            transport: match trunk.transport {
                SipTransport::Udp => Transport::Udp,
                SipTransport::Tcp => Transport::Tcp,
                SipTransport::Tls => Transport::Tls,
            },
            proxies: trunk.outbound_proxies.iter().map(place).collect::<Result<_, _>>()?,
            from_user: plan.from_user.clone(),
            from_host: trunk.from_host.as_ref().map(|host| host.as_str().to_owned()),
            from_display: plan.from_display.clone(),
            credentials: credentials.map(|(username, password)| Credentials {
                username,
                password: password.expose().to_owned(),
            }),
            headers: plan.headers.clone(),
            offer: offer.to_bytes(),
            allowed: trunk.allowed_addresses.clone(),
        })
    }

    /// Has the server take the leg out of the room, as it does with one of livekit-sip: by the reason
    /// everybody can see that the call was ended on this side. It is not waited for any longer than
    /// `within`.
    async fn be_removed(&self, within: Duration) {
        let (livekit, request) = (&self.bridge.livekit, &self.request);
        let removing = livekit.remove(&request.room_name, &request.participant_identity);
        if !matches!(tokio::time::timeout(within, removing).await, Ok(Ok(()))) {
            tracing::info!(room = ?request.room_name, "a leg leaves its room by itself");
        }
    }

    /// Writes down what it takes to end the call should this process be killed.
    async fn write_down(&self, dialog: &Dialog) {
        let Some((journal, dialog)) = self.bridge.journal.clone().zip(dialog.snapshot()) else {
            return;
        };
        let entry = journal::Entry { room_name: self.request.room_name.clone(), dialog };
        // It fails only when the runtime stops.
        let _ = tokio::task::spawn_blocking(move || journal.write(&entry)).await;
    }
}

fn unavailable(error: &dyn std::error::Error) -> Failure {
    Failure::Error(Error::new(ErrorKind::Unavailable, "bridge.dial", error.to_string()))
}

fn invalid(text: &str) -> Failure {
    Failure::Error(Error::new(ErrorKind::Refused, "bridge.dial", text))
}
