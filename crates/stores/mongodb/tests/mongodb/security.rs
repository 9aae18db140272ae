//! Users, passwords and certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use outdial_domain::ports::{Calls, Directory, Store};
use outdial_domain::{AccountId, Error, ErrorKind, NodeId, Tombstone, TrunkId};
use outdial_mongodb::MongoStore;
use outdial_testkit::sample;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::database::{Database, settings};
use crate::member::{Member, ReplicaSet, Setup};
use crate::nodes::undoes_what_a_dead_node_left_open;

const PASSWORD: &str = "s3cr3t-w0rd";

/// What came of a first look, and everything it says.
async fn look(url: &str) -> Result<MongoStore, Error> {
    let store = MongoStore::open(settings(url)).await?;
    store.prepare().await?;
    store.check().await?;
    Ok(store)
}

#[track_caller]
fn assert_says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = format!("{error} {error:?}");
    assert_eq!(error.kind, kind, "{text}");
    for part in parts {
        assert!(error.message.contains(part), "{text} does not say {part}");
    }
    assert!(!text.contains("s3cr3t"), "{text} tells the password");
}

/// A set that knows its users, and a database on it.
struct Guarded {
    database: Database,
    set: ReplicaSet,
    _key: TempDir,
}

impl Guarded {
    /// With the users `root`, made in `admin`, and `writer` and `reader`, made in the database.
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, "bWVtYmVycyBrbm93IGVhY2ggb3RoZXIgYnkgdGhpcw==").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let setup = Setup::in_set().with(["--auth", "--keyFile", key.to_str().unwrap()]);
        let set = ReplicaSet::of(vec![Member::start(setup).await]).await;
        let root = doc! {"createUser": "root", "pwd": PASSWORD, "roles": ["root"]};
        set.members[0].run(root).await;
        let database = Database::on(&with_user(&set.url(), "root"));
        let guarded = Self { database, set, _key: folder };
        for (user, role) in [("writer", "readWrite"), ("reader", "read")] {
            guarded.create(doc! {"createUser": user, "pwd": PASSWORD, "roles": [role]}).await;
        }
        guarded
    }

    async fn create(&self, user: Document) {
        let admin = Client::with_uri_str(self.url("root", "&authSource=admin")).await.unwrap();
        admin.database(&self.database.name).run_command(user).await.unwrap();
    }

    fn url(&self, user: &str, options: &str) -> String {
        let url = with_user(&self.set.url(), user);
        let url = url.replace("/?", &format!("/{}?", self.database.name));
        url + options
    }
}

fn with_user(url: &str, user: &str) -> String {
    url.replace("mongodb://", &format!("mongodb://{user}:{PASSWORD}@"))
}

