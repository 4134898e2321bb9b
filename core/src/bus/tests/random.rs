//! Random sequences of everything.
