use super::*;

fn nested(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

/// An object of exactly `bytes` bytes.
fn sized(bytes: usize) -> String {
    format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8))
}

#[test]
fn a_key_without_quotes_is_an_error_with_its_place() {
    let error = validate_json_str(r#"{location:"inside"}"#).unwrap_err();
    assert!(matches!(error, MetadataError::Syntax { line: 1, column: 2, .. }), "{error:?}");
    assert_eq!(error.to_string(), "metadata is not JSON: key must be a string at line 1 column 2");
}

#[test]
fn only_an_object_will_do() {
    for (json, expected) in [("[1]", "an array"), ("\"a\"", "a string"), ("null", "null")] {
        let error = validate_json_str(json).unwrap_err();
        assert!(matches!(error, MetadataError::NotAnObject { found } if found == expected));
    }
    for broken in ["", "{", "{}x", "{\"a\":}", "\u{feff}{}"] {
        let error = validate_json_str(broken).unwrap_err();
        assert!(matches!(error, MetadataError::Syntax { .. }), "{broken}");
    }
    assert!(matches!(validate_json_data(b"{\"\xff\":1}"), Err(MetadataError::Syntax { .. })));
}

#[test]
fn the_size_limit_is_inclusive() {
    let largest = sized(131_072);
    assert_eq!(validate_json_str(&largest).unwrap().json(), largest);
    assert!(parse_remote(largest.as_bytes()).is_ok());

    let larger = sized(131_073);
    for error in [
        validate_json_str(&larger).unwrap_err(),
        parse_remote(larger.as_bytes()).unwrap_err(),
        validate(&serde_json::json!({"a": "x".repeat(131_073 - 8)})).unwrap_err(),
    ] {
        let expected =
            matches!(error, MetadataError::TooLarge { bytes: 131_073, bytes_max: 131_072 });
        assert!(expected, "{error:?}");
    }
}

#[test]
fn white_space_does_not_count_but_a_peer_sends_none() {
    let spacious = format!("{}{}", " ".repeat(200_000), sized(131_072));
    assert_eq!(validate_json_str(&spacious).unwrap().json().len(), 131_072);
    assert!(matches!(parse_remote(spacious.as_bytes()), Err(MetadataError::TooLarge { .. })));
}

#[test]
fn the_depth_limit_is_64_levels() {
    assert!(validate_json_str(&nested(64)).is_ok());
    assert!(parse_remote(nested(64).as_bytes()).is_ok());
    let deeper = nested(65);
    for error in
        [validate_json_str(&deeper).unwrap_err(), parse_remote(deeper.as_bytes()).unwrap_err()]
    {
        assert!(matches!(error, MetadataError::TooDeep { depth_max: 64 }), "{error:?}");
    }
    let mixed = format!(r#"{{"a":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    assert!(matches!(validate_json_str(&mixed), Err(MetadataError::TooDeep { .. })));
}

#[test]
fn brackets_in_strings_are_not_levels() {
    let json = format!(r#"{{"{0}\"{0}":"\\","b":"{0}"}}"#, "[{".repeat(100));
    assert!(validate_json_str(&json).is_ok());
}

#[test]
fn a_million_brackets_do_not_exhaust_the_stack() {
    for open in ["[", "{\"a\":", "{\"a\":["] {
        let json = open.repeat(1_000_000);
        assert!(matches!(validate_json_str(&json), Err(MetadataError::TooDeep { .. })));
    }
    let remote = "[".repeat(131_072);
    assert!(matches!(parse_remote(remote.as_bytes()), Err(MetadataError::TooDeep { .. })));
}

/// Would serialise for ever.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Endless])
    }
}

#[test]
fn a_value_is_checked_like_a_text() {
    #[derive(Serialize)]
    struct Place {
        room: u32,
        floor: &'static str,
    }
    let place = validate(&Place { room: 4, floor: "2nd" }).unwrap();
    assert_eq!(place.json(), r#"{"floor":"2nd","room":4}"#);
    assert!(matches!(validate(&[1]), Err(MetadataError::NotAnObject { .. })));
    assert!(matches!(validate(&Endless), Err(MetadataError::TooDeep { .. })));
    let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(matches!(validate(&keys), Err(MetadataError::NotSerializable { .. })));
}

#[test]
fn the_canonical_form_is_compact_and_sorted() {
    let metadata = validate_json_str(" { \"b\" : [ 1 ] , \"a\" : \"\\u00e4\" } ").unwrap();
    assert_eq!(metadata.json(), r#"{"a":"ä","b":[1]}"#);
    assert_eq!(parse_remote(metadata.json().as_bytes()).unwrap(), *metadata.object());
    assert_eq!(validate_json_str("{}").unwrap(), Metadata::default());
}
