//! `hedgerow listen`.

use std::pin::pin;

use tokio::time::{Instant, timeout_at};

use super::up::interrupted;
use crate::arguments::ListenArguments;
use crate::control::{Answer, Client, MessageLine, Request, base64, unexpected_answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, printable};

pub(super) async fn run(
    mut client: Client,
    arguments: &ListenArguments,
    output: Output,
) -> Result<(), Failure> {
    let deadline = arguments.timeout.map(|timeout| Instant::now() + timeout);
    // Asked to end, it ends between two messages: none is printed and left in the inbox.
    let mut interrupted = pin!(interrupted()?);
    client.send(&Request::Listen).await?;
    let mut received = 0;
    loop {
        let answer = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(()),
            answer = before(deadline, client.answer()) => answer,
        };
        let Some(answer) = answer.transpose()? else { return timed_out(arguments, received) };
        let Answer::Message { message } = answer else { return Err(unexpected_answer(&answer)) };
        output.print(&event(&message), || text(&message))?;
        // Only now it is out of the inbox.
        client.send(&Request::Taken).await?;
        received += 1;
        if Some(received) == arguments.count {
            return Ok(());
        }
    }
}

/// What comes of `answer` before the deadline, if there is one.
async fn before<T>(deadline: Option<Instant>, answer: impl Future<Output = T>) -> Option<T> {
    match deadline {
        None => Some(answer.await),
        Some(deadline) => timeout_at(deadline, answer).await.ok(),
    }
}

fn timed_out(arguments: &ListenArguments, received: u64) -> Result<(), Failure> {
    let seconds = arguments.timeout.unwrap_or_default().as_secs_f64();
    let wanted = arguments.count.map(|count| format!(" of {count}")).unwrap_or_default();
    let message = format!("{received}{wanted} messages came within {seconds} s");
    Err(Failure::timed_out(message))
}

fn event(message: &MessageLine) -> Event {
    Event::Message {
        from: message.from.clone(),
        device_name: message.device_name.clone(),
        reliability: message.reliability.clone(),
        sequence: message.sequence,
        data_base64: base64::encode(&message.data),
        text: str::from_utf8(&message.data).ok().map(Into::into),
    }
}

fn text(message: &MessageLine) -> String {
    let name = match message.device_name.as_str() {
        "" => message.from.as_str(),
        name => name,
    };
    match str::from_utf8(&message.data) {
        Ok(text) => format!("{}: {}", printable(name), printable(text)),
        Err(_) => {
            let (bytes, data) = (message.data.len(), base64::encode(&message.data));
            format!("{}: {bytes} bytes, no text: {data}", printable(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(data: &[u8]) -> MessageLine {
        MessageLine {
            from: "pkA".into(),
            device_name: "ben".into(),
            reliability: "unreliable".into(),
            sequence: 2,
            data: data.into(),
        }
    }

    #[test]
    fn a_message_has_its_text_if_it_is_text() {
        let json = serde_json::to_value(event(&message("hé".as_bytes()))).unwrap();
        assert_eq!((&json["text"], &json["dataBase64"]), (&"hé".into(), &"aMOp".into()));
        assert_eq!(text(&message("hé\u{1b}".as_bytes())), "ben: hé\u{fffd}");
    }

    #[test]
    fn a_message_that_is_no_text_has_only_its_bytes() {
        let json = serde_json::to_value(event(&message(&[0xff]))).unwrap();
        assert_eq!((json.get("text"), &json["dataBase64"]), (None, &"/w==".into()));
        assert_eq!(text(&message(&[0xff])), "ben: 1 bytes, no text: /w==");
    }
}
