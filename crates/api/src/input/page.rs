//! Pages of lists, and the opaque cursors between them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::DateTime;
use outdial_domain::ports::{Cursor, PageRequest};

use super::query::Query;
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// Which list a cursor belongs to: one of another list is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Assistants,
    Trunks,
    Calls,
    Keys,
}

impl List {
    fn letter(self) -> char {
        match self {
            Self::Assistants => 'a',
            Self::Trunks => 't',
            Self::Calls => 'c',
            Self::Keys => 'k',
        }
    }

    /// The text of a cursor.
    pub(crate) fn write(self, cursor: &Cursor) -> String {
        // To the nanosecond: rounding would skip rows of the same instant.
        let (secs, nanos) =
            (cursor.created_at.timestamp(), cursor.created_at.timestamp_subsec_nanos());
        BASE64.encode(format!("{}{secs}.{nanos}:{}", self.letter(), cursor.id))
    }

    fn read(self, text: &str) -> Option<Cursor> {
        let bytes = BASE64.decode(text).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (time, id) = text.strip_prefix(self.letter())?.split_once(':')?;
        let (secs, nanos) = time.split_once('.')?;
        let good = (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
        Some(Cursor {
            created_at: DateTime::from_timestamp(secs.parse().ok()?, nanos.parse().ok()?)?,
            id: good.then(|| id.to_owned())?,
        })
    }

    /// Reads `limit` and `cursor`.
    pub(crate) fn page(self, query: &mut Query<'_>) -> Result<PageRequest> {
        let limit = query.read("limit", |name, text| {
            text.parse().ok().filter(|limit| (1..=100).contains(limit)).ok_or_else(|| {
                let message = "limit must be a whole number from 1 to 100";
                ApiError::field(ErrorCode::InvalidField, name, message)
            })
        })?;
        let after = query.read("cursor", |name, text| {
            self.read(text).ok_or_else(|| {
                let message = "cursor is not one that this list gave";
                ApiError::field(ErrorCode::InvalidField, name, message)
                    .hint("take it from data.next_cursor as it is, or leave it out")
            })
        })?;
        Ok(PageRequest { limit: limit.unwrap_or(20), after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_by_their_own_list_only() {
        let cursor = Cursor {
            created_at: DateTime::from_timestamp(1_700_000_000, 123_456_789).unwrap(),
            id: "exotel-+918044319240-abc123".into(),
        };
        let text = List::Calls.write(&cursor);
        assert_eq!(List::Calls.read(&text), Some(cursor));
        assert_eq!(List::Trunks.read(&text), None);
        for bad in [
            "",
            "x",
            "%%%",
            "YQ",
            &BASE64.encode("c1.0:"),
            &BASE64.encode("cx.0:y"),
            &BASE64.encode("c9999999999999999.0:y"),
        ] {
            assert_eq!(List::Calls.read(bad), None, "{bad}");
        }
    }
}
