//! How values become documents, and back.
//!
//! Exact records go through JSON: what a newer program has added stays, and a text that looks like
//! MongoDB's extended JSON (`{"$date": …}`) stays what it was.

use chrono::{DateTime, SecondsFormat, Utc};
use mongodb::bson::{self, Bson, Document};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::fault::{Fault, Outcome};

/// The key of a value that BSON cannot hold, kept as its JSON text. No other key begins with a bare
/// `%`.
const AS_TEXT: &str = "%json";

/// How deep documents are nested; what lies deeper is kept as text. MongoDB takes 100 levels.
const DEPTH: usize = 60;

/// The value, which has to be a struct or a map, as a document.
pub(crate) fn encode<T: Serialize>(value: &T) -> Outcome<Document> {
    match serde_json::to_value(value).map_err(Fault::Encode)? {
        Value::Object(map) => Ok(object(map)),
        _ => Err(Fault::corrupt("what is to be stored is no document")),
    }
}

/// The inverse of [`encode`].
pub(crate) fn decode<T: DeserializeOwned>(document: &Document) -> Outcome<T> {
    serde_json::from_value(Value::Object(read_object(document)?)).map_err(Fault::Decode)
}

pub(crate) fn object(map: Map<String, Value>) -> Document {
    fields(map, DEPTH)
}

fn fields(map: Map<String, Value>, depth: usize) -> Document {
    map.into_iter().map(|(key, value)| (write_key(&key), to_bson(value, depth))).collect()
}

pub(crate) fn read_object(document: &Document) -> Outcome<Map<String, Value>> {
    document.iter().map(|(key, value)| Ok((read_key(key), to_json(value)?))).collect()
}

fn to_bson(value: Value, depth: usize) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Bson::Int64(number),
            (None, Some(float)) if number.is_f64() => Bson::Double(float),
            _ => as_text(&Value::Number(number)),
        },
        Value::String(text) => Bson::String(text),
        nested if depth == 0 => as_text(&nested),
        Value::Array(items) => items.into_iter().map(|item| to_bson(item, depth - 1)).collect(),
        Value::Object(map) => Bson::Document(fields(map, depth - 1)),
    }
}

fn as_text(value: &Value) -> Bson {
    Bson::Document(Document::from_iter([(AS_TEXT.to_owned(), Bson::String(value.to_string()))]))
}

fn to_json(value: &Bson) -> Outcome<Value> {
    Ok(match value {
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Boolean(value) => Value::Bool(*value),
        // The shell writes whole numbers in 32 bits.
        Bson::Int32(number) => Value::Number((*number).into()),
        Bson::Int64(number) => Value::Number((*number).into()),
        Bson::Double(number) => Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| Fault::corrupt("a stored document has a number that is none"))?,
        Bson::String(text) => Value::String(text.clone()),
        Bson::DateTime(time) => match DateTime::from_timestamp_millis(time.timestamp_millis()) {
            Some(time) => Value::String(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            None => return Err(Fault::corrupt("a stored document has a time out of all bounds")),
        },
        Bson::Array(items) => Value::Array(items.iter().map(to_json).collect::<Outcome<_>>()?),
        Bson::Document(document) => match document.get(AS_TEXT) {
            Some(Bson::String(text)) => serde_json::from_str(text).map_err(Fault::Decode)?,
            _ => Value::Object(read_object(document)?),
        },
        _ => return Err(Fault::corrupt("a stored document has a value of an unknown type")),
    })
}

/// The characters that may not be in a field's name, or that MongoDB's queries and updates take for
/// something else.
fn write_key(key: &str) -> String {
    let mut written = String::with_capacity(key.len());
    for (at, character) in key.char_indices() {
        match character {
            '%' => written.push_str("%25"),
            '\0' => written.push_str("%00"),
            '.' => written.push_str("%2E"),
            '$' if at == 0 => written.push_str("%24"),
            other => written.push(other),
        }
    }
    written
}

fn read_key(key: &str) -> String {
    if !key.contains('%') {
        return key.to_owned();
    }
    key.replace("%24", "$").replace("%2E", ".").replace("%00", "\0").replace("%25", "%")
}

/// A time as MongoDB has them, in ms, and the nanoseconds below that.
pub(crate) fn date(time: DateTime<Utc>) -> (bson::DateTime, i32) {
    let millis = time.timestamp_millis();
    let rest = time.timestamp_subsec_nanos() % 1_000_000;
    (bson::DateTime::from_millis(millis), i32::try_from(rest).unwrap_or(0))
}

/// Sets `field` to a time, and `{field}_ns` to the nanoseconds below its ms if there are any.
pub(crate) fn put_time(document: &mut Document, field: &str, time: DateTime<Utc>) {
    let (date, rest) = date(time);
    document.insert(field, date);
    if rest != 0 {
        document.insert(format!("{field}_ns"), rest);
    }
}

/// The inverse of [`put_time`].
pub(crate) fn get_time(document: &Document, field: &str) -> Outcome<Option<DateTime<Utc>>> {
    let millis = match document.get(field) {
        None | Some(Bson::Null) => return Ok(None),
        Some(Bson::DateTime(date)) => date.timestamp_millis(),
        Some(_) => return Err(bad_time(field)),
    };
    let rest = match document.get(format!("{field}_ns")) {
        Some(Bson::Int32(rest)) => i64::from(*rest),
        Some(Bson::Int64(rest)) => *rest,
        _ => 0,
    };
    let time = DateTime::from_timestamp_millis(millis).ok_or_else(|| bad_time(field))?;
    let rest = chrono::TimeDelta::nanoseconds(rest.clamp(0, 999_999));
    time.checked_add_signed(rest).ok_or_else(|| bad_time(field)).map(Some)
}

fn bad_time(field: &str) -> Fault {
    Fault::corrupt(format!("a stored document cannot be read: {field} is no time"))
}

#[cfg(test)]
mod tests;
