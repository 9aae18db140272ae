//! Requests with a key, and what was answered.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Events;

/// Far longer than any answer takes: a server that hangs fails its test.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one server, with one key.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; `null` when there was none.
    pub body: Value,
}

/// An answer as it came over the wire.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Raw {
    /// A header, when it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The SHA-256 of the body, in hex.
    pub fn sha256(&self) -> String {
        Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads the body as JSON.
    pub fn reply(self) -> Reply {
        let Self { status, headers, bytes } = self;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()))
        };
        Reply { status, headers, body }
    }
}

impl Reply {
    /// The `data` of a success.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn data(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        let mut body = self.body;
        assert_eq!(body["success"], true, "{body}");
        body["data"].take()
    }

    /// The `error.code` of a refusal with this status.
    ///
    /// # Panics
    /// When the status is another.
    #[track_caller]
    pub fn refused(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.body["success"], false, "{}", self.body);
        self.body["error"]["code"].as_str().unwrap()
    }
}

impl Api {
    /// A client of the server at `base`, such as `http://127.0.0.1:8000`.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Self {
        let http = reqwest::Client::builder().no_proxy().read_timeout(TIMEOUT);
        // A redirect is an answer to look at.
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, base: base.into(), key: key.into() }
    }

    /// The same server with another key; with none when that is empty.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When no answer came: the server is not there, or was killed meanwhile.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Reply> {
        Ok(self.try_send_raw(method, path, headers, body).await?.reply())
    }

    async fn try_send_raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Raw> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if !self.key.is_empty() {
            request = request.header("x-api-key", &self.key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Raw { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.try_send(Method::GET, path, &[], None).await.unwrap()
    }

    /// `POST` of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body).await
    }

    /// `POST` of a JSON body with further headers.
    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.try_send(Method::POST, path, headers, Some(body)).await.unwrap()
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Reply {
        self.try_send(Method::DELETE, path, &[], None).await.unwrap()
    }

    /// Follows a call's events; `after` is the id of the last one that was seen.
    pub async fn events(&self, room: &str, after: Option<&str>) -> Events {
        let url = format!("{}/calls/{}/events", self.base, escaped(room));
        let mut request = self.http.get(url).header("x-api-key", &self.key);
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        match response.status() {
            // Everything was seen.
            StatusCode::NO_CONTENT => {}
            status => {
                assert_eq!(status, StatusCode::OK);
                assert_eq!(response.headers()["content-type"], "text/event-stream");
            }
        }
        Events::of(response)
    }

    /// A call's record; the path may go on, as in `/transcript`.
    pub async fn call(&self, room: &str, rest: &str) -> Reply {
        self.get(&format!("/calls/{}{rest}", escaped(room))).await
    }

    /// What the recording's route of a call answers: most likely a file, or a redirect to one.
    pub async fn recording(&self, room: &str, headers: &[(&str, &str)]) -> Raw {
        let path = format!("/calls/{}/recording", escaped(room));
        self.try_send_raw(Method::GET, &path, headers, None).await.unwrap()
    }

    /// Erases a call.
    pub async fn erase(&self, room: &str) -> Reply {
        self.delete(&format!("/calls/{}", escaped(room))).await
    }

    /// Presses keys on a call.
    pub async fn press(&self, room: &str, digits: &str) -> Reply {
        let path = format!("/calls/{}/dtmf", escaped(room));
        self.post(&path, &serde_json::json!({"digits": digits})).await
    }

    /// Asks for the end of a call.
    pub async fn hang_up(&self, room: &str) -> Reply {
        let path = format!("/calls/{}/hangup", escaped(room));
        self.try_send(Method::POST, &path, &[], None).await.unwrap()
    }
}

/// A room name as part of a path: an Exotel one has a `+`.
fn escaped(room: &str) -> String {
    room.replace('+', "%2B")
}
