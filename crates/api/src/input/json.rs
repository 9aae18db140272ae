//! JSON as strict as an API can wish: no doubled keys, and a bounded depth.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use super::fields::shown;
use crate::code::ErrorCode;
use crate::error::{ApiError, Result};

/// How deep arrays and objects may be nested. Far below the 128 at which serde_json refuses to read:
/// what is stored here is wrapped a few levels deeper and must still be readable everywhere.
pub(crate) const MAX_DEPTH: usize = 32;

/// Reads one JSON object.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(invalid("the body is empty").hint("send a JSON object"));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        return Err(invalid(format!("the body is not UTF-8: see byte {at}")));
    }
    let fault = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: 0, fault: &fault }.deserialize(&mut reader);
    let value = read
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| fault.take().unwrap_or_else(|| syntax(bytes, &error)))?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(invalid(format!("the body must be a JSON object, not {}", kind(&other)))),
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::InvalidJson, message)
}

fn syntax(bytes: &[u8], error: &serde_json::Error) -> ApiError {
    if error.classify() == Category::Eof {
        return invalid(format!("the JSON breaks off at byte {}", bytes.len()))
            .hint("send the whole body, with the right Content-Length");
    }
    // serde_json's own words name the place: "expected `,` or `}` at line 1 column 9".
    invalid(format!("the body is not JSON: {error}"))
}

/// Reads any value; remembers in `fault` what it refused, as serde_json keeps only texts.
struct Strict<'a> {
    depth: usize,
    fault: &'a RefCell<Option<ApiError>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            let message = format!("the JSON is nested deeper than {MAX_DEPTH} levels");
            return Err(self.refuse(invalid(message).hint("flatten it")));
        }
        Ok(Strict { depth: self.depth + 1, fault: self.fault })
    }

    fn refuse<E: serde::de::Error>(&self, error: ApiError) -> E {
        *self.fault.borrow_mut() = Some(error);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                let key = shown(&key);
                let message = format!("the key {key:?} stands twice in one object");
                let error = ApiError::field(ErrorCode::InvalidJson, key, message);
                return Err(self.refuse(error.hint("send every key once")));
            }
            let value = entries.next_value_seed(self.deeper()?)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &[u8], expect: Result<&str, &str>) {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        match (parse_object(body), expect) {
            (Ok(object), Ok(json)) => assert_eq!(Value::Object(object).to_string(), json),
            (Err(error), Err(part)) => {
                assert_eq!(error.code(), ErrorCode::InvalidJson, "{shown}");
                let text = error.to_string();
                assert!(text.contains(part), "{shown}: {text}");
            }
            (got, _) => panic!("{shown}: {got:?}"),
        }
    }

    #[test]
    fn objects_are_read_and_everything_else_is_refused_with_its_place() {
        check(
            br#" {"a": [1, -2, 0.5, true, null, "x"]} "#,
            Ok(r#"{"a":[1,-2,0.5,true,null,"x"]}"#),
        );
        check(b"{}", Ok("{}"));
        check(b"", Err("empty"));
        check(b" \n", Err("empty"));
        check(b"[]", Err("not an array"));
        check(b"\"x\"", Err("not a string"));
        check(b"null", Err("not null"));
        check(b"{\"a\": 1", Err("breaks off at byte 7"));
        check(b"{\"a\": tru", Err("breaks off at byte 9"));
        check(b"{\"a\" 1}", Err("line 1 column 6"));
        check(b"{'a': 1}", Err("line 1 column 2"));
        check(b"{} {}", Err("trailing characters"));
        check(b"{\"a\": 1,}", Err("trailing comma"));
        check(b"{\"a\": NaN}", Err("expected value"));
        check(b"{\"a\": 1e999}", Err("out of range"));
        check(br#"{"a": "\ud800"}"#, Err("hex escape"));
        check(b"{\"a\": \"\x01\"}", Err("control character"));
        check(b"{\"a\": \"\xff\"}", Err("not UTF-8: see byte 7"));
        check(b"\xef\xbb\xbf{}", Err("expected value"));
    }

    #[test]
    fn doubled_keys_are_refused_at_any_depth() {
        check(br#"{"a": 1, "a": 2}"#, Err("\"a\" stands twice"));
        check(br#"{"a": [{"b": {"c": 1, "c": 2}}]}"#, Err("\"c\" stands twice"));
        check(br#"{"a": 1, "\u0061": 2}"#, Err("\"a\" stands twice"));
        check(br#"{"a": {"x": 1}, "b": {"x": 1}}"#, Ok(r#"{"a":{"x":1},"b":{"x":1}}"#));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!("{{\"a\":{open}{close}}}").into_bytes()
        };
        assert!(parse_object(&nested(MAX_DEPTH - 1)).is_ok());
        check(&nested(MAX_DEPTH + 1), Err("nested deeper"));
        check(&vec![b'['; 100_000], Err("nested deeper"));
        check("{\"a\":".repeat(20_000).as_bytes(), Err("nested deeper"));
    }
}
