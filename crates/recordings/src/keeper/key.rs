//! Which keys there are.

use outdial_domain::{Error, ErrorKind, Result};

/// What every key begins with. A keeper touches nothing else of its folder or bucket.
pub(super) const FOLDER: &str = "recordings/";

const MAX_BYTES: usize = 512;

/// Succeeds for `recordings/…` of `[a-z0-9_.-]` and slashes. No part may begin with a dot: there is
/// no way up, and such names are left to the keeper.
pub(super) fn check(operation: &'static str, key: &str) -> Result<()> {
    let wrong = |why: &str| {
        let shown: String = key.chars().take(80).collect();
        Err(Error::new(ErrorKind::Refused, operation, format!("the key {shown:?} {why}")))
    };
    if key.len() > MAX_BYTES {
        return wrong("is longer than 512 bytes");
    }
    let Some(rest) = key.strip_prefix(FOLDER) else {
        return wrong("does not begin with recordings/");
    };
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-/".contains(&b);
    if !rest.bytes().all(allowed) {
        return wrong("holds something else than a-z, 0-9, _ . - and /");
    }
    if rest.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return wrong("has a part that is empty or begins with a dot");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_keys_pass() {
        let long = format!("recordings/{}", "a".repeat(MAX_BYTES));
        for (key, expect) in [
            ("recordings/call_abc-123.ogg", true),
            ("recordings/2026/11/call_abc.ogg", true),
            ("", false),
            ("recordings", false),
            ("recordings/", false),
            ("call_abc.ogg", false),
            ("/recordings/call_abc.ogg", false),
            ("recordings//call_abc.ogg", false),
            ("recordings/../secret", false),
            ("recordings/a/../../secret", false),
            ("recordings/./a", false),
            ("recordings/.incoming/a", false),
            ("recordings/call_ABC.ogg", false),
            ("recordings/call abc.ogg", false),
            ("recordings/call%2e.ogg", false),
            ("recordings/call\0.ogg", false),
            ("recordings/call\n.ogg", false),
            ("recordings/ü.ogg", false),
            ("recordings\\call.ogg", false),
            (long.as_str(), false),
        ] {
            let checked = check("test", key);
            assert_eq!(checked.is_ok(), expect, "{key:?}: {checked:?}");
        }
    }
}
