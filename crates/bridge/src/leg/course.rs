//! The course of a leg whose INVITE is out: what its call, its room, its audio and its owner say.

use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt as _;
use ipnet::IpNet;
use outdial_domain::{Hint, LegEnd};
use outdial_livekit::{CallStatus, attributes};
use outdial_observer::{Attendant, Outbox};
use outdial_room::{CloseReason, Events, Room, RoomEvent};
use outdial_sip::{Answered, Dialog, Event, Info, Offer as PeerOffer};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::chores::{Chore, Chores};
use super::keys::Keys;
use super::{Command, Leg, ending, phone, tail};
use crate::bridge::lock;
use crate::elsewhere;
use crate::sdp::{self, Offer, Remote};

/// A far side that does not answer our BYE or CANCEL is not waited for any longer.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(3);
/// The room is told of the end for so long at most.
const LAST_CHORES: Duration = Duration::from_millis(500);

/// A leg between its INVITE and its end.
pub(crate) struct Course {
    leg: Leg,
    phone: phone::Handle,
    offer: Offer,
    dialog: Dialog,
    keys: Keys,
    attendant: Attendant,
    outbox: Outbox,
    /// The SDP of a provisional answer, for a 200 without one.
    early: Option<Remote>,
    /// Who else may send audio: the peer of the signalling, and the trunk's list.
    trusted: Vec<IpNet>,
    is_answered: bool,
    has_rung: bool,
    is_held: bool,
    /// What we end the call for.
    wish: Option<LegEnd>,
    /// When something is to be done though nothing happens.
    deadline: Instant,
    begun: Instant,
}

/// What the loop does next.
enum Then {
    GoOn,
    Over(LegEnd),
}

impl Course {
    pub(crate) fn new(
        leg: Leg,
        phone: phone::Handle,
        offer: Offer,
        dialog: Dialog,
        outbox: Outbox,
    ) -> Self {
        let attendant = Attendant::leg(&leg.request.participant_identity, leg.bridge.clock.clone());
        let begun = Instant::now();
        Self {
            deadline: begun + leg.request.ringing_timeout,
            trusted: leg.request.trunk.allowed_addresses.clone(),
            leg,
            phone,
            offer,
            keys: Keys::new(dialog.clone()),
            dialog,
            attendant,
            outbox,
            early: None,
            is_answered: false,
            has_rung: false,
            is_held: false,
            wish: None,
            begun,
        }
    }

    /// Follows the leg to its end, tells of it, and leaves the room. `delivering` passes on what the
    /// outbox is told.
    pub(crate) async fn run(
        mut self,
        room: Room,
        events: Events,
        sip: outdial_sip::Events,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        mut delivering: AbortOnDropHandle<()>,
    ) {
        let mut chores = Chores::new(&room);
        let mut sources =
            Sources { events, sip, commands, stop, delivering: &mut delivering, is_heard: true };
        let (end, is_open) = self.follow(&room, &mut sources, &mut chores).await;
        let is_heard = sources.is_heard;
        self.attendant.leg_ended();
        self.phone.finish();
        let at = self.leg.bridge.clock.now();
        self.tell(Hint::Media { quality: self.phone.quality() });
        self.tell(Hint::Ended { at, end: end.clone() });
        if end == LegEnd::CalleeHangup {
            chores.push(Chore::Status(CallStatus::Hangup, Vec::new()));
        }
        // A room that does not answer is left all the same.
        let _ = timeout(LAST_CHORES, chores.finish()).await;
        let listener = match self.is_answered && is_open {
            true => tail::join(&self.leg).await,
            false => None,
        };
        // What was said before somebody else listens.
        while let Some(Some(event)) = sources.events.next().now_or_never() {
            if matches!(event, RoomEvent::Closed(_)) {
                break;
            }
            self.hear_room(Some(event));
        }
        if end == LegEnd::Removed && is_open {
            self.leg.be_removed(LAST_CHORES).await;
        }
        room.leave(ending::leave_reason(&end)).await;
        let Self { leg, phone, mut attendant, outbox, .. } = self;
        // The recording has no writer any more before the transcript is said to have ended.
        drop(phone);
        if let Some(listener) = listener {
            tail::listen(listener, &mut attendant, &outbox).await;
        }
        outbox.tell_last(attendant.closed(&CloseReason::Left)).await;
        if attendant.ignored() > 0 {
            let (room, ignored) = (&leg.request.room_name, attendant.ignored());
            tracing::info!(?room, ignored, "streams of the transcript made no sense");
        }
        if is_heard {
            // It ends when all is told, or nobody listens any more.
            let _ = delivering.await;
        }
        if let Some(journal) = leg.bridge.journal.clone() {
            let room_name = leg.request.room_name.clone();
            let _ = tokio::task::spawn_blocking(move || journal.forget(&room_name)).await;
        }
    }

