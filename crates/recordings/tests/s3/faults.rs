//! What happens when the server, the way to it or the settings are wrong.

use std::net::SocketAddr;
use std::time::Duration;

use outdial_domain::ports::Keeper;
use outdial_domain::{Error, ErrorKind, Secret};
use outdial_recordings::S3Keeper;
use outdial_testkit::keeper::noise;
use tokio::time::timeout;
use url::Url;

use crate::bucket::{Bucket, KEY, MIB, stack};
use crate::proxy::Proxy;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) fn stack_address() -> SocketAddr {
    let url = Url::parse(&stack("STACK_S3_URL")).unwrap();
    url.socket_addrs(|| None).unwrap()[0]
}

/// What each operation says.
async fn errors(bucket: &Bucket) -> Vec<Error> {
    let keeper = bucket.keeper().await;
    let (small, large) = (bucket.file(b"content"), bucket.file(&noise(6 * MIB)));
    vec![
        keeper.check().await.unwrap_err(),
        keeper.put(&small.keep()).await.unwrap_err(),
        keeper.put(&large.keep()).await.unwrap_err(),
        keeper.delete(KEY).await.unwrap_err(),
        keeper.sweep(chrono::Utc::now()).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_named() {
    let mut bucket = Bucket::new();
    let id = stack("STACK_S3_ACCESS_KEY");
    bucket.settings.keys = Some((id, Secret::new("quite-another-secret")));
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("recordings.s3_secret_key"), "{error}");
        assert!(!format!("{error:?}").contains("quite-another-secret"), "{error:?}");
    }
    let error = bucket.keeper().await.open(KEY).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.message.contains("recordings.s3_secret_key"), "{error}");
}

#[tokio::test]
async fn an_unknown_access_key_is_refused_and_named() {
    let mut bucket = Bucket::new();
    bucket.settings.keys = Some(("nobody".to_owned(), Secret::new("a-secret")));
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("recordings.s3_access_key"), "{error}");
        assert!(!format!("{error:?}").contains("a-secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_missing_bucket_is_refused_and_named() {
    let mut bucket = Bucket::new();
    bucket.settings.bucket = "no-such-bucket".to_owned();
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("recordings.url"), "{error}");
        assert!(error.message.contains("no-such-bucket"), "{error}");
    }
}

