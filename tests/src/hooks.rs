//! The endpoint that end-of-call webhooks go to.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use outdial_testkit::receiver::{Answer, Received, WebhookReceiver};
use serde_json::Value;
use standardwebhooks::Webhook;

/// A webhook that came, its signature verified.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The header `webhook-id`.
    pub id: String,
    /// The body.
    pub body: Value,
    /// The request as it came.
    pub request: Received,
}

/// A webhook endpoint of one assistant. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Endpoint {
    receiver: Arc<WebhookReceiver>,
}

impl Endpoint {
    pub(crate) fn start() -> Self {
        Self { receiver: Arc::new(WebhookReceiver::start()) }
    }

    pub(crate) fn url(&self) -> String {
        self.receiver.url("/call-ended")
    }

    /// Adds answers to the script: each is used once, in order, then all is answered with 200.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.receiver.answer(answers);
    }

    /// How many requests have come, for whatever call.
    pub fn count(&self) -> usize {
        self.receiver.received().len()
    }

    /// What has come about a call, in order.
    ///
    /// # Panics
    /// When a request is not signed with `secret`, or not the published POST.
    pub(crate) fn about(&self, room: &str, secret: &str) -> Vec<Hook> {
        self.all(secret).remove(room).unwrap_or_default()
    }

    /// What has come, by room name.
    pub(crate) fn all(&self, secret: &str) -> BTreeMap<String, Vec<Hook>> {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for hook in self.receiver.received().into_iter().map(|request| read(request, secret)) {
            let room = hook.body["data"]["room_name"].as_str().expect("a room name").to_owned();
            all.entry(room).or_default().push(hook);
        }
        all
    }
}

fn read(request: Received, secret: &str) -> Hook {
    assert_eq!((&*request.method, &*request.path), ("POST", "/call-ended"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let verified = Webhook::new(secret).unwrap().verify(&request.body, &headers);
    verified.expect("every webhook is signed");
    Hook { id: request.header("webhook-id").unwrap().to_owned(), body: request.json(), request }
}
