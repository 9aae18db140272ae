//! The section `store`.

use std::path::PathBuf;
use std::time::Duration;

use outdial_domain::Secret;

use super::reader::{Read, Reader};

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A SQLite file; `None`: `outdial.db` in `data_dir`.
    Sqlite(Option<PathBuf>),
    /// A MongoDB replica set, which several nodes may share.
    MongoDb(MongoDb),
}

/// A MongoDB replica set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MongoDb {
    /// Its `mongodb://` or `mongodb+srv://` URL, which may hold a password.
    pub url: Secret,
    /// How many connections are open at the same time, to each member.
    pub max_connections: u32,
    /// How long one operation may take.
    pub timeout: Duration,
    /// How long to look for the set's primary, and to connect to it.
    pub connect_timeout: Duration,
}

impl MongoDb {
    /// The URL without its secrets.
    pub fn shown(&self) -> String {
        masked(self.url.expose())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_millis(100);
const SCHEMES: [&str; 2] = ["mongodb://", "mongodb+srv://"];

/// The value of `store.url`.
enum Place {
    Sqlite(Option<PathBuf>),
    MongoDb(Secret),
}

pub(super) fn read(reader: &Reader<'_>) -> Read<Store> {
    let place = reader.parsed_masked("store.url", masked, place);
    let max_connections = reader.integer("store.max_connections", 1..=1000);
    let timeout = reader.duration("store.timeout", SHORTEST..=MINUTE);
    let connect_timeout = reader.duration("store.connect_timeout", SHORTEST..=MINUTE);
    let (max_connections, timeout, connect_timeout) =
        (max_connections?, timeout?, connect_timeout?);
    Ok(match place? {
        Place::Sqlite(path) => Store::Sqlite(path),
        Place::MongoDb(url) => {
            Store::MongoDb(MongoDb { url, max_connections, timeout, connect_timeout })
        }
    })
}

fn place(text: &str) -> Result<Place, &'static str> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path == ":memory:" {
            return Err("must name a file: calls have to survive a restart");
        }
        return Ok(Place::Sqlite((!path.is_empty()).then(|| PathBuf::from(path))));
    }
    let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme)).ok_or(
        "must be \"sqlite:\" (outdial.db in data_dir), \"sqlite:/path/to/file.db\", \
         \"mongodb://host1,host2/database\" or \"mongodb+srv://name/database\"",
    )?;
    mongodb(scheme, &text[scheme.len()..])?;
    Ok(Place::MongoDb(Secret::new(text)))
}

/// What can be seen to be wrong with a URL before the driver reads it.
fn mongodb(scheme: &str, rest: &str) -> Result<(), &'static str> {
    const ENCODE: &str = "must have the characters : / ? # [ ] @ % of user and password \
                          percent-encoded, such as %40 for @";
    let place = rest.split('?').next().unwrap_or_default();
    let authority = place.split('/').next().unwrap_or_default();
    if place.matches('@').count() > authority.matches('@').count() {
        return Err(ENCODE);
    }
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains('@') || user.matches(':').count() > 1 {
        return Err(ENCODE);
    }
    if hosts.split(',').any(|host| host.is_empty() || host.starts_with(':')) {
        return Err("must name a host, like \"mongodb://host1,host2/database\"");
    }
    let ports = hosts.split(',').filter_map(port);
    if scheme == "mongodb+srv://" {
        if hosts.contains(',') || ports.count() > 0 {
            return Err("must name one host without a port: mongodb+srv looks up hosts and ports");
        }
    } else if !ports.into_iter().all(is_port) {
        return Err(
            "must have a port from 1 to 65535 behind each colon of a host; characters like \
                    / and ? in the password are written in percent-encoding",
        );
    }
    Ok(())
}

