//! `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How long the endpoint asks to be left alone, counted from `now`. Reads seconds and all three
/// forms of an HTTP date (RFC 9110, section 5.6.7). `None` for anything else and for a time gone by.
pub(super) fn parse(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit still mean "very long".
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    (DateTime::<Utc>::from(until) - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = "2024-01-15T10:00:00Z".parse().unwrap();
        for (value, expect) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Mon, 15 Jan 2024 10:01:30 GMT", Some(90)),
            ("Monday, 15-Jan-24 10:01:30 GMT", Some(90)),
            ("Mon Jan 15 10:01:30 2024", Some(90)),
            ("Mon, 15 Jan 2024 09:59:59 GMT", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("2024-01-15T10:01:30Z", None),
        ] {
            let expect = expect.map(Duration::from_secs);
            assert_eq!(parse(value, now), expect, "{value:?}");
        }
    }
}
