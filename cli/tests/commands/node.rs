//! Nodes on 127.0.0.1, each in a home of its own.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Run, run};

/// A node that runs until it is dropped.
pub(crate) struct Node {
    pub(crate) home: TempDir,
    pub(crate) up: Run,
    pub(crate) ready: Value,
}

impl Node {
    /// A node that nobody knows of.
    pub(crate) fn alone(name: &str) -> Self {
        Self::start(name, &[], "")
    }

    /// A node that dials `others`, with further lines of configuration.
    pub(crate) fn start(name: &str, others: &[&Node], more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let servers: Vec<String> = others.iter().map(|other| other.address()).collect();
        let config = format!(
            "device_name = {name:?}\nconnect.tcp_servers = {servers:?}\n\
             transports.lan = {{ mdns_enabled = false, listen_ip = \"127.0.0.1\" }}\n\
             transports.ble.enabled = false\n\
             network.name = \"cli-test-{}\"\n{more}\n",
            std::process::id(),
        );
        std::fs::write(home.path().join("config.toml"), config).unwrap();
        Self::start_in(home)
    }

    /// A node of a home that is there.
    pub(crate) fn start_in(home: TempDir) -> Self {
        let up = Run::start_by_lines(home.path(), &["up", "--json"]);
        let ready: Value = serde_json::from_str(&up.line()).unwrap();
        assert_eq!(ready["event"], "ready");
        Self { home, up, ready }
    }

    /// Two nodes, `ann` and `ben`, that see each other.
    pub(crate) fn pair(more_for_ben: &str) -> (Self, Self) {
        let ann = Self::alone("ann");
        let ben = Self::start("ben", &[&ann], more_for_ben);
        ann.run(&["wait", "--peer", "ben", "--hops", "1"]).ok();
        ben.run(&["wait", "--peer", "ann"]).ok();
        (ann, ben)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn address(&self) -> String {
        self.ready["listen"][0].as_str().unwrap().to_owned()
    }

    pub(crate) fn key(&self) -> String {
        self.ready["peerKeyString"].as_str().unwrap().to_owned()
    }

    /// Runs a command of this node with `--json`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(self.home(), &[arguments, &["--json"]].concat())
    }
}
