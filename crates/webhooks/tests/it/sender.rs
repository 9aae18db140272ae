//! Attempts against real sockets.

use std::time::Duration;

use chrono::Utc;
use outdial_domain::Secret;
use outdial_domain::ports::{WebhookReply, WebhookRequest, WebhookSender};
use outdial_webhooks::sign::SigningSecret;
use outdial_webhooks::{HttpSender, SenderSettings};
use standardwebhooks::Webhook;
use url::Url;

use crate::server::{Behaviour, FLOOD, Server};

/// Long enough for a loaded machine where the deadline is not what is tested.
const PATIENT: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(100);

pub(crate) fn sender(timeout: Duration) -> HttpSender {
    HttpSender::new(SenderSettings {
        timeout,
        dangerous_allow_private: true,
        ..SenderSettings::default()
    })
    .unwrap()
}

pub(crate) fn request(url: Url, secrets: Vec<Secret>) -> WebhookRequest {
    WebhookRequest {
        url,
        id: "msg_550e8400_abc123".into(),
        timestamp: Utc::now(),
        body: br#"{"success":true,"text":"\u00e9"}"#.to_vec(),
        secrets,
    }
}

async fn attempt(url: Url) -> WebhookReply {
    sender(PATIENT).send(&request(url, vec![])).await
}

/// The error's text, which must not tell what the URL keeps secret.
fn error(reply: &WebhookReply) -> &str {
    let error = reply.error.as_deref().expect("the attempt failed");
    assert!(!error.contains("token"), "{error}");
    assert!(!reply.is_success());
    error
}

#[tokio::test]
async fn a_2xx_is_a_success() {
    for status in ["200 OK", "202 Accepted", "204 No Content"] {
        let server = Server::answering(status, "retry-after: 9\r\n").await;
        let reply = attempt(server.url()).await;
        let expect =
            WebhookReply { status_code: status[..3].parse().ok(), error: None, retry_after: None };
        assert_eq!(reply, expect);
    }
}

#[tokio::test]
async fn the_request_is_what_receivers_expect() {
    let mut server = Server::answering("200 OK", "").await;
    let secrets = [SigningSecret::generate(), SigningSecret::generate()];
    let texts = secrets.each_ref().map(SigningSecret::to_secret);
    let sent = request(server.url(), texts.to_vec());
    assert!(sender(PATIENT).send(&sent).await.is_success());

    let received = server.request().await;
    assert_eq!(received.line, "POST /hook/path-token?key=query-token HTTP/1.1");
    assert_eq!(received.body, sent.body);
    let header = |name: &str| received.headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("user-agent"), concat!("outdial/", env!("CARGO_PKG_VERSION")));
    assert_eq!(header("webhook-id"), sent.id);
    assert_eq!(header("webhook-timestamp"), sent.timestamp.timestamp().to_string());
    assert_eq!(header("webhook-signature").split(' ').count(), 2);
    for secret in &texts {
        Webhook::new(secret.expose()).unwrap().verify(&received.body, &received.headers).unwrap();
    }
    let stranger = SigningSecret::generate().to_secret();
    let stranger = Webhook::new(stranger.expose()).unwrap();
    assert!(stranger.verify(&received.body, &received.headers).is_err());
}

