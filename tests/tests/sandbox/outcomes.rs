//! What becomes of a call, by the last three digits of the number.

use outdial_tests::{Desk, End, Outdial};
use serde_json::{Value, json};

const OUTCOMES: [(&str, End); 12] = [
    ("486", End::passing("busy", "sip", "486")),
    ("480", End::passing("no_answer", "sip", "480")),
    ("408", End::passing("no_answer", "sip", "408")),
    ("603", End::because("rejected", "sip", "603")),
    ("404", End::because("unreachable", "sip", "404")),
    ("503", End::passing("throttled", "sip", "503")),
    ("500", End::passing("failed", "sip", "500")),
    ("401", End::because("failed", "sip", "401")),
    ("901", End::passing("agent_unavailable", "agent", "not_joined")),
    ("902", End::completed("callee_hangup")),
    ("903", End::completed("max_duration")),
    ("000", End::completed("callee_hangup")),
];

#[tokio::test]
async fn every_magic_number_has_its_outcome() {
    let settings = [
        ("sandbox.time_scale", "0.05"),
        ("agent.absence_timeout", "1s"),
        ("calls.max_duration", "2s"),
    ];
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    let mut rooms = Vec::new();
    for (number, _) in OUTCOMES {
        rooms.push(desk.place(&format!("+15550200{number}")).await);
    }
    for (room, (number, end)) in rooms.iter().zip(OUTCOMES) {
        let record = desk.ends(room, end).await;
        let answered = matches!(number, "901" | "902" | "903" | "000");
        assert_eq!(record["answered_at"] != Value::Null, answered, "{number}");
        assert_eq!(record["call_duration_minutes"] != 0.0, answered, "{number}");
    }
    // The list finds them by their outcome.
    let busy = desk.calls("?outcome=busy").await;
    assert_eq!(busy.len(), 1);
    assert_eq!(busy[0]["room_name"], *rooms[0]);
}
