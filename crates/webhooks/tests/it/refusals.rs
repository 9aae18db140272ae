//! What the guard keeps from being connected to.

use outdial_domain::ports::WebhookSender;
use outdial_webhooks::guard::{Guard, GuardedResolver};
use outdial_webhooks::{HttpSender, SenderSettings};
use url::Url;

use crate::sender::request;
use crate::server::Server;

#[tokio::test]
async fn this_machine_is_refused_by_default() {
    let server = Server::answering("200 OK", "").await;
    let port = server.address.port();
    let sender = HttpSender::new(SenderSettings::default()).unwrap();
    for (url, expect) in [
        (
            format!("http://127.0.0.1:{port}/token"),
            "refused: 127.0.0.1 is not public (loopback address, RFC 1122): use a public address",
        ),
        (
            format!("http://[::ffff:127.0.0.1]:{port}/token"),
            "refused: ::ffff:127.0.0.1 is not public (IPv4-mapped address, RFC 4291)",
        ),
        (format!("http://localhost:{port}/token"), "refused: localhost always means this machine"),
        (format!("ftp://example.com:{port}/token"), "refused: the scheme ftp is not allowed"),
        (
            format!("http://user:token@127.0.0.1:{port}/"),
            "refused: credentials in the URL are not allowed",
        ),
    ] {
        let url: Url = url.parse().unwrap();
        let reply = sender.send(&request(url.clone(), vec![])).await;
        let error = reply.error.unwrap();
        assert!(error.starts_with(expect), "{error}");
        assert!(!error.contains("token"), "{error}");
        assert_eq!(reply.status_code, None);
        let told = sender.check_url(&url).unwrap_err();
        assert_eq!(error, format!("refused: {told}"));
    }
    assert_eq!(server.pending(), 0);
}

#[tokio::test]
async fn the_setting_lets_private_names_through() {
    let server = Server::answering("200 OK", "").await;
    let url = format!("http://localhost:{}/", server.address.port());
    let reply = crate::sender::sender(std::time::Duration::from_secs(60))
        .send(&request(url.parse().unwrap(), vec![]))
        .await;
    assert_eq!(reply.error, None);
}

/// The resolver refuses by itself, without the URL check before it.
#[tokio::test]
async fn a_client_with_the_resolver_does_not_connect_to_a_private_address() {
    let server = Server::answering("200 OK", "").await;
    let get = async |resolver| {
        reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(resolver)
            .build()
            .unwrap()
            .get(format!("http://localhost:{}/", server.address.port()))
            .send()
            .await
    };
    let error = get(GuardedResolver::default()).await.unwrap_err();
    assert!(error.is_dns() && error.is_connect(), "{error:?}");
    assert!(format!("{error:?}").contains("loopback address"), "{error:?}");
    let open = Guard { dangerous_allow_private: true };
    // The test server understands POST only; that it was reached is enough.
    assert_eq!(get(GuardedResolver(open)).await.unwrap().status(), 400);
}
