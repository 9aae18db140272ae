//! Server-sent events.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use serde_json::Value;

type Chunks = Pin<Box<dyn Stream<Item = Option<Vec<u8>>> + Send>>;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its id, to go on behind it.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

/// A stream of events.
pub struct Events {
    chunks: Chunks,
    text: String,
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        // A connection that breaks ends the stream, like one that is closed.
        let chunks = response.bytes_stream().map(|chunk| chunk.ok().map(Vec::from));
        Self { chunks: Box::pin(chunks), text: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = read(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            }
            let chunk = self.chunks.next().await.flatten()?;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    /// Waits for the next event of a kind; those before it are lost.
    ///
    /// # Panics
    /// When the stream ends, or none comes in a minute and a half.
    pub async fn next_of(&mut self, kind: &str) -> Event {
        let mut seen = Vec::new();
        let found = async {
            while let Some(event) = self.next().await {
                if event.kind == kind {
                    return Some(event);
                }
                seen.push(event);
            }
            None
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(90), found).await;
        waited.ok().flatten().unwrap_or_else(|| panic!("no {kind}; seen: {seen:?}"))
    }

    /// All events up to the end of the stream.
    pub async fn rest(mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}

/// `None` for a comment, which only keeps the connection alive.
fn read(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let mut lines = block.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim().to_owned())
    };
    Some(Event {
        data: serde_json::from_str(&field("data")?).unwrap(),
        id: field("id").unwrap_or_default(),
        kind: field("event").unwrap_or_default(),
    })
}
