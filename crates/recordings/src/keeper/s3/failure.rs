//! What went wrong, told in the words of the settings.

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use outdial_domain::{Error, ErrorKind};

/// What is being done, and which permission it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub(super) operation: &'static str,
    permission: &'static str,
}

impl Act {
    const fn new(operation: &'static str, permission: &'static str) -> Self {
        Self { operation, permission }
    }

    pub(super) const HEAD: Self = Self::new("s3.head_object", "s3:GetObject and s3:ListBucket");
    pub(super) const PUT: Self = Self::new("s3.put_object", "s3:PutObject");
    pub(super) const CREATE: Self = Self::new("s3.create_multipart_upload", "s3:PutObject");
    pub(super) const PART: Self = Self::new("s3.upload_part", "s3:PutObject");
    pub(super) const COMPLETE: Self = Self::new("s3.complete_multipart_upload", "s3:PutObject");
    pub(super) const ABORT: Self =
        Self::new("s3.abort_multipart_upload", "s3:AbortMultipartUpload");
    pub(super) const UPLOADS: Self =
        Self::new("s3.list_multipart_uploads", "s3:ListBucketMultipartUploads");
    pub(super) const PRESIGN: Self = Self::new("s3.presign", "s3:GetObject");
    pub(super) const DELETE: Self = Self::new("s3.delete_object", "s3:DeleteObject");
    pub(super) const CHECK: Self = Self::new("s3.check", "s3:ListBucket");
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered so.
    Answer {
        status: u16,
        /// Empty when the answer had none: those to HEAD have none.
        code: String,
        said: String,
        /// The bucket's region, where the server names it.
        region: Option<String>,
    },
    /// No answer, or half of one.
    NoAnswer(String),
    /// There is nothing to sign a request with.
    NoCredentials(String),
    /// The request could not be made.
    Unsent(String),
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        if let Some(missing) = credentials_missing(&error) {
            return Self::NoCredentials(missing);
        }
        match &error {
            SdkError::ServiceError(answer) => Self::Answer {
                status: answer.raw().status().as_u16(),
                code: shown(answer.err().code().unwrap_or_default()),
                said: shown(answer.err().message().unwrap_or_default()),
                region: answer.raw().headers().get("x-amz-bucket-region").map(shown),
            },
            // An answer that is no S3: a proxy's page, a login form, half a document.
            SdkError::ResponseError(answer) if !answer.raw().status().is_success() => {
                Self::Answer {
                    status: answer.raw().status().as_u16(),
                    code: String::new(),
                    said: chain(&error),
                    region: None,
                }
            }
            SdkError::ConstructionFailure(_) => Self::Unsent(chain(&error)),
            _ => Self::NoAnswer(chain(&error)),
        }
    }
}

impl Failure {
    /// The answer to HEAD of an object that is not there (or whose bucket is not).
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Answer { status: 404, code, .. } if code.is_empty() || code == "NotFound")
    }

    /// There is no such object.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Answer { code, .. } if code == "NoSuchKey")
    }

    /// Refused without a word, as HEAD is: a wrong key, another region, a missing permission, or an
    /// object that is not there in a bucket that must not be listed.
    pub(super) fn is_wordless(&self) -> bool {
        matches!(self, Self::Answer { status: 300..=499, code, .. } if code.is_empty())
    }

    /// The multipart upload has been completed or aborted, or a part of it came after that.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Answer { code, .. } if code == "NoSuchUpload" || code == "InvalidPart")
    }

    /// The error of the port.
    pub(super) fn into_error(self, act: Act, bucket: &str) -> Error {
        let (kind, message) = match self {
            Self::NoAnswer(why) => (ErrorKind::Unavailable, format!("no answer: {why}")),
            Self::Unsent(why) => (ErrorKind::Internal, why),
            Self::NoCredentials(why) => (
                ErrorKind::Refused,
                format!(
                    "no credentials: set recordings.s3_access_key and recordings.s3_secret_key, or \
                     those of AWS in the environment ({why})"
                ),
            ),
            Self::Answer { status, code, said, region } => {
                let (kind, hint) = explain(status, &code, act, bucket, region.as_deref());
                let hint = if hint.is_empty() { hint } else { format!("{hint}; ") };
                let code = if code.is_empty() { String::new() } else { format!(" {code}") };
                let said = if said.is_empty() { said } else { format!(": {said}") };
                (kind, format!("{hint}the server answered {status}{code}{said}"))
            }
        };
        Error::new(kind, act.operation, message)
    }
}

