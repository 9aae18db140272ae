//! Timeouts and limits of calls.

use std::time::Duration;

/// Timeouts and limits of calls. The defaults are those of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// An agent that has not joined this long after its dispatch ends the call.
    pub agent_join_timeout: Duration,
    /// An agent that is absent this long after the answer, or after it left, ends the call.
    pub agent_absence: Duration,
    /// How long a phone may ring; LiveKit caps a waiting dial at 80 s, so 70 s at most.
    pub ringing_timeout: Duration,
    /// How long a call may last after the answer.
    pub max_duration: Duration,
    /// Calls started per second on a Twilio trunk that sets no limit of its own.
    pub twilio_calls_per_second: f64,
    /// How long a call waits for its trunk before it is refused.
    pub pacing_max_wait: Duration,
    /// The waits between the tries of a webhook; one try more than waits.
    pub webhook_retries: Vec<Duration>,
    /// How many webhooks of one account are sent at the same time.
    pub webhooks_per_account: usize,
    /// How long after a call's end its webhook waits for the recording, at most.
    pub recording_finish_within: Duration,
    /// Under which URL this server is reached from outside, without a slash at the end: recordings
    /// that it serves itself are found below it.
    pub public_url: String,
    /// How often a live call is looked at, in case hints were lost.
    pub look_interval: Duration,
    /// How long a replaced webhook secret goes on signing.
    pub secret_overlap: Duration,
    /// How long an idempotency key is kept.
    pub idempotency_ttl: Duration,
    /// How often due calls are claimed.
    pub claim_interval: Duration,
    /// For how long a node's sign of life is good; given six times in that time. When it has run
    /// out, other nodes take the calls over.
    pub lease: Duration,
    /// The longest any request to a room server or provider may take.
    pub outside_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            agent_join_timeout: secs(10),
            agent_absence: secs(5),
            ringing_timeout: secs(60),
            max_duration: secs(3600),
            twilio_calls_per_second: 1.0,
            pacing_max_wait: secs(10),
            webhook_retries: vec![secs(5), secs(30), secs(300)],
            webhooks_per_account: 16,
            recording_finish_within: secs(60),
            public_url: "http://127.0.0.1:8000".into(),
            look_interval: secs(10),
            secret_overlap: secs(24 * 3600),
            idempotency_ttl: secs(24 * 3600),
            claim_interval: Duration::from_millis(500),
            lease: secs(30),
            outside_timeout: secs(10),
        }
    }
}
