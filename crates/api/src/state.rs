//! What the routes share.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::web::Bytes;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use outdial_domain::ApiKeyId;
use outdial_domain::ports::RoomHints;
use outdial_engine::Engine;

/// Settings of the API.
#[derive(Clone)]
pub struct ApiOptions {
    /// Where the API is mounted, without a slash at the end, such as `/phone`: for `Location` headers
    /// and the OpenAPI document. Empty by default.
    pub base_path: String,
    /// The limit of requests for each API key; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// How long an event stream may be silent before a comment is sent.
    pub keep_alive: Duration,
    /// Reads what LiveKit pushes to `/livekit/webhook`; without it that route answers 404.
    pub room_hints: Option<Arc<dyn RoomHints>>,
    /// Renders the metrics for `/metrics`; without it that route answers 404.
    pub metrics_text: Option<Arc<dyn Fn() -> String + Send + Sync>>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            base_path: String::new(),
            rate_limit: Some(RateLimit::default()),
            keep_alive: Duration::from_secs(15),
            room_hints: None,
            metrics_text: None,
        }
    }
}

/// A limit of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once, after a pause.
    pub burst: NonZeroU32,
}

impl Default for RateLimit {
    /// 50 per second, 100 at once.
    fn default() -> Self {
        const fn at_least_one(n: u32) -> NonZeroU32 {
            match NonZeroU32::new(n) {
                Some(n) => n,
                None => NonZeroU32::MIN,
            }
        }
        Self { per_second: const { at_least_one(50) }, burst: const { at_least_one(100) } }
    }
}

/// What the routes share: the engine and the options. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    options: ApiOptions,
    limiter: Option<DefaultKeyedRateLimiter<ApiKeyId>>,
    clock: DefaultClock,
    document: OnceLock<Bytes>,
}

impl ApiState {
    /// The state for [`configure`](crate::configure). Make it once and clone it into every worker:
    /// the rate limit is counted in it.
    pub fn new(engine: Engine, options: ApiOptions) -> Self {
        let limiter = options.rate_limit.map(|limit| {
            RateLimiter::keyed(Quota::per_second(limit.per_second).allow_burst(limit.burst))
        });
        let clock = DefaultClock::default();
        Self {
            inner: Arc::new(Inner { engine, options, limiter, clock, document: OnceLock::new() }),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn options(&self) -> &ApiOptions {
        &self.inner.options
    }

    /// A path of this API as a client sees it.
    pub(crate) fn location(&self, path: std::fmt::Arguments<'_>) -> String {
        format!("{}{path}", self.inner.options.base_path)
    }

    /// The OpenAPI document as JSON, made by `make` when it is first asked for.
    pub(crate) fn document(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.inner.document.get_or_init(make).clone()
    }

    /// Counts a request of `key`; when it is one too many, how long to wait.
    pub(crate) fn count(&self, key: &ApiKeyId) -> Result<(), Duration> {
        let Some(limiter) = &self.inner.limiter else { return Ok(()) };
        limiter.check_key(key).map_err(|refusal| refusal.wait_time_from(self.inner.clock.now()))
    }
}
