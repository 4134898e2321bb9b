//! wpa_supplicant's D-Bus interfaces, as far as the driver uses them.
//!
//! Their documentation is in its `doc/dbus.doxygen`; the names are its.

use std::collections::HashMap;
use std::time::Duration;

use zbus::connection::Builder;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant};

/// The daemon's name on the bus.
pub(super) const SUPPLICANT: &str = "fi.w1.wpa_supplicant1";
pub(super) const ROOT_PATH: &str = "/fi/w1/wpa_supplicant1";
pub(super) const ROOT: &str = "fi.w1.wpa_supplicant1";
pub(super) const INTERFACE: &str = "fi.w1.wpa_supplicant1.Interface";
pub(super) const P2P_DEVICE: &str = "fi.w1.wpa_supplicant1.Interface.P2PDevice";
pub(super) const GROUP: &str = "fi.w1.wpa_supplicant1.Group";
pub(super) const PERSISTENT_GROUP: &str = "fi.w1.wpa_supplicant1.PersistentGroup";
pub(super) const PEER: &str = "fi.w1.wpa_supplicant1.Peer";

/// It answers within milliseconds; what takes long is told by signals.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The properties of one interface of one object, and the arguments of signals.
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// Arguments of a call.
pub(super) type Arguments<'a> = HashMap<&'a str, Variant<'a>>;

#[zbus::proxy(
    interface = "fi.w1.wpa_supplicant1.Interface.P2PDevice",
    default_service = "fi.w1.wpa_supplicant1"
)]
pub(super) trait P2pDevice {
    fn find(&self, arguments: Arguments<'_>) -> zbus::Result<()>;
    fn stop_find(&self) -> zbus::Result<()>;
    fn extended_listen(&self, arguments: Arguments<'_>) -> zbus::Result<()>;
    fn connect(&self, arguments: Arguments<'_>) -> zbus::Result<String>;
    fn cancel(&self) -> zbus::Result<()>;
    fn flush(&self) -> zbus::Result<()>;
    fn invite(&self, arguments: Arguments<'_>) -> zbus::Result<()>;
    fn reject_peer(&self, peer: &zbus::ObjectPath<'_>) -> zbus::Result<()>;
    fn disconnect(&self) -> zbus::Result<()>;
    fn group_add(&self, arguments: Arguments<'_>) -> zbus::Result<()>;
    fn add_persistent_group(&self, arguments: Arguments<'_>) -> zbus::Result<OwnedObjectPath>;
    fn remove_persistent_group(&self, group: &zbus::ObjectPath<'_>) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "fi.w1.wpa_supplicant1.Interface.WPS",
    default_service = "fi.w1.wpa_supplicant1"
)]
pub(super) trait Wps {
    fn start(&self, arguments: Arguments<'_>) -> zbus::Result<Properties>;
}

#[zbus::proxy(
    interface = "org.freedesktop.DBus.Properties",
    default_service = "fi.w1.wpa_supplicant1"
)]
pub(super) trait ObjectProperties {
    fn get(&self, interface: &str, name: &str) -> zbus::Result<OwnedVariant>;
    fn get_all(&self, interface: &str) -> zbus::Result<Properties>;
    fn set(&self, interface: &str, name: &str, value: &Variant<'_>) -> zbus::Result<()>;
}

/// Connects to a bus: the one at an address, or the system's.
pub(super) async fn connect(address: Option<&str>) -> zbus::Result<Connection> {
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    builder.method_timeout(CALL_TIMEOUT).build().await
}

/// The properties of an object.
pub(super) async fn properties_of(
    connection: &Connection,
    path: &str,
) -> zbus::Result<ObjectPropertiesProxy<'static>> {
    ObjectPropertiesProxy::new(connection, path.to_owned()).await
}

/// A property as a type; `None` if it is absent or of another type.
pub(super) fn property<T>(properties: &Properties, name: &str) -> Option<T>
where
    T: TryFrom<OwnedVariant>,
{
    properties.get(name)?.try_clone().ok()?.try_into().ok()
}

/// The same, of a single value.
pub(super) fn value<T>(value: OwnedVariant) -> Option<T>
where
    T: TryFrom<OwnedVariant>,
{
    value.try_into().ok()
}

/// What was answered, without the address of the sender.
pub(super) fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, Some(detail), _) => format!("{detail} ({})", name.as_str()),
        zbus::Error::MethodError(name, None, _) => name.as_str().to_owned(),
        other => other.to_string(),
    }
}

/// The name of a D-Bus error.
pub(super) fn error_name(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, ..) => Some(name.as_str()),
        _ => None,
    }
}

/// A path as text.
pub(super) fn path_text(path: OwnedObjectPath) -> String {
    path.as_str().to_owned()
}
