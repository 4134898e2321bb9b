//! `hedgerow wait`.

use std::time::Duration;

use crate::arguments::WaitArguments;
use crate::control::{Answer, Client, Condition, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::{ErrorCode, Failure};
use crate::output::{Output, counted, duration};

pub(super) async fn run(
    client: Client,
    arguments: WaitArguments,
    output: Output,
) -> Result<(), Failure> {
    let WaitArguments { condition, hops, timeout } = arguments;
    let condition = match (condition.peers, condition.peer, condition.gone) {
        (Some(count), None, None) => Condition::Peers { count },
        (None, Some(peer), None) => Condition::Peer { peer, hops },
        (None, None, Some(peer)) => Condition::Gone { peer },
        _ => {
            let hint = "see `hedgerow wait --help`";
            return Err(Failure::new(ErrorCode::Usage, "one waits for one thing", hint));
        }
    };
    match client.ask(&Request::Wait { condition, timeout }, timeout).await? {
        Answer::Fulfilled { peers, ms } => output.print(&Event::Fulfilled { peers, ms }, || {
            let time = duration(Duration::from_secs_f64(ms.max(0.0) / 1e3));
            format!("done after {time}; {} can be reached", counted(peers, "peer"))
        }),
        other => Err(unexpected_answer(&other)),
    }
}
