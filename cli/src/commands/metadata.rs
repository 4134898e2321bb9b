//! `hedgerow metadata`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use hedgerow::JsonObject;
use hedgerow::presence::metadata::{self, Metadata};

use crate::arguments::MetadataAction;
use crate::control::{Answer, Client, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::output::Output;

/// More than metadata may have, with room for white space.
const INPUT_BYTES_MAX: u64 = 1 << 20;

pub(super) async fn run(
    home: Option<PathBuf>,
    action: MetadataAction,
    output: Output,
) -> Result<(), Failure> {
    // What is wrong with the text is told before anybody is asked.
    let request = match action {
        MetadataAction::Get => Request::Metadata,
        MetadataAction::Set { text } => {
            let text = if text == "-" { read_input()? } else { text };
            Request::SetMetadata { metadata: parse(&text)?.into_object() }
        }
        MetadataAction::Clear => Request::SetMetadata { metadata: JsonObject::new() },
    };
    let client = Client::connect(home).await?;
    let metadata = match client.ask(&request, Duration::ZERO).await? {
        Answer::Metadata { metadata } => metadata,
        other => return Err(unexpected_answer(&other)),
    };
    if request == Request::Metadata {
        return output.print(&metadata, || pretty(&metadata));
    }
    let bytes = serde_json::to_string(&metadata).unwrap_or_default().len();
    output.print(&Event::Metadata { bytes }, || format!("the metadata has {bytes} bytes now"))
}

fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::internal("cannot read standard input", error))?;
    Ok(text)
}

fn parse(text: &str) -> Result<Metadata, Failure> {
    Ok(metadata::validate_json_str(text)?)
}

fn pretty(metadata: &JsonObject) -> String {
    serde_json::to_string_pretty(metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_metadata_is_refused_with_its_place() {
        let failure = parse("{location:\"inside\"}").unwrap_err();
        assert_eq!(failure.code.exit_code(), 2);
        assert!(failure.message.contains("line 1 column 2"), "{}", failure.message);
        assert_eq!(parse("[1]").unwrap_err().code.exit_code(), 2);
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(131_072));
        assert_eq!(parse(&large).unwrap_err().code.exit_code(), 6);
    }
}
