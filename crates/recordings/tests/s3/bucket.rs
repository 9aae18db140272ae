//! The bucket of the stack, and a prefix in it that nobody else uses.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use outdial_domain::Secret;
use outdial_domain::ports::{KeepFile, Keeper, RecordingSource};
use outdial_recordings::{S3Keeper, S3Settings};
use outdial_testkit::keeper::{Fixture, keep_file};
use tempfile::TempDir;
use url::Url;

pub(crate) const KEY: &str = "recordings/call_abc.ogg";
pub(crate) const MIB: usize = 1024 * 1024;

/// A value of `scripts/real-stack env`.
pub(crate) fn stack(name: &str) -> String {
    static VALUES: OnceLock<HashMap<String, String>> = OnceLock::new();
    let values = VALUES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(root.join("scripts/real-stack"));
        let output = command.arg("env").current_dir(root).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    });
    values.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// A prefix in the bucket, and how it is reached.
pub(crate) struct Bucket {
    pub(crate) settings: S3Settings,
    folder: TempDir,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        let prefix = format!("test-{}", uuid());
        Self::at(&stack("STACK_S3_URL"), &prefix)
    }

    /// The same bucket at another address.
    pub(crate) fn at(url: &str, prefix: &str) -> Self {
        let bucket = stack("STACK_S3_BUCKET");
        let mut settings = S3Settings::from_url(&format!("s3://{bucket}/{prefix}")).unwrap();
        settings.endpoint = Some(Url::parse(url).unwrap());
        settings.path_style = true;
        settings.part_size = 5 * MIB as u64;
        let secret = Secret::new(stack("STACK_S3_SECRET_KEY"));
        settings.keys = Some((stack("STACK_S3_ACCESS_KEY"), secret));
        Self { settings, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn keeper(&self) -> S3Keeper {
        S3Keeper::new(self.settings.clone()).await.unwrap()
    }

    pub(crate) async fn fixture(self) -> (Fixture, Self) {
        let fixture = Fixture {
            keeper: Arc::new(self.keeper().await),
            scratch: self.folder.path().to_owned(),
            get: |url| Box::pin(get(url)),
        };
        (fixture, self)
    }

    /// A file of this content, to put under [`KEY`].
    pub(crate) fn file(&self, content: &[u8]) -> File {
        let path = self.folder.path().join(uuid());
        std::fs::write(&path, content).unwrap();
        File { path, content: content.to_vec() }
    }

    /// A client that looks at the bucket from outside.
    pub(crate) fn client(&self) -> Client {
        let (id, key) = self.settings.keys.clone().unwrap();
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        Client::from_conf(
            Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(http)
                .region(Region::new("us-east-1"))
                .credentials_provider(Credentials::new(id, key.expose(), None, None, "test"))
                .endpoint_url(self.settings.endpoint.as_ref().unwrap().as_str())
                .force_path_style(true)
                .build(),
        )
    }

    pub(crate) fn full_key(&self) -> String {
        format!("{}/{KEY}", self.settings.prefix)
    }

    /// What the server says of the object.
    pub(crate) async fn head(&self) -> HeadObjectOutput {
        let head = self.client().head_object().bucket(&self.settings.bucket).key(self.full_key());
        head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap()
    }

    /// The multipart uploads that have neither been completed nor aborted: their ids.
    pub(crate) async fn uploads(&self) -> Vec<String> {
        let list = self.client().list_multipart_uploads().bucket(&self.settings.bucket);
        let page = list.prefix(&self.settings.prefix).send().await.unwrap();
        assert_ne!(page.is_truncated(), Some(true));
        page.uploads().iter().map(|upload| upload.upload_id().unwrap().to_owned()).collect()
    }

    /// Panics unless the object holds just this.
    pub(crate) async fn holds(&self, content: &[u8]) {
        let RecordingSource::Url(url) = self.keeper().await.open(KEY).await.unwrap() else {
            panic!("not a URL");
        };
        assert!(get(url.into()).await == content, "the object holds something else");
    }
}

/// A file to put.
pub(crate) struct File {
    pub(crate) path: std::path::PathBuf,
    content: Vec<u8>,
}

impl File {
    pub(crate) fn keep(&self) -> KeepFile<'_> {
        keep_file(KEY, &self.path, &self.content)
    }
}

pub(crate) async fn get(url: String) -> Vec<u8> {
    let response = http().get(url).send().await.unwrap().error_for_status().unwrap();
    response.bytes().await.unwrap().to_vec()
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build().unwrap()
}

/// Something that is not there yet.
pub(crate) fn uuid() -> String {
    let folder = tempfile::Builder::new().prefix("").rand_bytes(16).tempdir().unwrap();
    folder.path().file_name().unwrap().to_string_lossy().to_lowercase()
}
