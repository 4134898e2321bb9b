//! Small frames that must arrive: kept by name, written with their newest value.

use super::reason::RejectReason;

/// A frame to send on a lane, and to send again if its packet is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    Open(u64),
    Accept(u64),
    Refuse(u64, RejectReason),
    Reset(u64, u64),
    Finish(u64),
    Window(u64),
    Delivered(u64, u64),
    Rejected(u64, RejectReason),
}

impl Control {
    /// Whether it is about a stream, whatever it says.
    pub(super) fn is_of(self, stream: u64) -> bool {
        match self {
            Self::Rejected(..) => false,
            Self::Open(number)
            | Self::Accept(number)
            | Self::Refuse(number, _)
            | Self::Reset(number, _)
            | Self::Finish(number)
            | Self::Window(number)
            | Self::Delivered(number, _) => number == stream,
        }
    }
}
