//! What the environment says over a file.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{Config, ConfigError};

/// What the environment variables of Hedgerow say. One that is empty counts as not set.
///
/// A command line goes over the environment, the environment over a file: load the file, apply
/// this, then the flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// `HEDGEROW_HOME`: the home folder.
    pub home: Option<PathBuf>,
    /// `HEDGEROW_NETWORK`: the network's name.
    pub network: Option<String>,
    /// `HEDGEROW_NAME`: the device's name.
    pub device_name: Option<String>,
}

impl Environment {
    /// Reads the variables of this process.
    ///
    /// # Errors
    /// [`ConfigError::NotUnicode`] for a name that is not UTF-8.
    pub fn read() -> Result<Self, ConfigError> {
        Self::read_with(|name| env::var_os(name))
    }

    fn read_with(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name| {
            let unicode = |value: OsString| value.into_string();
            set(name).map(unicode).transpose().map_err(|_| ConfigError::NotUnicode { name })
        };
        Ok(Self {
            home: set("HEDGEROW_HOME").map(PathBuf::from),
            network: text("HEDGEROW_NETWORK")?,
            device_name: text("HEDGEROW_NAME")?,
        })
    }

    /// Puts what is set over `config`. The home folder is not part of a configuration.
    pub fn apply(&self, config: &mut Config) {
        if let Some(network) = &self.network {
            config.network.name.clone_from(network);
        }
        if let Some(name) = &self.device_name {
            config.device_name = Some(name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_goes_over_the_file_and_what_is_empty_does_not() {
        let environment = Environment::read_with(|name| match name {
            "HEDGEROW_HOME" => Some("/h".into()),
            "HEDGEROW_NETWORK" => Some("work".into()),
            _ => Some(OsString::new()),
        });
        let environment = environment.unwrap();
        assert_eq!(environment.home, Some("/h".into()));
        let mut config = Config { device_name: Some("kept".into()), ..Config::default() };
        environment.apply(&mut config);
        assert_eq!(config.network.name, "work");
        assert_eq!(config.device_name.as_deref(), Some("kept"));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_text_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        let result = Environment::read_with(|_| Some(OsString::from_vec(vec![0xff])));
        assert!(matches!(result, Err(ConfigError::NotUnicode { name: "HEDGEROW_NETWORK" })));
    }
}
