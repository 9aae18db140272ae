//! Being in a room unseen.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_token::VideoGrants;
use outdial_domain::{Result, RoomName};

use crate::LiveKit;

impl LiveKit {
    /// Where the server is, as `http://` or `https://`.
    pub fn url(&self) -> &str {
        self.twirp.base().as_str()
    }

    /// Whether there is such a room. `Rooms::look` cannot tell: to livekit-server 1.13 a missing room
    /// is one without participants.
    ///
    /// # Errors
    /// As for `Rooms::look`.
    pub async fn has_room(&self, room: &RoomName) -> Result<bool> {
        let grants = VideoGrants { room_list: true, ..Default::default() };
        let request = proto::ListRoomsRequest { names: vec![room.as_str().to_owned()] };
        match self.twirp.call(grants, &request).await {
            Ok(answer) => Ok(!answer.rooms.is_empty()),
            Err(failure) => Err(failure.into_error("livekit.list_rooms")),
        }
    }

    /// A token with which a client joins the room unseen by the others, to hear and not to speak.
    /// `lifetime` bounds when it can still join, not how long it stays.
    ///
    /// # Errors
    /// The key is not usable.
    pub fn observer_token(
        &self,
        room: &RoomName,
        identity: &str,
        lifetime: Duration,
    ) -> Result<String> {
        let grants = VideoGrants {
            room_join: true,
            room: room.as_str().to_owned(),
            hidden: true,
            can_subscribe: Some(true),
            can_publish: Some(false),
            can_publish_data: Some(false),
            ..Default::default()
        };
        let token = self.twirp.join_token(grants, identity, lifetime);
        token.map_err(|failure| failure.into_error("livekit.observer_token"))
    }
}

#[cfg(test)]
mod tests {
    use livekit_token::TokenVerifier;
    use outdial_domain::Secret;

    use super::*;
    use crate::LiveKitConfig;

    #[test]
    fn an_observer_is_hidden_and_says_nothing() {
        let config = LiveKitConfig::new("ws://127.0.0.1:7880", "key", Secret::new("secret"));
        let livekit = LiveKit::new(config).unwrap();
        let room: RoomName = "550e8400-e29b-41d4-a716-446655440000_abc123def456".parse().unwrap();
        let token = livekit.observer_token(&room, "observer", Duration::from_secs(60)).unwrap();
        let claims = TokenVerifier::with_api_key("key", "secret").verify(&token).unwrap();
        assert_eq!(claims.sub, "observer");
        let video = claims.video;
        assert!(video.room_join && video.hidden && video.can_subscribe());
        assert!(!video.can_publish() && !video.can_publish_data() && !video.room_admin);
        assert_eq!(video.room, room.as_str());
        assert_eq!(livekit.url(), "http://127.0.0.1:7880/");
        assert!(livekit.observer_token(&room, "", Duration::from_secs(60)).is_err());
    }
}
