//! The node's side of the control socket.

mod answers;
mod diagnose;
mod inbox;
mod pipe;
mod roster;
pub(crate) mod scarcity;
mod send;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hedgerow::Mesh;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::control::{
    Answer, Incoming, Listener, Outgoing, REQUEST_BYTES_MAX, Request, Socket, WireError,
};
use crate::failure::{ErrorCode, Failure};
use inbox::Inbox;
use roster::Roster;
use scarcity::Reserve;
use send::Manner;

/// A client that connects says what it wants within this time.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// A client takes an answer within this time.
const WRITE_MAX: Duration = Duration::from_secs(30);

type ClientIncoming = Incoming<ReadHalf<Socket>>;
type ClientOutgoing = Outgoing<WriteHalf<Socket>>;

/// What the clients of one node share.
struct Service {
    mesh: Mesh,
    inbox: Inbox,
    roster: Roster,
    started: Instant,
}

/// Why a client is let go.
enum Parting {
    /// It left, or does not listen.
    Gone,
    /// It is told why.
    Told(Failure),
}

impl From<Failure> for Parting {
    fn from(failure: Failure) -> Self {
        Self::Told(failure)
    }
}

impl From<WireError> for Parting {
    fn from(error: WireError) -> Self {
        let message = match error {
            WireError::Closed => return Self::Gone,
            WireError::TooLong(limit) => format!("the request has over {limit} bytes in a line"),
            WireError::Invalid => "the client sent something that is no frame".to_owned(),
        };
        let hint = "use a `hedgerow` command of the same version as the node";
        Self::Told(Failure::new(ErrorCode::BadRequest, message, hint))
    }
}

/// Serves clients; ends only when it is dropped, and lets go of all of them then.
pub(crate) async fn run(mesh: Mesh, listener: Listener) {
    let inbox = Inbox::new(mesh.bus().messages());
    let roster = Roster::new(mesh.presence());
    let service = Arc::new(Service { inbox, roster, mesh, started: Instant::now() });
    let clients_max = scarcity::clients_max();
    let places = Arc::new(Semaphore::new(clients_max));
    let mut reserve = Reserve::new();
    let mut clients = JoinSet::new();
    clients.spawn({
        let service = service.clone();
        async move { service.roster.follow().await }
    });
    loop {
        let socket = tokio::select! {
            socket = listener.accept() => socket,
            Some(_ended) = clients.join_next() => continue,
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                reserve.on_failure(&error);
                reserve.turn_away(&listener).await;
                continue;
            }
        };
        reserve.on_success();
        let (read, write) = tokio::io::split(socket);
        let (incoming, outgoing) = (Incoming::new(read), Outgoing::new(write));
        match places.clone().try_acquire_owned() {
            Ok(place) => {
                let service = service.clone();
                clients.spawn(async move {
                    service.serve(incoming, outgoing).await;
                    drop(place);
                });
            }
            Err(_) => {
                tracing::warn!("a command was turned away: {clients_max} are connected");
                let message = format!("{clients_max} commands are connected to the node already");
                let hint = "end some, `listen` and `pipe` most likely, and try again";
                turn_away(outgoing, Failure::new(ErrorCode::TooManyClients, message, hint));
            }
        }
    }
}

/// One line fits the socket's buffer; a client that it does not fit for learns from the close.
fn turn_away(mut outgoing: ClientOutgoing, error: Failure) {
    let answer = Answer::Error { error };
    let mut write = Box::pin(async move { outgoing.write_line(&answer).await });
    let waker = std::task::Waker::noop();
    let _ = write.as_mut().poll(&mut std::task::Context::from_waker(waker));
}

impl Service {
    async fn serve(&self, mut incoming: ClientIncoming, mut outgoing: ClientOutgoing) {
        let parting = match read_request(&mut incoming).await {
            Ok(request) => self.obey(request, &mut incoming, &mut outgoing).await,
            Err(parting) => Err(parting),
        };
        if let Err(Parting::Told(error)) = parting {
            // A client that does not take it is gone.
            let _ = say(&mut outgoing, &Answer::Error { error }).await;
        }
    }

    async fn obey(
        &self,
        request: Request,
        incoming: &mut ClientIncoming,
        outgoing: &mut ClientOutgoing,
    ) -> Result<(), Parting> {
        match request {
            Request::Listen => self.inbox.drain(&self.roster, incoming, outgoing).await,
            Request::Trace { peer } => self.trace(&peer, incoming, outgoing).await,
            Request::Watch => self.watch(incoming, outgoing).await,
            Request::SendLines { peer, unreliable, lane, timeout } => {
                let manner = Manner { unreliable, lane: lane.into(), patience: timeout };
                self.send_lines(&peer, manner, incoming, outgoing).await
            }
            Request::Open { peer, topic, lane, timeout } => {
                let opened = self.open(&peer, &topic, lane.into(), timeout);
                let stream = unless_closed(incoming, opened).await??;
                pipe::carry(stream, incoming, outgoing).await
            }
            Request::Accept { topic, from } => {
                let acceptor = self.mesh.bus().listen(&topic).await.map_err(Failure::from)?;
                say(outgoing, &Answer::Accepting).await?;
                let accepted = self.accept(acceptor, from.as_deref());
                let stream = unless_closed(incoming, accepted).await??;
                pipe::carry(stream, incoming, outgoing).await
            }
            request => {
                let answer = unless_closed(incoming, self.answer(request)).await??;
                say(outgoing, &answer).await
            }
        }
    }
}

async fn read_request(incoming: &mut ClientIncoming) -> Result<Request, Parting> {
    match timeout(REQUEST_MAX, incoming.read_line(REQUEST_BYTES_MAX)).await {
        Ok(line) => Ok(Request::parse(&line?)?),
        Err(_) => {
            let message = format!("the client sent no request for {} s", REQUEST_MAX.as_secs());
            let hint = "send one line of JSON at once";
            Err(Failure::new(ErrorCode::BadRequest, message, hint).into())
        }
    }
}

/// What `work` gives, unless the client leaves first; what is dropped then lets go of all it had.
async fn unless_closed<T>(
    incoming: &mut ClientIncoming,
    work: impl Future<Output = T>,
) -> Result<T, Parting> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = incoming.closed() => Err(Parting::Gone),
    }
}

/// Sends an answer to a client that takes it in time.
async fn say(outgoing: &mut ClientOutgoing, answer: &Answer) -> Result<(), Parting> {
    match timeout(WRITE_MAX, outgoing.write_line(answer)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Parting::Gone),
    }
}
