use std::time::Duration;

use outdial_domain::Secret;
use outdial_testkit::keeper::keep_file;

use super::*;

fn settings(url: &str) -> S3Settings {
    let mut settings = S3Settings::from_url(url).unwrap();
    settings.region = Some("eu-central-1".to_owned());
    settings.keys = Some(("an-id".to_owned(), Secret::new("very-secret")));
    settings.max_attempts = 1;
    settings
}

#[tokio::test]
async fn an_objects_url_is_that_of_the_contract() {
    const KEY: &str = "recordings/call_abc.ogg";
    type Change = fn(&mut S3Settings);
    let endpoint = |url: &str| Some(Url::parse(url).unwrap());
    let cases: [(&str, Option<Url>, Change, &str); 9] = [
        (
            "s3://calls",
            None,
            |_| {},
            "https://calls.s3.eu-central-1.amazonaws.com/recordings/call_abc.ogg",
        ),
        (
            "s3://calls/a/b",
            None,
            |_| {},
            "https://calls.s3.eu-central-1.amazonaws.com/a/b/recordings/call_abc.ogg",
        ),
        (
            "s3://calls",
            None,
            |s| s.region = Some("us-east-1".to_owned()),
            "https://calls.s3.us-east-1.amazonaws.com/recordings/call_abc.ogg",
        ),
        (
            "s3://calls",
            None,
            |s| s.region = Some("cn-north-1".to_owned()),
            "https://calls.s3.cn-north-1.amazonaws.com.cn/recordings/call_abc.ogg",
        ),
        (
            "s3://calls",
            None,
            |s| s.path_style = true,
            "https://s3.eu-central-1.amazonaws.com/calls/recordings/call_abc.ogg",
        ),
        (
            // A certificate for *.s3.… does not fit a name with dots.
            "s3://calls.example.com",
            None,
            |_| {},
            "https://s3.eu-central-1.amazonaws.com/calls.example.com/recordings/call_abc.ogg",
        ),
        (
            "s3://calls/x",
            endpoint("https://minio.example.com:9000/"),
            |s| s.path_style = true,
            "https://minio.example.com:9000/calls/x/recordings/call_abc.ogg",
        ),
        (
            "s3://calls/x",
            endpoint("https://minio.example.com:9000"),
            |_| {},
            "https://calls.minio.example.com:9000/x/recordings/call_abc.ogg",
        ),
        (
            // An address has no names below it.
            "s3://calls",
            endpoint("http://127.0.0.1:9000"),
            |_| {},
            "http://127.0.0.1:9000/calls/recordings/call_abc.ogg",
        ),
    ];
    for (url, endpoint, change, expect) in cases {
        let mut settings = settings(url);
        settings.endpoint = endpoint;
        change(&mut settings);
        let keeper = S3Keeper::new(settings).await.unwrap();
        let full_key = keeper.settings.full_key(KEY);
        assert_eq!(keeper.location(&full_key).await.unwrap(), expect);
    }
}

#[tokio::test]
async fn a_presigned_url_says_how_long_it_lives() {
    let mut settings = settings("s3://calls");
    settings.presign_expiry = Duration::from_secs(77);
    let keeper = S3Keeper::new(settings).await.unwrap();
    let url = keeper.presigned("recordings/call_abc.ogg").await.unwrap();
    let query: Vec<_> = url.query_pairs().collect();
    let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_ref());
    assert_eq!(value("X-Amz-Expires"), Some("77"));
    let disposition = value("response-content-disposition");
    assert_eq!(disposition, Some("inline; filename=\"call_abc.ogg\""));
    assert!(!url.as_str().contains("very-secret"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut settings = settings("s3://calls");
    // Reserved: nobody listens.
    settings.endpoint = Some(Url::parse("http://127.0.0.1:1").unwrap());
    let keeper = S3Keeper::new(settings).await.unwrap();
    let error = keeper.check().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("refused"), "{error}");
    assert!(!format!("{error:?}").contains("very-secret"), "{error:?}");

    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, b"content").unwrap();
    let put = keeper.put(&keep_file("recordings/a", &source, b"content")).await;
    assert_eq!(put.unwrap_err().kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn wrong_settings_are_refused_at_once() {
    let mut settings = settings("s3://calls");
    settings.part_size = 1;
    assert_eq!(S3Keeper::new(settings).await.unwrap_err().kind, ErrorKind::Refused);
}