    /// The end, and whether we are in the room still.
    async fn follow(
        &mut self,
        room: &Room,
        from: &mut Sources<'_>,
        chores: &mut Chores<'_>,
    ) -> (LegEnd, bool) {
        let mut is_open = true;
        for hint in self.attendant.look_around(&room.participants()) {
            self.tell(hint);
        }
        loop {
            self.attend(room);
            let then = tokio::select! {
                biased;
                event = from.sip.next() => match event {
                    Some(event) => self.hear_call(event, chores).await,
                    None => Then::Over(self.wish.clone().unwrap_or(LegEnd::Gone)),
                },
                Some(event) = self.phone.events.recv() => {
                    self.hear_phone(event, chores);
                    Then::GoOn
                }
                Some(command) = from.commands.recv() => {
                    self.obey(command);
                    Then::GoOn
                }
                event = from.events.next(), if is_open => {
                    is_open = self.hear_room(event);
                    Then::GoOn
                }
                () = chores.next() => Then::GoOn,
                answer = self.keys.told() => {
                    chores.push(answer);
                    Then::GoOn
                }
                () = until(self.attendant.due()) => Then::GoOn,
                () = sleep_until(self.deadline) => self.past_deadline(),
                _ = &mut *from.delivering, if from.is_heard => {
                    from.is_heard = false;
                    self.hang_up(LegEnd::Removed);
                    Then::GoOn
                }
                () = from.stop.cancelled(), if self.wish.is_none() => {
                    self.hang_up(ending::stopped());
                    Then::GoOn
                }
            };
            if let Then::Over(end) = then {
                return (end, is_open);
            }
        }
    }

    /// What follows from the room, whatever happened in it.
    fn attend(&mut self, room: &Room) {
        self.attendant.watch(room);
        if self.is_answered {
            let (phone, room_name) = (&self.phone, &self.leg.request.room_name);
            self.attendant.voices(|track_sid, _| {
                let asked = room.subscribe(track_sid, phone.voice());
                if let Err(error) = &asked {
                    tracing::warn!(room = ?room_name, %error, "the callee cannot hear a voice");
                }
                asked.is_ok()
            });
        }
        for hint in self.attendant.tick() {
            self.tell(hint);
        }
    }

    fn tell(&mut self, hint: Hint) {
        lock(&self.leg.standing).note(&hint);
        self.attendant.tell(hint, &self.outbox);
    }

    async fn hear_call(&mut self, event: Event, chores: &mut Chores<'_>) -> Then {
        match event {
            Event::Ringing { .. } => self.ringing(chores),
            Event::EarlyMedia { sdp, .. } => {
                self.ringing(chores);
                self.listen_early(&sdp);
            }
            Event::Answered(answered) => self.answered(answered, chores).await,
            Event::Offer(offer) => self.reoffered(offer, chores).await,
            Event::Info(info) => self.informed(&info, chores),
            Event::Ended(end) => {
                return Then::Over(ending::of_call(end, self.is_answered, self.wish.clone()));
            }
        }
        Then::GoOn
    }

