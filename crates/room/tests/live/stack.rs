//! The LiveKit server, its API and its tokens.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use livekit_token::{AccessToken, VideoGrants};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::log::until;

/// How many tests run at a time: each has a process of libwebrtc, and two cores are few.
static SEATS: Semaphore = Semaphore::const_new(3);

/// A room on a server.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// `ws://…`
    pub(crate) url: String,
    key: String,
    secret: String,
    pub(crate) room: String,
}

/// The right to run.
pub(crate) async fn seat() -> SemaphorePermit<'static> {
    SEATS.acquire().await.unwrap()
}

/// A setting of `scripts/real-stack env`.
pub(crate) fn setting(name: &str) -> String {
    let hint = "run `eval \"$(scripts/real-stack env)\"` first";
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {hint}"))
}

impl Place {
    /// A new room on the shared server.
    pub(crate) fn shared(theme: &str) -> Self {
        Self::at(&setting("LIVEKIT_URL"), theme)
    }

    /// A new room on another server, with the same key.
    pub(crate) fn at(url: &str, theme: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self {
            url: url.to_owned(),
            key: setting("LIVEKIT_API_KEY"),
            secret: setting("LIVEKIT_API_SECRET"),
            room: format!("live-{theme}-{}-{number}", std::process::id()),
        }
    }

    /// A token that allows everything a participant may do.
    pub(crate) fn token(&self, identity: &str) -> String {
        self.token_with(identity, self.grants())
    }

    /// The same for one whom others do not see.
    pub(crate) fn hidden_token(&self, identity: &str) -> String {
        let grants = VideoGrants { hidden: true, can_publish: Some(false), ..self.grants() };
        self.token_with(identity, grants)
    }

    pub(crate) fn grants(&self) -> VideoGrants {
        VideoGrants {
            room_join: true,
            room: self.room.clone(),
            can_publish: Some(true),
            can_subscribe: Some(true),
            can_publish_data: Some(true),
            can_update_own_metadata: Some(true),
            ..Default::default()
        }
    }

    pub(crate) fn token_with(&self, identity: &str, grants: VideoGrants) -> String {
        self.signed(&self.secret, identity, grants)
    }

    /// A token that is signed with another secret.
    pub(crate) fn signed(&self, secret: &str, identity: &str, grants: VideoGrants) -> String {
        let token = AccessToken::with_api_key(&self.key, secret);
        token.with_identity(identity).with_name(identity).with_grants(grants).to_jwt().unwrap()
    }

    /// A token of a key that the server does not know.
    pub(crate) fn of_another_key(&self, identity: &str) -> String {
        let other = Self { key: "another-key".to_owned(), ..self.clone() };
        other.token(identity)
    }

    /// A token that ended an hour ago: the usual makers of tokens refuse to make one.
    pub(crate) fn expired_token(&self, identity: &str) -> String {
        let hour = Duration::from_secs(3600);
        let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - hour;
        let claims = json!({
            "iss": self.key,
            "sub": identity,
            "nbf": (ended - hour).as_secs(),
            "exp": ended.as_secs(),
            "video": {"roomJoin": true, "room": self.room},
        });
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", encode(claims.to_string().as_bytes()));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", encode(&mac.finalize().into_bytes()))
    }

    /// A request to the server's API about this room.
    pub(crate) async fn ask(&self, method: &str, mut body: Value) -> Value {
        let grants = VideoGrants {
            room_admin: true,
            room_create: true,
            room_list: true,
            room: self.room.clone(),
            ..Default::default()
        };
        body["room"] = json!(self.room);
        let base = self.url.replacen("ws", "http", 1);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http
            .post(format!("{base}/twirp/livekit.RoomService/{method}"))
            .bearer_auth(self.token_with("tests", grants))
            .json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// The identities in the room, hidden ones too.
    pub(crate) async fn identities(&self) -> Vec<String> {
        let answer = self.ask("ListParticipants", json!({})).await;
        let participants = answer["participants"].as_array().cloned().unwrap_or_default();
        let identity = |p: &Value| p["identity"].as_str().unwrap().to_owned();
        participants.iter().map(identity).collect()
    }

    /// Waits until somebody is in the room, or no longer.
    pub(crate) async fn until_listed(&self, identity: &str, expected: bool) {
        until(&format!("{identity} listed: {expected}"), async || {
            let identities = self.identities().await;
            let listed = identities.iter().any(|i| i == identity);
            if listed == expected { Ok(()) } else { Err(format!("{identities:?}")) }
        })
        .await;
    }
}
