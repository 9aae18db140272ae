//! The server as a process.

#![cfg(unix)]

use crate::program::{Folder, stderr, stdout};

#[test]
fn a_signal_ends_it_in_good_order() {
    for signal in ["TERM", "INT"] {
        let folder = Folder::new();
        let mut server = folder.serve();
        assert_eq!(server.get("/healthz", "").0, 200);
        server.signal(signal);
        server.wait_for("stopped");
        assert!(server.ended_well());
    }
}

#[test]
fn one_data_folder_serves_one_server() {
    let folder = Folder::new();
    let first = folder.serve();
    let second = folder.run(&["serve"]);
    assert_eq!(second.status.code(), Some(1));
    let text = stderr(&second);
    assert!(text.contains("is in use by another process"), "{text}");

    let key = folder.run(&["keys", "create", "--account", "acme"]);
    assert_eq!(key.status.code(), Some(1));
    assert!(stderr(&key).contains("POST /keys and an admin key"), "{}", stderr(&key));

    let doctor = folder.run(&["doctor"]);
    assert!(doctor.status.success(), "{}", stdout(&doctor));
    assert!(stdout(&doctor).contains("by a running server it seems"));
    assert_eq!(first.get("/healthz", "").0, 200);
}

#[test]
fn it_starts_again_after_it_was_killed() {
    let folder = Folder::new();
    let key = folder.key();
    let server = folder.serve();
    assert_eq!(server.get("/calls", &key).0, 200);
    server.signal("KILL");
    assert!(!server.ended_well());
    let server = folder.serve();
    assert_eq!(server.get("/calls", &key).0, 200);
    assert_eq!(server.get("/calls", "").0, 401);
}

#[test]
fn metrics_are_told() {
    let folder = Folder::new();
    let server = folder.serve();
    assert_eq!(server.get("/healthz", "").0, 200);
    let (status, text) = server.get("/metrics", "");
    assert_eq!(status, 200);
    assert!(text.contains("outdial_http_request_seconds"), "{text}");
}

#[test]
fn an_address_in_use_is_named() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = folder.command(&["serve"]).env("OUTDIAL_SERVER__BIND", &address).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expect =
        format!("error: {address} cannot be listened on: set server.bind to a free address");
    assert!(stderr(&output).contains(&expect), "{}", stderr(&output));
}
