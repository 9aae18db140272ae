//! Requests to LiveKit's server API: Twirp v7, protobuf bodies, errors as JSON.
//!
//! Not livekit-api's own client (0.10), for three reasons seen in its source. It replays a request
//! against other regions after an HTTP 5xx or a lost connection when the host is LiveKit Cloud's:
//! for `CreateSIPParticipant` that is a second phone call, for `CreateDispatch` a second agent. It
//! reads every error as JSON, but LiveKit answers a wrong key with plain text that repeats the
//! token. And its SIP options leave out fields. The message types are still livekit-protocol's.
//!
//! Source: <https://twitchtv.github.io/twirp/docs/spec_v7.html>.

use std::collections::HashMap;
use std::time::Duration;

use livekit_protocol as proto;
use livekit_token::{AccessToken, SIPGrants, VideoGrants};
use outdial_domain::Secret;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use crate::config::{ConfigError, LiveKitConfig, base_url, check};

/// Long enough for clocks that disagree a little, short enough to be worthless when leaked.
const TOKEN_LIFE: Duration = Duration::from_secs(600);

/// More than any answer that is asked for.
const MAX_ANSWER: usize = 4 << 20;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/protobuf");

/// An error as the server wrote it.
#[derive(Debug, Deserialize)]
pub(crate) struct TwirpError {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) msg: String,
    #[serde(default)]
    pub(crate) meta: HashMap<String, String>,
}

/// Why a request brought no answer to use.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No token could be made of the key.
    Token(livekit_token::AccessTokenError),
    /// There is no connection: nothing was sent.
    Connect(reqwest::Error),
    /// The connection broke, or time ran out, after something may have been sent.
    Lost(reqwest::Error),
    /// The key was not accepted.
    Auth,
    /// The answer is not LiveKit's.
    Foreign(StatusCode),
    /// LiveKit says no.
    Twirp(TwirpError),
}

/// One method of the API.
pub(crate) trait Rpc: Message {
    /// `Service/Method`.
    const PATH: &'static str;
    /// What it answers.
    type Answer: Message + Default;
}

macro_rules! rpc {
    ($($request:ident => $path:literal -> $answer:ident;)*) => {$(
        impl Rpc for proto::$request {
            const PATH: &'static str = $path;
            type Answer = proto::$answer;
        }
    )*};
}

rpc! {
    CreateRoomRequest => "RoomService/CreateRoom" -> Room;
    DeleteRoomRequest => "RoomService/DeleteRoom" -> DeleteRoomResponse;
    ListRoomsRequest => "RoomService/ListRooms" -> ListRoomsResponse;
    ListParticipantsRequest => "RoomService/ListParticipants" -> ListParticipantsResponse;
    CreateAgentDispatchRequest => "AgentDispatchService/CreateDispatch" -> AgentDispatch;
    CreateSipParticipantRequest => "SIP/CreateSIPParticipant" -> SipParticipantInfo;
}

/// `GetParticipant` and `RemoveParticipant` take the same message.
pub(crate) const GET_PARTICIPANT: &str = "RoomService/GetParticipant";
pub(crate) const REMOVE_PARTICIPANT: &str = "RoomService/RemoveParticipant";

/// The client.
pub(crate) struct Twirp {
    base: Url,
    http: Client,
    dial: Client,
    api_key: String,
    api_secret: Secret,
    timeout: Duration,
}

impl Twirp {
    pub(crate) fn new(config: &LiveKitConfig) -> Result<Self, ConfigError> {
        check(config)?;
        let base = base_url(&config.url)?;
        let builder = || {
            let builder = Client::builder()
                .user_agent(concat!("outdial/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(config.connect_timeout)
                .pool_idle_timeout(Duration::from_secs(20));
            if base.scheme() == "https" {
                builder
            } else {
                // A plain connection must not fail for want of CA certificates.
                builder.tls_certs_only([])
            }
        };
        // A dial has a connection of its own, of HTTP/1.1: nothing below can send it again on
        // another connection, as a pool or HTTP/2 may do.
        let dial = builder().pool_max_idle_per_host(0).http1_only();
        Ok(Self {
            http: builder().build().map_err(ConfigError::Tls)?,
            dial: dial.build().map_err(ConfigError::Tls)?,
            base,
            api_key: config.api_key.trim().to_owned(),
            api_secret: Secret::new(config.api_secret.expose().trim()),
            timeout: config.request_timeout,
        })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// An ordinary request.
    pub(crate) async fn call<R: Rpc>(
        &self,
        grants: VideoGrants,
        request: &R,
    ) -> Result<R::Answer, Failure> {
        self.call_as(R::PATH, grants, request).await
    }

    /// An ordinary request whose message does not tell the method.
    pub(crate) async fn call_as<A: Message + Default>(
        &self,
        path: &str,
        grants: VideoGrants,
        request: &impl Message,
    ) -> Result<A, Failure> {
        let token = self.token(grants, SIPGrants::default())?;
        self.post(&self.http, path, token, request.encode_to_vec(), self.timeout).await
    }

    /// A dial: sent once, whatever happens.
    pub(crate) async fn dial(
        &self,
        request: &proto::CreateSipParticipantRequest,
        timeout: Duration,
    ) -> Result<proto::SipParticipantInfo, Failure> {
        let sip = SIPGrants { call: true, ..Default::default() };
        let token = self.token(VideoGrants::default(), sip)?;
        let path = proto::CreateSipParticipantRequest::PATH;
        self.post(&self.dial, path, token, request.encode_to_vec(), timeout).await
    }

    fn token(&self, video: VideoGrants, sip: SIPGrants) -> Result<String, Failure> {
        AccessToken::with_api_key(&self.api_key, self.api_secret.expose())
            .with_ttl(TOKEN_LIFE)
            .with_grants(video)
            .with_sip_grants(sip)
            .to_jwt()
            .map_err(Failure::Token)
    }

    /// The making of a token to join a room with, and not for this API.
    pub(crate) fn join_token(
        &self,
        grants: VideoGrants,
        identity: &str,
        lifetime: Duration,
    ) -> AccessToken {
        AccessToken::with_api_key(&self.api_key, self.api_secret.expose())
            .with_ttl(lifetime)
            .with_identity(identity)
            .with_grants(grants)
    }

    async fn post<A: Message + Default>(
        &self,
        client: &Client,
        path: &str,
        token: String,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<A, Failure> {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}/twirp/livekit.{path}"));
        let response = client
            .post(url)
            .header(CONTENT_TYPE, PROTOBUF)
            .bearer_auth(token)
            .body(body)
            .timeout(timeout)
            .send()
            .await
            .map_err(|error| match error.is_connect() {
                true => Failure::Connect(error.without_url()),
                false => Failure::Lost(error.without_url()),
            })?;
        let status = response.status();
        let bytes = read(response).await?;
        if status == StatusCode::OK {
            return A::decode(bytes.as_slice()).map_err(|_| Failure::Foreign(status));
        }
        Err(match serde_json::from_slice(&bytes) {
            Ok(error) => Failure::Twirp(error),
            // The text repeats the token: it is not kept.
            Err(_) if status == StatusCode::UNAUTHORIZED => Failure::Auth,
            Err(_) => Failure::Foreign(status),
        })
    }
}

/// The whole body, unless it is too long to be an answer.
async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| Failure::Lost(error.without_url()))?
    {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Failure::Foreign(response.status()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
