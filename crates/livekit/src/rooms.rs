//! Rooms and the agents in them.

use async_trait::async_trait;
use livekit_protocol as proto;
use livekit_token::VideoGrants;
use outdial_domain::ports::{DispatchRequest, RoomLook, Rooms};
use outdial_domain::{Result, RoomName};

use crate::LiveKit;
use crate::leg::has_joined;

/// The rights of a room's administrator, for that room only.
pub(crate) fn admin_of(room: &RoomName) -> VideoGrants {
    VideoGrants { room_admin: true, room: room.as_str().to_owned(), ..Default::default() }
}

#[async_trait]
impl Rooms for LiveKit {
    async fn create(&self, room: &RoomName) -> Result<()> {
        let grants = VideoGrants { room_create: true, ..Default::default() };
        let request = proto::CreateRoomRequest {
            name: room.as_str().to_owned(),
            empty_timeout: self.empty_timeout,
            departure_timeout: self.departure_timeout,
            ..Default::default()
        };
        // The answer holds a TURN password: it is dropped unseen.
        let answer = self.twirp.call(grants, &request).await;
        answer.map(drop).map_err(|failure| failure.into_error("livekit.create_room"))
    }

    async fn dispatch(&self, room: &RoomName, request: &DispatchRequest) -> Result<String> {
        let request = proto::CreateAgentDispatchRequest {
            agent_name: request.agent_name.clone(),
            room: room.as_str().to_owned(),
            metadata: request.metadata.to_string(),
            ..Default::default()
        };
        let answer = self.twirp.call(admin_of(room), &request).await;
        answer.map(|dispatch| dispatch.id).map_err(|failure| failure.into_error("livekit.dispatch"))
    }

    async fn look(&self, room: &RoomName) -> Result<Option<RoomLook>> {
        let request = proto::ListParticipantsRequest { room: room.as_str().to_owned() };
        match self.twirp.call(admin_of(room), &request).await {
            Ok(answer) => Ok(Some(look_at(&answer.participants))),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure.into_error("livekit.list_participants")),
        }
    }

    async fn delete(&self, room: &RoomName) -> Result<()> {
        let grants = VideoGrants { room_create: true, ..Default::default() };
        let request = proto::DeleteRoomRequest { room: room.as_str().to_owned() };
        match self.twirp.call(grants, &request).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(failure.into_error("livekit.delete_room")),
        }
    }

    async fn check(&self) -> Result<()> {
        let grants = VideoGrants { room_list: true, ..Default::default() };
        // A name that no call has: the answer is empty and the question cheap, however many rooms
        // there are.
        let request = proto::ListRoomsRequest { names: vec!["outdial-check".to_owned()] };
        let answer = self.twirp.call(grants, &request).await;
        answer.map(drop).map_err(|failure| failure.into_error("livekit.check"))
    }
}

fn look_at(participants: &[proto::ParticipantInfo]) -> RoomLook {
    let mut look = RoomLook::default();
    for participant in participants.iter().filter(|p| has_joined(p)) {
        let hidden = participant.permission.as_ref().is_some_and(|p| p.hidden);
        match participant.kind() {
            _ if hidden => {}
            proto::participant_info::Kind::Agent => look.agent = true,
            _ => look.others.push(participant.identity.clone()),
        }
    }
    look
}
