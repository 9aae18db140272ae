use mongodb::bson::doc;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Any JSON: odd keys, numbers at the edges, deep nesting.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        any::<String>(),
        "[$%.\\x00a-c0-9]{0,6}",
        Just("%json".to_owned()),
        Just("$date".to_owned()),
        Just("$oid".to_owned()),
        Just("%25json".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// How deep a document is nested.
fn depth(value: &Bson) -> usize {
    match value {
        Bson::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Bson::Document(document) => 1 + document.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn keys(value: &Bson, seen: &mut Vec<String>) {
    match value {
        Bson::Array(items) => items.iter().for_each(|item| keys(item, seen)),
        Bson::Document(document) => {
            for (key, value) in document {
                seen.push(key.clone());
                keys(value, seen);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_json_comes_back_equal(value in any_json()) {
        let value = json!({ "it": value });
        let document = encode(&value).unwrap();
        // Through the bytes: what the driver would refuse fails here.
        let bytes = document.to_vec().unwrap();
        let document = Document::from_reader(bytes.as_slice()).unwrap();
        prop_assert_eq!(decode::<Value>(&document).unwrap(), value);
    }

    #[test]
    fn no_name_of_a_field_means_anything_to_the_database(value in any_json()) {
        let document = Bson::Document(encode(&json!({ "it": value })).unwrap());
        let mut seen = Vec::new();
        keys(&document, &mut seen);
        for key in seen {
            prop_assert!(!key.starts_with('$') && !key.contains(['.', '\0']), "{}", key);
        }
    }

    #[test]
    fn keys_come_back(key in any::<String>()) {
        prop_assert_eq!(read_key(&write_key(&key)), key);
    }

    #[test]
    fn stored_documents_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::from_reader(bytes.as_slice()) {
            let _ = decode::<Value>(&document);
            let _ = get_time(&document, "at");
        }
    }

    #[test]
    fn times_come_back_exact(seconds in -8_334_601_228_800_i64..8_210_266_876_799, nanos in 0_u32..1_000_000_000) {
        let time = DateTime::from_timestamp(seconds, nanos).unwrap();
        let mut document = Document::new();
        put_time(&mut document, "at", time);
        prop_assert_eq!(get_time(&document, "at").unwrap(), Some(time));
    }
}

#[test]
fn what_is_too_deep_is_kept_as_text() {
    let mut value = json!(1);
    for _ in 0..100 {
        value = json!([value]);
    }
    let value = json!({ "deep": value });
    let document = encode(&value).unwrap();
    assert!(depth(&Bson::Document(document.clone())) <= DEPTH + 2);
    assert_eq!(decode::<Value>(&document).unwrap(), value);
}

#[test]
fn extended_json_stays_what_it_was() {
    let value =
        json!({"$date": "2026-01-01T00:00:00Z", "of": {"$oid": "0123456789abcdef01234567"}});
    let document = encode(&value).unwrap();
    assert_eq!(document.get_str("%24date").unwrap(), "2026-01-01T00:00:00Z");
    assert_eq!(decode::<Value>(&document).unwrap(), value);
}

#[test]
fn whole_numbers_are_64_bits_wide() {
    let document = encode(&json!({"small": 1, "large": u64::MAX, "float": 1.0})).unwrap();
    assert_eq!(document.get("small"), Some(&Bson::Int64(1)));
    assert_eq!(document.get("large"), Some(&Bson::Document(doc! {"%json": u64::MAX.to_string()})));
    assert_eq!(document.get("float"), Some(&Bson::Double(1.0)));
}

#[test]
fn what_the_shell_writes_is_read() {
    let time = bson::DateTime::from_millis(1_500);
    let document = doc! {"number": 7_i32, "time": time};
    let read: Value = decode(&document).unwrap();
    assert_eq!(read, json!({"number": 7, "time": "1970-01-01T00:00:01.500Z"}));
}

#[test]
fn odd_values_are_damage() {
    let far = bson::DateTime::from_millis(i64::MAX);
    for odd in [Bson::MinKey, Bson::DateTime(far), Bson::Double(f64::NAN)] {
        let fault = decode::<Value>(&doc! {"it": odd}).unwrap_err();
        assert_eq!(fault.kind(), outdial_domain::ErrorKind::Corrupt);
    }
    assert!(get_time(&doc! {"at": bson::DateTime::from_millis(i64::MIN)}, "at").is_err());
    assert!(get_time(&doc! {"at": "soon"}, "at").is_err());
    assert_eq!(get_time(&doc! {"at": null}, "at").unwrap(), None);
    let odd_rest = doc! {"at": bson::DateTime::from_millis(0), "at_ns": i64::MAX};
    assert!(get_time(&odd_rest, "at").is_ok());
}