/// What stands behind a host's colon; an IPv6 address has colons of its own.
fn port(host: &str) -> Option<&str> {
    match host.rsplit_once(']') {
        Some((_, behind)) => behind.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The URL without its secrets, whatever is wrong with it.
fn masked(text: &str) -> String {
    if text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    // A password that is not encoded as it should be may hold any character.
    let rest = match rest.rsplit_once('@') {
        Some((user, hosts)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{}", options(hosts)),
            None => format!("{user}@{}", options(hosts)),
        },
        None if scheme.is_empty() => rest.to_owned(),
        None => without_hosts_behind_a_password(rest),
    };
    scheme + &rest
}

/// `user:password`, when the host was forgotten, looks like a host and its port.
fn without_hosts_behind_a_password(rest: &str) -> String {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, tail) = rest.split_at(end);
    let hosts: Vec<_> = hosts
        .split(',')
        .map(|host| match port(host) {
            Some(port) if !is_port(port) => {
                format!("{}:***", host.split(':').next().unwrap_or_default())
            }
            _ => host.to_owned(),
        })
        .collect();
    hosts.join(",") + &options(tail)
}

/// Options that are secrets themselves.
fn options(tail: &str) -> String {
    let Some((path, query)) = tail.split_once('?') else { return tail.to_owned() };
    let options: Vec<_> = query
        .split('&')
        .map(|option| match option.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => option.to_owned(),
        })
        .collect();
    format!("{path}?{}", options.join("&"))
}

fn is_secret(option: &str) -> bool {
    let option = option.to_lowercase();
    option.contains("password") || option == "authmechanismproperties"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_replica_sets() {
        for url in [
            "mongodb://h",
            "mongodb://h:27017/calls",
            "mongodb://a:1,b:2,c:3/calls?replicaSet=rs0&tls=true",
            "mongodb://u:p%40ss@[::1]:27017/?authSource=admin",
            "mongodb://u:p@h/calls?appName=a@b",
            "mongodb+srv://u:p@cluster0.example.net/calls?retryWrites=true",
        ] {
            assert!(matches!(place(url), Ok(Place::MongoDb(_))), "{url}: {:?}", place(url).err());
        }
        for (url, expect) in [
            ("mongodb://", "must name a host"),
            ("mongodb:///calls", "must name a host"),
            ("mongodb://a,,b", "must name a host"),
            ("mongodb://u:p@ss@h", "percent-encoded"),
            ("mongodb://u:p/ss@h", "percent-encoded"),
            ("mongodb://u:p:ss@h", "percent-encoded"),
            ("mongodb://h:port", "a port from 1 to 65535"),
            ("mongodb://h:0", "a port from 1 to 65535"),
            ("mongodb+srv://h:27017", "without a port"),
            ("mongodb+srv://a,b", "without a port"),
            ("mongo://h", "must be \"sqlite:\""),
            ("postgres://h", "must be \"sqlite:\""),
        ] {
            let error = place(url).err().unwrap_or_default();
            assert!(error.contains(expect), "{url}: {error}");
        }
    }

    #[test]
    fn a_password_is_masked_however_it_is_written() {
        for (url, expect) in [
            ("sqlite:/a@b:c", "sqlite:/a@b:c"),
            ("mongodb://h1:27017,h2/db?replicaSet=rs0", "mongodb://h1:27017,h2/db?replicaSet=rs0"),
            ("mongodb://u:hush@h1,h2:1/db?w=2", "mongodb://u:***@h1,h2:1/db?w=2"),
            ("mongodb+srv://u:hush@h/db", "mongodb+srv://u:***@h/db"),
            ("mongodb://u@h", "mongodb://u@h"),
            ("mongodb://u:hu@sh@h", "mongodb://u:***@h"),
            ("mongodb://u:hu/sh?x@h", "mongodb://u:***@h"),
            ("mongodb://u:hush", "mongodb://u:***"),
            ("u:hush@h", "u:***@h"),
            ("mysql:x", "mysql:x"),
            ("mongo//u:hush@h", "mongo//u:***@h"),
            (
                "mongodb://h/?tlsCertificateKeyFilePassword=hush&w=1",
                "mongodb://h/?tlsCertificateKeyFilePassword=***&w=1",
            ),
            (
                "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:hush",
                "mongodb://h/?authMechanismProperties=***",
            ),
        ] {
            assert_eq!(masked(url), expect);
        }
    }
}
