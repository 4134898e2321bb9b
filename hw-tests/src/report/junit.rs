//! JUnit's XML, as CI systems read it.

use std::fmt::Write as _;

use crate::outcome::{Outcome, Summary, Verdict};

/// The whole document.
pub(super) fn document(outcomes: &[Outcome]) -> String {
    let Summary { failed, skipped, .. } = Summary::of(outcomes);
    let (tests, time) = (outcomes.len(), seconds(outcomes.iter().map(|o| o.wall_ms).sum()));
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite \
         name=\"hedgerow-hw-tests\" tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" \
         skipped=\"{skipped}\" time=\"{time}\">\n"
    );
    for outcome in outcomes {
        let _ = write!(
            xml,
            "<testcase classname=\"hedgerow-hw-tests\" name=\"{}\" time=\"{}\">",
            escaped(&outcome.scenario),
            seconds(outcome.wall_ms)
        );
        let reason = escaped(outcome.reason.as_deref().unwrap_or_default());
        let _ = match outcome.result {
            Verdict::Pass => {
                let figures = serde_json::Value::from_iter(outcome.figures.clone()).to_string();
                write!(xml, "<system-out>{}</system-out>", escaped(&figures))
            }
            Verdict::Fail => write!(xml, "<failure message=\"{reason}\"/>"),
            Verdict::Skip => write!(xml, "<skipped message=\"{reason}\"/>"),
        };
        xml.push_str("</testcase>\n");
    }
    xml.push_str("</testsuite>\n</testsuites>\n");
    xml
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Text for an element or an attribute. What XML has no way to write becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // In an attribute, a reader would make spaces of them.
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('?'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::{Figures, Skip};

    #[test]
    fn nothing_gets_out_of_an_attribute() {
        assert_eq!(escaped("<a b=\"c\">&\n\t\u{1b}[0m"), {
            "&lt;a b=&quot;c&quot;&gt;&amp;&#10;&#9;?[0m"
        });
        assert_eq!(escaped("grün 🌿"), "grün 🌿");
    }

    #[test]
    fn each_verdict_has_its_element_and_the_suite_counts_them() {
        let wall = Duration::from_millis(1_042);
        let figures = Figures::from([("foundMs".to_owned(), 7.into())]);
        let outcomes = [
            Outcome::of("a", wall, Ok(figures)),
            Outcome::of("b", wall, Err(anyhow::anyhow!("x < y"))),
            Outcome::of("c", wall, Err(Skip("no \"rig\"".to_owned()).into())),
        ];
        let xml = document(&outcomes);
        assert!(
            xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"3.126\"")
        );
        assert!(xml.contains("name=\"a\" time=\"1.042\"><system-out>{&quot;foundMs&quot;:7}<"));
        assert!(xml.contains("<failure message=\"x &lt; y\"/></testcase>"));
        assert!(xml.contains("<skipped message=\"no &quot;rig&quot;\"/></testcase>"));
    }
}
