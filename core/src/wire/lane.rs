//! Priority classes on a link.

/// A priority class; a lower one waits while a higher one has something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// The mesh's own messages: keepalives, adverts, closes.
    Control = 0,
    /// Application data that is worthless when late.
    Realtime = 1,
    /// Application data.
    Normal = 2,
    /// Application data that gives way to everything else.
    Bulk = 3,
}

impl Lane {
    /// All lanes, highest priority first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Realtime, Self::Normal, Self::Bulk];
    /// The lanes that application data may use, highest priority first.
    pub const DATA: [Self; 3] = [Self::Realtime, Self::Normal, Self::Bulk];

    /// The lane of the low two bits of `bits`.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Control,
            1 => Self::Realtime,
            2 => Self::Normal,
            _ => Self::Bulk,
        }
    }

    /// The two bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
