//! What is kept, and how it is read.

use std::time::Duration;

use outdial_domain::ErrorKind;
use outdial_domain::ports::{KeepFile, Keeper, RecordingSource};
use outdial_testkit::keeper::noise;
use reqwest::StatusCode;
use tokio::time::timeout;

use crate::bucket::{Bucket, KEY, MIB, http, stack};

#[tokio::test]
async fn content_type_and_metadata_are_stored() {
    let bucket = Bucket::new();
    let keeper = bucket.keeper().await;
    let metadata =
        [("room-name", "call_abc".to_owned()), ("answered-at", "2026-11-21T07:00:00Z".to_owned())];
    for size in [70_000, 6 * MIB] {
        let file = bucket.file(&noise(size));
        keeper.put(&KeepFile { metadata: &metadata, ..file.keep() }).await.unwrap();
        let head = bucket.head().await;
        assert_eq!(head.content_type(), Some("audio/ogg; codecs=opus"));
        assert_eq!(head.content_length(), Some(i64::try_from(size).unwrap()));
        let stored = head.metadata().unwrap();
        assert_eq!(stored["room-name"], "call_abc");
        assert_eq!(stored["answered-at"], "2026-11-21T07:00:00Z");
        assert_eq!(stored["sha256"], hex(&file.keep().sha256));
        assert!(head.checksum_sha256().is_some(), "the server has no checksum: {head:?}");
    }
}

#[tokio::test]
async fn thirty_megabytes_go_up_in_parts() {
    let bucket = Bucket::new();
    let keeper = bucket.keeper().await;
    let content = noise(30_000_000);
    let url = keeper.put(&bucket.file(&content).keep()).await.unwrap().unwrap();
    let base = stack("STACK_S3_URL");
    let name = stack("STACK_S3_BUCKET");
    assert_eq!(url, format!("{base}/{name}/{}", bucket.full_key()));
    // The checksum of six parts' checksums.
    let checksum = bucket.head().await.checksum_sha256().unwrap().to_owned();
    assert!(checksum.ends_with("-6"), "{checksum}");
    bucket.holds(&content).await;
    assert!(bucket.uploads().await.is_empty());
}

#[tokio::test]
async fn the_same_file_is_not_sent_again() {
    let bucket = Bucket::new();
    let keeper = bucket.keeper().await;
    for size in [100, 6 * MIB] {
        let file = bucket.file(&noise(size));
        let first = keeper.put(&file.keep()).await.unwrap();
        let before = bucket.head().await.last_modified().copied();
        // It is not even read.
        std::fs::remove_file(&file.path).unwrap();
        assert_eq!(keeper.put(&file.keep()).await.unwrap(), first);
        assert_eq!(bucket.head().await.last_modified().copied(), before);
    }
}

#[tokio::test]
async fn a_presigned_url_works_and_expires() {
    let mut bucket = Bucket::new();
    bucket.settings.presign_expiry = Duration::from_secs(2);
    let keeper = bucket.keeper().await;
    keeper.put(&bucket.file(b"content").keep()).await.unwrap();
    // A slow machine may take longer than the URL lives.
    let fresh = async {
        loop {
            let RecordingSource::Url(url) = keeper.open(KEY).await.unwrap() else { panic!() };
            let response = http().get(url.clone()).send().await.unwrap();
            if response.status() == StatusCode::OK {
                return (url, response);
            }
        }
    };
    let (url, response) = timeout(Duration::from_secs(60), fresh).await.unwrap();
    assert_eq!(response.headers()["content-type"], "audio/ogg; codecs=opus");
    let disposition = &response.headers()["content-disposition"];
    assert_eq!(disposition, "inline; filename=\"call_abc.ogg\"");
    assert_eq!(response.text().await.unwrap(), "content");

    let mut unsigned = url.clone();
    unsigned.set_query(None);
    let response = http().get(unsigned).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "the bucket is open to all");

    let expired = async {
        while http().get(url.clone()).send().await.unwrap().status() != StatusCode::FORBIDDEN {}
    };
    timeout(Duration::from_secs(60), expired).await.expect("it lives for ever");
}

#[tokio::test]
async fn the_bucket_may_be_the_host() {
    let mut bucket = Bucket::new();
    let port = bucket.settings.endpoint.as_ref().unwrap().port().unwrap();
    let endpoint = format!("http://s3.localhost:{port}");
    bucket.settings.endpoint = Some(endpoint.parse().unwrap());
    bucket.settings.path_style = false;
    let keeper = bucket.keeper().await;
    // Where the name of a name below localhost is not known, there is nothing to be seen.
    let name = format!("{}.s3.localhost", bucket.settings.bucket);
    if tokio::net::lookup_host((name.as_str(), port)).await.is_err() {
        return;
    }
    let url = keeper.put(&bucket.file(b"content").keep()).await.unwrap().unwrap();
    assert_eq!(url, format!("http://{name}:{port}/{}", bucket.full_key()));
}

#[tokio::test]
async fn a_sweep_keeps_to_its_prefix() {
    let (ours, others) = (Bucket::new(), Bucket::new());
    for (bucket, key) in
        [(&ours, ours.full_key()), (&others, others.full_key()), (&ours, outside(&ours))]
    {
        let create = bucket.client().create_multipart_upload().bucket(&bucket.settings.bucket);
        create.key(key).send().await.unwrap();
    }
    let keeper = ours.keeper().await;
    let now = chrono::Utc::now();
    assert_eq!(keeper.sweep(now - chrono::TimeDelta::hours(1)).await.unwrap(), 0);
    assert_eq!(keeper.sweep(now + chrono::TimeDelta::hours(1)).await.unwrap(), 1);
    assert_eq!(ours.uploads().await.len(), 1, "the one outside recordings/ is not ours");
    assert_eq!(others.uploads().await.len(), 1);
    others.keeper().await.delete(KEY).await.unwrap();
    assert_eq!(others.uploads().await.len(), 0, "delete removes interrupted uploads");
}

/// A server lists 1,000 at most.
#[tokio::test]
async fn a_sweep_reads_every_page() {
    const UPLOADS: u64 = 1_050;
    let bucket = Bucket::new();
    let client = bucket.client();
    for number in 0..UPLOADS {
        let create = client.create_multipart_upload().bucket(&bucket.settings.bucket);
        create.key(format!("{}-{number}", bucket.full_key())).send().await.unwrap();
    }
    let future = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    assert_eq!(bucket.keeper().await.sweep(future).await.unwrap(), UPLOADS);
    assert!(bucket.uploads().await.is_empty());
}

fn outside(bucket: &Bucket) -> String {
    format!("{}/elsewhere/a", bucket.settings.prefix)
}

#[tokio::test]
async fn what_changed_under_its_name_is_found_out() {
    let bucket = Bucket::new();
    let keeper = bucket.keeper().await;
    let file = bucket.file(&noise(1000));
    std::fs::write(&file.path, vec![0; 1000]).unwrap();
    let error = keeper.put(&file.keep()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
