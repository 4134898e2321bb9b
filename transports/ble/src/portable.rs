//! Systems other than Linux: the central's half, by btleplug.
//!
//! A node there finds others and dials them; nobody finds it. That is told as the condition
//! [`ConditionState::Unsupported`].
//!
//! [`ConditionState::Unsupported`]: hedgerow_driver::ConditionState::Unsupported

mod central;
mod run;
mod values;

pub(crate) use run::{look, run};
