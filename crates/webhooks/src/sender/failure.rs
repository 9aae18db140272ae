//! Why an attempt failed, in words for a person.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use crate::guard::{RefusedUrl, ResolveError};
use crate::sign::SecretError;

/// The longest foreign text that goes into a message, in characters.
const MAX_FOREIGN: usize = 200;

/// A failed attempt. The texts name host and port at most: path and query of an endpoint can be
/// secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("refused: {0}")]
    Url(#[from] RefusedUrl),
    #[error("refused: {0}")]
    Resolved(String),
    #[error("{0}")]
    Dns(String),
    #[error("connection refused by {0}")]
    ConnectionRefused(String),
    #[error("could not connect to {endpoint}: {why}")]
    Connect { endpoint: String, why: String },
    #[error("TLS with {endpoint} failed: {why}")]
    Tls { endpoint: String, why: String },
    #[error("no valid HTTP answer from {endpoint}: {why}")]
    Exchange { endpoint: String, why: String },
    #[error("timed out: no answer within {0:?}")]
    Timeout(Duration),
    #[error("the endpoint answered {0}: redirects are not followed, use the final URL")]
    Redirect(StatusCode),
    #[error("the endpoint answered {0}")]
    Status(StatusCode),
    #[error("not sent, as it cannot be signed: {0}")]
    Secret(#[from] SecretError),
    #[error("not sent: the webhook's id cannot be a header value")]
    Id,
}

impl Failure {
    /// What an answer other than 2xx means.
    pub(super) fn status(status: StatusCode) -> Self {
        if status.is_redirection() { Self::Redirect(status) } else { Self::Status(status) }
    }

    /// What an exchange without an answer died of.
    pub(super) fn of(error: &reqwest::Error, url: &Url) -> Self {
        if let Some(resolve) = find::<ResolveError>(error) {
            return match resolve {
                ResolveError::Refused { .. } => Self::Resolved(resolve.to_string()),
                ResolveError::Lookup { .. } | ResolveError::Empty(_) => {
                    Self::Dns(shorten(resolve.to_string()))
                }
            };
        }
        let endpoint = endpoint(url);
        let why = shorten(root(error).to_string());
        if !error.is_connect() {
            return Self::Exchange { endpoint, why };
        }
        match find::<io::Error>(error).map(innermost_kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::ConnectionRefused(endpoint),
            Some(kind) if url.scheme() == "https" && is_of_tls(kind) => Self::Tls { endpoint, why },
            _ => Self::Connect { endpoint, why },
        }
    }
}

/// Whether an error while connecting came after TCP was connected: data, and ends of a connection,
/// are known only from then on.
fn is_of_tls(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof,
    };
    matches!(kind, InvalidData | UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// The TLS connector wraps I/O errors in each other, and an I/O error does not count what it wraps
/// among its sources.
fn innermost_kind(error: &io::Error) -> io::ErrorKind {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or(error.kind(), innermost_kind)
}

fn endpoint(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{host}:{port}")
}

/// The errors below `error`, which itself names the URL and is left out.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The lowest cause: what really happened.
fn root<'a>(error: &'a reqwest::Error) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(&Unknown)
}

#[derive(Debug, thiserror::Error)]
#[error("unknown error")]
struct Unknown;

/// An endpoint writes some of the texts, a certificate's names for instance.
fn shorten(text: String) -> String {
    match text.char_indices().nth(MAX_FOREIGN) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(shorten("é".repeat(200)), "é".repeat(200));
        assert_eq!(shorten("é".repeat(201)), format!("{}…", "é".repeat(200)));
    }

    #[test]
    fn redirects_are_named() {
        let text = |code| Failure::status(StatusCode::from_u16(code).unwrap()).to_string();
        assert_eq!(text(500), "the endpoint answered 500 Internal Server Error");
        assert!(text(308).contains("308 Permanent Redirect: redirects are not followed"));
        assert_eq!(text(599), "the endpoint answered 599 <unknown status code>");
    }
}
