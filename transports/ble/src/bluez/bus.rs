//! BlueZ's D-Bus interfaces, as far as the driver uses them.
//!
//! Their documentation is in BlueZ's `doc/org.bluez.*.rst`; the names are its.

use std::collections::HashMap;
use std::time::Duration;

use zbus::{OwnedFd, OwnedObjectPath, OwnedVariant, Variant};

/// The daemon's name on the bus.
pub(super) const BLUEZ: &str = "org.bluez";
pub(super) const ADAPTER: &str = "org.bluez.Adapter1";
pub(super) const DEVICE: &str = "org.bluez.Device1";
pub(super) const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";

/// A call without an answer after this has failed. BlueZ answers a connect after 20 s at most.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(25);

/// The properties of one interface of one object.
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// Options of a call.
pub(super) type Options<'a> = HashMap<&'a str, Variant<'a>>;

#[zbus::proxy(interface = "org.bluez.Adapter1", default_service = "org.bluez")]
pub(super) trait Adapter {
    fn set_discovery_filter(&self, properties: Options<'_>) -> zbus::Result<()>;
    fn start_discovery(&self) -> zbus::Result<()>;
    fn stop_discovery(&self) -> zbus::Result<()>;
    fn remove_device(&self, device: &zbus::ObjectPath<'_>) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.bluez.Device1", default_service = "org.bluez")]
pub(super) trait Device {
    fn connect(&self) -> zbus::Result<()>;
    fn disconnect(&self) -> zbus::Result<()>;
    /// The same, for those who do not wait until it is done.
    #[zbus(no_reply, name = "Disconnect")]
    fn begin_disconnect(&self) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.bluez.GattCharacteristic1", default_service = "org.bluez")]
pub(super) trait Characteristic {
    fn read_value(&self, options: Options<'_>) -> zbus::Result<Vec<u8>>;
    fn acquire_write(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, u16)>;
    fn acquire_notify(&self, options: Options<'_>) -> zbus::Result<(OwnedFd, u16)>;
}

#[zbus::proxy(interface = "org.bluez.GattManager1", default_service = "org.bluez")]
pub(super) trait GattManager {
    fn register_application(
        &self,
        application: &zbus::ObjectPath<'_>,
        options: Options<'_>,
    ) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.bluez.LEAdvertisingManager1", default_service = "org.bluez")]
pub(super) trait AdvertisingManager {
    fn register_advertisement(
        &self,
        advertisement: &zbus::ObjectPath<'_>,
        options: Options<'_>,
    ) -> zbus::Result<()>;
    fn unregister_advertisement(&self, advertisement: &zbus::ObjectPath<'_>) -> zbus::Result<()>;
}

/// A property as a type; `None` if it is absent or of another type.
pub(super) fn property<T>(properties: &Properties, name: &str) -> Option<T>
where
    T: TryFrom<OwnedVariant>,
{
    properties.get(name)?.try_clone().ok()?.try_into().ok()
}

/// What BlueZ answered, without the address of the sender.
pub(super) fn words(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, Some(detail), _) => format!("{detail} ({})", name.as_str()),
        zbus::Error::MethodError(name, None, _) => name.as_str().to_owned(),
        other => other.to_string(),
    }
}

/// The name of a D-Bus error, such as `org.bluez.Error.InProgress`.
pub(super) fn error_name(error: &zbus::Error) -> Option<&str> {
    match error {
        zbus::Error::MethodError(name, ..) => Some(name.as_str()),
        _ => None,
    }
}

/// The path of a device below its adapter.
pub(super) fn is_device(path: &OwnedObjectPath, adapter: &str) -> bool {
    let rest = path.as_str().strip_prefix(adapter).and_then(|rest| rest.strip_prefix("/dev_"));
    rest.is_some_and(|rest| !rest.contains('/'))
}
