//! `hedgerow demo`: a mesh of five nodes in one process, and what it does.

mod drawing;
mod nodes;
mod story;
mod talk;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use crate::output::{Output, duration, millis};
use nodes::Nodes;
use story::{Failed, Story};

/// How long one step may take; most take a tenth.
const STEP_MAX: Duration = Duration::from_secs(15);
/// How long a message is watched that must not arrive.
const WATCH: Duration = Duration::from_millis(500);

/// Plays the demo; the exit code says whether everything went well.
pub(crate) async fn run(output: Output) -> ExitCode {
    let mut story = Story::new(output);
    let mut nodes = Nodes::new();
    let mut outcome = play(&mut nodes, &mut story).await;
    let ended = step("shut down", nodes.shut_down()).await;
    outcome = outcome.and(ended);
    story.end(outcome)
}

async fn play(nodes: &mut Nodes, story: &mut Story) -> Result<(), Failed> {
    story.tell(
        &json!({"event": "begin", "network": nodes.network, "radio": nodes.radio_json()}),
        || {
            format!(
                "Five nodes in this process, in the network {}.\n\
                 A, B and C are joined over TCP, C, D and E over a simulated radio ({}).\n",
                nodes.network,
                nodes.radio_text(),
            )
        },
    )?;
    for name in ["A", "B", "C", "D", "E"] {
        let started = Instant::now();
        step(&format!("start {name}"), nodes.start(name)).await?;
        let graph = step(&format!("A sees {name}"), nodes.wait_until_seen(name)).await?;
        story.joined(name, &graph, started.elapsed())?;
    }
    step("a reliable message", talk::reliable(nodes, story)).await?;
    step("an unreliable message", talk::unreliable(nodes, story)).await?;
    step("a stream", talk::stream(nodes, story)).await?;
    cut_and_heal(nodes, story).await
}

/// Takes the radio link C-D down, and up again under a message that waits.
async fn cut_and_heal(nodes: &Nodes, story: &mut Story) -> Result<(), Failed> {
    let cut = Instant::now();
    nodes.cut()?;
    let text = || "\nThe radio link between C and D is cut.".to_owned();
    story.tell(&json!({"event": "cut", "between": ["C", "D"]}), text)?;
    let graph = step("A sees D and E leave", nodes.wait_for_peers(3)).await?;
    story.graph("left", &graph, cut.elapsed(), "D and E left A's graph after")?;

    let mut sending = std::pin::pin!(talk::send_across_the_cut(nodes));
    if let Ok(early) = timeout(WATCH, &mut sending).await {
        let what = match early {
            Ok(_) => "it was delivered over a link that is cut".to_owned(),
            Err(failed) => failed.message,
        };
        return Err(Failed::new("a message waits for the link", what));
    }
    let text = || "A has a message for E; it waits.".to_owned();
    story.tell(&json!({"event": "waiting", "to": "E", "ms": millis(WATCH)}), text)?;

    let mended = Instant::now();
    nodes.mend()?;
    let text = || "The link between C and D is back.".to_owned();
    story.tell(&json!({"event": "mended", "between": ["C", "D"]}), text)?;
    let delivered = step("the message arrives after the cut", async {
        let delivered = sending.await?;
        talk::expect_after_the_cut(nodes).await?;
        Ok(delivered)
    });
    let graph = step("A sees D and E again", nodes.wait_for_peers(5));
    let ((delivered, took), graph) = tokio::try_join!(delivered, graph)?;
    let healed = mended.elapsed();
    story.count_delivered(1);
    story.graph("healed", &graph, healed, "The mesh is whole again after")?;
    story.set_healed();
    story.tell(
        &json!({"event": "delivered", "to": "E", "hops": delivered.hops,
                "ms": millis(took), "waited": true}),
        || format!("The message that waited was delivered, {} after it was sent.", duration(took)),
    )
}

/// One step, which names itself when it fails or takes too long.
async fn step<T>(name: &str, work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    match timeout(STEP_MAX, work).await {
        Ok(done) => done.map_err(|failed| Failed { step: name.into(), ..failed }),
        Err(_) => {
            let message = format!("not done after {} s", STEP_MAX.as_secs());
            Err(Failed::new(name, message))
        }
    }
}
