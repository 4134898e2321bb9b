//! Whom a node may meet.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The network that a node belongs to: nodes meet only inside one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Its name, 1 to 64 bytes.
    pub name: String,
    /// The file with the secret of a closed network. Without one the network is open: everybody
    /// who knows its name may join. In a configuration file a relative path starts at that
    /// file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { name: "hedgerow".into(), secret_file: None }
    }
}
