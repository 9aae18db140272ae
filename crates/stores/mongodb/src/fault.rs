//! What can go wrong below, and what it means to a caller.

use mongodb::bson;
use mongodb::error::{
    Error as DriverError, ErrorKind as DriverKind, InsertManyError, RETRYABLE_WRITE_ERROR,
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};
use outdial_domain::{Error, ErrorKind};

/// A failure inside the store, before it is known which operation it belongs to.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The database, or the way to it, failed.
    Mongo(DriverError),
    /// A stored document cannot be read as what it should be.
    Decode(serde_json::Error),
    /// A value cannot be written as a document.
    Encode(serde_json::Error),
    /// The store decided against it.
    Decided(ErrorKind, String),
    /// The transaction met another one and is to be tried again.
    Again,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Self::Mongo(error)
    }
}

/// A stored document lacks a field, or holds it in another type.
impl From<bson::error::Error> for Fault {
    fn from(error: bson::error::Error) -> Self {
        // Only the field: the text of the error may quote its value.
        let field = error.key.as_deref().unwrap_or("it");
        Self::corrupt(format!("a stored document cannot be read: {field} is not as it should be"))
    }
}

impl Fault {
    pub(crate) fn decided(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Decided(kind, message.into())
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::decided(ErrorKind::Corrupt, message)
    }

    pub(crate) fn closed() -> Self {
        Self::decided(ErrorKind::Unavailable, "the store is closed")
    }

    /// Whether a document with the same value in a unique index is there.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.has_code(DUPLICATE_KEY)
    }

    /// Whether the server has failed with that code.
    pub(crate) fn has_code(&self, code: i32) -> bool {
        matches!(self, Self::Mongo(error) if codes(error).contains(&code))
    }

    /// Whether the transaction that met it was undone and may be tried again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Mongo(error) => error.contains_label(TRANSIENT_TRANSACTION_ERROR),
            Self::Again => true,
            _ => false,
        }
    }

    /// Whether a commit that met it may have happened.
    pub(crate) fn is_commit_unknown(&self) -> bool {
        matches!(self, Self::Mongo(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT))
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.describe().0
    }

    /// Kind and message. The message never quotes a document: what the server says of a failure can
    /// hold phone numbers and keys, so only its number and name are told.
    pub(crate) fn describe(&self) -> (ErrorKind, String) {
        match self {
            Self::Mongo(error) => describe(error),
            Self::Decode(error) => (
                ErrorKind::Corrupt,
                format!("a stored document cannot be read: {:?} error", error.classify()),
            ),
            Self::Encode(error) => {
                (ErrorKind::Internal, format!("a document cannot be written: {error}"))
            }
            Self::Decided(kind, message) => (*kind, message.clone()),
            Self::Again => (ErrorKind::Unavailable, "another transaction was quicker".to_owned()),
        }
    }

    /// The driver's error is not handed on as a source: it quotes documents.
    pub(crate) fn at(self, operation: &'static str) -> Error {
        let (kind, message) = self.describe();
        Error::new(kind, operation, message)
    }
}

pub(crate) const DUPLICATE_KEY: i32 = 11_000;
const OUT_OF_DISK_SPACE: i32 = 14_031;

/// What MongoDB 6.0 answers when a write finds no space is this code, with the system's words.
const UNKNOWN: i32 = 8;

/// Codes of a server that cannot serve now: another node is or becomes the primary, it starts or
/// stops, it was too busy. Source: `src/mongo/base/error_codes.yml` of MongoDB 6.0 and the driver's
/// lists of retryable codes.
const PASSING: [i32; 28] = [
    6, 7, 24, 43, 46, 50, 64, 89, 91, 100, 112, 133, 134, 175, 189, 202, 237, 239, 246, 251, 262,
    290, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435,
];
const RECOVERING: i32 = 13_436;

/// Without a user, or with one who lacks the right.
const UNAUTHORIZED: i32 = 13;

/// Codes of a request that the server will never take: not supported, too large.
const REFUSED: [i32; 11] = [8_000, 18, 20, 31, 59, 72, 115, 303, 10_334, 17_419, 17_420];

/// All codes that an error holds.
fn codes(error: &DriverError) -> Vec<i32> {
    match error.kind.as_ref() {
        DriverKind::Command(command) => vec![command.code],
        DriverKind::Write(WriteFailure::WriteError(write)) => vec![write.code],
        DriverKind::Write(WriteFailure::WriteConcernError(concern)) => vec![concern.code],
        DriverKind::InsertMany(InsertManyError { write_errors, write_concern_error, .. }) => {
            let writes = write_errors.iter().flatten().map(|write| write.code);
            writes.chain(write_concern_error.iter().map(|concern| concern.code)).collect()
        }
        _ => Vec::new(),
    }
}

