//! How values are written into columns.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Outcome};

/// Nanoseconds since 1970. Times outside the years 1677 to 2262 become the first or the last moment
/// that can be written: only filters ask for such.
pub(crate) fn nanos(time: DateTime<Utc>) -> i64 {
    let outside = if time < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX };
    time.timestamp_nanos_opt().unwrap_or(outside)
}

/// The inverse of [`nanos`].
pub(crate) fn time(nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(nanos)
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(Fault::Encode)
}

pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Outcome<T> {
    serde_json::from_str(text).map_err(Fault::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_keep_their_order() {
        let now = Utc::now();
        assert_eq!(time(nanos(now)), now);
        assert!(nanos(DateTime::<Utc>::MIN_UTC) < nanos(now));
        assert!(nanos(DateTime::<Utc>::MAX_UTC) > nanos(now));
    }
}
