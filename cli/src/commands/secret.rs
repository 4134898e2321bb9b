//! `hedgerow secret`.

use std::path::Path;

use hedgerow::home::create_network_secret;

use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, printable};

pub(super) fn run(file: &Path, output: Output) -> Result<(), Failure> {
    create_network_secret(file)?;
    let shown = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let shown = shown.to_string_lossy().into_owned();
    output.print(&Event::Secret { file: shown.clone() }, || {
        let shown = printable(&shown);
        format!(
            "{shown} holds a new secret; copy it to every node of the network by a way that you \
             trust,\nand start each with `hedgerow up --secret-file {shown}`"
        )
    })
}
