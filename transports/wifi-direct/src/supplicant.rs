//! Wi-Fi Direct on Linux: wpa_supplicant, over D-Bus.

mod bus;
mod condition;
mod events;
mod look;
mod persistent;
mod radio;
mod run;
mod work;

pub(crate) use look::look;
pub(crate) use run::run;
