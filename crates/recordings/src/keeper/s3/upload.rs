//! Sends a file, whole or in parts.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::config::Config;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use outdial_domain::ports::KeepFile;
use outdial_domain::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::connect::timeouts;
use super::failure::{Act, Failure};
use super::{S3Keeper, SHA256, Stored};
use crate::keeper::blocking;
use crate::keeper::digest::{self, Digest, Identity, Sha};

/// S3 takes no more parts.
const MAX_PARTS: u64 = 10_000;

/// How long an error may be held back to tidy up behind it.
const TIDY: Duration = Duration::from_secs(10);

/// How often an upload is begun that another `put` under the same key takes away.
const MAX_UPLOADS: usize = 3;

/// Why an upload did not end with an object.
enum Broken {
    /// It was aborted, or completed, behind our back.
    Gone,
    Failed(Error),
}

/// What is uploaded, and where to.
struct Upload<'a> {
    key: &'a str,
    file: &'a KeepFile<'a>,
    digest: Digest,
    part_bytes: u64,
}

impl S3Keeper {
    /// Sees to it that the file is under the key.
    pub(super) async fn upload(&self, key: &str, file: &KeepFile<'_>) -> Result<()> {
        let identity = Identity::of(file);
        match self.head(key).await {
            Ok(Some(stored)) if is_kept(&stored, identity) => return Ok(()),
            Ok(_) => {}
            // The upload's answer will say why.
            Err(failure) if failure.is_wordless() => {}
            Err(failure) => return Err(self.error(Act::HEAD, failure)),
        }
        let part_bytes = self.settings.part_size.max(file.bytes.div_ceil(MAX_PARTS));
        let digest = read(file, part_bytes).await?;
        let upload = Upload { key, file, digest, part_bytes };
        if upload.is_single() {
            self.put_object(&upload).await?;
            return self.verify(&upload, &base64(&upload.file.sha256)).await;
        }
        for _ in 0..MAX_UPLOADS {
            match self.put_parts(&upload).await {
                Ok(()) => {
                    self.verify(&upload, &upload.checksum_of_parts()).await?;
                    self.remove_others(key).await;
                    return Ok(());
                }
                // Our own answer was lost, or another `put` of the same file was quicker.
                Err(_) if self.is_there(key, identity).await => return Ok(()),
                // Another file was put there, and our upload removed.
                Err(Broken::Gone) => {}
                Err(Broken::Failed(error)) => return Err(error),
            }
        }
        let message = "other uploads under the same key came between";
        Err(Error::new(ErrorKind::Unavailable, Act::COMPLETE.operation, message))
    }

    /// Whether the file is known to be under the key.
    async fn is_there(&self, key: &str, identity: Identity) -> bool {
        let stored = timeout(TIDY, self.head(key)).await;
        matches!(stored, Ok(Ok(Some(stored))) if is_kept(&stored, identity))
    }

