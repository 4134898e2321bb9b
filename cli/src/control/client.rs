//! A command's side of the control socket.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::{ANSWER_BYTES_MAX, Answer, Incoming, Outgoing, Request, Socket, WireError, socket};
use crate::failure::{ErrorCode, Failure};
use crate::settings::home_folder;

/// A node that is well answers sooner, beyond what it was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Answer {
    /// The next answer, however long it takes; an error is a failure.
    pub(crate) async fn read(incoming: &mut Incoming<ReadHalf<Socket>>) -> Result<Self, Failure> {
        let line = match incoming.read_line(ANSWER_BYTES_MAX).await {
            Ok(line) => line,
            Err(WireError::Closed) => return Err(Failure::node_stopped()),
            Err(_) => return Err(unexpected("a line that is too long")),
        };
        match serde_json::from_slice(&line) {
            Ok(Self::Error { error }) => Err(error),
            Ok(answer) => Ok(answer),
            Err(error) => Err(unexpected(error)),
        }
    }
}

/// A connection to the node.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) incoming: Incoming<ReadHalf<Socket>>,
    pub(crate) outgoing: Outgoing<WriteHalf<Socket>>,
}

impl Client {
    /// Connects to the node of a home folder.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`].
    pub(crate) async fn connect(home: Option<PathBuf>) -> Result<Self, Failure> {
        let home = home_folder(home)?;
        let path = hedgerow::home::find_control_socket(&home)?;
        let Some(socket) = socket::connect(&path).await? else {
            let message = format!("no node is running with the home {}", home.display());
            let hint = "start one with `hedgerow up`, or name its home with --home";
            return Err(Failure::new(ErrorCode::NoNode, message, hint));
        };
        let (read, write) = tokio::io::split(socket);
        Ok(Self { incoming: Incoming::new(read), outgoing: Outgoing::new(write) })
    }

    /// Sends a request.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let sent = timeout(ANSWER_MAX, self.outgoing.write_line(request)).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            // What the node has to say about it is the better explanation.
            Ok(Err(_)) => self.answer().await.map(drop),
            Err(_) => Err(no_answer(ANSWER_MAX)),
        }
    }

    /// The next answer, however long it takes; an error is a failure.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        Answer::read(&mut self.incoming).await
    }

    /// Sends a request that the node answers once, within `patience` and a little more.
    pub(crate) async fn ask(
        mut self,
        request: &Request,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        let wait = patience + ANSWER_MAX;
        let answered = async {
            self.send(request).await?;
            self.answer().await
        };
        timeout(wait, answered).await.unwrap_or_else(|_| Err(no_answer(wait)))
    }
}

fn no_answer(wait: Duration) -> Failure {
    Failure::timed_out(format!("the node did not answer for {} s", wait.as_secs()))
}

/// The failure for an answer that does not belong to the question.
pub(crate) fn unexpected(what: impl std::fmt::Display) -> Failure {
    let message = format!("the node answered something else: {what}");
    let hint = "use a `hedgerow` command of the same version as the node";
    Failure::new(ErrorCode::BadRequest, message, hint)
}

/// The failure for an answer of the wrong kind.
pub(crate) fn unexpected_answer(answer: &Answer) -> Failure {
    let json = serde_json::to_string(answer).unwrap_or_default();
    unexpected(json.chars().take(80).collect::<String>())
}
