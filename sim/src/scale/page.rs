//! The page that shows the figures.
use super::Figures;
/// Writes.
#[must_use]
pub fn write(figures: &Figures) -> String {
    format!("{figures:#?}")
}