#[tokio::test]
async fn without_secrets_there_is_no_signature() {
    let mut server = Server::answering("200 OK", "").await;
    assert!(attempt(server.url()).await.is_success());
    let headers = server.request().await.headers;
    assert!(headers.contains_key("webhook-id") && headers.contains_key("webhook-timestamp"));
    assert!(!headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn a_damaged_secret_never_makes_an_unsigned_webhook() {
    let server = Server::answering("200 OK", "").await;
    let secrets =
        vec![SigningSecret::generate().to_secret(), Secret::new("whsec_not-base64-token")];
    let reply = sender(PATIENT).send(&request(server.url(), secrets)).await;
    assert!(error(&reply).starts_with("not sent, as it cannot be signed: a webhook secret is"));
    assert_eq!(server.pending(), 0);
}

#[tokio::test]
async fn other_statuses_are_failures_that_name_themselves() {
    for (status, expect) in [
        ("400 Bad Request", "the endpoint answered 400 Bad Request"),
        ("404 Nothing", "the endpoint answered 404 Not Found"),
        ("500 Internal Server Error", "the endpoint answered 500 Internal Server Error"),
    ] {
        let server = Server::answering(status, "").await;
        let reply = attempt(server.url()).await;
        assert_eq!(error(&reply), expect);
        assert_eq!(reply.status_code, status[..3].parse().ok());
        assert_eq!(server.pending(), 1, "one attempt is one request");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let target = Server::answering("200 OK", "").await;
        let location = format!("location: {}\r\n", target.url());
        let server = Server::answering(status, &location).await;
        let reply = attempt(server.url()).await;
        assert!(error(&reply).ends_with("redirects are not followed, use the final URL"));
        assert_eq!(reply.status_code, status[..3].parse().ok());
        assert_eq!((server.pending(), target.pending()), (1, 0));
    }
}

#[tokio::test]
async fn retry_after_is_read_and_bounded() {
    for (value, expect) in [
        ("120", Some(120)),
        ("86400", Some(3600)),
        ("Fri, 31 Dec 2060 23:59:59 GMT", Some(3600)),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ("soon", None),
    ] {
        let header = format!("retry-after: {value}\r\n");
        let server = Server::answering("503 Service Unavailable", &header).await;
        let reply = attempt(server.url()).await;
        assert_eq!(reply.status_code, Some(503));
        assert_eq!(reply.retry_after, expect.map(Duration::from_secs), "{value}");
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_meets_the_deadline() {
    let mut server = Server::start(Behaviour::AnswerAndHang(String::new())).await;
    let request = request(server.url(), vec![]);
    let reply = sender(BRIEF).send(&request).await;
    assert_eq!(error(&reply), "timed out: no answer within 100ms");
    assert_eq!(reply.status_code, None);
    server.connection_closed().await;
}

#[tokio::test]
async fn half_an_answer_meets_the_deadline() {
    let half = "HTTP/1.1 200 OK\r\nx-half: ".to_owned();
    let server = Server::start(Behaviour::AnswerAndHang(half)).await;
    let reply = sender(BRIEF).send(&request(server.url(), vec![])).await;
    assert!(error(&reply).starts_with("timed out"));
}

#[tokio::test]
async fn a_hanging_body_does_not_undo_a_success() {
    let begun = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned();
    let mut server = Server::start(Behaviour::AnswerAndHang(begun)).await;
    let reply = sender(Duration::from_secs(2)).send(&request(server.url(), vec![])).await;
    assert_eq!((reply.status_code, reply.error), (Some(200), None));
    server.connection_closed().await;
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let mut server = Server::start(Behaviour::Endless).await;
    let reply = attempt(server.url()).await;
    assert_eq!((reply.status_code, reply.error), (Some(200), None));
    // The sender reads little; what more was written lies in the system's buffers.
    assert!(server.connection_closed().await < FLOOD);
}

#[tokio::test]
async fn failures_to_connect_are_told_apart() {
    let closed = Server::start(Behaviour::Close).await;
    let plain = Server::answering("200 OK", "").await;
    let garbage = Server::start(Behaviour::Answer("what?\r\n\r\n".into())).await;
    let free = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let refusing = format!("http://{free}/path-token").parse().unwrap();
    for (url, expect) in [
        (refusing, format!("connection refused by {free}")),
        (
            plain.url_of("https"),
            format!("TLS with {} failed: received corrupt message", plain.address),
        ),
        (closed.url_of("https"), format!("TLS with {} failed: ", closed.address)),
        (closed.url(), format!("no valid HTTP answer from {}: ", closed.address)),
        (garbage.url(), format!("no valid HTTP answer from {}: ", garbage.address)),
    ] {
        let reply = attempt(url).await;
        assert!(error(&reply).starts_with(&expect), "{reply:?} / {expect}");
        assert_eq!((reply.status_code, reply.retry_after), (None, None));
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_failure() {
    // A label over 63 bytes (RFC 1035) cannot be asked for: the lookup fails without a network.
    let name = format!("{}.example", "a".repeat(64));
    let reply = attempt(format!("http://{name}/").parse().unwrap()).await;
    assert!(error(&reply).starts_with("DNS lookup of "), "{reply:?}");
}

#[tokio::test]
async fn attempts_do_not_wait_for_each_other() {
    let hanging = Server::start(Behaviour::AnswerAndHang(String::new())).await;
    let server = Server::answering("200 OK", "").await;
    let sender = sender(PATIENT);
    let (slow, fast) = (request(hanging.url(), vec![]), request(server.url(), vec![]));
    tokio::select! {
        biased;
        _ = sender.send(&slow) => panic!("nothing answers"),
        reply = sender.send(&fast) => assert!(reply.is_success()),
    }
}
