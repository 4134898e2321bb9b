//! What the decisions come to.

use hedgerow_driver::{DialFailure, DialId, Endpoint};

use crate::address::DeviceAddress;
use crate::told::Key;

/// What the radio is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Form a group with a device, or join the one that it owns. What is left of the last group with
    /// it may be used instead of a negotiation, unless that has just failed.
    Connect { device: DeviceAddress, intent: u8, way: Way },
    /// Make a group alone, and own it.
    Make,
    /// Enter the group that this is the key of.
    Enter(Key),
    /// Give up forming a group.
    Abandon,
    /// Ask a device to join the group that this one owns.
    Invite(DeviceAddress),
    /// Let a device into the group that this one owns.
    Admit(DeviceAddress),
    /// Say no to a device that asks for a group.
    Reject(DeviceAddress),
    /// Leave the group.
    Leave,
    /// Forget the devices in sight and look for them anew: what was known of them was true before.
    Forget,
    /// Carry out a dial at an endpoint within the group.
    Dial { dial: DialId, at: Endpoint, known_as: Endpoint },
    /// A dial came to nothing.
    Failed(DialId, DialFailure),
}

/// How a group is come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The last one with the device is formed again, if both know it still; else a new one.
    Again,
    /// A new one, negotiated.
    Negotiated,
    /// The one that the device owns is joined.
    Joined,
}
