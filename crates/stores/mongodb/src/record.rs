//! The document of a call: fields for queries on top, the exact record in `order` and `call`.
//!
//! Of version, owner, due time and attention the fields on top are the truth: a claim need not
//! rewrite the record.

use mongodb::bson::{Bson, Document, doc};
use outdial_domain::ports::IdempotencyKey;
use outdial_domain::{Call, NodeId};
use serde_json::{Map, Value};

use crate::codec::{self, date, get_time, put_time};
use crate::fault::{Fault, Outcome};

/// What the record does not repeat.
const ON_TOP: [&str; 5] = ["order", "version", "owner", "due_at", "attention"];

/// The fields that are absent when they have nothing to say.
const OPTIONAL: [&str; 9] = [
    "outcome",
    "owner",
    "due_at",
    "due_at_ns",
    "attention",
    "started_at",
    "answered_at",
    "ended_at",
    "occupies_trunk",
];

/// A call, ready to be written.
pub(crate) struct Record {
    /// What an insert writes once.
    fixed: Document,
    /// What every save replaces.
    state: Document,
}

impl Record {
    /// The call as it is to be stored with `version`.
    pub(crate) fn new(call: &Call, version: u64) -> Outcome<Self> {
        let mut record = match serde_json::to_value(call).map_err(Fault::Encode)? {
            Value::Object(record) => record,
            _ => Map::new(),
        };
        let order = record.remove("order").unwrap_or_default();
        for field in ON_TOP {
            record.remove(field);
        }
        let mut state = state(call, version)?;
        state.insert("call", codec::object(record));
        Ok(Self { fixed: fixed(call, order), state })
    }

    /// The document of a new call.
    pub(crate) fn into_document(self, key: Option<&IdempotencyKey>) -> Document {
        let Self { mut fixed, state } = self;
        let order = fixed.remove("order");
        fixed.extend(state);
        if let Some(key) = key {
            fixed.insert("idempotency", write_key(key));
        }
        if let Some(order) = order {
            fixed.insert("order", order);
        }
        fixed
    }

    /// The update that replaces the state of a stored call.
    pub(crate) fn into_update(self) -> Document {
        let absent = OPTIONAL.into_iter().filter(|field| !self.state.contains_key(*field));
        let absent: Document =
            absent.map(|field| (field.to_owned(), Bson::String(String::new()))).collect();
        if absent.is_empty() {
            return doc! { "$set": self.state };
        }
        doc! { "$set": self.state, "$unset": absent }
    }
}

fn fixed(call: &Call, order: Value) -> Document {
    let ordered = &call.order;
    let mut fixed = doc! {
        "_id": ordered.room_name.as_str(),
        "account_id": ordered.account_id.as_str(),
        "assistant_id": ordered.assistant_id.to_string(),
        "trunk_id": ordered.trunk_id.as_str(),
        "to_number": ordered.to_number.to_string(),
        "created_at": date(ordered.created_at).0,
    };
    if let Value::Object(order) = order {
        fixed.insert("order", codec::object(order));
    }
    fixed
}

fn state(call: &Call, version: u64) -> Outcome<Document> {
    let status = call.status();
    let mut state = doc! {
        "version": number(version)?,
        "status": status.as_str(),
        "webhook_state": webhook_state(call),
        "recording_state": call.recording.as_str(),
    };
    if let Some(end) = &call.termination {
        state.insert("outcome", end.outcome.as_str());
    }
    if let Some(owner) = &call.owner {
        state.insert("owner", owner.as_str());
    }
    if let Some(due_at) = call.due_at {
        put_time(&mut state, "due_at", due_at);
    }
    let flags = [("attention", call.attention), ("occupies_trunk", status.occupies_trunk())];
    for (field, _) in flags.into_iter().filter(|(_, set)| *set) {
        state.insert(field, true);
    }
    let times = [
        ("started_at", call.started_at),
        ("answered_at", call.facts.answered_at),
        ("ended_at", call.ended_at),
    ];
    for (field, time) in times {
        if let Some(time) = time {
            state.insert(field, date(time).0);
        }
    }
    Ok(state)
}

fn webhook_state(call: &Call) -> &'static str {
    use outdial_domain::WebhookState as W;
    match call.webhook {
        W::None => "none",
        W::Pending { .. } => "pending",
        W::Delivered => "delivered",
        W::Dead => "dead",
    }
}

/// A version as MongoDB counts.
pub(crate) fn number(version: u64) -> Outcome<i64> {
    i64::try_from(version).map_err(|_| Fault::corrupt("the version of a call is out of all bounds"))
}

/// The version of a stored call.
pub(crate) fn version(document: &Document) -> Outcome<u64> {
    let version = match document.get("version") {
        Some(Bson::Int64(version)) => u64::try_from(*version).ok(),
        Some(Bson::Int32(version)) => u64::try_from(*version).ok(),
        _ => None,
    };
    version.ok_or_else(|| Fault::corrupt("a stored call has no version"))
}

/// The whole document of a call, with its version as it is.
pub(crate) fn call_document(call: &Call, key: Option<&IdempotencyKey>) -> Outcome<Document> {
    Ok(Record::new(call, call.version)?.into_document(key))
}

/// The inverse of [`call_document`], without the key.
pub(crate) fn read_call(document: &Document) -> Outcome<Call> {
    let mut record = codec::read_object(document.get_document("call")?)?;
    let order = codec::read_object(document.get_document("order")?)?;
    record.insert("order".to_owned(), Value::Object(order));
    record.insert("version".to_owned(), version(document)?.into());
    let attention = document.get_bool("attention").unwrap_or(false);
    record.insert("attention".to_owned(), attention.into());
    let mut call: Call = serde_json::from_value(Value::Object(record)).map_err(Fault::Decode)?;
    call.owner = owner(document)?;
    call.due_at = get_time(document, "due_at")?;
    Ok(call)
}

fn owner(document: &Document) -> Outcome<Option<NodeId>> {
    let owner = match document.get("owner") {
        None | Some(Bson::Null) => return Ok(None),
        Some(owner) => owner.as_str().and_then(|owner| owner.parse().ok()),
    };
    owner.map(Some).ok_or_else(|| Fault::corrupt("a stored call has an owner that is no node"))
}

fn write_key(key: &IdempotencyKey) -> Document {
    let mut written = doc! { "key": &key.key, "fingerprint": &key.fingerprint };
    put_time(&mut written, "expires_at", key.expires_at);
    written
}

/// The idempotency key in the document of a call.
pub(crate) fn read_key(document: &Document) -> Outcome<Option<IdempotencyKey>> {
    let Some(stored) = document.get("idempotency") else { return Ok(None) };
    let damaged = || Fault::corrupt("a stored idempotency key cannot be read");
    let stored = stored.as_document().ok_or_else(damaged)?;
    Ok(Some(IdempotencyKey {
        key: stored.get_str("key")?.to_owned(),
        fingerprint: stored.get_str("fingerprint")?.to_owned(),
        expires_at: get_time(stored, "expires_at")?.ok_or_else(damaged)?,
    }))
}

#[cfg(test)]
mod tests;
