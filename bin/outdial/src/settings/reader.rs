//! Typed values out of raw ones. What is wrong is collected, so that one run tells all of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};
use outdial_domain::Secret;

use super::layers::{Entries, Origin, variable_of};

/// A value was wrong, and the reader knows why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reported;

/// A value, unless it was wrong.
pub(super) type Read<T> = Result<T, Reported>;

/// Takes what is secret out of a text.
pub(super) type Mask = fn(&str) -> String;

/// How to show the values of settings that are secret, or have a secret in them.
pub(super) type Masks = BTreeMap<&'static str, Mask>;

/// Reads entries; keeps what is wrong with them, which were asked for and how secrets are shown.
pub(super) struct Reader<'a> {
    entries: &'a Entries,
    problems: RefCell<Vec<String>>,
    asked: RefCell<BTreeSet<&'static str>>,
    masks: RefCell<Masks>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(entries: &'a Entries) -> Self {
        Self {
            entries,
            problems: RefCell::default(),
            asked: RefCell::default(),
            masks: RefCell::default(),
        }
    }

    /// All problems, the keys that were read, and how those with secrets are shown.
    pub(super) fn finish(self) -> (Vec<String>, BTreeSet<&'static str>, Masks) {
        (self.problems.into_inner(), self.asked.into_inner(), self.masks.into_inner())
    }

    /// Adds a problem of several keys together.
    pub(super) fn problem(&self, text: impl Into<String>) -> Reported {
        self.problems.borrow_mut().push(text.into());
        Reported
    }

    /// A text that `parse` turns into a value; its error says the rule and the fix.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Read<T> {
        let text = self.text(key)?;
        parse(&text).map_err(|rule| self.wrong(key, rule))
    }

    /// Like [`parsed`](Self::parsed), of a text that may have a secret in it.
    pub(super) fn parsed_masked<T, E: Display>(
        &self,
        key: &'static str,
        mask: Mask,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Read<T> {
        self.masks.borrow_mut().insert(key, mask);
        self.parsed(key, parse)
    }

    pub(super) fn text(&self, key: &'static str) -> Read<String> {
        match self.value(key)?.kind {
            ValueKind::String(text) => Ok(text.trim().to_owned()),
            _ => Err(self.wrong(key, "must be a text in quotes")),
        }
    }

    /// A secret that may be empty. Its value is never shown, not even in an error.
    pub(super) fn secret(&self, key: &'static str) -> Read<Option<Secret>> {
        self.masks.borrow_mut().insert(key, hidden);
        let text = self.text(key)?;
        Ok((!text.is_empty()).then(|| Secret::new(text)))
    }

    /// A secret that `parse` turns into a value.
    pub(super) fn parsed_secret<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&Secret) -> Result<T, &'static str>,
    ) -> Read<Option<T>> {
        let secret = self.secret(key)?;
        secret.map(|secret| parse(&secret).map_err(|rule| self.wrong(key, rule))).transpose()
    }

    pub(super) fn flag(&self, key: &'static str) -> Read<bool> {
        let value = self.value(key)?;
        let flag = match &value.kind {
            ValueKind::Boolean(flag) => Some(*flag),
            ValueKind::String(text) if self.is_variable(key) => text.trim().parse().ok(),
            _ => None,
        };
        flag.ok_or_else(|| self.wrong(key, "must be true or false"))
    }

    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u32>) -> Read<u32> {
        let value = self.value(key)?;
        let number = match &value.kind {
            ValueKind::String(text) if self.is_variable(key) => text.trim().parse().ok(),
            ValueKind::I64(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.wrong(key, format!("must be a whole number from {low} to {high}"))
        })
    }

    pub(super) fn number(&self, key: &'static str, range: RangeInclusive<f64>) -> Read<f64> {
        let value = self.value(key)?;
        let number = match &value.kind {
            ValueKind::String(text) if self.is_variable(key) => text.trim().parse().ok(),
            ValueKind::Float(number) => Some(*number),
            ValueKind::I64(number) => i32::try_from(*number).ok().map(f64::from),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            self.wrong(key, format!("must be a number from {low} to {high}"))
        })
    }

    pub(super) fn duration(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Read<Duration> {
        let value = self.value(key)?;
        duration(&value, &range).map_err(|rule| self.wrong(key, rule))
    }

    /// A list of at most `most` durations; in the environment separated by commas.
    pub(super) fn durations(
        &self,
        key: &'static str,
        most: usize,
        range: RangeInclusive<Duration>,
    ) -> Read<Vec<Duration>> {
        let items = match self.value(key)?.kind {
            ValueKind::Array(items) => items,
            ValueKind::String(text) if self.is_variable(key) => {
                text.split(',').map(|item| Value::new(None, item.trim())).collect()
            }
            _ => return Err(self.wrong(key, "must be a list like [\"5s\", \"30s\"]")),
        };
        if items.len() > most {
            return Err(self.wrong(key, format!("may hold {most} items at most")));
        }
        let items = items.iter().map(|item| duration(item, &range)).collect::<Result<_, _>>();
        items.map_err(|rule| self.wrong(key, format!("each item {rule}")))
    }

    fn value(&self, key: &'static str) -> Read<Value> {
        self.asked.borrow_mut().insert(key);
        let entry = self.entries.get(key);
        let missing = || self.problem(format!("{key} has no default: this is a bug"));
        entry.map(|entry| entry.value.clone()).ok_or_else(missing)
    }

    fn is_variable(&self, key: &str) -> bool {
        let origin = self.entries.get(key).map(|entry| &entry.origin);
        matches!(origin, Some(Origin::Variable(_)))
    }

    fn wrong(&self, key: &'static str, rule: impl Display) -> Reported {
        let Some(entry) = self.entries.get(key) else { return Reported };
        let value = show_masked(&entry.value, self.masks.borrow().get(key));
        let place = match &entry.origin {
            Origin::Variable(_) => format!("environment variable {}", variable_of(key)),
            other => other.to_string(),
        };
        self.problem(format!("{key} = {value} ({place}): {rule}"))
    }
}

fn duration(value: &Value, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    const RULE: &str = "must be a duration in quotes: a number and a unit, like \"500ms\", \"10s\", \
                        \"5m\" or \"1h 30m\"";
    let ValueKind::String(text) = &value.kind else { return Err(RULE.to_owned()) };
    let duration = match text.trim() {
        "0" => Duration::ZERO,
        text => humantime::parse_duration(text).map_err(|_| RULE.to_owned())?,
    };
    if range.contains(&duration) {
        return Ok(duration);
    }
    let show = humantime::format_duration;
    Err(format!("must be from {} to {}", show(*range.start()), show(*range.end())))
}

/// Shows only whether there is a secret.
fn hidden(text: &str) -> String {
    if text.is_empty() { String::new() } else { "***".to_owned() }
}

/// A value as TOML writes it, without what is secret.
pub(super) fn show_masked(value: &Value, mask: Option<&Mask>) -> String {
    match (mask, &value.kind) {
        (None, _) => show(value),
        (Some(mask), ValueKind::String(text)) => toml_text(&mask(text)),
        (Some(_), _) => toml_text("***"),
    }
}

/// A value as TOML writes it.
fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => toml_text(text),
        ValueKind::Array(items) => {
            format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        ValueKind::Table(_) => "{…}".to_owned(),
        ValueKind::Float(number) => format!("{number:?}"),
        _ => value.to_string(),
    }
}

/// JSON's string escapes are all TOML escapes.
fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
