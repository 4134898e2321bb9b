//! Operating systems as the presence graph names them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The operating system of a peer.
///
/// JSON: its name, such as `"Linux"`, `"macOS"` or `"iOS"`; a name that this build does not know
/// parses as [`PresenceOs::Unknown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PresenceOs {
    /// None of the others: firmware, or a Unix without a name of its own here.
    Generic,
    /// iOS and iPadOS.
    Ios,
    /// Android.
    Android,
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    MacOS,
    /// One that this build does not know.
    Unknown,
}

impl PresenceOs {
    const ALL: [Self; 7] = [
        Self::Generic,
        Self::Ios,
        Self::Android,
        Self::Linux,
        Self::Windows,
        Self::MacOS,
        Self::Unknown,
    ];

    /// The operating system that this program was built for.
    #[must_use]
    pub fn current() -> Self {
        match std::env::consts::OS {
            "ios" => Self::Ios,
            "android" => Self::Android,
            "linux" => Self::Linux,
            "windows" => Self::Windows,
            "macos" => Self::MacOS,
            _ => Self::Generic,
        }
    }

    /// The code that profiles carry.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Generic => 0,
            Self::Ios => 1,
            Self::Android => 2,
            Self::Linux => 3,
            Self::Windows => 4,
            Self::MacOS => 5,
            Self::Unknown => u8::MAX,
        }
    }

    /// The operating system of a profile's code; a newer peer may send one that is not known.
    pub(crate) fn from_code(code: u8) -> Self {
        let known = Self::ALL.into_iter().find(|os| os.code() == code);
        known.unwrap_or(Self::Unknown)
    }

    /// The name that the graph's JSON shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "Generic",
            Self::Ios => "iOS",
            Self::Android => "Android",
            Self::Linux => "Linux",
            Self::Windows => "Windows",
            Self::MacOS => "macOS",
            Self::Unknown => "Unknown",
        }
    }

    /// The operating system of that name, in any case; [`PresenceOs::Unknown`] if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|os| os.name().eq_ignore_ascii_case(name));
        known.unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for PresenceOs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for PresenceOs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for PresenceOs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_goes_both_ways_and_a_new_one_is_unknown() {
        for os in PresenceOs::ALL {
            assert_eq!(PresenceOs::from_name(os.name()), os);
        }
        assert_eq!(PresenceOs::from_name("MacOS"), PresenceOs::MacOS);
        assert_eq!(serde_json::from_str::<PresenceOs>("\"BeOS\"").unwrap(), PresenceOs::Unknown);
    }
}
