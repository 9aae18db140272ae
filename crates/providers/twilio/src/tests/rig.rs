//! A scripted LiveKit, a provider that dials through it, and what is expected of both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use livekit_protocol as proto;
use outdial_domain::ports::{Clock, DialRequest, Dialed, HintSink, Provider, TrunkAccess};
use outdial_domain::{Hint, LegEnd, Participant, RoomName, Secret, SipStatus};
use outdial_livekit::testing::{FakeLiveKit, Reply, Request};
use outdial_livekit::{LiveKit, LiveKitConfig};
use outdial_room::{Media, MediaConfig};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::{Pace, Twilio};

pub(super) const PHONE: &str = "phone-+15550199999";

/// The longest that anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        noon()
    }
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

pub(super) fn room() -> RoomName {
    "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap()
}

pub(super) fn request() -> DialRequest {
    DialRequest {
        room_name: room(),
        participant_identity: PHONE.into(),
        to_number: "+15550199999".parse().unwrap(),
        from_number: Some("+15550100000".parse().unwrap()),
        trunk: TrunkAccess::at(Some("acme.pstn.twilio.com".parse().unwrap()), Default::default()),
        ringing_timeout: Duration::from_secs(45),
        max_duration: Duration::from_secs(600),
    }
}

pub(super) fn participant() -> Participant {
    Participant { sid: "PA_1".into(), identity: PHONE.into() }
}

/// A leg in the room, or none.
type Room = Arc<Mutex<Option<&'static str>>>;

/// A LiveKit whose dial is answered with `dial`, and whose room holds what the returned [`Room`]
/// does.
pub(super) struct Rig {
    pub(super) livekit: FakeLiveKit,
    pub(super) twilio: Arc<Twilio>,
    room: Room,
}

impl Rig {
    pub(super) async fn new(status: Option<&'static str>, dial: Reply) -> Self {
        let room: Room = Arc::new(Mutex::new(status));
        let inside = Arc::clone(&room);
        let script = move |request: &Request| match request.method.as_str() {
            "CreateSIPParticipant" => dial.clone(),
            "GetParticipant" => match *inside.lock().unwrap() {
                Some(status) => Reply::ok(&leg(status)),
                None => Reply::not_found(),
            },
            "RemoveParticipant" => match inside.lock().unwrap().take() {
                Some(_) => Reply::ok(&proto::RemoveParticipantResponse::default()),
                None => Reply::not_found(),
            },
            _ => Reply::text(404, ""),
        };
        let livekit = FakeLiveKit::start(script).await.unwrap();
        let twilio = Arc::new(twilio(&livekit.url()));
        Self { livekit, twilio, room }
    }

    pub(super) fn set(&self, status: Option<&'static str>) {
        *self.room.lock().unwrap() = status;
    }

    pub(super) async fn dial(&self) -> (outdial_domain::Result<Dialed>, Receiver<Hint>) {
        let (sink, hints) = HintSink::channel(8);
        let dialed = self.twilio.dial(request(), sink).await;
        (dialed, hints)
    }

    /// Waits until LiveKit has been asked to dial.
    pub(super) async fn dialing(&self) {
        let asked = async {
            while self.livekit.count("CreateSIPParticipant") == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, asked).await.unwrap();
    }

    /// Waits until the room is empty again.
    pub(super) async fn emptied(&self) {
        let empty = async {
            while self.room.lock().unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, empty).await.unwrap();
    }
}

pub(super) fn twilio(url: &str) -> Twilio {
    let config = LiveKitConfig::new(url, "key", Secret::new("secret"));
    let pace = Pace {
        join_timeout: Duration::from_millis(1500),
        joining: Duration::from_millis(2),
        joining_longest: Duration::from_millis(10),
        ringing: Duration::from_millis(40),
        answered: Duration::from_millis(20),
        abandoned: Duration::from_secs(5),
    };
    let media = Media::start(MediaConfig::default()).unwrap();
    let livekit = Arc::new(LiveKit::new(config).unwrap());
    Twilio::new(livekit, media).with_clock(Arc::new(Noon)).with_pace(pace)
}

pub(super) fn leg(status: &str) -> proto::ParticipantInfo {
    proto::ParticipantInfo {
        sid: "PA_1".into(),
        identity: PHONE.into(),
        attributes: HashMap::from([("sip.callStatus".to_owned(), status.to_owned())]),
        ..Default::default()
    }
}

pub(super) fn answered() -> Reply {
    Reply::ok(&proto::SipParticipantInfo {
        participant_id: "PA_1".into(),
        participant_identity: PHONE.into(),
        ..Default::default()
    })
}

pub(super) async fn next(hints: &mut Receiver<Hint>) -> Option<Hint> {
    timeout(PATIENCE, hints.recv()).await.unwrap()
}

pub(super) fn joined() -> Option<Hint> {
    Some(Hint::Joined { at: noon(), participant: Some(participant()) })
}

pub(super) fn ringing() -> Option<Hint> {
    Some(Hint::Ringing { at: noon() })
}

pub(super) fn picked_up() -> Option<Hint> {
    Some(Hint::Answered { at: noon() })
}

pub(super) fn ended(end: LegEnd) -> Option<Hint> {
    Some(Hint::Ended { at: noon(), end })
}

pub(super) fn busy() -> LegEnd {
    LegEnd::Refused(SipStatus { code: 486, reason: "Busy Here".into() })
}
