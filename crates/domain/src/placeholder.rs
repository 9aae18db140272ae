//! Placeholders in prompts and start instructions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What becomes of a placeholder for which the metadata has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// It becomes empty text.
    #[default]
    Empty,
    /// It stays in the text as it was written.
    Keep,
    /// The call is refused with 400.
    Reject,
}

/// Which placeholders had no value, and which metadata keys no text used. Both sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlaceholderReport {
    /// Placeholders without a value and without a default.
    pub missing: BTreeSet<String>,
    /// Top-level metadata keys that no placeholder used.
    pub unused: BTreeSet<String>,
}

/// Replaces `{{key}}`, `{{ customer.name }}` and `{{name | default text}}` in `texts`, in order.
///
/// Text values are put in as they are (nothing is escaped), numbers and booleans as text, objects
/// and arrays as JSON; `null` counts as missing. A key with dots is looked up whole first, then as
/// a path. Values are never scanned again, so metadata cannot smuggle placeholders in. Braces that
/// are no placeholder (`{{}}`, `{{a b}}`, an unclosed `{{`) stay as they are.
///
/// ```
/// use outdial_domain::placeholder::{OnMissing, fill};
/// let metadata = serde_json::json!({"name": "Ann", "n": 3, "spare": true});
/// let ([text], report) =
///     fill(["Hi {{ name }}, {{n}} items, {{when|soon}}{{x}}"], metadata.as_object().unwrap(), OnMissing::Empty);
/// assert_eq!(text, "Hi Ann, 3 items, soon");
/// assert!(report.missing.contains("x") && report.unused.contains("spare"));
/// ```
pub fn fill<const N: usize>(
    texts: [&str; N],
    metadata: &Map<String, Value>,
    on_missing: OnMissing,
) -> ([String; N], PlaceholderReport) {
    let mut report =
        PlaceholderReport { missing: BTreeSet::new(), unused: metadata.keys().cloned().collect() };
    let filled = texts.map(|text| fill_one(text, metadata, on_missing, &mut report));
    (filled, report)
}

fn fill_one(
    text: &str,
    metadata: &Map<String, Value>,
    on_missing: OnMissing,
    report: &mut PlaceholderReport,
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        out.push_str(&rest[..open]);
        let inner = &rest[open + 2..];
        let Some((placeholder, after)) = inner
            .split_once("}}")
            .and_then(|(body, after)| Some((Placeholder::parse(body)?, after)))
        else {
            // One brace only: "{{{name}}" still holds a placeholder behind the first brace.
            out.push('{');
            rest = &rest[open + 1..];
            continue;
        };
        let value = lookup(metadata, placeholder.key, &mut report.unused);
        match (value, placeholder.default) {
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                report.missing.insert(placeholder.key.to_owned());
                if on_missing == OnMissing::Keep {
                    out.push_str(&rest[open..rest.len() - after.len()]);
                }
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

struct Placeholder<'a> {
    key: &'a str,
    default: Option<&'a str>,
}

impl<'a> Placeholder<'a> {
    fn parse(body: &'a str) -> Option<Self> {
        let (key, default) = match body.split_once('|') {
            Some((key, default)) => (key.trim(), Some(default.trim())),
            None => (body.trim(), None),
        };
        let is_key = !key.is_empty()
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        is_key.then_some(Self { key, default })
    }
}

fn lookup(
    metadata: &Map<String, Value>,
    key: &str,
    unused: &mut BTreeSet<String>,
) -> Option<String> {
    let value = match metadata.get(key) {
        Some(value) => {
            unused.remove(key);
            value
        }
        None => {
            let (first, path) = key.split_once('.')?;
            let first_value = metadata.get(first)?;
            unused.remove(first);
            path.split('.').try_fold(first_value, |value, part| match value {
                Value::Object(object) => object.get(part),
                Value::Array(items) => items.get(part.parse::<usize>().ok()?),
                _ => None,
            })?
        }
    };
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(text: &str, metadata: Value, on_missing: OnMissing) -> (String, PlaceholderReport) {
        let ([out], report) = fill([text], metadata.as_object().unwrap(), on_missing);
        (out, report)
    }

    fn check(text: &str, metadata: Value, expect: &str) {
        assert_eq!(filled(text, metadata, OnMissing::Empty).0, expect, "{text}");
    }

    #[test]
    fn values() {
        check("Hello {{name}}!", json!({"name": "John <b>"}), "Hello John <b>!");
        check("{{ name }}", json!({"name": "x"}), "x");
        check("{{customer.name}}", json!({"customer": {"name": "Ann"}}), "Ann");
        check("{{customer.name}}", json!({"customer.name": "whole"}), "whole");
        check("{{items.1}}", json!({"items": ["a", "b"]}), "b");
        check("{{n}} {{f}} {{b}}", json!({"n": 3, "f": 1.5, "b": true}), "3 1.5 true");
        check("{{o}}", json!({"o": {"a": 1}}), r#"{"a":1}"#);
        check("{{name | there}}", json!({}), "there");
        check("{{name|there}}", json!({"name": "Ann"}), "Ann");
        check("{{name|}}.", json!({}), ".");
        check("{{x}}", json!({"x": null}), "");
        check("{{größe}}", json!({"größe": "M"}), "M");
    }

    #[test]
    fn what_is_no_placeholder_stays() {
        for text in ["{{}}", "{{ }}", "{{a b}}", "{{a", "a}}", "{a}", "{{|x}}", "", "{", "{{{"] {
            check(text, json!({"a": "1"}), text);
        }
        check("{{{a}}}", json!({"a": "1"}), "{1}");
        check("{{ {{a}}", json!({"a": "1"}), "{{ 1");
    }

    #[test]
    fn values_are_not_scanned_again() {
        check("{{a}}", json!({"a": "{{b}}", "b": "secret"}), "{{b}}");
    }

    #[test]
    fn missing_and_unused_are_reported() {
        let metadata = json!({"used": 1, "spare": 2});
        let (text, report) = filled("{{used}} {{gone}}", metadata.clone(), OnMissing::Keep);
        assert_eq!(text, "1 {{gone}}");
        assert_eq!(report.missing, BTreeSet::from(["gone".to_owned()]));
        assert_eq!(report.unused, BTreeSet::from(["spare".to_owned()]));
        assert_eq!(filled("{{ gone }}", metadata, OnMissing::Keep).0, "{{ gone }}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_text_without_braces_is_unchanged(text in "[{}a.| \\PC]{0,40}") {
            let (out, _) = filled(&text, json!({"a": "v"}), OnMissing::Keep);
            if !text.contains("{{") {
                proptest::prop_assert_eq!(out, text);
            }
        }
    }
}
