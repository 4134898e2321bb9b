//! Carries a stream between a peer and a client.

use std::time::Duration;

use hedgerow::bus::{Stream, StreamError, StreamReceiver, StreamSender};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ClientIncoming, ClientOutgoing, Parting, WRITE_MAX, say};
use crate::control::{Answer, Frame, WireError};

/// How often an open pipe shows that it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Carries `stream` until both sides have finished and everything is acknowledged. A client
/// that leaves before resets it.
///
/// The two directions are independent, and each holds one message: back-pressure goes through.
pub(super) async fn carry(
    stream: Stream,
    incoming: &mut ClientIncoming,
    outgoing: &mut ClientOutgoing,
) -> Result<(), Parting> {
    say(outgoing, &Answer::Open { peer: stream.peer().to_string() }).await?;
    let piece_bytes_max = stream.max_message_size();
    let (mut sender, mut receiver) = stream.split();
    let (acked, is_acked) = oneshot::channel();
    let up = async {
        upload(&mut sender, incoming, piece_bytes_max).await?;
        let _ = acked.send(());
        // Nothing may follow; a client that has not read everything stays.
        incoming.closed().await;
        Err(Parting::Gone)
    };
    let carried = tokio::select! {
        biased;
        all = download(&mut receiver, outgoing, is_acked) => all,
        broken = up => broken,
    };
    match carried {
        // Both sides have finished: what is on its way arrives without the handles.
        Ok(()) => {}
        Err(Parting::Gone) => return Err(Parting::Gone),
        Err(Parting::Told(failure)) => {
            let last = Frame::Error(failure);
            // A client that does not take it is gone.
            let _ = timeout(WRITE_MAX, outgoing.write_frame(&last)).await;
        }
    }
    Ok(())
}

/// From the client to the peer, until everything is in the peer's queue.
async fn upload(
    sender: &mut StreamSender,
    incoming: &mut ClientIncoming,
    piece_bytes_max: usize,
) -> Result<(), Parting> {
    loop {
        match incoming.read_frame().await? {
            Frame::Data(mut data) => {
                while !data.is_empty() {
                    let piece = data.split_to(piece_bytes_max.min(data.len()));
                    sender.send(piece).await.map_err(broken)?;
                }
            }
            Frame::Finish => {
                sender.finish().await.map_err(broken)?;
                return sender.wait_acked().await.map_err(broken);
            }
            _ => return Err(WireError::Invalid.into()),
        }
    }
}

/// From the peer to the client, and the word that everything was acknowledged.
async fn download(
    receiver: &mut StreamReceiver,
    outgoing: &mut ClientOutgoing,
    mut is_acked: oneshot::Receiver<()>,
) -> Result<(), Parting> {
    let (mut acknowledged, mut finished) = (false, false);
    let mut alive = tokio::time::interval(ALIVE_EVERY);
    while !(acknowledged && finished) {
        let frame = tokio::select! {
            Ok(()) = &mut is_acked, if !acknowledged => {
                acknowledged = true;
                Frame::Acknowledged
            }
            // A client that died while its data waits for the peer shows only here.
            _ = alive.tick() => Frame::Alive,
            message = receiver.next(), if !finished => match message.map_err(broken)? {
                Some(data) => Frame::Data(data),
                None => {
                    finished = true;
                    Frame::Finish
                }
            },
        };
        // A person may hold up the output for long; the connection tells who is there.
        outgoing.write_frame(&frame).await.map_err(|_| Parting::Gone)?;
    }
    Ok(())
}

fn broken(error: StreamError) -> Parting {
    Parting::Told(error.into())
}
