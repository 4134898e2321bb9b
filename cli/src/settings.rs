//! What a node is told, from its flags, the environment and its configuration file.

use std::path::{Path, PathBuf};

use hedgerow::config::{Config, ConfigError, Environment, WhenFull};
use hedgerow::home::default_folder;

use crate::arguments::UpArguments;
use crate::failure::Failure;

/// The home folder: the flag's, else the environment's, else the platform's.
pub(crate) fn home_folder(flag: Option<PathBuf>) -> Result<PathBuf, Failure> {
    match flag {
        Some(folder) => Ok(folder),
        None => match Environment::read()?.home {
            Some(folder) => Ok(folder),
            None => Ok(default_folder()?),
        },
    }
}

/// The configuration of the node of `home`: flags over environment over file.
pub(crate) fn config(home: &Path, flags: &UpArguments) -> Result<Config, ConfigError> {
    merge(home, flags, &Environment::read()?)
}

fn merge(
    home: &Path,
    flags: &UpArguments,
    environment: &Environment,
) -> Result<Config, ConfigError> {
    let own = home.join("config.toml");
    let mut config = match &flags.config {
        Some(file) => Config::load(file)?,
        None if own.exists() => Config::load(&own)?,
        None => Config::default(),
    };
    environment.apply(&mut config);
    if let Some(name) = &flags.name {
        config.device_name = Some(name.clone());
    }
    if let Some(network) = &flags.network {
        config.network.name.clone_from(network);
    }
    if let Some(file) = &flags.secret_file {
        config.network.secret_file = Some(file.clone());
    }
    // Delivered means in the inbox; a sender to a full one is told so instead of held up, unless
    // the file has it otherwise.
    config.bus.when_full.get_or_insert(WhenFull::Reject);
    config.validated()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::ErrorCode;

    fn flags() -> UpArguments {
        UpArguments { name: None, network: None, secret_file: None, config: None }
    }

    #[test]
    fn flags_go_over_environment_over_file() {
        let home = tempfile::tempdir().unwrap();
        let text = "device_name = \"file\"\nnetwork = { name = \"file\", secret_file = \"s\" }";
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        let mut environment = Environment::default();
        let config = merge(home.path(), &flags(), &environment).unwrap();
        assert_eq!(config.device_name.as_deref(), Some("file"));
        assert_eq!(config.network.secret_file, Some(home.path().join("s")));

        environment.device_name = Some("environment".into());
        environment.network = Some("environment".into());
        let flags = UpArguments { network: Some("flag".into()), ..flags() };
        let config = merge(home.path(), &flags, &environment).unwrap();
        assert_eq!(config.device_name.as_deref(), Some("environment"));
        assert_eq!(config.network.name, "flag");
        assert_eq!(config.bus.when_full, Some(WhenFull::Reject));
        std::fs::write(home.path().join("config.toml"), "bus.when_full = \"wait\"").unwrap();
        let config = merge(home.path(), &flags, &environment).unwrap();
        assert_eq!(config.bus.when_full, Some(WhenFull::Wait));
    }

    #[test]
    fn a_wrong_flag_is_told_by_its_key() {
        let home = tempfile::tempdir().unwrap();
        let flags = UpArguments { network: Some(String::new()), ..flags() };
        let failure = merge(home.path(), &flags, &Environment::default()).unwrap_err();
        let failure = Failure::from(failure);
        assert_eq!(failure.code, ErrorCode::BadConfig);
        assert!(failure.message.contains("network.name"), "{}", failure.message);
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let home = tempfile::tempdir().unwrap();
        let flags = UpArguments { config: Some(home.path().join("none.toml")), ..flags() };
        let failure = merge(home.path(), &flags, &Environment::default()).unwrap_err();
        let failure = Failure::from(failure);
        assert_eq!((failure.code.exit_code(), failure.hint.as_str()), (7, "check the path"));
    }
}
