//! Messages of the server.

use super::{Session, Wanted};
use crate::{core::peer::MediaSignal, error::RoomError, events::RoomEvent, participant::TrackKind};
use livekit_protocol::{
    self as proto,
    request_response::{Reason, Request as Subject},
    signal_response::Message,
};
use std::time::Instant;

/// Requests of one kind that may wait for the server.
pub(crate) const MAX_PENDING: usize = 256;

/// Whether a track that is gone may come back under another id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    Same,
    /// Joined afresh: participants publish again.
    Afresh,
}

impl Session {
    pub(super) async fn take_message(&mut self, message: Message) {
        match message {
            Message::Answer(answer) => self.take_media(MediaSignal::Answer(answer)),
            Message::Offer(offer) => self.take_media(MediaSignal::Offer(offer)),
            Message::Trickle(trickle) => self.take_media(MediaSignal::Trickle(trickle)),
            Message::MediaSectionsRequirement(sections) => {
                self.take_media(MediaSignal::Sections(sections));
            }
            Message::Update(update) => {
                let events = self.shared.roster().update(&update.participants);
                self.check_attributes();
                self.take_roster_events(events, Continuity::Same).await;
            }
            Message::SpeakersChanged(changed) => {
                let speakers = self.shared.roster().speakers(&changed.speakers);
                self.emit(RoomEvent::ActiveSpeakers(speakers));
            }
            Message::TrackPublished(response) => self.take_published(response),
            Message::RequestResponse(response) => self.take_response(response),
            Message::SubscriptionResponse(response) => {
                let error = response.err().as_str_name().to_owned();
                self.emit(RoomEvent::SubscriptionFailed { track_sid: response.track_sid, error });
            }
            Message::RefreshToken(token) => self.token = token,
            Message::RoomMoved(moved) => self.take_room_moved(moved).await,
            Message::Leave(leave) => self.take_leave(leave.action(), leave.reason()),
            _ => {}
        }
    }

    fn take_media(&mut self, signal: MediaSignal) {
        self.shared.seat.with(|peer| peer.take_signal(signal, Instant::now()));
    }

    pub(super) async fn take_roster_events(
        &mut self,
        events: Vec<RoomEvent>,
        continuity: Continuity,
    ) {
        for event in events {
            let mut subscribe = None;
            match &event {
                RoomEvent::ParticipantLeft { participant, .. } => {
                    self.streams.abort_from(&participant.identity);
                    self.inbox.forget(&participant.sid);
                }
                RoomEvent::TrackUnpublished { track_sid, .. } if continuity == Continuity::Same => {
                    drop(self.forget_track(track_sid));
                }
                RoomEvent::TrackPublished { participant_identity, track } => {
                    let sid = track.sid.clone();
                    let found = self.homeless.iter().position(|(wanted, _)| {
                        wanted.identity == *participant_identity
                            && wanted.name == track.name
                            && wanted.source == track.source
                    });
                    if let Some(index) = found {
                        let (_, old) = self.homeless.swap_remove(index);
                        self.move_sink(&old, &sid);
                        subscribe = Some(sid);
                    } else if self.options.auto_subscribe && track.kind == TrackKind::Audio {
                        subscribe = Some(sid);
                    }
                }
                _ => {}
            }
            self.emit(event);
            if let Some(sid) = subscribe {
                self.want(&sid);
                self.ask_subscription(sid, true).await;
            }
        }
    }

    fn move_sink(&mut self, old: &str, new: &str) {
        self.shared.seat.with(|peer| {
            if let Some(sink) = peer.routes.unsubscribe(old) {
                peer.subscribe(new, sink);
            }
        });
    }

    fn take_response(&mut self, response: proto::RequestResponse) {
        let error = match response.reason() {
            Reason::Ok => None,
            Reason::Queued => return,
            Reason::NotAllowed => Some(RoomError::NotAllowed(response.message)),
            reason => {
                Some(RoomError::Refused(format!("{} {}", reason.as_str_name(), response.message)))
            }
        };
        if let Some(index) = self.asked.iter().position(|a| a.id == response.request_id) {
            let asked = self.asked.swap_remove(index);
            let _ = asked.reply.send(error.map_or(Ok(()), Err));
        } else if let Some(Subject::AddTrack(request)) = response.request
            && let Some(error) = error
        {
            let refused = |p: &super::Publishing| p.published.cid == request.cid;
            for publishing in self.publishing.extract_if(.., |p| refused(p)) {
                publishing.published.feed.close();
                if let Some(reply) = publishing.reply {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// The server moved us to another room; the peer connections stay.
    async fn take_room_moved(&mut self, moved: proto::RoomMovedResponse) {
        if !moved.token.is_empty() {
            self.token = moved.token;
        }
        let roster = crate::core::roster::Roster::new(&proto::JoinResponse {
            room: moved.room,
            participant: moved.participant,
            other_participants: moved.other_participants,
            ..Default::default()
        });
        let events = self.shared.roster().replace(roster);
        self.take_roster_events(events, Continuity::Same).await;
    }

    /// Keeps what is needed to find the subscribed tracks again, for a new join.
    pub(super) fn orphan_subscriptions(&mut self) -> Vec<(Wanted, String)> {
        let wanted = self.subscriptions.drain().map(|(sid, wanted)| (wanted, sid));
        self.homeless.drain(..).chain(wanted.filter(|(w, _)| !w.identity.is_empty())).collect()
    }
}
