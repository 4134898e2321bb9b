//! The file that lists the hosts and adapters of a real rig:
//!
//! ```toml
//! [[hosts]]                          # this machine
//! adapters = ["hci0", "hci1"]
//! hedgerow = "target/release/hedgerow"
//! sudo = ["sudo", "-n"]              # before what only root may do: restarting bluetoothd
//!
//! [[hosts]]
//! ssh = "me@raspberry"               # as ssh takes it; must need no password
//! name = "raspberry"                 # in messages; else the destination
//! adapters = ["hci0"]
//! hedgerow = "/home/me/hedgerow"
//! ```

use anyhow::{Context, bail, ensure};
use toml::{Table, Value};

use crate::stage::host::{Host, Reach};

const KEYS: [&str; 5] = ["ssh", "name", "adapters", "hedgerow", "sudo"];

/// # Errors
/// What is wrong, with the path of the key.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<(Host, Vec<String>)>> {
    let mut file: Table = text.parse().context("no TOML")?;
    let hosts = file.remove("hosts").context("hosts: missing: add a [[hosts]] for each machine")?;
    if let Some(key) = file.keys().next() {
        bail!("{key}: unknown: the only key outside of [[hosts]] is hosts");
    }
    let Value::Array(hosts) = hosts else { bail!("hosts: not a list: write [[hosts]]") };
    ensure!(!hosts.is_empty(), "hosts: empty: add a [[hosts]] for each machine");
    let hosts = hosts.into_iter().enumerate();
    hosts.map(|(index, value)| host(&format!("hosts[{index}]"), value)).collect()
}

fn host(path: &str, value: Value) -> anyhow::Result<(Host, Vec<String>)> {
    let Value::Table(mut table) = value else { bail!("{path}: not a table") };
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        bail!("{path}.{key}: unknown: the keys are {}", KEYS.join(", "));
    }
    let ssh = word(path, "ssh", &mut table)?;
    let name = word(path, "name", &mut table)?;
    let name = name.or_else(|| ssh.clone()).unwrap_or_else(|| "this machine".to_owned());
    let adapters = words(path, "adapters", &mut table)?;
    ensure!(!adapters.is_empty(), "{path}.adapters: none: list them, as in [\"hci0\"]");
    for (index, adapter) in adapters.iter().enumerate() {
        let number = adapter.strip_prefix("hci").unwrap_or_default();
        let is_name = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        ensure!(is_name, "{path}.adapters[{index}]: `{adapter}`: write a name like \"hci0\"");
    }
    let hedgerow = word(path, "hedgerow", &mut table)?
        .with_context(|| format!("{path}.hedgerow: missing: the command's path on that host"))?;
    let reach = ssh.map_or(Reach::Local, Reach::Ssh);
    let sudo = words(path, "sudo", &mut table)?;
    Ok((Host { name, reach, hedgerow, sudo }, adapters))
}

fn word(path: &str, key: &str, table: &mut Table) -> anyhow::Result<Option<String>> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(word)) if !word.is_empty() => Ok(Some(word)),
        Some(other) => bail!("{path}.{key}: {other}: not a text, or an empty one"),
    }
}

fn words(path: &str, key: &str, table: &mut Table) -> anyhow::Result<Vec<String>> {
    match table.remove(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            let word = |(index, value)| match value {
                Value::String(word) => Ok(word),
                other => bail!("{path}.{key}[{index}]: {other}: not a text"),
            };
            list.into_iter().enumerate().map(word).collect()
        }
        Some(other) => bail!("{path}.{key}: {other}: not a list of texts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_this_machine_or_behind_ssh() {
        let text = "[[hosts]]\nadapters = [\"hci0\", \"hci1\"]\nhedgerow = \"a/hedgerow\"\n\
                    sudo = [\"sudo\", \"-n\"]\n\
                    [[hosts]]\nssh = \"me@pi\"\nadapters = [\"hci0\"]\nhedgerow = \"/h\"";
        let hosts = parse(text).unwrap();
        assert_eq!(hosts[0].0.reach, Reach::Local);
        assert_eq!(hosts[0].0.sudo, ["sudo", "-n"]);
        assert_eq!(hosts[0].1, ["hci0", "hci1"]);
        assert_eq!(hosts[1].0.reach, Reach::Ssh("me@pi".to_owned()));
        assert_eq!(hosts[1].0.name, "me@pi");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        let host = "[[hosts]]\nadapters = [\"hci0\"]\nhedgerow = \"h\"\n";
        let error = |text: &str| format!("{:#}", parse(text).unwrap_err());
        assert!(error("").starts_with("hosts: missing"));
        assert!(error("hosts = 1").starts_with("hosts: not a list"));
        assert!(error(&format!("x = 1\n{host}")).starts_with("x: unknown"));
        assert!(
            error(&format!("{host}[[hosts]]\nsudo = []")).starts_with("hosts[1].adapters: none")
        );
        assert!(
            error("[[hosts]]\nadapters = [\"hci0\"]").starts_with("hosts[0].hedgerow: missing")
        );
        assert!(
            error(&format!("{host}sudo = \"sudo\"")).starts_with("hosts[0].sudo: \"sudo\": not")
        );
        assert!(error(&format!("{host}user = \"me\"")).starts_with("hosts[0].user: unknown"));
        let list = error("[[hosts]]\nadapters = [\"hci0\", \"eth0\"]\nhedgerow = \"h\"");
        assert!(list.starts_with("hosts[0].adapters[1]: `eth0`"), "{list}");
        let list = error("[[hosts]]\nadapters = [0]\nhedgerow = \"h\"");
        assert!(list.starts_with("hosts[0].adapters[0]: 0: not a text"), "{list}");
        assert!(error("hosts =").starts_with("no TOML"));
    }
}
