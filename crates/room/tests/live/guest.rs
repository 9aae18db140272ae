//! A participant of the crate under test.

use std::sync::{Arc, OnceLock};

use outdial_room::{
    AudioCodec, JoinOptions, Media, MediaConfig, Publication, PublishOptions, Room, RoomEvent,
};

use crate::log::{Log, until};
use crate::stack::Place;
use crate::tone::{Ear, Tone};

/// A participant, and all that it is told.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) room: Room,
    events: Arc<Log<RoomEvent>>,
}

/// The media threads that all tests share.
pub(crate) fn media() -> &'static Media {
    static MEDIA: OnceLock<Media> = OnceLock::new();
    MEDIA.get_or_init(|| {
        // RUST_LOG=outdial_room=debug shows what the crate does.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
        let bind = "127.0.0.1".parse().unwrap();
        Media::start(MediaConfig { bind, ..Default::default() }).unwrap()
    })
}

impl Guest {
    /// Joins with a token that allows everything.
    pub(crate) async fn joined(place: &Place, identity: &str) -> Self {
        Self::join(&place.url, &place.token(identity), JoinOptions::default()).await
    }

    pub(crate) async fn join(url: &str, token: &str, options: JoinOptions) -> Self {
        let (room, mut events) = Room::join(media(), url, token, options).await.unwrap();
        let log = Arc::new(Log::new());
        let writer = Arc::clone(&log);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                writer.push(event);
            }
        });
        Self { room, events: log }
    }

    /// Publishes a tone.
    pub(crate) async fn plays(&self, codec: AudioCodec, hz: f64) -> Publication {
        let options = PublishOptions { codec, name: "tone".to_owned(), ..Default::default() };
        let publication = self.room.publish(options).await.unwrap();
        publication.set_source(Box::new(Tone::new(codec, hz)));
        publication
    }

    /// Waits until somebody has published a track; its id.
    pub(crate) async fn track_of(&self, identity: &str) -> String {
        until(&format!("a track of {identity}"), async || {
            let participants = self.room.participants();
            let found = participants.iter().find(|p| p.identity == identity);
            let track = found.and_then(|p| p.tracks.first());
            track.map(|t| t.sid.clone()).ok_or_else(|| format!("{participants:?}"))
        })
        .await
    }

    /// Subscribes to a track.
    pub(crate) fn listens(&self, track: &str) -> Ear {
        let (ear, sink) = Ear::new();
        self.room.subscribe(track, sink).unwrap();
        ear
    }

    /// Waits for a track of somebody and listens to it.
    pub(crate) async fn listens_to(&self, identity: &str) -> Ear {
        self.listens(&self.track_of(identity).await)
    }

    /// A place in what it was told: wait from here.
    pub(crate) fn now(&self) -> usize {
        self.events.len()
    }

    /// Waits for an event.
    pub(crate) async fn told<R>(
        &self,
        what: &str,
        from: usize,
        pick: impl FnMut(&RoomEvent) -> Option<R>,
    ) -> R {
        self.events.first(what, from, pick).await
    }

    /// Waits for an event of which nothing but its coming counts.
    pub(crate) async fn told_of(&self, event: &RoomEvent, from: usize) {
        self.told(&format!("{event:?}"), from, |e| (e == event).then_some(())).await;
    }

    /// What `pick` makes of all events since a place.
    pub(crate) fn all<R>(&self, from: usize, pick: impl FnMut(&RoomEvent) -> Option<R>) -> Vec<R> {
        self.events.picked(from, pick)
    }
}
