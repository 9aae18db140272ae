use mongodb::bson::{Document, deserialize_from_document, doc};

use super::*;

const QUOTED: &str = "dup key: { _id: \"+15550100000\" }";

/// The server's answer, in the shape of each way in which the driver hands it on.
fn shapes(code: i32) -> [DriverError; 4] {
    let answer = doc! {"code": code, "codeName": "Name", "errmsg": QUOTED};
    let many = doc! {"writeErrors": [{"index": 0, "code": code, "errmsg": QUOTED}]};
    [
        DriverKind::Command(read(&answer)).into(),
        DriverKind::Write(WriteFailure::WriteError(read(&answer))).into(),
        DriverKind::Write(WriteFailure::WriteConcernError(read(&answer))).into(),
        DriverKind::InsertMany(read(&many)).into(),
    ]
}

fn read<T: serde::de::DeserializeOwned>(answer: &Document) -> T {
    deserialize_from_document(answer.clone()).unwrap()
}

fn kind(code: i32) -> ErrorKind {
    let [command, ..] = shapes(code);
    Fault::Mongo(command).kind()
}

#[test]
fn kinds() {
    assert_eq!(kind(14_031), ErrorKind::Full);
    assert_eq!(kind(11_000), ErrorKind::Exists);
    for not_primary in [10_107, 13_435, 13_436, 11_600, 11_602, 189, 91, 10_058] {
        assert_eq!(kind(not_primary), ErrorKind::Unavailable, "{not_primary}");
    }
    for passing in [6, 7, 50, 64, 89, 100, 112, 251, 262, 9_001] {
        assert_eq!(kind(passing), ErrorKind::Unavailable, "{passing}");
    }
    for refused in [13, 18, 8_000, 59, 10_334] {
        assert_eq!(kind(refused), ErrorKind::Refused, "{refused}");
    }
    assert_eq!(kind(2), ErrorKind::Internal);
}

/// As MongoDB 6.0 says it.
#[test]
fn a_full_disk_is_known_by_its_words() {
    let answer = doc! {"code": 8, "errmsg": "28: No space left on device"};
    let error: DriverError = DriverKind::Write(WriteFailure::WriteError(read(&answer))).into();
    assert_eq!(Fault::Mongo(error).kind(), ErrorKind::Full);
    assert_eq!(kind(8), ErrorKind::Internal);
}

#[test]
fn a_duplicate_is_known_in_every_shape() {
    for error in shapes(11_000) {
        assert!(Fault::Mongo(error).is_duplicate());
    }
    for error in shapes(11_001) {
        assert!(!Fault::Mongo(error).is_duplicate());
    }
}

/// Whatever it is: the write may have happened.
#[test]
fn a_failed_write_concern_is_a_doubt() {
    let [_, _, concern, _] = shapes(2);
    assert_eq!(Fault::Mongo(concern).kind(), ErrorKind::Unavailable);
}

#[test]
fn what_the_server_quotes_is_not_told() {
    for code in [2, 13, 64, 11_000, 14_031] {
        for error in shapes(code) {
            let error = Fault::Mongo(error).at("mongodb.save_call");
            let text = format!("{error} {error:?}");
            assert!(!text.contains("1555"), "{text}");
            assert!(text.contains(&code.to_string()), "{text}");
        }
    }
}

#[test]
fn a_damaged_document_is_not_quoted() {
    let error = serde_json::from_str::<outdial_domain::AccountId>("\"+15550100000\"");
    let damaged = doc! {"version": "+15550100000"};
    let faults =
        [Fault::Decode(error.unwrap_err()), Fault::from(damaged.get_i64("version").unwrap_err())];
    for fault in faults {
        let error = fault.at("mongodb.get_call");
        assert_eq!(error.kind, ErrorKind::Corrupt);
        assert!(!format!("{error} {error:?}").contains("1555"));
    }
}

#[test]
fn a_broken_connection_is_unavailable() {
    let error = DriverError::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    assert_eq!(Fault::from(error).kind(), ErrorKind::Unavailable);
}

/// As the driver of version 3.9 says it.
#[test]
fn a_missing_primary_is_told_in_short() {
    let down = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: \
        [ { Address: 127.0.0.1:31517, Type: Unknown, Error: Kind: I/O error: Connection refused (os \
        error 111), labels: {\"SystemOverloadedError\"}, source: None, server response: None }, \
        { Address: db-2:27017, Type: RsSecondary, Average RTT: 1ms }, \
        { Address: db-3:27017, Type: RsGhost } ] }";
    assert_eq!(
        unreachable_primary(down),
        "no primary of the database can be reached: 127.0.0.1:31517: Connection refused (os error \
         111); db-2:27017 is a secondary; db-3:27017 waits for rs.initiate()"
    );
    assert_eq!(unreachable_primary("other words"), "no primary of the database can be reached");
    let many = "{ Address: a:1, Type: Unknown }".repeat(9);
    assert!(unreachable_primary(&many).ends_with("a:1 is no primary; and others"));
}

/// As the driver of version 3.9 says it.
#[test]
fn a_name_without_records_is_told_in_short() {
    let none = "DNS error: no records found for Query { name: Name(\"_mongodb._tcp.db.invalid.\"), \
        query_type: SRV, query_class: IN }";
    assert_eq!(
        unresolved(none),
        "the name of the database cannot be resolved: DNS has no SRV record of _mongodb._tcp.db.invalid."
    );
    let late = "request timed out";
    assert!(unresolved(late).ends_with(": request timed out"));
}

/// One operation is told of the refusal, others meet what it has left behind.
#[test]
fn the_echo_of_a_refused_user_is_a_refusal_too() {
    let selection = "Server selection timeout: No available servers. Topology: { Type: Unknown, \
        Servers: [ { Address: 127.0.0.1:37993, Type: Unknown, Error: Kind: SCRAM failure: \
        Authentication failed., labels: {}, source: None, server response: None } ] }";
    let cleared = "Connection pool for 127.0.0.1:37993 cleared because another operation failed \
        with: SCRAM failure: Authentication failed.";
    for message in [selection, cleared] {
        assert_eq!(refused_user(message), Some("SCRAM failure: Authentication failed."));
    }
    assert_eq!(refused_user("Connection refused (os error 111)"), None);
}
