//! The API, as any client would use it.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::{Method, Response};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to the server with one API key.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    pub(super) fn new(base: String, key: impl Into<String>) -> anyhow::Result<Self> {
        // Nothing here leaves the machine: no proxy, and no certificates are needed.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Self { http, base, key: key.into() })
    }

    pub(super) fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The `data` of the answer to a POST.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path).timeout(TIMEOUT).json(body);
        data(path, request.send().await?).await
    }

    /// The `data` of the answer to a GET.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        data(path, self.request(Method::GET, path).timeout(TIMEOUT).send().await?).await
    }

    /// The body of the answer to a GET.
    pub(super) async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = self.request(Method::GET, path).timeout(TIMEOUT).send().await?;
        ensure!(response.status().is_success(), "GET {path} was answered {}", response.status());
        Ok(response.bytes().await.with_context(|| format!("{path} broke off"))?.to_vec())
    }

    /// The events of a call, from its beginning.
    pub(super) async fn events(&self, room_name: &str) -> anyhow::Result<Events> {
        let path = format!("/calls/{room_name}/events");
        let request = self.request(Method::GET, &path).header("accept", "text/event-stream");
        let response = request.send().await?;
        ensure!(response.status().is_success(), "GET {path} was answered {}", response.status());
        Ok(Events { response, buffer: Vec::new() })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).header("x-api-key", &self.key)
    }
}

async fn data(path: &str, response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let mut body: Value =
        response.json().await.with_context(|| format!("{path} was not answered with JSON"))?;
    if !status.is_success() || body["success"] != Value::Bool(true) {
        bail!("{path} was answered {status}: {}", body["message"]);
    }
    Ok(body["data"].take())
}

/// A stream of server-sent events.
pub(super) struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// The JSON data of the next event; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            while let Some(block) = take_block(&mut self.buffer) {
                if let Some(data) = data_of(&block) {
                    return Ok(Some(serde_json::from_str(&data).context("an event is not JSON")?));
                }
            }
            match self.response.chunk().await.context("the events broke off")? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// Takes the text up to the next empty line.
fn take_block(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|two| two == b"\n\n")?;
    let block: Vec<u8> = buffer.drain(..end + 2).collect();
    Some(String::from_utf8_lossy(&block).into_owned())
}

/// The data lines of a block; `None` when it is only a comment or a setting.
fn data_of(block: &str) -> Option<String> {
    let lines: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    let lines = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line));
    Some(lines.collect::<Vec<_>>().join("\n")).filter(|data| !data.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_of_the_stream() {
        let mut buffer = b": hello\n\nid: 1\nevent: x\ndata: {\"a\":\ndata: 1}\n\ndata: 2".to_vec();
        assert_eq!(data_of(&take_block(&mut buffer).unwrap()), None);
        assert_eq!(data_of(&take_block(&mut buffer).unwrap()).unwrap(), "{\"a\":\n1}");
        assert_eq!(take_block(&mut buffer), None);
        assert_eq!(buffer, b"data: 2");
    }
}