    fn ringing(&mut self, chores: &mut Chores<'_>) {
        if !self.has_rung && !self.is_answered {
            self.has_rung = true;
            chores.push(Chore::Status(CallStatus::Ringing, Vec::new()));
            self.tell(Hint::Ringing { at: self.leg.bridge.clock.now() });
        }
    }

    /// Early media is heard, not spoken into.
    fn listen_early(&mut self, sdp: &[u8]) {
        let heard = sdp::read_answer(&self.offer, sdp).map_err(|error| error.to_string());
        let set = heard.and_then(|remote| {
            self.phone.set_remote(&remote, &self.trusted).map_err(|error| error.to_string())?;
            self.early = Some(remote);
            Ok(())
        });
        if let Err(error) = set {
            tracing::info!(room = ?self.leg.request.room_name, error, "early media cannot be heard");
        }
    }

    async fn answered(&mut self, answered: Answered, chores: &mut Chores<'_>) {
        let Answered { sdp, peer, to_tag, headers, .. } = answered;
        self.is_answered = true;
        self.trusted.push(IpNet::from(peer));
        let remote = match self.early.take() {
            Some(early) if sdp.is_empty() => Ok(early),
            _ => sdp::read_answer(&self.offer, &sdp),
        };
        let set = remote
            .map_err(|error| (ending::code_of_sdp(&error), error.to_string()))
            .and_then(|remote| {
                let set = self.phone.set_remote(&remote, &self.trusted);
                set.map_err(|error| ("srtp", error.to_string()))
            });
        // Answered it was, and is billed so, whatever comes of it.
        self.tell(Hint::Answered { at: self.leg.bridge.clock.now() });
        if let Err((code, text)) = set {
            tracing::warn!(room = ?self.leg.request.room_name, code, text, "an answer cannot be used");
            return self.hang_up(ending::no_media(code, text));
        }
        self.phone.answered();
        self.attendant.leg_answered();
        self.deadline = self.begun + self.leg.request.max_duration;
        let mut more = vec![(attributes::CALL_TAG, to_tag)];
        let call_sid =
            headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("X-Twilio-CallSid"));
        more.extend(call_sid.map(|(_, sid)| (attributes::TWILIO_CALL_SID, sid)));
        chores.push(Chore::Status(CallStatus::Active, more));
        chores.push(Chore::Event("call_answered"));
        self.leg.write_down(&self.dialog).await;
    }

    /// Hold, resume, another address or codec.
    async fn reoffered(&mut self, offer: PeerOffer, chores: &mut Chores<'_>) {
        let Some(theirs) = &offer.sdp else {
            // They ask what we can do: what we did so far.
            self.offer.version += 1;
            let ours = self.offer.to_bytes();
            return offer.accept(ours).await;
        };
        let answered = sdp::answer(&mut self.offer, theirs)
            .map_err(|error| error.to_string())
            .and_then(|(ours, remote)| {
                let set = self.phone.set_remote(&remote, &self.trusted);
                set.map(|()| (ours, remote)).map_err(|error| error.to_string())
            });
        match answered {
            Ok((ours, remote)) => {
                offer.accept(ours).await;
                self.held(remote.is_hold(), chores);
            }
            Err(error) => {
                tracing::info!(room = ?self.leg.request.room_name, error, "a new offer was refused");
                offer.refuse().await;
            }
        }
    }

    fn held(&mut self, is_held: bool, chores: &mut Chores<'_>) {
        if self.is_held == is_held || !self.is_answered {
            return;
        }
        self.is_held = is_held;
        let at = self.leg.bridge.clock.now();
        if is_held {
            chores.push(Chore::Event("call_held"));
            self.tell(Hint::Held { at });
        } else {
            chores.push(Chore::Event("call_resumed"));
            self.tell(Hint::Resumed { at });
        }
    }

    fn informed(&mut self, info: &Info, chores: &mut Chores<'_>) {
        if let Some(digit) = info.dtmf().and_then(|key| outdial_domain::Digit::from_char(key.digit))
        {
            self.pressed(digit, chores);
        }
    }

    fn pressed(&mut self, digit: outdial_domain::Digit, chores: &mut Chores<'_>) {
        chores.push(Chore::Dtmf { code: digit.code().into(), digit: digit.as_char() });
        self.tell(Hint::Dtmf { at: self.leg.bridge.clock.now(), digit });
    }

    fn hear_phone(&mut self, event: crate::rtp::Event, chores: &mut Chores<'_>) {
        use crate::rtp::Event as Heard;
        let room = &self.leg.request.room_name;
        match event {
            Heard::Dtmf { digit, .. } => self.pressed(digit, chores),
            Heard::NoMedia | Heard::MediaSilence => self.hang_up(LegEnd::MediaTimeout),
            Heard::OneWay(way) => {
                tracing::warn!(?room, ?way, "audio seems to go one way only");
                self.tell(Hint::Media { quality: self.phone.quality() });
            }
            Heard::LatchMoved { from, to } => {
                tracing::info!(?room, %from, %to, "the callee's audio comes from elsewhere");
            }
            Heard::EarlyAudio | Heard::FirstAudio | Heard::MediaBack => {
                tracing::debug!(?room, ?event, "audio of a call");
            }
        }
    }

    /// False: the room is closed.
    fn hear_room(&mut self, event: Option<RoomEvent>) -> bool {
        let reason = match event {
            Some(RoomEvent::Closed(reason)) => reason,
            None => CloseReason::MediaStopped,
            Some(RoomEvent::Dtmf { code, .. }) => {
                self.keys.of_room(&self.phone, code);
                return true;
            }
            // Only hidden participants have no name: one of ours.
            Some(RoomEvent::Data { participant_identity, topic, payload, .. })
                if topic == elsewhere::ASKED && participant_identity.is_empty() =>
            {
                self.keys.asked(&self.phone, &payload);
                return true;
            }
            Some(event) => {
                for hint in self.attendant.hear(event) {
                    self.tell(hint);
                }
                return true;
            }
        };
        for hint in self.attendant.closed(&reason) {
            self.tell(hint);
        }
        self.hang_up(match reason {
            CloseReason::RoomDeleted | CloseReason::Removed => LegEnd::Removed,
            reason => {
                let room = &self.leg.request.room_name;
                tracing::warn!(?room, %reason, "a leg has lost its room");
                LegEnd::Lost
            }
        });
        false
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::HangUp => self.hang_up(LegEnd::Removed),
            Command::Dtmf { digits, reply } => {
                self.keys.send(&self.phone, digits, Some(reply));
            }
        }
    }

    fn past_deadline(&mut self) -> Then {
        if let Some(wish) = &self.wish {
            // The far side is silent; the BYE is repeated without us.
            return Then::Over(wish.clone());
        }
        self.hang_up(if self.is_answered { LegEnd::Removed } else { LegEnd::RingTimeout });
        Then::GoOn
    }

    /// Begins to end the call; the first wish stands.
    fn hang_up(&mut self, wish: LegEnd) {
        if self.wish.is_some() {
            return;
        }
        self.wish = Some(wish);
        self.deadline = Instant::now() + HANG_UP_PATIENCE;
        let dialog = self.dialog.clone();
        self.leg.bridge.spawn(async move { dialog.hang_up().await });
    }
}

/// Where a leg hears from.
struct Sources<'a> {
    events: Events,
    sip: outdial_sip::Events,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    delivering: &'a mut AbortOnDropHandle<()>,
    /// Somebody takes the hints.
    is_heard: bool,
}

/// Never, when nothing is due.
pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
