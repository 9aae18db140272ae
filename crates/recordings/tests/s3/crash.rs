//! Processes of their own: one is killed in the middle of an upload, others have credentials in
//! their environment, or none.

use std::process::Stdio;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use outdial_domain::ErrorKind;
use outdial_domain::ports::{Keeper, RecordingSource};
use outdial_recordings::S3Keeper;
use outdial_testkit::keeper::noise;
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::time::timeout;

use crate::bucket::{Bucket, KEY, MIB, get, stack};
use crate::faults::stack_address;
use crate::proxy::Proxy;

const SIZE: usize = 17 * MIB;

/// What the child does: `a_killed_upload` runs this one test in a process of its own.
#[tokio::test]
async fn child_puts() {
    let (Ok(url), Ok(prefix)) = (std::env::var("TEST_S3_URL"), std::env::var("TEST_S3_PREFIX"))
    else {
        return;
    };
    let bucket = Bucket::at(&url, &prefix);
    bucket.keeper().await.put(&bucket.file(&noise(SIZE)).keep()).await.unwrap();
}

/// Leaves an upload behind whose process was killed when 12 of 17 MiB had gone.
async fn killed() -> Bucket {
    let bucket = Bucket::new();
    let proxy = Proxy::to(stack_address()).await;
    proxy.hold_after(12 * MIB as u64);
    let mut child = child("crash::child_puts")
        .env("TEST_S3_URL", &proxy.url)
        .env("TEST_S3_PREFIX", &bucket.settings.prefix)
        .spawn()
        .unwrap();
    let held = async {
        tokio::select! {
            () = proxy.held() => {}
            ended = child.wait() => panic!("the child has ended: {ended:?}"),
        }
    };
    timeout(Duration::from_secs(90), held).await.unwrap();
    child.kill().await.unwrap(); // SIGKILL
    drop(proxy);
    assert_eq!(bucket.uploads().await.len(), 1, "the killed process leaves its upload");
    let error = bucket.keeper().await.open(KEY).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "a part of the file is seen");
    bucket
}

/// This test binary, for one test; without what this machine knows of AWS.
fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact"]).stdout(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

/// What a child does: works, or does not, without keys in its settings.
#[tokio::test]
async fn child_has_no_keys() {
    let Ok(expect) = std::env::var("TEST_S3_EXPECT") else { return };
    let mut bucket = Bucket::new();
    bucket.settings.keys = None;
    bucket.settings.region = None;
    let keeper = bucket.keeper().await;
    let file = bucket.file(b"content");
    if expect == "works" {
        keeper.check().await.unwrap();
        keeper.put(&file.keep()).await.unwrap();
        return;
    }
    for error in [keeper.check().await.unwrap_err(), keeper.put(&file.keep()).await.unwrap_err()] {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("recordings.s3_access_key"), "{error}");
    }
    // Amazon's own: nothing says in which region.
    bucket.settings.endpoint = None;
    let error = S3Keeper::new(bucket.settings.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.message.contains("recordings.s3_region"), "{error}");
}

#[tokio::test]
async fn credentials_come_from_the_environment() {
    let mut works = child("crash::child_has_no_keys");
    works
        .env("TEST_S3_EXPECT", "works")
        .env("AWS_ACCESS_KEY_ID", stack("STACK_S3_ACCESS_KEY"))
        .env("AWS_SECRET_ACCESS_KEY", stack("STACK_S3_SECRET_KEY"));
    let mut refused = child("crash::child_has_no_keys");
    refused.env("TEST_S3_EXPECT", "refused");
    for mut command in [works, refused] {
        let status = timeout(Duration::from_secs(90), command.status()).await.unwrap().unwrap();
        assert!(status.success(), "{command:?}");
    }
}

#[tokio::test]
async fn after_a_kill_the_next_put_succeeds_and_tidies_up() {
    let bucket = killed().await;
    let content = noise(SIZE);
    let keeper = bucket.keeper().await;
    let url = keeper.put(&bucket.file(&content).keep()).await.unwrap();
    assert!(url.is_some());
    assert!(bucket.uploads().await.is_empty());
    assert_eq!(keeper.sweep(Utc::now() + TimeDelta::hours(1)).await.unwrap(), 0);
    let head = bucket.head().await;
    assert_eq!(head.content_length(), Some(i64::try_from(SIZE).unwrap()));
    let RecordingSource::Url(url) = keeper.open(KEY).await.unwrap() else {
        panic!("not a URL");
    };
    assert_eq!(Sha256::digest(get(url.into()).await), Sha256::digest(&content));
}

#[tokio::test]
async fn after_a_kill_a_sweep_removes_the_parts() {
    let bucket = killed().await;
    let keeper = bucket.keeper().await;
    assert_eq!(keeper.sweep(Utc::now() - TimeDelta::hours(1)).await.unwrap(), 0);
    assert_eq!(keeper.sweep(Utc::now() + TimeDelta::hours(1)).await.unwrap(), 1);
    assert!(bucket.uploads().await.is_empty());
    assert_eq!(keeper.sweep(Utc::now() + TimeDelta::hours(1)).await.unwrap(), 0);
}
