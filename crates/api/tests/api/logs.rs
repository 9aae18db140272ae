//! What is logged: enough to find a request, and nothing that must not be known.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use serde_json::json;

use crate::rig::{Rig, TALKS};

thread_local! {
    /// Each test has a thread of its own, and so has its log.
    static LOG: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLog;

impl io::Write for ThreadLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs everything in all tests. A subscriber for one test only would miss events: tracing decides
/// once for all threads whether a line of code is listened to.
pub(crate) fn log_to_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(|| ThreadLog)
            .init();
    });
}

#[tokio::test(start_paused = true)]
async fn a_line_for_each_request_without_secrets_and_whole_numbers() {
    let rig = Rig::new().await;
    let assistant = rig.assistant_with(json!({"assistant_prompt": "the-prompt"})).await;
    let trunk = json!({"call_service": "exotel", "sandbox": true, "auth_password": "the-password"});
    let order = json!({
        "assistant_id": assistant,
        "trunk_id": rig.trunk_with(trunk).await,
        "to_number": "+918044319240",
        "call_service": "exotel",
        "metadata": {"secret": "the-metadata"},
    });
    let body = rig.post("/call/outbound", order).await.expect(200);
    let room = body["data"]["room_name"].as_str().unwrap();
    let request = rig.request("GET", &format!("/calls/{room}"));
    rig.send(request.insert_header(("x-request-id", "find-me"))).await.expect(200);
    rig.until(room, "/status", "ended").await;
    // A failure with a provider's reason, at the level that is always shown.
    let mut failing = rig.order(TALKS).await;
    failing["trunk_id"] = json!(rig.trunk_with(json!({})).await);
    rig.post("/call/outbound", failing).await.fails(500, "provider_error");

    let text = String::from_utf8(LOG.take()).unwrap();
    let line = text.lines().find(|line| line.contains("find-me")).unwrap();
    let key_id = rig.key.split_once('.').unwrap().0;
    for part in ["DEBUG", "GET", "/calls/{room_name}", "status=200", key_id, "+918******240"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = text.lines().find(|line| line.contains("request failed")).unwrap();
    assert!(line.contains("WARN") && line.contains("403 Forbidden"), "{line}");
    // Other crates answer for their own lines.
    let own: Vec<_> = text.lines().filter(|line| line.contains(" outdial_api::")).collect();
    let secret = rig.key.split_once('.').unwrap().1;
    for hidden in [
        "918044319240",
        "15550200000",
        secret,
        "the-prompt",
        "the-password",
        "the-metadata",
        "whsec_",
    ] {
        let line = own.iter().find(|line| line.contains(hidden));
        assert!(line.is_none(), "{hidden}: {line:?}");
    }
}
