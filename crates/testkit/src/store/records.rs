//! Records of every kind, for the rules about archives.

use std::sync::Arc;

use chrono::TimeDelta;
use outdial_domain::ports::{Delivery, IdempotencyKey, Record, RecordKind, Store};
use outdial_domain::{
    Account, AccountId, Call, DeliveryId, NodeId, Speaker, Tombstone, TranscriptLine, TrunkId,
};
use serde_json::json;

use super::end;
use crate::sample::{self, START, at};

/// Several records of every kind, in the order in which they are exported.
pub(super) fn everything() -> Vec<Record> {
    let mut records = Vec::new();
    for _ in 0..3 {
        let account = sample::account();
        records.extend(of_account(&account));
        records.push(Record::Account(account));
    }
    records.sort_by_key(|record| (record.kind(), record.id()));
    records
}

fn of_account(account: &Account) -> Vec<Record> {
    let id = &account.account_id;
    let mut revoked = sample::api_key(id);
    revoked.revoked_at = Some(at(3.0));
    let mut trunk = sample::trunk(id);
    trunk.calls_per_second = Some(0.1);
    let [queued, running, ended] = calls(id);
    let key = |key: &str| IdempotencyKey {
        key: key.into(),
        fingerprint: "f00d".into(),
        expires_at: START + TimeDelta::nanoseconds(86_400_123_456_789),
    };
    let erased = sample::call(id);
    let mut records = vec![
        Record::ApiKey(sample::api_key(id)),
        Record::ApiKey(revoked),
        Record::Assistant(sample::assistant(id)),
        Record::Trunk(trunk),
        Record::Transcript { room_name: running.room_name().clone(), lines: lines() },
        Record::Transcript { room_name: ended.room_name().clone(), lines: lines()[..1].to_vec() },
        Record::Delivery(delivery(&ended, Some(503))),
        Record::Delivery(delivery(&ended, None)),
        Record::Tombstone(Tombstone::of(&erased, at(100.0))),
    ];
    let calls = [(queued, Some(key("order-1"))), (running, None), (ended, Some(key("$order.2")))];
    records.extend(
        calls.map(|(call, idempotency_key)| Record::Call { call: Box::new(call), idempotency_key }),
    );
    records
}

/// Lines that differ by a nanosecond, not in the order of their times.
pub(super) fn lines() -> Vec<TranscriptLine> {
    let line = |speaker, text: &str, nanos| TranscriptLine {
        speaker,
        text: text.into(),
        timestamp: START + TimeDelta::nanoseconds(nanos),
    };
    vec![
        line(Speaker::Agent, "Hello \u{1F44B}, this is \"Ava\".", 1_500_000_001),
        line(Speaker::User, "Yes\u{0} $yes", 1_500_000_003),
        line(Speaker::User, "Yes\u{0} $yes", 1_500_000_002),
        line(Speaker::User, "", 999),
    ]
}

fn calls(account: &AccountId) -> [Call; 3] {
    let mut queued = sample::call(account);
    queued.due_at = Some(START + TimeDelta::nanoseconds(1_000_000_001));
    queued.version = 1;
    let mut running = sample::started_call(account, &TrunkId::random(), 3);
    running.order_mut().metadata.insert("zeta".into(), json!({"z": -0.5, "a": u64::MAX}));
    running.order_mut().metadata.insert("alpha".into(), json!([1.0, 1]));
    running.owner = Some(NodeId::random());
    running.captured_by = vec![NodeId::random(), NodeId::random()];
    running.attention = true;
    running.due_at = None;
    running.facts.answered_at = Some(at(5.0));
    running.unknown.insert("from_the.$future".into(), json!({"$date": [1, 2.0, null]}));
    running.version = u64::from(u32::MAX) + 5;
    let mut ended = sample::started_call(account, &TrunkId::random(), 3);
    end(&mut ended);
    ended.version = 12;
    [queued, running, ended]
}

fn delivery(call: &Call, status_code: Option<u16>) -> Delivery {
    Delivery {
        delivery_id: DeliveryId::random(),
        room_name: call.room_name().clone(),
        webhook_id: "msg_1".into(),
        attempt: 2,
        at: START + TimeDelta::nanoseconds(70_000_000_007),
        duration_ms: 12,
        status_code,
        error: status_code.is_none().then(|| "connection refused".into()),
    }
}

/// All records of a store, read in pages of `limit`.
pub(super) async fn exported(store: &Arc<dyn Store>, limit: u32) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for kind in RecordKind::ALL {
        let mut after = None;
        loop {
            let page = store.export(kind, after.as_deref(), limit).await.unwrap();
            assert!(page.iter().all(|record| record.kind() == kind));
            let read = page.len();
            assert!(read <= usize::try_from(limit).unwrap());
            after = page.last().map(Record::id);
            records.extend(page);
            if read < usize::try_from(limit).unwrap() {
                break;
            }
        }
    }
    records
}

/// Records of the same kind and id that say something else.
pub(super) fn other(record: &Record) -> Vec<Record> {
    match record.clone() {
        Record::Account(mut account) => {
            account.created_at = at(1.0);
            vec![Record::Account(account)]
        }
        Record::ApiKey(mut key) => {
            key.admin = true;
            vec![Record::ApiKey(key)]
        }
        Record::Assistant(mut assistant) => {
            assistant.updated_at += TimeDelta::nanoseconds(1);
            vec![Record::Assistant(assistant)]
        }
        Record::Trunk(mut trunk) => {
            trunk.account_id = AccountId::random();
            vec![Record::Trunk(trunk)]
        }
        Record::Call { call, idempotency_key } => other_calls(&call, idempotency_key.as_ref()),
        Record::Transcript { room_name, mut lines } => {
            lines.push(sample::line(Speaker::Agent, "Bye", 9.0));
            let longer = Record::Transcript { room_name: room_name.clone(), lines: lines.clone() };
            lines.pop();
            lines[0].text = "Another one".into();
            vec![longer, Record::Transcript { room_name, lines }]
        }
        Record::Delivery(mut delivery) => {
            delivery.duration_ms += 1;
            vec![Record::Delivery(delivery)]
        }
        Record::Tombstone(mut tombstone) => {
            tombstone.erased_at = at(101.0);
            vec![Record::Tombstone(tombstone)]
        }
    }
}

fn other_calls(call: &Call, key: Option<&IdempotencyKey>) -> Vec<Record> {
    let mut others = vec![call.clone(); 5];
    others[0].version += 1;
    others[1].owner = Some(NodeId::random());
    others[2].due_at = Some(at(77.0));
    others[3].attention = !call.attention;
    others[4].order_mut().assistant_prompt = "Another one".into();
    let record = |call| Record::Call { call: Box::new(call), idempotency_key: key.cloned() };
    others.into_iter().map(record).collect()
}
