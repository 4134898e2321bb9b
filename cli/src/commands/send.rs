//! `hedgerow send`.

mod lines;

use std::time::Duration;

use crate::arguments::SendArguments;
use crate::control::{Answer, Client, Request, unexpected_answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, counted, duration, printable};

pub(super) async fn run(
    client: Client,
    arguments: SendArguments,
    output: Output,
) -> Result<(), Failure> {
    let SendArguments { peer, text, unreliable, lane, timeout, .. } = arguments;
    let name = printable(&peer);
    let Some(text) = text else {
        let request = Request::SendLines { peer, unreliable, lane, timeout };
        return lines::run(client, &request, &name, output).await;
    };
    let request = Request::Send { peer, data: text.into_bytes(), unreliable, lane, timeout };
    match client.ask(&request, timeout).await? {
        Answer::Delivered { to, sequence, rtt_ms, hops, bytes } => {
            let event = Event::Delivered { to, line: None, sequence, rtt_ms, hops, bytes };
            output.print(&event, || {
                let rtt = duration(Duration::from_secs_f64(rtt_ms.max(0.0) / 1e3));
                let hops = counted(hops, "hop");
                format!("delivered to {name} in {rtt} over {hops}")
            })
        }
        Answer::Sent { to, sequence, bytes } => {
            let event = Event::Sent { to, line: None, sequence, bytes };
            output.print(&event, || format!("sent to {name}; nobody knows whether it arrives"))
        }
        other => Err(unexpected_answer(&other)),
    }
}
