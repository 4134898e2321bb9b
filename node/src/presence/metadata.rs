//! What metadata may be: a JSON object of at most 131,072 bytes and 64 levels.
//!
//! The limits count the compact form with sorted keys, which is also what is signed and sent:
//! white space costs nothing.

use std::io;

use hedgerow_core::limits::METADATA_BYTES_MAX;
use serde::Serialize;
use serde_json::Value;

use super::JsonObject;

/// How deep metadata may be nested, the object itself being level 1: every parser takes this,
/// most stop at 128, and the graph adds levels of its own.
pub const METADATA_DEPTH_MAX: usize = 64;

/// Above this many bytes a warning is due: a slow radio takes most of a second for each 4 KiB
/// and each peer.
pub const METADATA_BYTES_WARN: usize = 4_096;

/// Why something is not metadata.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// The text is not JSON.
    #[error("metadata is not JSON: {source}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in bytes.
        column: usize,
        /// What the parser says; its message ends with the place.
        source: serde_json::Error,
    },
    /// The text is JSON, but not an object.
    #[error("metadata is a JSON object in braces, this is {found}")]
    NotAnObject {
        /// What it is instead, such as `an array`.
        found: &'static str,
    },
    /// Nested too deep.
    #[error("metadata is nested at most {METADATA_DEPTH_MAX} levels deep, this is deeper")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// Too large.
    #[error("metadata has at most {METADATA_BYTES_MAX} bytes as JSON, this has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The value has no form in JSON, such as a map whose keys are not strings.
    #[error("metadata cannot be written as JSON: {source}")]
    NotSerializable {
        /// Why.
        source: serde_json::Error,
    },
}

/// Metadata that keeps the limits, with its canonical form.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    object: JsonObject,
    json: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { object: JsonObject::new(), json: "{}".into() }
    }
}

impl Metadata {
    /// The object.
    #[must_use]
    pub fn object(&self) -> &JsonObject {
        &self.object
    }

    /// The object, taken out.
    #[must_use]
    pub fn into_object(self) -> JsonObject {
        self.object
    }

    /// The canonical form: compact JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// Checks a JSON text as one's own metadata.
///
/// # Errors
/// [`MetadataError`]; of a text without quotes around a key, `{location:"inside"}`, it gives
/// the place.
pub fn validate_json_str(json: &str) -> Result<Metadata, MetadataError> {
    validate_json_data(json.as_bytes())
}

/// Checks JSON in UTF-8 as one's own metadata.
///
/// # Errors
/// [`MetadataError`].
pub fn validate_json_data(json: &[u8]) -> Result<Metadata, MetadataError> {
    let object = parse(json)?;
    // Compact, and with sorted keys: the map is ordered.
    let json = serde_json::to_string(&object).map_err(not_serializable)?;
    check_size(json.len())?;
    Ok(Metadata { object, json })
}

/// Checks a value as one's own metadata: a struct or a map with string keys.
///
/// # Errors
/// [`MetadataError`].
pub fn validate(value: &(impl Serialize + ?Sized)) -> Result<Metadata, MetadataError> {
    let mut writer = DepthLimited { depth: Depth::default(), written: Vec::new() };
    let result = serde_json::to_writer(&mut writer, value);
    if writer.depth.is_exceeded() {
        return Err(too_deep());
    }
    result.map_err(not_serializable)?;
    validate_json_data(&writer.written)
}

/// Parses the metadata of another peer. The caller counts what is invalid and shows none.
///
/// Costs at most the parsing of 131,072 bytes, whatever the bytes are.
///
/// # Errors
/// [`MetadataError`].
pub fn parse_remote(json: &[u8]) -> Result<JsonObject, MetadataError> {
    check_size(json.len())?;
    parse(json)
}

fn parse(json: &[u8]) -> Result<JsonObject, MetadataError> {
    let mut depth = Depth::default();
    depth.read(json);
    if depth.is_exceeded() {
        return Err(too_deep());
    }
    let value = serde_json::from_slice(json).map_err(|source| MetadataError::Syntax {
        line: source.line(),
        column: source.column(),
        source,
    })?;
    let found = match value {
        Value::Object(object) => return Ok(object),
        Value::Array(_) => "an array",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
        Value::Null => "null",
    };
    Err(MetadataError::NotAnObject { found })
}

fn check_size(bytes: usize) -> Result<(), MetadataError> {
    if bytes > METADATA_BYTES_MAX {
        return Err(MetadataError::TooLarge { bytes, bytes_max: METADATA_BYTES_MAX });
    }
    Ok(())
}

fn too_deep() -> MetadataError {
    MetadataError::TooDeep { depth_max: METADATA_DEPTH_MAX }
}

fn not_serializable(source: serde_json::Error) -> MetadataError {
    MetadataError::NotSerializable { source }
}

/// Counts open brackets in JSON text, without a stack that deep text could exhaust.
#[derive(Default)]
struct Depth {
    open: usize,
    deepest: usize,
    place: Place,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Place {
    #[default]
    Outside,
    InString,
    AfterBackslash,
}

impl Depth {
    fn read(&mut self, json: &[u8]) {
        for byte in json {
            self.place = match (self.place, byte) {
                (Place::Outside, b'"') | (Place::AfterBackslash, _) => Place::InString,
                (Place::InString, b'"') => Place::Outside,
                (Place::InString, b'\\') => Place::AfterBackslash,
                (place, _) => place,
            };
            if self.place == Place::Outside {
                match byte {
                    b'{' | b'[' => self.open += 1,
                    b'}' | b']' => self.open = self.open.saturating_sub(1),
                    _ => {}
                }
                self.deepest = self.deepest.max(self.open);
            }
        }
    }

    fn is_exceeded(&self) -> bool {
        self.deepest > METADATA_DEPTH_MAX
    }
}

/// Stops a serializer that goes too deep, before it exhausts the stack.
struct DepthLimited {
    depth: Depth,
    written: Vec<u8>,
}

impl io::Write for DepthLimited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.depth.read(bytes);
        if self.depth.is_exceeded() {
            return Err(io::Error::other("too deep"));
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
