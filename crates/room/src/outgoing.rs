//! Outgoing text and byte streams: `livekit-data-stream` cuts them into packets.

use crate::error::RoomError;
use livekit_common::{
    CLIENT_PROTOCOL_DEFAULT, ClientCapability, ParticipantIdentity, RemoteParticipantRegistry,
};
use livekit_data_stream::{
    api::{SendByteOptions, SendTextOptions, StreamResult},
    backend::outgoing::Manager,
};
use livekit_protocol as proto;
use std::collections::HashMap;

/// More than this can never be queued.
const MAX_STREAM: usize = crate::core::data::MAX_OUTBOX / 2;

/// Nobody is known: hidden participants never are, so the plain form that all understand is used.
struct Anybody;

impl RemoteParticipantRegistry for Anybody {
    fn remote_client_protocol(&self, _: &ParticipantIdentity) -> i32 {
        CLIENT_PROTOCOL_DEFAULT
    }

    fn remote_capabilities(&self, _: &ParticipantIdentity) -> Vec<ClientCapability> {
        Vec::new()
    }

    fn remote_identities(&self) -> Vec<ParticipantIdentity> {
        // an empty room would count as one where everybody knows everything
        vec![ParticipantIdentity::default()]
    }
}

/// What a stream carries.
pub(crate) enum Content<'a> {
    Text(&'a str),
    Bytes { name: &'a str, bytes: &'a [u8] },
}

/// The packets of a stream, and its id.
pub(crate) async fn packets(
    topic: &str,
    content: Content<'_>,
    attributes: HashMap<String, String>,
) -> Result<(String, Vec<proto::DataPacket>), RoomError> {
    let length = match content {
        Content::Text(text) => text.len(),
        Content::Bytes { bytes, .. } => bytes.len(),
    };
    if length > MAX_STREAM {
        return Err(RoomError::TooLarge(length));
    }
    let (manager, mut requests) = Manager::new();
    let mut send = Box::pin(send(&manager, topic, content, attributes));
    let mut all = Vec::new();
    loop {
        tokio::select! {
            biased;
            request = requests.recv() => {
                let Ok((batch, responder)) = request else { continue };
                all.extend(batch);
                // the sender waits for it, so it is there
                let _ = responder.respond(Ok(()));
            }
            id = &mut send => {
                let id = id.map_err(|e| RoomError::Refused(e.to_string()))?;
                return Ok((id, all));
            }
        }
    }
}

async fn send(
    manager: &Manager,
    topic: &str,
    content: Content<'_>,
    attributes: HashMap<String, String>,
) -> StreamResult<String> {
    match content {
        Content::Text(text) => {
            let options = SendTextOptions::new_with_topic(topic).with_attributes(attributes);
            Ok(manager.send_text(text, options, &Anybody).await?.id)
        }
        Content::Bytes { name, bytes } => {
            let options = SendByteOptions::new_with_topic(topic).with_attributes(attributes);
            Ok(manager.send_bytes(bytes, options.with_name(name), &Anybody).await?.id)
        }
    }
}
