//! Being in a room: as one unseen, or as the callee's leg.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_token::{AccessToken, VideoGrants};
use outdial_domain::{Result, RoomName};

use crate::LiveKit;
use crate::twirp::Failure;

/// Longer than any call: a connection that is lost late must still be made good.
const LEG_TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Long enough for clocks that disagree a little; who dials digits joins at once.
const DTMF_TOKEN_LIFE: Duration = Duration::from_secs(600);

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
        finish("livekit.observer_token", self.twirp.join_token(grants, identity, lifetime))
    }

    /// A token with which a client joins the room as livekit-sip joins it for a call: of the kind
    /// `SIP`, with these [`attributes`](crate::attributes) from the first moment on. It speaks,
    /// hears, sends data, and changes its own attributes. Good for 24 h.
    ///
    /// # Errors
    /// The key is not usable.
    pub fn leg_token(
        &self,
        room: &RoomName,
        identity: &str,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Result<String> {
        let grants = VideoGrants {
            room_join: true,
            room: room.as_str().to_owned(),
            can_subscribe: Some(true),
            can_publish: Some(true),
            can_publish_data: Some(true),
            can_publish_sources: vec!["microphone".to_owned()],
            can_update_own_metadata: Some(true),
            ..Default::default()
        };
        let token = self
            .twirp
            .join_token(grants, identity, LEG_TOKEN_LIFE)
            .with_name(name)
            .with_kind("sip")
            .with_attributes(attributes.iter().copied());
        finish("livekit.leg_token", token)
    }

    /// A token with which a client joins the room unseen, to send digits to the phone that is in it
    /// and nothing else. Two clients of the same identity cannot be in one room. Good for 10 min.
    ///
    /// # Errors
    /// The key is not usable.
    pub fn dtmf_token(&self, room: &RoomName, identity: &str) -> Result<String> {
        let grants = VideoGrants {
            room_join: true,
            room: room.as_str().to_owned(),
            hidden: true,
            can_subscribe: Some(false),
            can_publish: Some(false),
            can_publish_data: Some(true),
            ..Default::default()
        };
        finish("livekit.dtmf_token", self.twirp.join_token(grants, identity, DTMF_TOKEN_LIFE))
    }
}

fn finish(operation: &'static str, token: AccessToken) -> Result<String> {
    token.to_jwt().map_err(|error| Failure::Token(error).into_error(operation))
}

#[cfg(test)]
mod tests {
    use livekit_token::{Claims, TokenVerifier};
    use outdial_domain::Secret;

    use super::*;
    use crate::attributes::{CALL_STATUS, PHONE_NUMBER};
    use crate::{CallStatus, LiveKitConfig};

    const ROOM: &str = "550e8400-e29b-41d4-a716-446655440000_abc123def456";

    fn livekit() -> LiveKit {
        let config = LiveKitConfig::new("ws://127.0.0.1:7880", "key", Secret::new("secret"));
        LiveKit::new(config).unwrap()
    }

    fn read(token: &str) -> Claims {
        TokenVerifier::with_api_key("key", "secret").verify(token).unwrap()
    }

    #[test]
    fn an_observer_is_hidden_and_says_nothing() {
        let (livekit, room) = (livekit(), ROOM.parse().unwrap());
        let token = livekit.observer_token(&room, "observer", Duration::from_secs(60)).unwrap();
        let claims = read(&token);
        assert_eq!(claims.sub, "observer");
        let video = claims.video;
        assert!(video.room_join && video.hidden && video.can_subscribe());
        assert!(!video.can_publish() && !video.can_publish_data() && !video.room_admin);
        assert_eq!(video.room, ROOM);
        assert_eq!(livekit.url(), "http://127.0.0.1:7880/");
        assert!(livekit.observer_token(&room, "", Duration::from_secs(60)).is_err());
    }

    #[test]
    fn a_leg_is_a_phone() {
        let (livekit, room) = (livekit(), ROOM.parse().unwrap());
        let attributes =
            [(CALL_STATUS, CallStatus::Dialing.as_str()), (PHONE_NUMBER, "+15550100000")];
        let token = livekit.leg_token(&room, "phone-1", "Phone", &attributes).unwrap();
        let claims = read(&token);
        let (sub, name, kind) = (claims.sub.as_str(), claims.name.as_str(), claims.kind.as_str());
        assert_eq!((sub, name, kind), ("phone-1", "Phone", "sip"));
        assert_eq!(claims.attributes.len(), 2);
        assert_eq!(claims.attributes["sip.callStatus"], "dialing");
        assert_eq!(claims.attributes["sip.phoneNumber"], "+15550100000");
        let video = claims.video;
        assert!(video.room_join && video.can_subscribe() && video.can_publish());
        assert!(video.can_publish_data() && video.can_update_own_metadata());
        assert_eq!(video.can_publish_sources, ["microphone"]);
        assert!(!video.hidden && !video.room_admin);
        assert_eq!(video.room, ROOM);
        assert!(livekit.leg_token(&room, "", "Phone", &[]).is_err());
    }

    #[test]
    fn who_dials_digits_does_nothing_else() {
        let token = livekit().dtmf_token(&ROOM.parse().unwrap(), "digits").unwrap();
        let video = read(&token).video;
        assert!(video.room_join && video.hidden && video.can_publish_data());
        assert!(!video.can_publish() && !video.can_subscribe() && !video.room_admin);
        assert_eq!(video.room, ROOM);
    }
}
