//! Moving everything from one store to another.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Delivery, IdempotencyKey};
use crate::{Account, ApiKey, Assistant, Call, Result, RoomName, Tombstone, TranscriptLine, Trunk};

/// A kind of [`Record`]. The order is that in which they are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// Accounts, by their id.
    Account,
    /// API keys, by their id.
    ApiKey,
    /// Assistants, by their id.
    Assistant,
    /// Trunks, by their id.
    Trunk,
    /// Calls, by the room's name.
    Call,
    /// Transcripts, by the room's name.
    Transcript,
    /// Attempts of webhooks, by their id.
    Delivery,
    /// Tombstones, by their id.
    Tombstone,
}

impl RecordKind {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Account,
        Self::ApiKey,
        Self::Assistant,
        Self::Trunk,
        Self::Call,
        Self::Transcript,
        Self::Delivery,
        Self::Tombstone,
    ];

    /// Its name in an archive, in the plural.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "accounts",
            Self::ApiKey => "api_keys",
            Self::Assistant => "assistants",
            Self::Trunk => "trunks",
            Self::Call => "calls",
            Self::Transcript => "transcripts",
            Self::Delivery => "deliveries",
            Self::Tombstone => "tombstones",
        }
    }
}

/// One thing that is kept, whole: a line of an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// An account.
    Account(Account),
    /// An API key.
    ApiKey(ApiKey),
    /// An assistant.
    Assistant(Assistant),
    /// A trunk.
    Trunk(Trunk),
    /// A call.
    Call {
        /// The record, with its version and owner.
        call: Box<Call>,
        /// The idempotency key that made it, if there is one and it is still stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<IdempotencyKey>,
    },
    /// The transcript of a call: all of its lines, at least one.
    Transcript {
        /// The call.
        room_name: RoomName,
        /// The lines in the order in which they were appended.
        lines: Vec<TranscriptLine>,
    },
    /// An attempt of a webhook.
    Delivery(Delivery),
    /// What is left of an erased call.
    Tombstone(Tombstone),
}

impl Record {
    /// Its kind.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Account(_) => RecordKind::Account,
            Self::ApiKey(_) => RecordKind::ApiKey,
            Self::Assistant(_) => RecordKind::Assistant,
            Self::Trunk(_) => RecordKind::Trunk,
            Self::Call { .. } => RecordKind::Call,
            Self::Transcript { .. } => RecordKind::Transcript,
            Self::Delivery(_) => RecordKind::Delivery,
            Self::Tombstone(_) => RecordKind::Tombstone,
        }
    }

    /// Its id among those of its kind.
    pub fn id(&self) -> String {
        match self {
            Self::Account(account) => account.account_id.to_string(),
            Self::ApiKey(key) => key.key_id.to_string(),
            Self::Assistant(assistant) => assistant.assistant_id.to_string(),
            Self::Trunk(trunk) => trunk.trunk_id.to_string(),
            Self::Call { call, .. } => call.room_name().to_string(),
            Self::Transcript { room_name, .. } => room_name.to_string(),
            Self::Delivery(delivery) => delivery.delivery_id.to_string(),
            Self::Tombstone(tombstone) => tombstone.id.clone(),
        }
    }
}

/// For logs and errors: its kind and id, with the number masked that an Exotel room name holds.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "account {}", account.account_id),
            Self::ApiKey(key) => write!(f, "API key {}", key.key_id),
            Self::Assistant(assistant) => write!(f, "assistant {}", assistant.assistant_id),
            Self::Trunk(trunk) => write!(f, "trunk {}", trunk.trunk_id),
            Self::Call { call, .. } => write!(f, "call {:?}", call.room_name()),
            Self::Transcript { room_name, .. } => write!(f, "transcript of {room_name:?}"),
            Self::Delivery(delivery) => write!(f, "delivery {}", delivery.delivery_id),
            Self::Tombstone(tombstone) => write!(f, "tombstone {}", tombstone.id),
        }
    }
}

/// Reads and writes everything that is kept, as it is. What only steers nodes (their signs of life,
/// the last start on a trunk) is not part of it: it renews itself.
///
/// Errors of all methods: [`Unavailable`](crate::ErrorKind::Unavailable),
/// [`Full`](crate::ErrorKind::Full), [`Corrupt`](crate::ErrorKind::Corrupt).
#[async_trait]
pub trait Archive: Send + Sync {
    /// Up to `limit` records of a kind in the order of their ids' bytes, behind the id `after`.
    /// Fewer than `limit`: there are no more.
    async fn export(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Record>>;

    /// Stores records as they are: versions, owners and times too. One that is there already and the
    /// same is left alone, so that an import can be repeated.
    ///
    /// Errors: [`Exists`](crate::ErrorKind::Exists) when another one of the same id (or an account
    /// of the same name, or the same idempotency key) is there: the message names it; records before
    /// it may have been stored.
    async fn import(&self, records: &[Record]) -> Result<()>;

    /// How many records of a kind there are.
    async fn count(&self, kind: RecordKind) -> Result<u64>;
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{AccountId, Speaker};

    fn transcript(room: &str) -> Record {
        let timestamp = DateTime::from_timestamp(1_767_607_200, 123_456_789).unwrap();
        let lines =
            vec![TranscriptLine { speaker: Speaker::User, text: "Hello".into(), timestamp }];
        Record::Transcript { room_name: room.parse().unwrap(), lines }
    }

    /// Archives are kept for years: their form never changes, it only grows.
    #[test]
    fn a_record_is_one_line_of_json() {
        let record = transcript("exotel-+15550100000-abc123");
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(
            line,
            r#"{"transcript":{"room_name":"exotel-+15550100000-abc123","lines":[{"speaker":"user","text":"Hello","timestamp":"2026-01-05T10:00:00.123456789Z"}]}}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn a_message_about_a_record_shows_no_phone_number() {
        let record = transcript("exotel-+15550100000-abc123");
        assert_eq!(record.id(), "exotel-+15550100000-abc123");
        let shown = record.to_string();
        assert!(shown.starts_with("transcript of ") && shown.ends_with("abc123"), "{shown}");
        assert!(!shown.contains("15550100000"), "{shown}");
    }

    #[test]
    fn kinds_are_in_the_order_in_which_they_are_moved() {
        assert!(RecordKind::ALL.is_sorted());
        let account_id = AccountId::random();
        let account = Account { name: "acme".into(), created_at: DateTime::UNIX_EPOCH, account_id };
        assert_eq!(Record::Account(account).kind(), RecordKind::ALL[0]);
        assert_eq!(transcript("exotel-+15550100000-abc123").kind(), RecordKind::Transcript);
    }
}
