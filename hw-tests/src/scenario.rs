//! What is played: a list of scenarios, each a story that users would call a promise.

mod ble;
mod flow;
mod pipe;
mod rates;
mod rig_self;
mod rig_wifi;
mod talk;
mod tcp;
mod wifi_direct;

use std::time::Duration;

use crate::outcome::Figures;
use crate::stage::Stage;

/// What a scenario is about, which is what it can be chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Ble,
    WifiDirect,
    /// Not in `list` and not in `all`: tries the rig, not Hedgerow.
    Rig,
}

impl Group {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ble => "ble",
            Self::WifiDirect => "wifi-direct",
            Self::Rig => "rig",
        }
    }
}

/// bluetoothd's main.conf for the smallest packets that GATT knows.
const MTU_23: &str = "[GATT]\nExchangeMTU = 23\n";

/// The groups that can be asked for.
const GROUPS: [&str; 3] = ["ble", "wifi-direct", "all"];

/// A story that is played on a stage.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// A sentence for `list`.
    pub(crate) about: &'static str,
    /// How many adapters it needs.
    pub(crate) adapters: usize,
    /// How many radios of Wi-Fi it needs.
    pub(crate) radios: usize,
    /// How long it may take once the stage stands.
    pub(crate) limit: Duration,
    play: fn(&mut Stage) -> anyhow::Result<Figures>,
}

impl Scenario {
    /// Plays it. What broke on the stage itself goes before what the scenario says of it.
    pub(crate) fn play_on(&self, stage: &mut Stage) -> anyhow::Result<Figures> {
        let played = (self.play)(stage);
        match stage.check() {
            Err(broken) => Err(match played {
                Ok(_) => broken,
                Err(error) => error.context(format!("{broken:#}")),
            }),
            Ok(()) => played,
        }
    }
}

const RIG_SELF: Scenario = Scenario {
    name: "rig-self",
    group: Group::Rig,
    about: "the rig works: adapters find each other, and faults are faults",
    adapters: 3,
    radios: 0,
    limit: Duration::from_secs(120),
    play: rig_self::play,
};

const RIG_WIFI: Scenario = Scenario {
    name: "rig-wifi",
    group: Group::Rig,
    about: "the rig works: radios find each other, form a group and carry bytes",
    adapters: 0,
    radios: 2,
    limit: Duration::from_secs(180),
    play: rig_wifi::play,
};

/// All of them, in the order in which they run.
fn all() -> impl Iterator<Item = &'static Scenario> {
    const BLE: &[Scenario] = &ble::SCENARIOS;
    const WIFI_DIRECT: &[Scenario] = &wifi_direct::SCENARIOS;
    BLE.iter().chain(WIFI_DIRECT).chain([&RIG_SELF, &RIG_WIFI])
}

/// The scenarios that `list` shows, and `all` runs.
pub(crate) fn listed() -> impl Iterator<Item = &'static Scenario> {
    all().filter(|scenario| scenario.group != Group::Rig)
}

pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    all().find(|scenario| scenario.name == name)
}

/// Those that go by these names, in the order of the list, each once.
///
/// # Errors
/// The first name that nothing goes by.
pub(crate) fn select(names: &[String]) -> Result<Vec<&'static Scenario>, &str> {
    let is_known = |name: &&String| GROUPS.contains(&name.as_str()) || find(name).is_some();
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(unknown);
    }
    let is_meant = |scenario: &Scenario, name: &str| {
        let in_group = scenario.group.name() == name || name == "all";
        scenario.name == name || (in_group && scenario.group != Group::Rig)
    };
    let chosen = all().filter(|s| names.iter().any(|name| is_meant(s, name)));
    Ok(chosen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<&'static str> {
        let asked: Vec<String> = of.iter().map(|&name| name.to_owned()).collect();
        select(&asked).unwrap().iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn scenarios_are_chosen_by_name_and_by_group_and_each_runs_once() {
        let all: Vec<_> = listed().map(|scenario| scenario.name).collect();
        assert_eq!(names(&["all"]), all);
        assert_eq!(names(&["ble", "all"]), all);
        assert!(names(&["wifi-direct"]).iter().all(|name| name.starts_with("wfd-")));
        assert_eq!(names(&["rig-self", "rig-self"]), ["rig-self"]);
        assert_eq!(select(&["ble-grpah".to_owned()]).err(), Some("ble-grpah"));
    }

    #[test]
    fn the_rig_tries_itself_only_when_it_is_asked_to() {
        assert_eq!(names(&["all", "rig-wifi"]).last(), Some(&"rig-wifi"));
        assert!(!names(&["all"]).iter().any(|name| name.starts_with("rig-")));
        assert!(select(&["rig".to_owned()]).is_err());
    }
}
