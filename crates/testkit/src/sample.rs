//! Valid rows, to be changed where a test cares. Ids are random, times count from [`START`].

use chrono::{DateTime, TimeDelta, Utc};
use outdial_domain::placeholder::{OnMissing, PlaceholderReport};
use outdial_domain::{
    Account, AccountId, ApiKey, Assistant, AssistantId, Call, CallService, E164, Node, NodeId,
    Order, RoomName, Sealed, Speaker, TranscriptLine, Trunk, TrunkId, WebhookSecret,
};
use serde_json::{Map, json};

/// 2026-01-05 10:00:00 UTC, a Monday: when samples begin.
pub const START: DateTime<Utc> = match DateTime::from_timestamp(1_767_607_200, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

/// So many seconds after [`START`]; milliseconds count, finer parts do not.
pub fn at(seconds: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "tests use small numbers")]
    let millis = (seconds * 1000.0).round() as i64;
    START + TimeDelta::milliseconds(millis)
}

/// The number that samples call: `+15550100000`, the published API's example.
pub fn number() -> E164 {
    "+15550100000".parse().unwrap()
}

/// An account with a name of its own.
pub fn account() -> Account {
    let account_id = AccountId::random();
    Account { name: format!("account {account_id}"), account_id, created_at: START }
}

/// A key of an account. Who needs its token uses [`ApiKey::generate`].
pub fn api_key(account: &AccountId) -> ApiKey {
    ApiKey::generate(account.clone(), "test key", false, START).0
}

/// An active assistant with placeholders, a webhook URL and one secret.
pub fn assistant(account: &AccountId) -> Assistant {
    Assistant {
        assistant_id: AssistantId::random(),
        account_id: account.clone(),
        assistant_name: "Ava".into(),
        assistant_prompt: "You are Ava and speak with {{name}}.".into(),
        assistant_start_instruction: "Greet {{name | the callee}}.".into(),
        assistant_end_call_url: Some("https://example.com/call-ended".parse().unwrap()),
        agent_name: "ava-agent".into(),
        agent_config: json!({"voice": "alto"}),
        recording: false,
        on_missing_placeholder: OnMissing::Empty,
        is_active: true,
        webhook_secrets: vec![WebhookSecret {
            secret: Sealed("sealed-secret".into()),
            expires_at: None,
        }],
        created_at: START,
        updated_at: START,
    }
}

/// A sandbox trunk of Twilio's, without limits.
pub fn trunk(account: &AccountId) -> Trunk {
    Trunk {
        trunk_id: TrunkId::random(),
        account_id: account.clone(),
        call_service: CallService::Twilio,
        name: "main".into(),
        numbers: vec!["+15550100001".parse().unwrap()],
        address: None,
        transport: outdial_domain::SipTransport::Tcp,
        auth_username: None,
        auth_password: None,
        route: Default::default(),
        from_host: None,
        outbound_proxies: Vec::new(),
        allowed_addresses: Vec::new(),
        media_encryption: None,
        sandbox: true,
        calls_per_second: None,
        max_concurrent_calls: None,
        created_at: START,
        updated_at: START,
    }
}

/// What a call of `assistant` through `trunk` asks for, accepted at [`START`].
pub fn order(assistant: &Assistant, trunk: &Trunk) -> Order {
    let to_number = number();
    Order {
        room_name: RoomName::new(trunk.call_service, assistant.assistant_id, &to_number),
        account_id: assistant.account_id.clone(),
        assistant_id: assistant.assistant_id,
        assistant_name: assistant.assistant_name.clone(),
        agent_name: assistant.agent_name.clone(),
        assistant_prompt: "You are Ava and speak with Ann.".into(),
        assistant_start_instruction: "Greet Ann.".into(),
        agent_config: assistant.agent_config.clone(),
        recording: assistant.recording,
        end_call_url: assistant.assistant_end_call_url.clone(),
        webhook_secrets: assistant.webhook_secrets.clone(),
        trunk_id: trunk.trunk_id.clone(),
        route: trunk.route(),
        call_service: trunk.call_service,
        to_number,
        from_number: trunk.numbers.first().cloned(),
        metadata: Map::from_iter([("name".into(), json!("Ann"))]),
        placeholders: PlaceholderReport::default(),
        max_concurrent_calls: trunk.max_concurrent_calls,
        max_duration_secs: 3_600,
        created_at: START,
    }
}

/// A queued call of `account` on a trunk and of an assistant of its own, due at [`START`].
pub fn call(account: &AccountId) -> Call {
    Call::new(order(&assistant(account), &trunk(account)))
}

/// A call in status `starting` on `trunk`: it occupies one of at most `limit` channels.
pub fn started_call(account: &AccountId, trunk: &TrunkId, limit: u32) -> Call {
    let mut call = call(account);
    call.order_mut().trunk_id = trunk.clone();
    call.order_mut().max_concurrent_calls = Some(limit);
    call.started_at = Some(START);
    call
}

/// A node that lives until `alive_until`, one run of it that began at [`START`].
pub fn node(node_id: &NodeId, alive_until: DateTime<Utc>) -> Node {
    Node {
        node_id: node_id.clone(),
        started_at: START,
        version: "1.0.0".into(),
        draining: false,
        alive_until,
    }
}

/// A line of a transcript, said so many seconds after [`START`].
pub fn line(speaker: Speaker, text: &str, seconds: f64) -> TranscriptLine {
    TranscriptLine { speaker, text: text.into(), timestamp: at(seconds) }
}
