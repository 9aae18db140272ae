//! What is left of an erased call.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{AccountId, Call, Outcome, RoomName};

/// What is left of an erased call: that there was one. It holds nothing about a person: the room's
/// name can hold a phone number, so only a hash of it is kept (its random suffix makes the hash
/// impossible to guess).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// [`Tombstone::id_of`] the room.
    pub id: String,
    /// Whose call it was.
    pub account_id: AccountId,
    /// When the call was accepted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it was erased.
    pub erased_at: DateTime<Utc>,
}

impl Tombstone {
    /// The id of a room's tombstone: SHA-256 of its name, in hex.
    pub fn id_of(room: &RoomName) -> String {
        use std::fmt::Write as _;
        let hash = Sha256::digest(room.as_str());
        hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The tombstone of `call`.
    pub fn of(call: &Call, erased_at: DateTime<Utc>) -> Self {
        Self {
            id: Self::id_of(call.room_name()),
            account_id: call.order.account_id.clone(),
            created_at: call.order.created_at,
            ended_at: call.ended_at,
            outcome: call.termination.as_ref().map(|end| end.outcome),
            erased_at,
        }
    }
}
