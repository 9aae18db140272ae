//! Which bucket, and how to reach it.

use std::time::Duration;

use outdial_domain::{Error, ErrorKind, Result, Secret};
use url::Url;

const OPERATION: &str = "s3.settings";
const MIB: u64 = 1024 * 1024;

/// A bucket, and how to reach it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// What every key begins with, without slashes at its ends; empty: nothing.
    pub prefix: String,
    /// The bucket's region; without one the environment's (`AWS_REGION`, the profile, the machine
    /// itself), behind an endpoint `us-east-1`.
    pub region: Option<String>,
    /// The server, when it is not Amazon's.
    pub endpoint: Option<Url>,
    /// Whether the bucket is the first part of a URL's path instead of its host.
    pub path_style: bool,
    /// Access key id and secret key; without them what AWS programs use: the environment, the
    /// profile, a web identity (EKS), the container's or the machine's role.
    pub keys: Option<(String, Secret)>,
    /// How long a URL of [`open`](outdial_domain::ports::Keeper::open) lives: 1 s to 7 days.
    pub presign_expiry: Duration,
    /// Files above this size are sent in parts of it: 5 MiB to 5 GiB.
    pub part_size: u64,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one try of a request without a file may take.
    pub request_timeout: Duration,
    /// How long one try of sending a part may take.
    pub upload_timeout: Duration,
    /// How often a request is tried before it has failed.
    pub max_attempts: u32,
}

impl S3Settings {
    /// The defaults, for `s3://bucket/prefix`.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) when it is not such a URL.
    pub fn from_url(url: &str) -> Result<Self> {
        // Not by a parser of URLs: that one makes `/a/../b` out to be `/b`.
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err(wrong("write s3://bucket or s3://bucket/prefix"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let settings = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            region: None,
            endpoint: None,
            path_style: false,
            keys: None,
            presign_expiry: Duration::from_secs(300),
            part_size: 8 * MIB,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            upload_timeout: Duration::from_secs(120),
            max_attempts: 4,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Succeeds when every value could be right.
    pub(super) fn check(&self) -> Result<()> {
        if !is_bucket(&self.bucket) {
            return Err(wrong(format!("{:?} is no name of a bucket", self.bucket)));
        }
        if !is_prefix(&self.prefix) {
            return Err(wrong("the prefix may hold A-Z, a-z, 0-9, _ . - and /, 256 bytes at most"));
        }
        let web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if self.endpoint.as_ref().is_some_and(|url| !web(url) || url.query().is_some()) {
            let message = "recordings.s3_endpoint: write http://host:port or https://host:port";
            return Err(Error::new(ErrorKind::Refused, OPERATION, message));
        }
        if self.keys.as_ref().is_some_and(|(id, key)| id.is_empty() || key.expose().is_empty()) {
            let message = "recordings.s3_access_key or recordings.s3_secret_key is empty";
            return Err(Error::new(ErrorKind::Refused, OPERATION, message));
        }
        let week = Duration::from_secs(7 * 24 * 3600);
        if self.presign_expiry < Duration::from_secs(1) || self.presign_expiry > week {
            let message = "a presigned URL lives for 1 s at least and 7 days at most";
            return Err(Error::new(ErrorKind::Refused, OPERATION, message));
        }
        if !(5 * MIB..=5 * 1024 * MIB).contains(&self.part_size) {
            let message = "a part has 5 MiB at least and 5 GiB at most";
            return Err(Error::new(ErrorKind::Refused, OPERATION, message));
        }
        Ok(())
    }

    /// A key, as the bucket has it.
    pub(super) fn full_key(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }
}

fn wrong(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Refused, OPERATION, format!("recordings.url: {message}"))
}

fn is_bucket(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| inner(*b))
        && end(bytes.first())
        && end(bytes.last())
        && !name.contains("..")
}

fn is_prefix(prefix: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    let empty_or_dots = |part: &str| matches!(part, "" | "." | "..");
    prefix.is_empty()
        || (prefix.len() <= 256
            && prefix.bytes().all(allowed)
            && !prefix.split('/').any(empty_or_dots))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_or_refused() {
        for (url, expect) in [
            ("s3://recordings", Some(("recordings", ""))),
            ("s3://my.calls-1/", Some(("my.calls-1", ""))),
            ("s3://calls/outdial/Prod_1/", Some(("calls", "outdial/Prod_1"))),
            ("s3://", None),
            ("s3:recordings", None),
            ("s3:///recordings", None),
            ("https://recordings", None),
            ("s3://ab", None),
            ("s3://Recordings", None),
            ("s3://-recordings", None),
            ("s3://calls..x", None),
            ("s3://calls_x", None),
            ("s3://key:secret@calls", None),
            ("s3://calls:9000", None),
            ("s3://calls?region=x", None),
            ("s3://calls/a#b", None),
            ("s3://calls/a//b", None),
            ("s3://calls/a b", None),
            ("s3://calls/%2e%2e/b", None),
            ("s3://calls/a/../b", None),
            ("S3://calls", None),
            ("calls", None),
            ("", None),
        ] {
            let parsed = S3Settings::from_url(url);
            let got = parsed.as_ref().ok().map(|s| (s.bucket.as_str(), s.prefix.as_str()));
            assert_eq!(got, expect, "{url}: {parsed:?}");
            if let Err(error) = parsed {
                assert_eq!(error.kind, ErrorKind::Refused);
                assert!(error.message.starts_with("recordings.url: "), "{error}");
            }
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let mut settings = S3Settings::from_url("s3://calls").unwrap();
        settings.keys = Some(("id".to_owned(), Secret::new("very-secret")));
        assert!(!format!("{settings:?}").contains("very-secret"));
    }

    #[test]
    fn senseless_values_are_refused() {
        type Change = fn(&mut S3Settings);
        let changes: [Change; 6] = [
            |s| s.endpoint = Url::parse("ftp://host").ok(),
            |s| s.keys = Some((String::new(), Secret::new("x"))),
            |s| s.keys = Some(("x".to_owned(), Secret::new(""))),
            |s| s.presign_expiry = Duration::ZERO,
            |s| s.presign_expiry = Duration::from_secs(604_801),
            |s| s.part_size = MIB,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut settings = S3Settings::from_url("s3://calls").unwrap();
            change(&mut settings);
            assert_eq!(settings.check().unwrap_err().kind, ErrorKind::Refused, "{index}");
        }
    }
}
