//! Incoming text and byte streams: `livekit-data-stream` puts the chunks together, this keeps the
//! number of streams and their age in bounds.

use crate::{
    events::{ByteStreamEvent, RoomEvent, StreamError, TextStreamEvent},
    options::Limits,
};
use futures_util::{
    Stream, StreamExt as _,
    future::pending,
    stream::{SelectAll, once},
};
use livekit_data_stream::{
    api::{self, AnyStreamReader, StreamCloser, StreamReader as _},
    backend::incoming::{InputEvent, Manager, ManagerInput, OutputEvent, PacketReceived},
};
use std::{collections::HashMap, future::Future, pin::Pin};
use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};

/// The incoming streams of one participant. It costs nothing until the first stream comes.
pub(crate) struct Streams {
    limits: Limits,
    running: Option<Running>,
    open: HashMap<String, Open>,
    /// Tells streams with the same id apart.
    next_key: u64,
    pub(crate) dropped: u64,
}

struct Running {
    manager: Pin<Box<dyn Future<Output = ()> + Send>>,
    input: ManagerInput,
    output: UnboundedReceiver<OutputEvent>,
    readers: SelectAll<Reader>,
}

type Reader = Pin<Box<dyn Stream<Item = Step> + Send>>;

struct Open {
    key: u64,
    last: Instant,
    /// Unset until the manager has accepted the stream.
    accepted: Option<Accepted>,
}

struct Accepted {
    is_text: bool,
    closer: StreamCloser,
}

/// What a reader gives.
struct Step {
    id: String,
    key: u64,
    what: What,
}

enum What {
    Text(String),
    Bytes(Vec<u8>),
    End(HashMap<String, String>),
    Failed(StreamError),
}