/// No other right than to read and write the one database is needed, also not to end what a dead
/// node has left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_read_and_write_the_database_is_enough() {
    let guarded = Guarded::start().await;
    let url = guarded.url("writer", "");
    let store = look(&url).await.unwrap();
    store.server().await.unwrap();
    store.account_named("acme", sample::START).await.unwrap();
    let node = NodeId::random();
    let trunk = TrunkId::random();
    let mut call = sample::started_call(&AccountId::random(), &trunk, 1);
    store.insert(&mut call, None).await.unwrap();
    store.reserve_start(&trunk, Duration::ZERO, sample::START, sample::START).await.unwrap();
    assert_eq!(store.claim_due(&node, sample::at(9.0), 9).await.unwrap().len(), 1);
    let call = store.get(call.room_name()).await.unwrap().unwrap();
    store.erase(&call, &Tombstone::of(&call, sample::at(9.0))).await.unwrap();
    assert_eq!(store.agree("master_key", "one").await.unwrap(), "one");
    undoes_what_a_dead_node_left_open(&url, &guarded.database.name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_does_not_do_is_refused_with_what_to_do() {
    let guarded = Guarded::start().await;
    let wrong = guarded.url("writer", "").replace(PASSWORD, "s3cr3t-wrong");
    let nobody = guarded.set.url();
    let elsewhere = guarded.url("root", "");
    let unknown = guarded.url("somebody", "");
    for url in [&wrong, &elsewhere, &unknown] {
        let error = look(url).await.expect_err("the password is not theirs");
        assert_says(&error, ErrorKind::Refused, &["store.url", "password", "authSource"]);
    }
    let right = ["store.url", "readWrite"];
    let reader = guarded.url("reader", "");
    for url in [&nobody, &reader] {
        let error = look(url).await.expect_err("it may not");
        assert_says(&error, ErrorKind::Refused, &right);
    }
    // Also when there is nothing left to be prepared.
    look(&guarded.url("writer", "")).await.unwrap();
    for url in [&nobody, &reader] {
        let error = look(url).await.expect_err("it may not");
        assert_says(&error, ErrorKind::Refused, &right);
    }
    // Whoever asks next meets what the refusal has left behind, and is told the same.
    let store = MongoStore::open(settings(&wrong)).await.unwrap();
    for _ in 0..4 {
        let error = store.check().await.unwrap_err();
        assert_says(&error, ErrorKind::Refused, &["store.url", "password"]);
    }
}

/// A folder with certificates.
struct Certificates {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with a certificate for `name`, and its key.
    fn issue(&self, name: &str) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let path = self.path(&format!("{name}.pem"));
        fs::write(&path, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server that speaks TLS only, in a set of its own.
async fn encrypted(certificates: &Certificates, name: &str, more: &[&str]) -> ReplicaSet {
    let (ca, own) = (certificates.path("ca.pem"), certificates.issue(name));
    let mut setup = Setup::in_set().with(["--tlsMode", "requireTLS"]);
    setup = setup.with(["--tlsCAFile", text(&ca), "--tlsCertificateKeyFile", text(&own)]);
    setup.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let client = certificates.issue("client");
    setup.url_options =
        format!("&tls=true&tlsCAFile={}&tlsCertificateKeyFile={}", text(&ca), text(&client));
    ReplicaSet::of(vec![Member::start(setup).await]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    let certificates = Certificates::new();
    let optional = ["--tlsAllowConnectionsWithoutCertificates"];
    let set = encrypted(&certificates, "127.0.0.1", &optional).await;
    let plain = format!("mongodb://{}/?replicaSet=tests", set.members[0].address);
    let url = |options: &str| format!("{plain}{options}");
    let ca = |path: &Path| format!("&tls=true&tlsCAFile={}", text(path));

    look(&url(&ca(&certificates.path("ca.pem")))).await.unwrap();

    let stranger = Certificates::new();
    for options in ["&tls=true".to_owned(), ca(&stranger.path("ca.pem"))] {
        let error = look(&url(&options)).await.expect_err("an unknown authority");
        assert_says(&error, ErrorKind::Unavailable, &["certificate", "tlsCAFile"]);
    }
    let error = look(&plain).await.expect_err("it speaks TLS only");
    assert_says(&error, ErrorKind::Unavailable, &["tls=true"]);
    let absent = certificates.path("absent.pem");
    let error = look(&url(&ca(&absent))).await.expect_err("no file");
    assert_says(&error, ErrorKind::Refused, &["TLS", text(&absent)]);
    let own =
        format!("{}&tlsCertificateKeyFile={}", ca(&certificates.path("ca.pem")), text(&absent));
    let error = look(&url(&own)).await.expect_err("no file");
    assert_says(&error, ErrorKind::Refused, &["tlsCertificateKeyFile"]);
    let named = url(&ca(&certificates.path("ca.pem"))).replace("127.0.0.1", "localhost");
    let named = named.replace("replicaSet=tests", "directConnection=true");
    let error = look(&named).await.expect_err("another name");
    assert_says(&error, ErrorKind::Unavailable, &["certificate", "localhost"]);
    let garbage = certificates.path("garbage.pem");
    fs::write(&garbage, "no certificate").unwrap();
    let error = look(&url(&ca(&garbage))).await.expect_err("no authority");
    assert_says(&error, ErrorKind::Unavailable, &["certificate", "tlsCAFile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_can_ask_for_a_certificate() {
    let certificates = Certificates::new();
    let set = encrypted(&certificates, "127.0.0.1", &[]).await;
    let database = Database::on(&set.url());
    look(&database.url).await.unwrap();
    let own = text(&certificates.path("client.pem")).to_owned();
    let without = set.url().replace(&format!("&tlsCertificateKeyFile={own}"), "");
    let error = look(&without).await.expect_err("it wants a certificate");
    assert_says(&error, ErrorKind::Unavailable, &["tlsCertificateKeyFile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_resolved_is_waited_for() {
    let error = look("mongodb://outdial.invalid/").await.expect_err("there is no such host");
    assert_says(&error, ErrorKind::Unavailable, &["outdial.invalid"]);
    // What is said depends on whether there is a resolver here.
    let url = "mongodb+srv://ann:s3cr3t@db.outdial.invalid/outdial";
    let error = look(url).await.expect_err("there are no such servers");
    assert_says(&error, ErrorKind::Unavailable, &[]);
}
