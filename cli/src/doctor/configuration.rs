//! The configuration, and the secret it names.

use std::path::Path;

use hedgerow::config::{Config, ConfigError};
use hedgerow::home::load_network_secret;

use super::Check;
use crate::arguments::UpArguments;
use crate::failure::Failure;
use crate::settings;

/// The configuration that `up` would use, and a line for each of its problems.
pub(crate) fn check(home: &Path, flags: &UpArguments) -> (Option<Config>, Vec<Check>) {
    match settings::config(home, flags) {
        Ok(config) => {
            let mut checks = vec![Check::ok("config", source(home, flags))];
            checks.push(network(&config));
            (Some(config), checks)
        }
        Err(error) => (None, problems(error)),
    }
}

fn source(home: &Path, flags: &UpArguments) -> String {
    let own = home.join("config.toml");
    match &flags.config {
        Some(file) => format!("{} is in order", file.display()),
        None if own.exists() => format!("{} is in order", own.display()),
        None => "no config.toml in the home; every key has its default".to_owned(),
    }
}

fn problems(error: ConfigError) -> Vec<Check> {
    let hint = "correct it; docs/cli.md lists the keys";
    if let ConfigError::Problems { problems, .. } = &error {
        let line = |problem: &hedgerow::config::Problem| {
            let (what, todo) = match problem.message.split_once(": ") {
                Some((what, todo)) => (what, todo),
                None => (problem.message.as_str(), hint),
            };
            Check::fail("config", format!("{}: {what}", problem.path), todo)
        };
        return problems.as_slice().iter().map(line).collect();
    }
    let failure = Failure::from(error);
    vec![Check::fail("config", failure.message, failure.hint)]
}

fn network(config: &Config) -> Check {
    let name = &config.network.name;
    let Some(file) = &config.network.secret_file else {
        let message = format!("network {name:?} is open: everybody who knows its name may join");
        return Check::ok("network", message);
    };
    match load_network_secret(file) {
        Ok(_) => {
            let message = format!("network {name:?} is closed; its secret is {}", file.display());
            Check::ok("network", message)
        }
        Err(error) => Check::fail("network", error.what(), error.advice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    fn found(text: &str) -> Vec<Check> {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), text).unwrap();
        check(home.path(), &UpArguments::default()).1
    }

    #[test]
    fn every_problem_is_a_line_with_its_path_and_what_to_do() {
        let checks = found("device_name = \"\"\nbus.give_up_ms = 0\nconnect.tcp_servers = [\"x\"]");
        let lines: Vec<_> = checks.iter().map(|c| (c.message.as_str(), c.hint.as_str())).collect();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert_eq!(lines[0].0, "device_name: empty");
        assert!(lines[0].1.starts_with("give a name"), "{lines:?}");
        assert!(lines[1].0.starts_with("connect.tcp_servers[0]: "), "{lines:?}");
        assert!(checks.iter().all(|c| c.status == Level::Fail && !c.hint.is_empty()));
    }

    #[test]
    fn a_typing_error_has_its_place_and_the_nearest_key() {
        let checks = found("[transports.lan]\nmdns_enable = true");
        assert!(checks[0].message.contains("config.toml:2:1"), "{checks:?}");
        assert!(checks[0].hint.contains("did you mean `mdns_enabled`"), "{checks:?}");
    }

    #[test]
    fn a_secret_that_is_missing_is_a_fault_of_the_network() {
        let checks = found("network = { name = \"n\", secret_file = \"none\" }");
        assert_eq!((checks[1].check, checks[1].status), ("network", Level::Fail));
        assert!(checks[1].message.contains("none"), "{checks:?}");
        assert!(found("")[1].message.contains("is open"));
    }
}
