//! From text to a configuration.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{Config, ConfigError, Place};

impl Config {
    /// The configuration of a TOML text. Its values are not validated.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let place = error.span().map(|span| place_of(text, span.start));
            syntax_error(error.message().to_owned(), place)
        })
    }

    /// The configuration of a JSON text. Its values are not validated.
    ///
    /// # Errors
    /// [`ConfigError::Syntax`].
    pub fn from_json_str(text: &str) -> Result<Self, ConfigError> {
        parse_json(text)
    }

    /// The configuration of a file, validated: JSON if its name ends in `.json`, TOML otherwise.
    /// Relative paths in it start at the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`], with the file's name.
    pub fn load(file: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let file = file.as_ref();
        let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let is_json = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let parsed = if is_json { Self::from_json_str(&text) } else { Self::from_toml_str(&text) };
        let mut config = parsed.and_then(Self::validated).map_err(|error| error.in_file(file))?;
        if let (Some(secret), Some(folder)) = (&mut config.network.secret_file, file.parent()) {
            *secret = folder.join(&secret);
        }
        Ok(config)
    }
}

fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    serde_json::from_str(text).map_err(|error| {
        let place = Place { line: error.line(), column: error.column() };
        let message = error.to_string();
        // The parser ends its message with the place, which is told in front already.
        let end = format!(" at line {} column {}", place.line, place.column);
        syntax_error(message.trim_end_matches(&end).to_owned(), Some(place))
    })
}

fn syntax_error(message: String, place: Option<Place>) -> ConfigError {
    let suggestion = nearest_key(&message);
    ConfigError::Syntax { file: None, place, message, suggestion }
}

/// The known key that looks most like the unknown one that `message` complains about.
///
/// The message is serde's: "unknown field `a`, expected one of `b`, `c`", for variants alike.
fn nearest_key(message: &str) -> Option<String> {
    let names = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let mut names = names.collect::<Vec<_>>().into_iter();
    let unknown = names.next()?;
    let likeness = |known: &&str| strsim::jaro_winkler(unknown, known);
    let nearest = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&nearest) > 0.8).then(|| nearest.to_owned())
}

fn place_of(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).map_or(0, |line| line.chars().count()) + 1,
    }
}
