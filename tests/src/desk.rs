//! An assistant, a trunk and a webhook endpoint: what calls are made with.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{Api, End, Endpoint, Hook, Outdial, Reply, until};

/// What calls are made with, at one server.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The server, with the desk's key.
    pub api: Api,
    /// Where its webhooks go.
    pub endpoint: Endpoint,
    /// The assistant as it was created.
    pub assistant: Value,
    /// The trunk as it was created.
    pub trunk: Value,
}

impl Desk {
    /// Makes a desk: an assistant with the webhook endpoint, and a sandbox trunk for `twilio`; the
    /// arguments add fields or replace them.
    pub async fn new(outdial: &Outdial, assistant: Value, trunk: Value) -> Self {
        let (api, endpoint) = (outdial.api(), Endpoint::start());
        let defaults = json!({
            "assistant_name": "Support Agent",
            "assistant_prompt": "You help {{name}}.",
            "assistant_start_instruction": "Say: Hello {{name | there}}, how can I help?",
            "assistant_end_call_url": endpoint.url(),
        });
        let assistant = api.post("/assistants", &with(defaults, assistant)).await.data();
        let defaults = json!({"name": "main", "call_service": "twilio", "sandbox": true});
        let trunk = api.post("/trunks", &with(defaults, trunk)).await.data();
        Self { api, endpoint, assistant, trunk }
    }

    /// The same desk, seen through another server on the same store.
    #[must_use]
    pub fn through(&self, outdial: &Outdial) -> Self {
        Self { api: outdial.api(), ..self.clone() }
    }

    /// The body of a request for a call.
    pub fn order(&self, to_number: &str) -> Value {
        json!({
            "assistant_id": self.assistant["assistant_id"],
            "trunk_id": self.trunk["trunk_id"],
            "to_number": to_number,
            "call_service": self.trunk["call_service"],
        })
    }

    /// Asks for a call.
    pub async fn try_place(&self, to_number: &str) -> Reply {
        self.api.post("/call/outbound", &self.order(to_number)).await
    }

    /// Waits until a recording is in `status`, and gives its part of the record.
    pub async fn recording(&self, room: &str, status: &str) -> Value {
        until("the recording", async || {
            let mut record = self.record(room).await;
            let recording = record["recording"].take();
            if recording["status"] == status { Ok(recording) } else { Err(recording.to_string()) }
        })
        .await
    }

    /// The lines of a transcript so far.
    pub async fn lines(&self, room: &str) -> Vec<Value> {
        let Value::Array(lines) =
            self.api.call(room, "/transcript").await.data()["transcripts"].take()
        else {
            panic!("no transcript was answered");
        };
        lines
    }

    /// Waits until so many lines of a transcript are on record, and gives them.
    pub async fn has_lines(&self, room: &str, count: usize) -> Vec<Value> {
        until("the transcript", async || {
            let lines = self.lines(room).await;
            if lines.len() >= count { Ok(lines) } else { Err(format!("{lines:?}")) }
        })
        .await
    }

    /// Places a call, and gives its room name.
    pub async fn place(&self, to_number: &str) -> String {
        let reply = self.try_place(to_number).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        room_of(&reply.data())
    }

    /// Places a call that may have ended before it could be answered with 200: its room name is in
    /// the answer either way.
    pub async fn place_anyhow(&self, to_number: &str) -> String {
        let reply = self.try_place(to_number).await;
        match reply.status {
            200 => room_of(&reply.data()),
            _ => {
                assert_eq!(reply.refused(500), "provider_error");
                room_of(&reply.body["error"]["details"])
            }
        }
    }

    /// Accepts a call for later, and gives its room name.
    pub async fn enqueue(&self, to_number: &str) -> String {
        let headers = [("prefer", "respond-async")];
        let reply = self.api.post_with("/call/outbound", &headers, &self.order(to_number)).await;
        assert_eq!(reply.status, 202, "{}", reply.body);
        room_of(&reply.data())
    }

    /// The record of a call.
    pub async fn record(&self, room: &str) -> Value {
        self.api.call(room, "").await.data()
    }

    /// Waits until a call is in `status`, and gives its record.
    ///
    /// # Panics
    /// When the call ends instead.
    pub async fn reaches(&self, room: &str, status: &str) -> Value {
        until(status, async || {
            let record = self.record(room).await;
            if record["status"] == status {
                return Ok(record);
            }
            assert_ne!(record["status"], "ended", "no {status} was seen: {record}");
            Err(record.to_string())
        })
        .await
    }

    /// Waits until a call has ended, and gives its record.
    pub async fn ended(&self, room: &str) -> Value {
        until("the end of the call", async || {
            let record = self.record(room).await;
            if record["status"] == "ended" { Ok(record) } else { Err(record.to_string()) }
        })
        .await
    }

    /// The webhooks that have come about a call so far.
    pub fn webhooks(&self, room: &str) -> Vec<Hook> {
        self.endpoint.about(room, self.assistant["webhook_secret"].as_str().unwrap())
    }

    /// All webhooks that have come so far, by room name.
    pub fn all_webhooks(&self) -> BTreeMap<String, Vec<Hook>> {
        self.endpoint.all(self.assistant["webhook_secret"].as_str().unwrap())
    }

    /// Waits until the webhook of a call is on record as delivered, and gives all that came: they
    /// must have one id and one body.
    pub async fn delivered(&self, room: &str) -> Vec<Hook> {
        until("the delivery of the webhook", async || {
            let record = self.record(room).await;
            if record["webhook"]["state"] == "delivered" { Ok(()) } else { Err(record.to_string()) }
        })
        .await;
        let hooks = self.webhooks(room);
        for hook in &hooks {
            assert_eq!(hook.id, hooks[0].id, "one id for all attempts");
            assert_eq!(hook.request.body, hooks[0].request.body, "one body for all attempts");
        }
        hooks
    }

    /// Waits until the webhook of a call was delivered; it must have come once.
    pub async fn one_webhook(&self, room: &str) -> Hook {
        let mut hooks = self.delivered(room).await;
        assert_eq!(hooks.len(), 1, "{hooks:?}");
        hooks.remove(0)
    }

    /// Waits for the end of a call and for its one webhook, compares both with `end`, and gives the
    /// record.
    pub async fn ends(&self, room: &str, end: End) -> Value {
        end.check(&self.ended(room).await);
        end.check(&self.one_webhook(room).await.body["data"]);
        self.record(room).await
    }

    /// The attempts to deliver the webhook of a call, as they are on record.
    pub async fn deliveries(&self, room: &str) -> Vec<Value> {
        items(self.api.call(room, "/deliveries").await)
    }

    /// The calls of the account, newest first; the query begins with `?`.
    pub async fn calls(&self, query: &str) -> Vec<Value> {
        items(self.api.get(&format!("/calls{query}")).await)
    }
}

fn items(reply: Reply) -> Vec<Value> {
    let Value::Array(items) = reply.data()["items"].take() else {
        panic!("no list was answered");
    };
    items
}

fn room_of(data: &Value) -> String {
    data["room_name"].as_str().expect("a room name").to_owned()
}

fn with(defaults: Value, changes: Value) -> Value {
    let object = |value| -> Map<String, Value> { serde_json::from_value(value).unwrap() };
    let mut fields = object(defaults);
    fields.extend(object(changes));
    Value::Object(fields)
}
