//! Who is in the room, from the updates of the server.

use crate::{
    events::RoomEvent,
    participant::{Participant, ParticipantState, Speaker, Track},
};
use livekit_protocol::{self as proto, DisconnectReason};
use std::collections::HashMap;

/// The local participant and the others.
pub(crate) struct Roster {
    pub(crate) local: Participant,
    pub(crate) room_sid: String,
    pub(crate) room_name: String,
    pub(crate) can_publish_data: bool,
    /// By identity, which is unique in a room.
    others: HashMap<String, Entry>,
}

struct Entry {
    participant: Participant,
    version: u32,
}

impl Roster {
    pub(crate) fn new(join: &proto::JoinResponse) -> Self {
        let local = join.participant.as_ref().map(Participant::from);
        let room = join.room.as_ref();
        let others = join.other_participants.iter().map(|p| (p.identity.clone(), Entry::new(p)));
        Self {
            local: local.unwrap_or_else(|| Participant::from(&proto::ParticipantInfo::default())),
            room_sid: room.map(|r| r.sid.clone()).unwrap_or_default(),
            room_name: room.map(|r| r.name.clone()).unwrap_or_default(),
            can_publish_data: may_send_data(join.participant.as_ref()),
            others: others.collect(),
        }
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = &Participant> {
        self.others.values().map(|e| &e.participant)
    }

    /// The publisher of a track, and the track.
    pub(crate) fn track(&self, sid: &str) -> Option<(&Participant, &Track)> {
        self.others().find_map(|p| Some((p, p.tracks.iter().find(|t| t.sid == sid)?)))
    }

    pub(crate) fn update(&mut self, infos: &[proto::ParticipantInfo]) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        for info in infos {
            if info.sid == self.local.sid {
                self.update_local(info, &mut events);
            } else {
                self.update_other(info, &mut events);
            }
        }
        events
    }

    fn update_local(&mut self, info: &proto::ParticipantInfo, events: &mut Vec<RoomEvent>) {
        self.can_publish_data = may_send_data(Some(info));
        let participant = Participant::from(info);
        if participant != self.local {
            self.local = participant.clone();
            events.push(RoomEvent::ParticipantUpdated(participant));
        }
    }

    fn update_other(&mut self, info: &proto::ParticipantInfo, events: &mut Vec<RoomEvent>) {
        let known = self.others.get(&info.identity);
        let same_session = known.is_some_and(|e| e.participant.sid == info.sid);
        if Participant::from(info).state == ParticipantState::Disconnected {
            if same_session && let Some(entry) = self.others.remove(&info.identity) {
                left(entry.participant, info.disconnect_reason(), events);
            }
            return;
        }
        if let Some(entry) = known {
            // updates may overtake each other
            if same_session && info.version < entry.version {
                return;
            }
            if !same_session && let Some(entry) = self.others.remove(&info.identity) {
                left(entry.participant, DisconnectReason::DuplicateIdentity, events);
            }
        }
        let entry = Entry::new(info);
        match self.others.insert(info.identity.clone(), entry) {
            None => joined(&Participant::from(info), events),
            Some(old) => changed(&old.participant, &Participant::from(info), events),
        }
    }

    /// Joined afresh: tells the differences, keeping participants with the same identity.
    pub(crate) fn replace(&mut self, new: Roster) -> Vec<RoomEvent> {
        let mut events = Vec::new();
        let old = std::mem::replace(self, new);
        for (identity, now) in &self.others {
            if !old.others.contains_key(identity) {
                joined(&now.participant, &mut events);
            }
        }
        for (identity, entry) in old.others {
            match self.others.get(&identity) {
                Some(now) => changed(&entry.participant, &now.participant, &mut events),
                None => left(entry.participant, DisconnectReason::UnknownReason, &mut events),
            }
        }
        if old.local != self.local {
            events.push(RoomEvent::ParticipantUpdated(self.local.clone()));
        }
        events
    }

    pub(crate) fn speakers(&self, infos: &[proto::SpeakerInfo]) -> Vec<Speaker> {
        let identity = |sid: &str| {
            if sid == self.local.sid {
                return self.local.identity.clone();
            }
            let found = self.others().find(|p| p.sid == sid);
            found.map(|p| p.identity.clone()).unwrap_or_default()
        };
        let speaker = |info: &proto::SpeakerInfo| Speaker {
            participant_sid: info.sid.clone(),
            participant_identity: identity(&info.sid),
            level: info.level,
            active: info.active,
        };
        infos.iter().map(speaker).collect()
    }
}

impl Entry {
    fn new(info: &proto::ParticipantInfo) -> Self {
        Self { participant: Participant::from(info), version: info.version }
    }
}

fn may_send_data(info: Option<&proto::ParticipantInfo>) -> bool {
    info.and_then(|i| i.permission.as_ref()).is_none_or(|p| p.can_publish_data)
}

fn joined(participant: &Participant, events: &mut Vec<RoomEvent>) {
    events.push(RoomEvent::ParticipantJoined(participant.clone()));
    for track in &participant.tracks {
        published(participant, track, events);
    }
}

fn left(participant: Participant, reason: DisconnectReason, events: &mut Vec<RoomEvent>) {
    for track in &participant.tracks {
        unpublished(&participant, track, events);
    }
    events.push(RoomEvent::ParticipantLeft { participant, reason });
}

fn changed(old: &Participant, new: &Participant, events: &mut Vec<RoomEvent>) {
    let bare = |p: &Participant| Participant { tracks: Vec::new(), ..p.clone() };
    for track in &old.tracks {
        if !new.tracks.iter().any(|t| t.sid == track.sid) {
            unpublished(new, track, events);
        }
    }
    if bare(old) != bare(new) {
        events.push(RoomEvent::ParticipantUpdated(new.clone()));
    }
    for track in &new.tracks {
        match old.tracks.iter().find(|t| t.sid == track.sid) {
            None => published(new, track, events),
            Some(before) if before.muted != track.muted => events.push(RoomEvent::TrackMuted {
                participant_identity: new.identity.clone(),
                track_sid: track.sid.clone(),
                muted: track.muted,
            }),
            Some(_) => {}
        }
    }
}

fn published(participant: &Participant, track: &Track, events: &mut Vec<RoomEvent>) {
    let participant_identity = participant.identity.clone();
    events.push(RoomEvent::TrackPublished { participant_identity, track: track.clone() });
}

fn unpublished(participant: &Participant, track: &Track, events: &mut Vec<RoomEvent>) {
    let participant_identity = participant.identity.clone();
    events.push(RoomEvent::TrackUnpublished { participant_identity, track_sid: track.sid.clone() });
}

#[cfg(test)]
mod tests;
