//! The same with curl.

use serde_json::{Value, json};

use super::text;

const HINT: &str =
    "  A number that ends in 486 is busy, in 480 does not answer, in 404 does not exist.";

/// Requests to the server that keeps running.
pub(super) fn with_this_server(url: &str, key: &str, request: &Value, room_name: &str) -> String {
    let body = json!({
        "assistant_id": request["assistant_id"],
        "trunk_id": request["trunk_id"],
        "to_number": "+15550200000",
        "call_service": "twilio",
        "metadata": {"name": "Grace", "company": "Acme"},
    });
    [
        format!("  export KEY={key}"),
        curl(&format!("-X POST {url}/call/outbound"), Some(&body)),
        curl(&format!("-N {url}/calls/{room_name}/events"), None),
        curl(&format!("{url}/calls/{room_name}"), None),
        curl(&format!("{url}/calls/{room_name}/deliveries"), None),
        String::new(),
        HINT.to_owned(),
        format!("  All routes: {url}/docs"),
    ]
    .join("\n")
}

/// The way from nothing to a call.
pub(super) fn from_scratch(request: &Value) -> String {
    let url = "http://127.0.0.1:8000";
    let assistant = json!({
        "assistant_name": "Order desk",
        "assistant_prompt": "You answer questions of {{name}} about orders.",
        "assistant_start_instruction": "Say: Hello {{name}}.",
        "assistant_end_call_url": "https://example.com/call-ended",
    });
    let trunk = json!({"call_service": "twilio", "name": "Sandbox", "sandbox": true});
    let call = json!({
        "assistant_id": "ASSISTANT_ID",
        "trunk_id": "TRUNK_ID",
        "to_number": text(request, "to_number"),
        "call_service": "twilio",
        "metadata": {"name": "Grace"},
    });
    [
        "  export KEY=$(outdial keys create --account demo)".to_owned(),
        "  outdial serve     # in another terminal".to_owned(),
        curl(&format!("{url}/assistants"), Some(&assistant)),
        curl(&format!("{url}/trunks"), Some(&trunk)),
        curl(&format!("{url}/call/outbound"), Some(&call)),
        curl(&format!("-N {url}/calls/ROOM_NAME/events"), None),
        String::new(),
        HINT.to_owned(),
        "  `outdial demo --keep` leaves the server of the demo running instead.".to_owned(),
    ]
    .join("\n")
}

fn curl(target: &str, body: Option<&Value>) -> String {
    let request = format!("  curl {target} -H \"x-api-key: $KEY\"");
    match body {
        None => request,
        Some(body) => {
            format!("{request} \\\n       -H 'content-type: application/json' -d '{body}'")
        }
    }
}