impl Streams {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, running: None, open: HashMap::new(), next_key: 0, dropped: 0 }
    }

    /// Takes a packet of a stream.
    pub(crate) fn push(&mut self, id: String, opens: bool, packet: Box<PacketReceived>) {
        if opens {
            if self.open.contains_key(&id) {
                return;
            }
            if self.open.len() >= self.limits.open_streams {
                self.dropped += 1;
                return;
            }
            self.next_key += 1;
            let open = Open { key: self.next_key, last: Instant::now(), accepted: None };
            self.open.insert(id, open);
        } else if let Some(open) = self.open.get_mut(&id) {
            open.last = Instant::now();
        } else {
            // the header was refused, or came before us
            return;
        }
        let limit = self.limits.stream_bytes;
        let running = self.running.get_or_insert_with(|| Running::start(limit));
        running.feed((*packet).into());
    }

    /// The sender left.
    pub(crate) fn abort_from(&mut self, identity: &str) {
        if let Some(running) = &self.running {
            running.feed(InputEvent::AbortStreamsFrom(identity.into()));
        }
    }

    /// The session ended.
    pub(crate) fn abort_all(&mut self) {
        if let Some(running) = &self.running {
            running.feed(InputEvent::AbortAllStreams);
        }
    }

    /// The next event. Cancel safe; never ends.
    pub(crate) async fn next(&mut self) -> RoomEvent {
        loop {
            let Some(running) = &mut self.running else { return pending().await };
            let oldest = self.open.values().map(|o| o.last).min();
            let idle_at = oldest.map(|last| last + self.limits.stream_idle);
            let event = tokio::select! {
                biased;
                Some(output) = running.output.recv() => self.take_output(output),
                Some(step) = running.readers.next() => self.take_step(step),
                () = &mut running.manager => {
                    self.running = None;
                    None
                }
                () = sleep_until(idle_at) => self.close_idle(),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    fn take_output(&mut self, output: OutputEvent) -> Option<RoomEvent> {
        let OutputEvent::StreamOpened(opened) = output else { return None };
        let identity = opened.participant_identity.0;
        let running = self.running.as_mut()?;
        match opened.stream_reader {
            AnyStreamReader::Text(reader) => {
                let info = reader.info().clone();
                let open = self.open.get_mut(&info.id)?;
                open.accepted = Some(Accepted { is_text: true, closer: reader.closer() });
                running.readers.push(text_steps(reader, open.key));
                Some(RoomEvent::TextStream(TextStreamEvent::Opened {
                    attributes: info.attributes(),
                    stream_id: info.id,
                    topic: info.topic,
                    participant_identity: identity,
                    timestamp: info.timestamp.into(),
                }))
            }
            AnyStreamReader::Byte(reader) => {
                let info = reader.info().clone();
                let open = self.open.get_mut(&info.id)?;
                open.accepted = Some(Accepted { is_text: false, closer: reader.closer() });
                running.readers.push(byte_steps(reader, open.key));
                Some(RoomEvent::ByteStream(ByteStreamEvent::Opened {
                    attributes: info.attributes(),
                    stream_id: info.id,
                    topic: info.topic,
                    participant_identity: identity,
                    timestamp: info.timestamp.into(),
                    name: info.name,
                    mime_type: info.mime_type,
                }))
            }
        }
    }

    fn take_step(&mut self, step: Step) -> Option<RoomEvent> {
        let Step { id: stream_id, key, what } = step;
        if self.open.get(&stream_id)?.key != key {
            return None;
        }
        match what {
            What::Text(text) => {
                Some(RoomEvent::TextStream(TextStreamEvent::Chunk { stream_id, text }))
            }
            What::Bytes(bytes) => {
                Some(RoomEvent::ByteStream(ByteStreamEvent::Chunk { stream_id, bytes }))
            }
            What::End(attributes) => {
                let is_text = self.open.remove(&stream_id)?.accepted?.is_text;
                Some(if is_text {
                    RoomEvent::TextStream(TextStreamEvent::Closed { stream_id, attributes })
                } else {
                    RoomEvent::ByteStream(ByteStreamEvent::Closed { stream_id, attributes })
                })
            }
            What::Failed(error) => self.fail(stream_id, error),
        }
    }

    fn close_idle(&mut self) -> Option<RoomEvent> {
        let idle = self.limits.stream_idle;
        let id = self.open.iter().find(|(_, o)| o.last.elapsed() >= idle)?.0.clone();
        self.fail(id, StreamError::Idle)
    }

    fn fail(&mut self, stream_id: String, error: StreamError) -> Option<RoomEvent> {
        let accepted = self.open.remove(&stream_id)?.accepted?;
        accepted.closer.close();
        Some(if accepted.is_text {
            RoomEvent::TextStream(TextStreamEvent::Failed { stream_id, error })
        } else {
            RoomEvent::ByteStream(ByteStreamEvent::Failed { stream_id, error })
        })
    }
}

impl Running {
    fn start(limit: usize) -> Self {
        let (manager, input, output) = Manager::new(Some(limit));
        Self { manager: Box::pin(manager.run()), input, output, readers: SelectAll::new() }
    }

    fn feed(&self, event: InputEvent) {
        if self.input.send(event).is_err() {
            tracing::debug!("the stream manager has stopped");
        }
    }
}

fn text_steps(reader: api::TextStreamReader, key: u64) -> Reader {
    let info = reader.info().clone();
    let id = info.id.clone();
    let end = once(async move { What::End(info.attributes()) });
    let chunks = reader.map(|chunk| chunk.map_or_else(|e| What::Failed(error(&e)), What::Text));
    Box::pin(chunks.chain(end).map(move |what| Step { id: id.clone(), key, what }))
}

fn byte_steps(reader: api::ByteStreamReader, key: u64) -> Reader {
    let info = reader.info().clone();
    let id = info.id.clone();
    let end = once(async move { What::End(info.attributes()) });
    let chunks = reader.map(|chunk| {
        chunk.map_or_else(|e| What::Failed(error(&e)), |bytes| What::Bytes(bytes.to_vec()))
    });
    Box::pin(chunks.chain(end).map(move |what| Step { id: id.clone(), key, what }))
}

fn error(error: &api::StreamError) -> StreamError {
    match error {
        api::StreamError::PayloadTooLarge | api::StreamError::LengthExceeded => {
            StreamError::TooLong
        }
        api::StreamError::AbnormalEnd(_) => StreamError::Interrupted,
        api::StreamError::AlreadyClosed => StreamError::Idle,
        other => StreamError::Damaged(other.to_string()),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