#[tokio::test]
async fn another_region_is_refused_and_named() {
    let mut bucket = Bucket::new();
    bucket.settings.region = Some("eu-west-1".to_owned());
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains("recordings.s3_region"), "{error}");
    }
    let error = bucket.keeper().await.open(KEY).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
    assert!(error.message.contains("recordings.s3_region"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again() {
    let proxy = Proxy::to(stack_address()).await;
    let bucket = Bucket::at(&proxy.url, &Bucket::new().settings.prefix);
    for content in [noise(1000), noise(6 * MIB)] {
        let keeper = bucket.keeper().await;
        proxy.busy(2);
        keeper.put(&bucket.file(&content).keep()).await.unwrap();
        bucket.holds(&content).await;
    }
    assert_eq!(proxy.busied(), 4);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_unavailable() {
    let proxy = Proxy::to(stack_address()).await;
    let mut bucket = Bucket::at(&proxy.url, &Bucket::new().settings.prefix);
    bucket.settings.max_attempts = 2;
    proxy.busy(usize::MAX);
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.message.contains("503"), "{error}");
    }
    assert!(proxy.busied() >= 10);
}

/// Cuts the connection in the middle of a file.
async fn cut_after(bytes: u64, content: &[u8]) {
    let proxy = Proxy::to(stack_address()).await;
    let bucket = Bucket::at(&proxy.url, &Bucket::new().settings.prefix);
    let (keeper, file) = (bucket.keeper().await, bucket.file(content));
    proxy.hold_after(bytes);
    let cut = async {
        proxy.held().await;
        proxy.cut();
        proxy.release();
    };
    let file = file.keep();
    let (put, ()) = tokio::join!(keeper.put(&file), cut);
    put.unwrap();
    bucket.holds(content).await;
    assert!(bucket.uploads().await.is_empty());
}

#[tokio::test]
async fn a_cut_connection_is_made_anew() {
    cut_after(MIB as u64, &noise(2 * MIB)).await;
    cut_after(7 * MIB as u64, &noise(11 * MIB)).await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let small = noise(1000);
    let large = noise(6 * MIB);
    for (request, content) in [
        ("HEAD /", &small),
        ("PUT /", &small),
        ("HEAD /", &large),
        ("PUT /", &large),
        ("<CompleteMultipartUpload", &large),
    ] {
        let proxy = Proxy::to(stack_address()).await;
        let bucket = Bucket::at(&proxy.url, &Bucket::new().settings.prefix);
        let keeper = bucket.keeper().await;
        proxy.lose_answer_to(request);
        keeper.put(&bucket.file(content).keep()).await.unwrap();
        assert!(proxy.has_lost(), "there was no {request}");
        bucket.holds(content).await;
        assert!(bucket.uploads().await.is_empty());
        proxy.lose_answer_to("DELETE /");
        keeper.delete(KEY).await.unwrap();
        assert!(proxy.has_lost());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_unavailable() {
    let proxy = Proxy::to(stack_address()).await;
    let mut bucket = Bucket::at(&proxy.url, &Bucket::new().settings.prefix);
    bucket.settings.max_attempts = 1;
    bucket.settings.request_timeout = Duration::from_millis(300);
    bucket.settings.upload_timeout = Duration::from_millis(300);
    proxy.hold_after(0);
    for error in errors(&bucket).await {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_for_a_while_costs_one_try() {
    let mut server = Server::start().await;
    let proxy = Proxy::to(server.address).await;
    let mut bucket = Bucket::at(&proxy.url, "test");
    bucket.settings.max_attempts = 2;
    let (keeper, content) = (bucket.keeper().await, noise(12 * MIB));
    let file = bucket.file(&content);
    proxy.hold_after(7 * MIB as u64);
    let gone = async {
        proxy.held().await;
        server.kill().await;
        proxy.cut();
        proxy.release();
    };
    let file = file.keep();
    let (put, ()) = tokio::join!(keeper.put(&file), gone);
    assert_eq!(put.unwrap_err().kind, ErrorKind::Unavailable);
    assert_eq!(keeper.check().await.unwrap_err().kind, ErrorKind::Unavailable);

    server.restart().await;
    assert_eq!(keeper.open(KEY).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(bucket.uploads().await.len(), 1, "nobody could remove what was begun");
    keeper.put(&file).await.unwrap();
    bucket.holds(&content).await;
    assert!(bucket.uploads().await.is_empty(), "the put that succeeded removes the other");
}

#[tokio::test]
async fn a_server_that_comes_back_in_time_is_not_noticed() {
    let mut server = Server::start().await;
    let proxy = Proxy::to(server.address).await;
    let mut bucket = Bucket::at(&proxy.url, "test");
    // However slow this machine is.
    bucket.settings.max_attempts = 12;
    let (keeper, content) = (bucket.keeper().await, noise(12 * MIB));
    let file = bucket.file(&content);
    proxy.hold_after(7 * MIB as u64);
    let gone = async {
        proxy.held().await;
        server.kill().await;
        proxy.cut();
        proxy.release();
        server.restart().await;
    };
    let file = file.keep();
    let put = async { tokio::join!(keeper.put(&file), gone).0 };
    timeout(PATIENCE, put).await.unwrap().unwrap();
    bucket.holds(&content).await;
    assert!(bucket.uploads().await.is_empty());
}

/// Two keepers know nothing of each other, as those of two servers.
#[tokio::test]
async fn a_put_whose_upload_is_taken_away_ends_well() {
    let proxy = Proxy::to(stack_address()).await;
    let quick = Bucket::new();
    let slow = Bucket::at(&proxy.url, &quick.settings.prefix);
    for (theirs, ours) in [(noise(12 * MIB), noise(12 * MIB)), (noise(11 * MIB), noise(12 * MIB))] {
        let (quick_file, slow_file) = (quick.file(&theirs), slow.file(&ours));
        let slow_keeper: S3Keeper = slow.keeper().await;
        quick.keeper().await.delete(KEY).await.unwrap();
        proxy.hold_after(7 * MIB as u64);
        let overtaken = async {
            proxy.held().await;
            quick.keeper().await.put(&quick_file.keep()).await.unwrap();
            assert!(quick.uploads().await.is_empty(), "the slow one's upload was removed");
            proxy.release();
        };
        let slow_file = slow_file.keep();
        let (put, ()) = tokio::join!(slow_keeper.put(&slow_file), overtaken);
        put.unwrap();
        slow.holds(&ours).await;
        assert!(slow.uploads().await.is_empty());
    }
}
