//! Keeps files in a bucket of Amazon S3, or of a server that speaks it.

mod connect;
mod failure;
mod settings;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::DateTime as SdkTime;
use aws_sdk_s3::types::ChecksumMode;
use chrono::{DateTime, Utc};
use outdial_domain::ports::{KeepFile, Keeper, RecordingSource};
use outdial_domain::{Error, ErrorKind, Result};
use url::Url;

pub use self::settings::S3Settings;

use self::failure::{Act, Failure};
use super::key;

/// The metadata that holds the SHA-256 of the whole file, in hex.
const SHA256: &str = "sha256";

/// How many pages of uploads are read at most, of 1,000 each; the rest is left to the next sweep.
const MAX_PAGES: usize = 100;

/// Keeps files in a bucket.
///
/// A file of one part goes up by one request, a larger one by a multipart upload; each part travels
/// with its SHA-256, and the object is looked at before `put` returns. A multipart upload that was
/// interrupted is not continued but begun anew: one of another file under that key cannot be told
/// from it. The first `put` under that key that succeeds removes what others have left, and so does
/// `sweep`; parts are never visible as an object.
///
/// `delete` in a bucket with versions hides the object; the bucket's lifecycle rules decide when it
/// is gone.
#[derive(Debug, Clone)]
pub struct S3Keeper {
    client: Client,
    settings: Arc<S3Settings>,
}

/// An object, as far as it is told by its head.
#[derive(Debug)]
struct Stored {
    bytes: u64,
    /// SHA-256 of the file in hex, if it was kept by us.
    sha256: Option<String>,
    /// What the server has as checksum, of the object or of its parts' checksums.
    checksum: Option<String>,
}

impl S3Keeper {
    /// A keeper for these settings. Asks nobody, unless region or credentials are to be found out
    /// from the environment; [`check`](Keeper::check) tells whether it works.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused): a setting that cannot be right, or no region.
    pub async fn new(settings: S3Settings) -> Result<Self> {
        settings.check()?;
        let client = connect::connect(&settings).await?;
        Ok(Self { client, settings: Arc::new(settings) })
    }

    fn error(&self, act: Act, failure: impl Into<Failure>) -> Error {
        failure.into().into_error(act, &self.settings.bucket)
    }

    /// What is under a key of the bucket.
    async fn head(&self, full_key: &str) -> Result<Option<Stored>, Failure> {
        let head = self
            .client
            .head_object()
            .bucket(&self.settings.bucket)
            .key(full_key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .map_err(Failure::from);
        match head {
            Ok(head) => Ok(Some(Stored {
                bytes: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
                sha256: head.metadata().and_then(|all| all.get(SHA256)).cloned(),
                checksum: head.checksum_sha256().map(str::to_owned),
            })),
            Err(failure) if failure.is_absence() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A URL that gives the object to whoever has it.
    async fn presigned(&self, full_key: &str) -> Result<Url> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Internal, Act::PRESIGN.operation, error)
        };
        let lives = PresigningConfig::expires_in(self.settings.presign_expiry)
            .map_err(|error| wrong(&error))?;
        let name = full_key.rsplit('/').next().unwrap_or(full_key);
        let request = self
            .client
            .get_object()
            .bucket(&self.settings.bucket)
            .key(full_key)
            .response_content_disposition(format!("inline; filename=\"{name}\""))
            .presigned(lives)
            .await
            .map_err(|error| self.error(Act::PRESIGN, error))?;
        Url::parse(request.uri()).map_err(|error| wrong(&error))
    }

    /// The object's own URL. The SDK knows best how region, endpoint and bucket make one.
    async fn location(&self, full_key: &str) -> Result<String> {
        let mut url = self.presigned(full_key).await?;
        url.set_query(None);
        Ok(url.into())
    }

    /// Aborts the multipart uploads under a prefix that `which(key, begun)` picks; how many.
    async fn abort_uploads(
        &self,
        prefix: &str,
        which: impl Fn(&str, Option<&SdkTime>) -> bool + Send,
    ) -> Result<u64> {
        let mut aborted = 0;
        let (mut key_marker, mut id_marker) = (None, None);
        for _ in 0..MAX_PAGES {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.settings.bucket)
                .prefix(prefix)
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker)
                .send()
                .await
                .map_err(|error| self.error(Act::UPLOADS, error))?;
            let before = aborted;
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                if key.starts_with(prefix) && which(key, upload.initiated()) {
                    let done = self.abort(key, id).await;
                    done.map_err(|failure| self.error(Act::ABORT, failure))?;
                    aborted += 1;
                }
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            // Not every server can go on behind an upload, least of all behind one that is gone:
            // where something was aborted, the next uploads have moved up.
            (key_marker, id_marker) = match aborted > before {
                true => (None, None),
                false => (page.next_key_marker, page.next_upload_id_marker),
            };
        }
        Ok(aborted)
    }
}

#[async_trait]
impl Keeper for S3Keeper {
    async fn put(&self, file: &KeepFile<'_>) -> Result<Option<String>> {
        key::check(Act::PUT.operation, file.key)?;
        let full_key = self.settings.full_key(file.key);
        self.upload(&full_key, file).await?;
        self.location(&full_key).await.map(Some)
    }

    async fn open(&self, key: &str) -> Result<RecordingSource> {
        key::check(Act::PRESIGN.operation, key)?;
        let full_key = self.settings.full_key(key);
        match self.head(&full_key).await {
            Ok(Some(_)) => self.presigned(&full_key).await.map(RecordingSource::Url),
            Ok(None) => {
                let message = format!("there is no {full_key:?} in {:?}", self.settings.bucket);
                Err(Error::new(ErrorKind::NotFound, Act::HEAD.operation, message))
            }
            Err(failure) => {
                if failure.is_wordless() {
                    // A request whose answer may say why.
                    self.check().await?;
                }
                Err(self.error(Act::HEAD, failure))
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(Act::DELETE.operation, key)?;
        let full_key = self.settings.full_key(key);
        // First what might still become the object. It holds speech, too.
        self.abort_uploads(&full_key, |key, _| key == full_key).await?;
        let deleted = self
            .client
            .delete_object()
            .bucket(&self.settings.bucket)
            .key(&full_key)
            .send()
            .await
            .map_err(Failure::from);
        match deleted {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(self.error(Act::DELETE, failure)),
        }
    }

    /// Looks at `recordings/` under the prefix only: other programs may use the same bucket.
    async fn sweep(&self, before: DateTime<Utc>) -> Result<u64> {
        let before_ms = before.timestamp_millis();
        let old = |begun: Option<&SdkTime>| {
            begun.and_then(|at| at.to_millis().ok()).is_some_and(|at| at < before_ms)
        };
        let prefix = self.settings.full_key(key::FOLDER);
        self.abort_uploads(&prefix, |_, begun| old(begun)).await
    }

    async fn check(&self) -> Result<()> {
        self.client
            .list_objects_v2()
            .bucket(&self.settings.bucket)
            .prefix(self.settings.full_key(key::FOLDER))
            .max_keys(1)
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.error(Act::CHECK, error))
    }
}

#[cfg(test)]
mod tests;
