//! The fields of a JSON object, taken out one by one.

use serde_json::{Map, Value};

use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// A JSON object that is being read: every field is taken once, what is left over is unknown.
pub(crate) struct Fields {
    object: Map<String, Value>,
    asked: Vec<&'static str>,
}

impl Fields {
    pub(crate) fn new(object: Map<String, Value>) -> Self {
        Self { object, asked: Vec::new() }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&mut self, name: &'static str, rule: impl Rule<T>) -> Result<T> {
        match self.take(name) {
            Some(Value::Null) => Err(null(name)),
            Some(value) => rule.read(name, value),
            None => {
                Err(ApiError::field(ErrorCode::MissingField, name, format!("{name} is missing"))
                    .hint(rule.hint()))
            }
        }
    }

    /// A field that may be absent or `null`, which is the same.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        rule: impl Rule<T>,
    ) -> Result<Option<T>> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => rule.read(name, value).map(Some),
        }
    }

    /// A change of a field that always has a value: absent leaves it as it is.
    pub(crate) fn change<T>(
        &mut self,
        name: &'static str,
        rule: impl Rule<T>,
    ) -> Result<Option<T>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Err(null(name)),
            Some(value) => rule.read(name, value).map(Some),
        }
    }

    /// A change of a field that may be without a value: absent leaves it as it is, `null` clears it.
    pub(crate) fn clearable<T>(
        &mut self,
        name: &'static str,
        rule: impl Rule<T>,
    ) -> Result<Option<Option<T>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => rule.read(name, value).map(|value| Some(Some(value))),
        }
    }

    /// A field that exists but cannot be changed.
    pub(crate) fn fixed(&mut self, name: &'static str) -> Result<()> {
        match self.take(name) {
            None => Ok(()),
            Some(_) => Err(ApiError::field(
                ErrorCode::InvalidField,
                name,
                format!("{name} cannot be changed"),
            )
            .hint("leave it out, or create a new resource")),
        }
    }

    /// Ends the reading: fields that nobody asked for are refused.
    pub(crate) fn finish(self) -> Result<()> {
        match self.object.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(unknown("field", &name, &self.asked)),
        }
    }

    /// Ends the reading: gives the names of fields that nobody asked for.
    pub(crate) fn leftover(self) -> Vec<String> {
        self.object.into_iter().map(|(name, _)| name).collect()
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.asked.push(name);
        self.object.remove(name)
    }
}

/// How a value becomes a `T`, and what to say when it cannot.
pub(crate) trait Rule<T> {
    /// Reads the value of the field `name`.
    fn read(&self, name: &'static str, value: Value) -> Result<T>;

    /// What the field looks like, as a hint to somebody who left it out.
    fn hint(&self) -> String;
}

pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> ApiError {
    let name = shown(name);
    let message = format!("{what} {name:?} is not known here");
    ApiError::field(ErrorCode::UnknownField, name, message)
        .hint(format!("known are: {}", known.join(", ")))
}

/// A text of the caller as it may be repeated in an answer.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn null(name: &'static str) -> ApiError {
    ApiError::field(ErrorCode::InvalidField, name, format!("{name} must not be null"))
}