    async fn put_object(&self, upload: &Upload<'_>) -> Result<()> {
        let body = body(upload.file.path, 0, upload.file.bytes).await?;
        self.client
            .put_object()
            .bucket(&self.settings.bucket)
            .key(upload.key)
            .content_type(upload.file.content_type)
            .set_metadata(Some(upload.metadata()))
            .checksum_sha256(base64(&upload.file.sha256))
            .body(body)
            .customize()
            .config_override(self.patience())
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.error(Act::PUT, error))
    }

    /// A multipart upload from beginning to end; a failed one is removed if that can be.
    async fn put_parts(&self, upload: &Upload<'_>) -> Result<(), Broken> {
        let created = self
            .client
            .create_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(upload.key)
            .content_type(upload.file.content_type)
            .set_metadata(Some(upload.metadata()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await
            .map_err(|error| Broken::Failed(self.error(Act::CREATE, error)))?;
        let Some(id) = created.upload_id() else {
            let message = "the server gave no upload id";
            let error = Error::new(ErrorKind::Unavailable, Act::CREATE.operation, message);
            return Err(Broken::Failed(error));
        };
        let sent = self.send_parts(upload, id).await;
        if sent.is_err() {
            // What cannot be removed now is removed by the next `put`, or by `sweep`.
            let _ = timeout(TIDY, self.abort(upload.key, id)).await;
        }
        sent
    }

    async fn send_parts(&self, upload: &Upload<'_>, id: &str) -> Result<(), Broken> {
        let mut parts = Vec::with_capacity(upload.digest.parts.len());
        for (number, sha256) in (1_i32..).zip(&upload.digest.parts) {
            parts.push(self.send_part(upload, id, number, sha256).await?);
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(upload.key)
            .upload_id(id)
            .multipart_upload(parts)
            .customize()
            .config_override(self.patience())
            .send()
            .await;
        completed.map(|_| ()).map_err(|error| self.broken(Act::COMPLETE, error))
    }

    async fn send_part(
        &self,
        upload: &Upload<'_>,
        id: &str,
        number: i32,
        sha256: &Sha,
    ) -> Result<CompletedPart, Broken> {
        let offset = upload.part_bytes * u64::from(number.unsigned_abs() - 1);
        let bytes = upload.part_bytes.min(upload.file.bytes - offset);
        let body = body(upload.file.path, offset, bytes).await.map_err(Broken::Failed)?;
        let sent = self
            .client
            .upload_part()
            .bucket(&self.settings.bucket)
            .key(upload.key)
            .upload_id(id)
            .part_number(number)
            .checksum_sha256(base64(sha256))
            .body(body)
            .customize()
            .config_override(self.patience())
            .send()
            .await
            .map_err(|error| self.broken(Act::PART, error))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(base64(sha256));
        Ok(part.set_e_tag(sent.e_tag).build())
    }

    /// Aborting what is not there succeeds.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), Failure> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.settings.bucket)
            .key(key)
            .upload_id(id)
            .send()
            .await
            .map_err(Failure::from);
        match aborted {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_gone() || failure.is_missing() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// The object is there, whole and right.
    async fn verify(&self, upload: &Upload<'_>, checksum: &str) -> Result<()> {
        let stored = self.head(upload.key).await.map_err(|error| self.error(Act::HEAD, error))?;
        let right = stored.as_ref().is_some_and(|stored| {
            is_kept(stored, upload.digest.identity)
                && stored.checksum.as_deref().is_none_or(|found| without_count(found) == checksum)
        });
        if right {
            return Ok(());
        }
        let message = format!("the bucket holds something else than was uploaded: {stored:?}");
        Err(Error::new(ErrorKind::Unavailable, Act::HEAD.operation, message))
    }

    /// Removes the interrupted uploads under this key. The file is safe: a failure is no error.
    async fn remove_others(&self, key: &str) {
        if let Err(error) = self.abort_uploads(key, |found, _| found == key).await {
            tracing::warn!(key, %error, "interrupted uploads of a recording were not removed");
        }
    }

    fn broken(&self, act: Act, failure: impl Into<Failure>) -> Broken {
        let failure = failure.into();
        match failure.is_gone() {
            true => Broken::Gone,
            false => Broken::Failed(self.error(act, failure)),
        }
    }

    /// More time, for requests that carry a file or make one of its parts.
    fn patience(&self) -> aws_sdk_s3::config::Builder {
        Config::builder().timeout_config(timeouts(&self.settings, self.settings.upload_timeout))
    }
}

impl Upload<'_> {
    fn is_single(&self) -> bool {
        self.file.bytes <= self.part_bytes
    }

    fn metadata(&self) -> HashMap<String, String> {
        let given = self.file.metadata.iter();
        let mut all: HashMap<_, _> =
            given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        all.insert(SHA256.to_owned(), self.digest.identity.hex());
        all
    }

    /// What S3 makes of the parts' checksums for the whole: the hash of the hashes.
    fn checksum_of_parts(&self) -> String {
        let mut hash = Sha256::new();
        for part in &self.digest.parts {
            hash.update(part);
        }
        base64(&hash.finalize().into())
    }
}

fn is_kept(stored: &Stored, identity: Identity) -> bool {
    stored.bytes == identity.bytes && stored.sha256.as_deref() == Some(identity.hex().as_str())
}

/// A checksum of checksums is written with the number of parts behind: `…=-4`.
fn without_count(checksum: &str) -> &str {
    checksum.split_once('-').map_or(checksum, |(hash, _)| hash)
}

fn base64(sha256: &Sha) -> String {
    BASE64_STANDARD.encode(sha256)
}

/// Reads the file once: nothing is sent that is not what it is said to be.
async fn read(file: &KeepFile<'_>, part_bytes: u64) -> Result<Digest> {
    const OPERATION: &str = "s3.read_file";
    let (path, identity) = (file.path.to_owned(), Identity::of(file));
    blocking(OPERATION, move || {
        digest::read_checked(OPERATION, &path, identity, part_bytes, &mut io::sink())
    })
    .await
}

/// A piece of the file, read while it is sent.
async fn body(path: &Path, offset: u64, bytes: u64) -> Result<ByteStream> {
    let stream = ByteStream::read_from().path(path).offset(offset).length(Length::Exact(bytes));
    stream.build().await.map_err(|error| {
        let message = format!("the file to keep, {}, cannot be read: {error}", path.display());
        Error::new(ErrorKind::Internal, Act::PUT.operation, message)
    })
}
