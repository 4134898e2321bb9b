//! Groups that wpa_supplicant keeps the keys of, so that they form again without a negotiation.

use zbus::{Connection, OwnedObjectPath};

use super::bus::{P2P_DEVICE, PERSISTENT_GROUP, Properties, properties_of, property, value};
use crate::address::DeviceAddress;
use crate::told::NAME_END;

/// The mode of a group that this device owned.
const OWNED: &str = "3";

/// The last group with a device, if wpa_supplicant has its keys.
pub(super) async fn last_with(
    connection: &Connection,
    radio: &str,
    device: DeviceAddress,
) -> zbus::Result<Option<OwnedObjectPath>> {
    let properties = properties_of(connection, radio).await?;
    let paths = properties.get(P2P_DEVICE, "PersistentGroups").await?;
    let paths = value::<Vec<OwnedObjectPath>>(paths).unwrap_or_default();
    for path in paths.into_iter().rev() {
        let properties = properties_of(connection, path.as_str()).await?;
        let group = properties.get(PERSISTENT_GROUP, "Properties").await?;
        if value::<Properties>(group).is_some_and(|group| is_with(&group, device)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether a group is one of nodes, owned by a device or owned by this one with the device in it.
fn is_with(group: &Properties, device: DeviceAddress) -> bool {
    let text = |name: &str| property::<String>(group, name).unwrap_or_default();
    // Names are in quotes, or in hexadecimal digits where they would not be readable.
    let is_ours = text("ssid").trim_end_matches('"').ends_with(NAME_END);
    let devices = if text("mode") == OWNED { text("p2p_client_list") } else { text("bssid") };
    let device = device.to_string();
    is_ours && devices.split([' ', ',']).any(|one| one.eq_ignore_ascii_case(&device))
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    const DEVICE: DeviceAddress = DeviceAddress([0x42, 0, 0, 0, 1, 0xab]);

    fn group(all: &[(&str, &str)]) -> Properties {
        let owned = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), Variant::new(*text).try_to_owned().unwrap())
        };
        all.iter().map(owned).collect()
    }

    #[test]
    fn a_group_is_known_by_its_owner_or_by_those_that_were_in_it() {
        let name = ("ssid", "\"DIRECT-xy-hedgerow\"");
        let lists = "42:00:00:00:00:00 42:00:00:00:01:AB";
        let owned = group(&[name, ("mode", "3"), ("p2p_client_list", lists)]);
        assert!(is_with(&owned, DEVICE));
        assert!(!is_with(&owned, DeviceAddress([2; 6])));
        let joined = group(&[name, ("mode", "0"), ("bssid", "42:00:00:00:01:ab")]);
        assert!(is_with(&joined, DEVICE));
        assert!(!is_with(&group(&[name, ("mode", "3"), ("bssid", "42:00:00:00:01:ab")]), DEVICE));
    }

    #[test]
    fn groups_of_other_programs_are_left_alone() {
        let phone = group(&[("ssid", "\"DIRECT-xy-my phone\""), ("bssid", "42:00:00:00:01:ab")]);
        assert!(!is_with(&phone, DEVICE));
        assert!(!is_with(&Properties::new(), DEVICE));
    }
}
