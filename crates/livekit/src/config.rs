//! Settings, checked once.

use std::time::Duration;

use outdial_domain::Secret;
use url::Url;

/// How to reach a LiveKit server. Debug output masks the secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveKitConfig {
    /// Where the server is: `ws://`, `wss://`, `http://` or `https://`.
    pub url: String,
    /// The API key, such as `APIxxxx`.
    pub api_key: String,
    /// The secret that belongs to it.
    pub api_secret: Secret,
    /// How long a request may take, from connecting to the end of the answer. A dial waits for the
    /// callee instead. Default: 5 s.
    pub request_timeout: Duration,
    /// How long connecting may take. Default: 3 s.
    pub connect_timeout: Duration,
    /// How long LiveKit keeps a room that no callee has joined. Longer than any dial needs to join,
    /// short enough to clean up after a crash. Default: 120 s.
    pub empty_timeout: Duration,
    /// How long LiveKit keeps a room after the callee has left. Default: 10 s.
    pub departure_timeout: Duration,
}

impl LiveKitConfig {
    /// The settings with their defaults.
    pub fn new(url: impl Into<String>, api_key: impl Into<String>, api_secret: Secret) -> Self {
        Self {
            url: url.into(),
            api_key: api_key.into(),
            api_secret,
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            empty_timeout: Duration::from_secs(120),
            departure_timeout: Duration::from_secs(10),
        }
    }
}

/// What is wrong with the settings; the text names the setting and the fix.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The URL cannot be used.
    #[error("livekit.url: {0}; give it as ws://, wss://, http:// or https:// and the host")]
    Url(String),
    /// There is no API key.
    #[error("livekit.api_key is empty: take a key from the server's `keys` or from LiveKit Cloud")]
    ApiKey,
    /// There is no API secret.
    #[error("livekit.api_secret is empty: it is the value next to the key")]
    ApiSecret,
    /// A timeout is zero.
    #[error("livekit.{0} must be longer than zero")]
    Timeout(&'static str),
    /// The HTTP client could not be made.
    #[error("no TLS connection can be made for livekit.url: are CA certificates installed?")]
    Tls(#[source] reqwest::Error),
}

/// The `http` or `https` URL under which the server API lies. LiveKit's URLs are commonly written
/// with `ws`, and the API is on the same port.
pub(crate) fn base_url(text: &str) -> Result<Url, ConfigError> {
    let bad = |why: &str| ConfigError::Url(why.to_owned());
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("the scheme is missing"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => "http",
        "wss" | "https" => "https",
        _ => return Err(bad("the scheme is unknown")),
    };
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|e| bad(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it holds a query or fragment"));
    }
    Ok(url)
}

/// Checks the settings that need no parsing.
pub(crate) fn check(config: &LiveKitConfig) -> Result<(), ConfigError> {
    if config.api_key.trim().is_empty() {
        return Err(ConfigError::ApiKey);
    }
    if config.api_secret.expose().trim().is_empty() {
        return Err(ConfigError::ApiSecret);
    }
    for (name, value) in [
        ("request_timeout", config.request_timeout),
        ("connect_timeout", config.connect_timeout),
        ("empty_timeout", config.empty_timeout),
        ("departure_timeout", config.departure_timeout),
    ] {
        if value.is_zero() {
            return Err(ConfigError::Timeout(name));
        }
    }
    Ok(())
}

/// Whole seconds, at least one: to LiveKit 0 means its own default.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs().max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, expect) in [
            ("ws://127.0.0.1:7880", "http://127.0.0.1:7880/"),
            ("wss://acme.livekit.cloud", "https://acme.livekit.cloud/"),
            ("WSS://acme.livekit.cloud/", "https://acme.livekit.cloud/"),
            ("https://example.com/lk/", "https://example.com/lk/"),
            (" http://[::1]:7880 ", "http://[::1]:7880/"),
        ] {
            assert_eq!(base_url(text).unwrap().as_str(), expect, "{text:?}");
        }
        for text in [
            "",
            "127.0.0.1:7880",
            "ftp://host",
            "ws://",
            "ws://user:pw@host",
            "ws://host?x=1",
            "ws://host:99999",
        ] {
            let error = base_url(text).unwrap_err().to_string();
            assert!(error.starts_with("livekit.url: "), "{text:?}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn the_secret_is_masked() {
        let config = LiveKitConfig::new("ws://h", "key", Secret::new("hush-hush"));
        assert!(!format!("{config:?}").contains("hush"));
    }
}
