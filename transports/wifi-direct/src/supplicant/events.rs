//! What wpa_supplicant tells by signals.

use zbus::{Message, OwnedObjectPath};

use super::bus::{P2P_DEVICE, Properties, path_text, property};
use crate::address::DeviceAddress;
use crate::name::Shown;
use crate::told::Secret;

/// The bit of a group owner (Wi-Fi Direct 1.9, section 4.1.4, group capability).
const OWNS_GROUP: u8 = 0x01;

/// The role of an owner.
pub(super) const OWNER: &str = "GO";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A device of ours is in sight.
    Device {
        device: DeviceAddress,
        shown: Shown,
        owns_group: bool,
    },
    DeviceLost(DeviceAddress),
    /// A device has changed or is new; what it is like has to be asked for.
    Look(String),
    /// A device asks for a group.
    Request(DeviceAddress),
    /// A device asks to be let into the group that this one owns.
    Knock(DeviceAddress),
    /// An owner asks this device to join.
    Invitation(DeviceAddress),
    /// The radio is in a group: the path of its interface, and that of the group itself.
    Started {
        path: String,
        group: String,
        owns: bool,
        /// Of an owner.
        secret: Option<Secret>,
    },
    /// The radio is in a group that another program formed.
    Taken,
    /// The last group with a device cannot be formed again, or an invitation was refused.
    NotInvited(String),
    /// A negotiation came to nothing.
    NotNegotiated(String),
    /// No group came about.
    Failed(String),
    /// The group is gone.
    Finished,
    /// Looking for devices is over.
    FindStopped,
}

/// What a signal says; `None` for those that say nothing of interest.
pub(super) fn of_signal(signal: &Message) -> Option<Event> {
    let header = signal.header();
    if header.interface()?.as_str() != P2P_DEVICE {
        return None;
    }
    let body = signal.body();
    let device = |path: &OwnedObjectPath| DeviceAddress::of_path(path.as_str());
    match header.member()?.as_str() {
        "DeviceFound" => {
            let path: OwnedObjectPath = body.deserialize().ok()?;
            Some(Event::Look(path_text(path)))
        }
        "DeviceLost" => {
            let path: OwnedObjectPath = body.deserialize().ok()?;
            device(&path).map(Event::DeviceLost)
        }
        "GONegotiationRequest" => {
            let (path, _password, _intent): (OwnedObjectPath, u16, u8) = body.deserialize().ok()?;
            device(&path).map(Event::Request)
        }
        "ProvisionDiscoveryPBCRequest" => {
            let path: OwnedObjectPath = body.deserialize().ok()?;
            device(&path).map(Event::Knock)
        }
        "InvitationReceived" => {
            let properties: Properties = body.deserialize().ok()?;
            let owner: Vec<u8> = property(&properties, "go_dev_addr")?;
            Some(Event::Invitation(DeviceAddress(owner.try_into().ok()?)))
        }
        "GroupStarted" => {
            let properties: Properties = body.deserialize().ok()?;
            let path: OwnedObjectPath = property(&properties, "interface_object")?;
            let group: OwnedObjectPath = property(&properties, "group_object")?;
            let role: String = property(&properties, "role")?;
            let (path, group) = (path_text(path), path_text(group));
            Some(Event::Started { path, group, owns: role == OWNER, secret: None })
        }
        "InvitationResult" => {
            let properties: Properties = body.deserialize().ok()?;
            let status: i32 = property(&properties, "status")?;
            (status != 0).then(|| Event::NotInvited(words_of_status(status).to_owned()))
        }
        "GONegotiationFailure" => {
            let properties: Properties = body.deserialize().ok()?;
            let status: i32 = property(&properties, "status").unwrap_or(-1);
            Some(Event::NotNegotiated(words_of_status(status).to_owned()))
        }
        "GroupFormationFailure" => {
            let reason: String = body.deserialize().unwrap_or_default();
            Some(Event::Failed(match reason.as_str() {
                "" => "the group was agreed on and did not come up".to_owned(),
                reason => format!("the group was agreed on and did not come up: {reason}"),
            }))
        }
        "WpsFailed" => Some(Event::Failed("the other device did not let this one in".to_owned())),
        "GroupFinished" => Some(Event::Finished),
        "FindStopped" => Some(Event::FindStopped),
        _ => None,
    }
}

/// What a device is like, by its properties; `None` if it is not one of ours.
pub(super) fn of_peer(path: &str, properties: &Properties) -> Option<Event> {
    let shown = Shown::from_name(&property::<String>(properties, "DeviceName")?)?;
    let owns_group =
        property::<u8>(properties, "groupcapability").is_some_and(|bits| bits & OWNS_GROUP != 0);
    Some(Event::Device { device: DeviceAddress::of_path(path)?, shown, owns_group })
}

/// Status codes (Wi-Fi Direct 1.9, section 4.1.3, table 8); below 0 nothing was answered.
fn words_of_status(status: i32) -> &'static str {
    match status {
        1 => "the other device was not ready",
        2 | 4 | 6 | 9 => "the two devices do not agree on how to form a group",
        3 => "the other device is in as many groups as it can be",
        5 => "the other device cannot form a group now",
        7 => "the two radios have no channel in common that both may use here",
        8 => "the other device does not know the group any more",
        10 => "the other device wants another way to be let in",
        11 => "the other device said no",
        _ => "the other device did not answer",
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;
    use crate::Power;
    use crate::name::tests::shown;

    const PATH: &str = "/fi/w1/wpa_supplicant1/Interfaces/0/Peers/020000000001";

    fn properties(all: &[(&str, Variant<'static>)]) -> Properties {
        let owned = |(name, value): &(&str, Variant<'static>)| {
            ((*name).to_owned(), value.try_to_owned().unwrap())
        };
        all.iter().map(owned).collect()
    }

    #[test]
    fn a_device_of_ours_is_told_by_its_name_and_an_owner_by_its_bit() {
        let shown = shown(1, 7, Power::Battery);
        let device = DeviceAddress([2, 0, 0, 0, 0, 1]);
        for (bits, owns_group) in [(0x2a_u8, false), (0x2b, true)] {
            let properties = properties(&[
                ("DeviceName", Variant::new(shown.name())),
                ("groupcapability", Variant::new(bits)),
            ]);
            let expected = Event::Device { device, shown, owns_group };
            assert_eq!(of_peer(PATH, &properties), Some(expected));
        }
        let stranger = properties(&[("DeviceName", Variant::new("my phone"))]);
        assert_eq!(of_peer(PATH, &stranger), None);
        assert_eq!(of_peer(PATH, &Properties::new()), None);
    }

    #[test]
    fn every_status_has_words_and_no_number() {
        for status in -1..=12 {
            let words = words_of_status(status);
            assert!(words.len() > 10 && !words.contains(char::is_numeric), "{words}");
        }
    }
}