/// What the server says of its failures: only to be looked at, never to be told.
fn messages(error: &DriverError) -> impl Iterator<Item = &str> {
    let (one, many) = match error.kind.as_ref() {
        DriverKind::Command(command) => (Some(&command.message), None),
        DriverKind::Write(WriteFailure::WriteError(write)) => (Some(&write.message), None),
        DriverKind::Write(WriteFailure::WriteConcernError(concern)) => {
            (Some(&concern.message), None)
        }
        DriverKind::InsertMany(failure) => (None, failure.write_errors.as_ref()),
        _ => (None, None),
    };
    let many = many.into_iter().flatten().map(|write| write.message.as_str());
    one.map(String::as_str).into_iter().chain(many)
}

fn is_disk_full(message: &str) -> bool {
    message.contains("No space left on device")
}

/// The server's own name for its failure.
fn name(error: &DriverError) -> String {
    let (code, name) = match error.kind.as_ref() {
        DriverKind::Command(command) => (command.code, Some(command.code_name.as_str())),
        DriverKind::Write(WriteFailure::WriteError(write)) => {
            (write.code, write.code_name.as_deref())
        }
        DriverKind::Write(WriteFailure::WriteConcernError(concern)) => {
            (concern.code, Some(concern.code_name.as_str()))
        }
        _ => return codes(error).first().map_or_else(String::new, |code| format!("code {code}")),
    };
    match name.filter(|name| !name.is_empty()) {
        Some(name) => format!("code {code}, {name}"),
        None => format!("code {code}"),
    }
}

fn describe(error: &DriverError) -> (ErrorKind, String) {
    use DriverKind as K;
    match error.kind.as_ref() {
        K::Io(error) => {
            (ErrorKind::Unavailable, format!("the connection to the database failed: {error}"))
        }
        // Both can be the echo of another operation's failure.
        K::ConnectionPoolCleared { message, .. } => match refused_user(message) {
            Some(failure) => wrong_user(failure),
            None => (ErrorKind::Unavailable, "the connection to the database was lost".to_owned()),
        },
        K::ServerSelection { message, .. } => match refused_user(message) {
            Some(failure) => wrong_user(failure),
            None => (ErrorKind::Unavailable, unreachable_primary(message)),
        },
        K::DnsResolve { message, .. } => (ErrorKind::Unavailable, unresolved(message)),
        K::Shutdown => (ErrorKind::Unavailable, "the store is closed".to_owned()),
        K::Authentication { message, .. } => wrong_user(message),
        K::InvalidTlsConfig { message, .. } => {
            (ErrorKind::Refused, format!("the TLS options in store.url are wrong: {message}"))
        }
        K::IncompatibleServer { message, .. } => {
            (ErrorKind::Refused, format!("the database does not fit: {message}"))
        }
        K::InvalidArgument { .. } => {
            (ErrorKind::Refused, "the driver refused the request as invalid".to_owned())
        }
        K::SessionsNotSupported => (ErrorKind::Refused, NO_REPLICA_SET.to_owned()),
        K::Command(_) | K::Write(_) | K::InsertMany(_) => by_code(error),
        K::Bson(_) | K::BsonDeserialization(_) | K::InvalidResponse { .. } => {
            (ErrorKind::Corrupt, "an answer of the database cannot be read".to_owned())
        }
        K::Transaction { message, .. } => {
            (ErrorKind::Internal, format!("a transaction: {message}"))
        }
        _ => (ErrorKind::Internal, "the driver of the database failed".to_owned()),
    }
}

/// What has to be done when the database is a server alone.
pub(crate) const NO_REPLICA_SET: &str = "the database is no replica set, which transactions need: \
    start mongod with --replSet and run rs.initiate() once, also for a single server";

/// How the driver begins what it says of a user who was refused.
const REFUSED_USER: [&str; 2] = ["SCRAM failure: ", "MONGODB-X509 failure: "];

/// The part of what the driver says that tells of a refused user.
fn refused_user(message: &str) -> Option<&str> {
    let begin = REFUSED_USER.into_iter().find_map(|begin| message.find(begin))?;
    message.get(begin..)?.split(", labels: ").next()
}

fn wrong_user(failure: &str) -> (ErrorKind, String) {
    let message = format!(
        "the database refused the user or the password in store.url ({failure}); a user that was \
         made in another database than the one of the URL needs authSource"
    );
    (ErrorKind::Refused, message)
}

