use mongodb::options::ServerAddress;
use outdial_domain::Secret;

use super::*;

fn settings(url: &str) -> MongoSettings {
    MongoSettings::new(Secret::new(url))
}

async fn parsed(url: &str) -> ClientOptions {
    options(&settings(url)).await.unwrap()
}

#[tokio::test]
async fn writes_wait_for_a_majority_whatever_the_url_says() {
    let url = "mongodb://a,b:1/calls?w=1&retryWrites=false&readPreference=secondary\
        &readConcernLevel=local";
    let options = parsed(url).await;
    assert_eq!(options.write_concern, Some(WriteConcern::majority()));
    assert_eq!(options.read_concern, Some(ReadConcern::majority()));
    let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
    assert_eq!(options.selection_criteria, Some(primary));
    assert_eq!(options.retry_writes, Some(true));
    assert_eq!(options.default_database.as_deref(), Some("calls"));
    let b = ServerAddress::Tcp { host: "b".to_owned(), port: Some(1) };
    assert_eq!(options.hosts[1], b);
}

#[tokio::test]
async fn the_url_comes_before_the_settings() {
    let options = parsed("mongodb://a/?maxPoolSize=7&connectTimeoutMS=1500&appName=it").await;
    assert_eq!(options.max_pool_size, Some(7));
    assert_eq!(options.connect_timeout, Some(Duration::from_millis(1_500)));
    assert_eq!(options.app_name.as_deref(), Some("it"));
    let options = parsed("mongodb://a").await;
    assert_eq!(options.max_pool_size, Some(32));
    assert_eq!(options.server_selection_timeout, Some(Duration::from_secs(3)));
    assert_eq!(options.app_name.as_deref(), Some("outdial"));
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_its_password() {
    let urls = [
        "",
        "postgres://user:hunter2@host/db",
        "mongodb://",
        "mongodb://user:hunter2",
        "mongodb://user:hunter2/../@host/db",
        "mongodb://user:hunter2@host@other/db",
        "mongodb://user:hunter2@@host/db",
        "mongodb://user:hunter2%zz@host/db",
        "mongodb://user:hunter2@host:0/db",
        "mongodb://user:hunter2@host:port/db",
        "mongodb://user:hunter2@host/db?w=-1",
        "mongodb://user:hunter2@host/db?authMechanism=hunter2",
        "mongodb://user:hunter2@host/db?maxPoolSize=hunter2",
        "mongodb://user:hunter2@host/db?tls=hunter2",
        "mongodb://user:hun?ter2@host/db",
        "mongodb://user:hun#ter2@host/db",
        "mongodb://user:hun:ter2@host/db",
        "mongodb://user:hunter2@host/db?tls=true&tlsCertificateKeyFilePassword=hunter2&x=y",
        "mongodb://user:p@hunter2@host:99999/db",
        "mongodb+srv://user:hunter2@a,b/db",
        "mongodb+srv://user:hunter2@host:27017/db",
    ];
    for url in urls {
        let Err(fault) = Link::open(settings(url)).await else { panic!("{url} is taken") };
        let error = fault.at("mongodb.open");
        assert_eq!(error.kind, ErrorKind::Refused, "{url}: {error}");
        for part in ["hunter2", "ter2"] {
            assert!(!format!("{error} {error:?}").contains(part), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_closed_link_says_so() {
    let link = Link::open(settings("mongodb://127.0.0.1:1")).await.unwrap();
    link.close().await;
    let fault = link.connected().await.unwrap_err();
    assert_eq!(fault.describe(), (ErrorKind::Unavailable, "the store is closed".to_owned()));
}

#[tokio::test]
async fn an_unknown_option_is_named() {
    let Err(fault) = Link::open(settings("mongodb://user:hunter2@host/db?foo=bar")).await else {
        panic!("it is taken")
    };
    assert!(fault.describe().1.contains("foo"), "{fault:?}");
}