/// What an answer means, and which setting to look at.
fn explain(
    status: u16,
    code: &str,
    act: Act,
    bucket: &str,
    region: Option<&str>,
) -> (ErrorKind, String) {
    let refused = |hint: String| (ErrorKind::Refused, hint);
    match (status, code) {
        (_, "InvalidAccessKeyId" | "XAdminUserNotFound") => {
            refused("recordings.s3_access_key is not known there".into())
        }
        (_, "SignatureDoesNotMatch") => refused("recordings.s3_secret_key is wrong".into()),
        (_, "RequestTimeTooSkewed") => refused("the clock of this machine is wrong".into()),
        // Roles of machines are renewed by themselves.
        (_, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired") => {
            (ErrorKind::Unavailable, "the credentials have run out".into())
        }
        (_, "NoSuchBucket") => {
            refused(format!("there is no bucket {bucket:?}: see recordings.url"))
        }
        (301 | 307, _)
        | (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IncorrectEndpoint") => {
            let named = region.map(|name| format!(" to {name}")).unwrap_or_default();
            refused(format!("the bucket is in another region: set recordings.s3_region{named}"))
        }
        (_, "QuotaExceeded" | "XMinioStorageFull") | (507, _) => (ErrorKind::Full, String::new()),
        (429 | 500 | 502 | 503 | 504, _) | (_, "SlowDown" | "RequestTimeout" | "InternalError") => {
            (ErrorKind::Unavailable, String::new())
        }
        // Changed on its way: what was read here had the right checksum.
        (_, "BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentChecksumMismatch") => {
            (ErrorKind::Unavailable, "the file was damaged on its way".into())
        }
        (401 | 403, "") => refused(format!(
            "recordings.s3_access_key or recordings.s3_secret_key is wrong, or has not the \
             permission {} on {bucket:?}",
            act.permission
        )),
        (401 | 403, _) => refused(format!(
            "recordings.s3_access_key has not the permission {} on {bucket:?}",
            act.permission
        )),
        (404 | 405, "") => refused("see recordings.s3_endpoint and recordings.url".into()),
        _ => refused(String::new()),
    }
}

/// The credentials are not there, or make no sense (and not: could not be fetched just now).
fn credentials_missing(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut links = std::iter::successors(Some(error), |error| error.source());
    let found = links.find_map(|error| error.downcast_ref::<CredentialsError>())?;
    let lasting = matches!(
        found,
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
    );
    lasting.then(|| chain(found))
}

/// An error with its causes; the same words are said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for link in std::iter::successors(Some(error), |error| error.source()) {
        let words = link.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
    }
    shown(&text)
}

/// Foreign words: one short line.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_their_kind_and_setting() {
        use ErrorKind::{Full, Refused, Unavailable};
        for (status, code, kind, word) in [
            (403, "InvalidAccessKeyId", Refused, "recordings.s3_access_key"),
            (404, "XAdminUserNotFound", Refused, "recordings.s3_access_key"),
            (403, "SignatureDoesNotMatch", Refused, "recordings.s3_secret_key"),
            (403, "AccessDenied", Refused, "s3:PutObject"),
            (403, "", Refused, "s3:PutObject"),
            (403, "RequestTimeTooSkewed", Refused, "clock"),
            (404, "NoSuchBucket", Refused, "recordings.url"),
            (404, "", Refused, "recordings.s3_endpoint"),
            (301, "PermanentRedirect", Refused, "recordings.s3_region"),
            (400, "AuthorizationHeaderMalformed", Refused, "recordings.s3_region"),
            (400, "MetadataTooLarge", Refused, "MetadataTooLarge"),
            (400, "ExpiredToken", Unavailable, "run out"),
            (400, "RequestTimeout", Unavailable, "RequestTimeout"),
            (400, "BadDigest", Unavailable, "damaged"),
            (503, "SlowDown", Unavailable, "SlowDown"),
            (503, "", Unavailable, "503"),
            (500, "InternalError", Unavailable, "InternalError"),
            (429, "TooManyRequests", Unavailable, "429"),
            (507, "XMinioStorageFull", Full, "507"),
        ] {
            let failure = Failure::Answer {
                status,
                code: code.to_owned(),
                said: "what it said".to_owned(),
                region: None,
            };
            let error = failure.into_error(Act::PUT, "calls");
            assert_eq!(error.kind, kind, "{status} {code}");
            assert!(error.message.contains(word), "{status} {code}: {error}");
            assert!(error.message.ends_with("what it said"), "{error}");
        }
    }

    #[test]
    fn foreign_words_are_one_short_line() {
        let words = format!("a\r\nb\u{1b}[31m{}", "x".repeat(10_000));
        let line = shown(&words);
        assert_eq!(line.chars().count(), 300);
        assert!(!line.contains(['\r', '\n', '\u{1b}']));
    }
}