/// The driver prints the whole query: told are the kind of record and the name.
fn unresolved(message: &str) -> String {
    let between = |start: &str, end: char| {
        message.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(part, _)| part)
    };
    let what = "the name of the database cannot be resolved";
    match (between("query_type: ", ','), between("Name(\"", '"')) {
        (Some(kind), Some(name)) => format!("{what}: DNS has no {kind} record of {name}"),
        _ => format!("{what}: {message}"),
    }
}

/// What the driver says is long: all it knows of each server. Told are the addresses, and why each
/// is no primary.
fn unreachable_primary(message: &str) -> String {
    let servers: Vec<String> = message.split("{ Address: ").skip(1).map(server).collect();
    let what = "no primary of the database can be reached";
    match servers.as_slice() {
        [] => what.to_owned(),
        [first @ .., last] if first.len() < TOLD => {
            let told: String = first.iter().map(|server| format!("{server}; ")).collect();
            format!("{what}: {told}{last}")
        }
        all => format!("{what}: {}; and others", all[..TOLD].join("; ")),
    }
}

/// How many servers a message names.
const TOLD: usize = 4;

const TRUSTED: &str = "tlsCAFile in store.url names the authority to be trusted";

/// Words of a handshake that failed, and which option of the URL it may be about.
const TLS_HINTS: [(&str, &str); 5] = [
    ("UnknownIssuer", TRUSTED),
    // Of an authority that has the name of the one that is trusted.
    ("BadSignature", TRUSTED),
    (
        "close_notify",
        "a server that asks for a certificate needs tlsCertificateKeyFile in store.url",
    ),
    ("unexpected end of file", "a server that speaks TLS only needs tls=true in store.url"),
    ("tls handshake eof", "it may not speak TLS, as tls=true in store.url asks for"),
];

/// The driver's text about one server, from its address on.
fn server(text: &str) -> String {
    let cut = |text: &str, end: &str| -> String {
        text.split(end).next().unwrap_or_default().chars().take(200).collect()
    };
    let address = cut(text, ", Type: ");
    let kind = text.split(", Type: ").nth(1).map(|rest| cut(rest, ",")).unwrap_or_default();
    if let Some((_, error)) = text.split_once(", Error: Kind: ") {
        let error = cut(error, ", labels: ");
        let error = error.strip_prefix("I/O error: ").unwrap_or(&error);
        let hint = TLS_HINTS.into_iter().find(|(words, _)| error.contains(words));
        return match hint {
            Some((_, hint)) => format!("{address}: {error} ({hint})"),
            None => format!("{address}: {error}"),
        };
    }
    match kind.trim_end_matches([' ', '}', ']']) {
        "RsGhost" => format!("{address} waits for rs.initiate()"),
        "RsSecondary" => format!("{address} is a secondary"),
        _ => format!("{address} is no primary"),
    }
}

fn by_code(error: &DriverError) -> (ErrorKind, String) {
    let codes = codes(error);
    let name = name(error);
    let has = |set: &[i32]| codes.iter().any(|code| set.contains(code));
    let is_concern = matches!(
        error.kind.as_ref(),
        DriverKind::Write(WriteFailure::WriteConcernError(_))
            | DriverKind::InsertMany(InsertManyError { write_concern_error: Some(_), .. })
    );
    if has(&[OUT_OF_DISK_SPACE]) || (has(&[UNKNOWN]) && messages(error).any(is_disk_full)) {
        return (ErrorKind::Full, format!("the database has no disk space left ({name})"));
    }
    if has(&[DUPLICATE_KEY]) {
        return (ErrorKind::Exists, format!("it exists ({name})"));
    }
    if has(&[UNAUTHORIZED]) {
        let needed = "store.url needs a user with the role readWrite on its database";
        return (
            ErrorKind::Refused,
            format!("the database refused the request ({name}): {needed}"),
        );
    }
    if has(&REFUSED) {
        return (ErrorKind::Refused, format!("the database refused the request ({name})"));
    }
    let passing = error.contains_label(RETRYABLE_WRITE_ERROR)
        || error.contains_label(TRANSIENT_TRANSACTION_ERROR)
        || error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
    if is_concern || passing || has(&PASSING) || has(&[RECOVERING]) {
        return (ErrorKind::Unavailable, format!("the database cannot do it now ({name})"));
    }
    (ErrorKind::Internal, format!("the database failed ({name})"))
}

#[cfg(test)]
mod tests;
