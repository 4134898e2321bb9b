//! What can be wrong with a configuration, and how it is told.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The path of the key, such as `connect.tcp_servers[0]`.
    pub path: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// At least one [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

/// One a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// A place in a text; both count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not TOML or JSON, or a key or value in it is not one of a configuration.
    #[error("{}: {message}{}", Source(file.as_ref(), *place), Hint(suggestion.as_deref()))]
    Syntax {
        /// Which file; `None` for text from elsewhere.
        file: Option<PathBuf>,
        /// Where in it, if the parser says.
        place: Option<Place>,
        /// What is wrong there.
        message: String,
        /// The known key that looks most like an unknown one.
        suggestion: Option<String>,
    },
    /// The text is in order, but some values cannot be used.
    #[error("{}:\n{problems}", Source(file.as_ref(), None))]
    Problems {
        /// Which file; `None` for a configuration from elsewhere.
        file: Option<PathBuf>,
        /// Which values, and why.
        problems: Problems,
    },
    /// An environment variable is not UTF-8.
    #[error("the environment variable {name} is not UTF-8: set it anew or unset it")]
    NotUnicode {
        /// Its name.
        name: &'static str,
    },
}

impl ConfigError {
    /// The same error, of that file.
    pub(super) fn in_file(mut self, path: &std::path::Path) -> Self {
        if let Self::Syntax { file, .. } | Self::Problems { file, .. } = &mut self {
            *file = Some(path.to_owned());
        }
        self
    }
}

/// `config.toml:3:7`, or words for text without a file.
struct Source<'a>(Option<&'a PathBuf>, Option<Place>);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("configuration")?,
        }
        match (self.0, self.1) {
            (_, None) => Ok(()),
            (Some(_), Some(Place { line, column })) => write!(f, ":{line}:{column}"),
            (None, Some(Place { line, column })) => write!(f, ", line {line}, column {column}"),
        }
    }
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |key| write!(f, "; did you mean `{key}`?"))
    }
}
