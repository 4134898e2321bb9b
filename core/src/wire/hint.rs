//! What a transport tells those of its medium at neighbours (protocol 4.6).

use core::fmt;

use bytes::Bytes;

use crate::limits::HINT_BYTES_MAX;

/// What a transport tells those of its medium at neighbours, over whatever links stand: how it is
/// found and met, in a form of that medium's own. At most [`HINT_BYTES_MAX`] bytes; empty: nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hint(Bytes);

impl Hint {
    /// A hint of these bytes; `None` if they are more than [`HINT_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= HINT_BYTES_MAX).then(|| Self(Bytes::copy_from_slice(bytes)))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Hints may hold keys: only the length is shown.
impl fmt::Debug for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hint({} bytes)", self.0.len())
    }
}
