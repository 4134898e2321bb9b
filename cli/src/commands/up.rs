//! `hedgerow up`.

use std::path::PathBuf;
use std::time::Duration;

use hedgerow::home::Home;
use hedgerow::{Mesh, Peer};
use tokio::time::timeout;

use crate::arguments::UpArguments;
use crate::control::Listener;
use crate::event::Event;
use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::{serve, settings};

/// A node that is well has said goodbye by then.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(
    home: Option<PathBuf>,
    flags: UpArguments,
    output: Output,
) -> Result<(), Failure> {
    let folder = settings::home_folder(home)?;
    let config = settings::config(&folder, &flags)?;
    let home = Home::open(Some(&folder))?;
    // From here on this process owns the folder. Signals count from before the ready line.
    let interrupted = interrupted()?;
    let listener = Listener::bind(home.control_socket_path()?)?;
    let mesh = Mesh::builder().config(config).home(home).start().await?;
    let ran = announce(&mesh, output);
    if ran.is_ok() {
        tokio::select! {
            () = interrupted => tracing::info!("interrupted, saying goodbye"),
            () = serve::run(mesh.clone(), listener) => {}
        }
    }
    let shutdown = timeout(SHUTDOWN_MAX, mesh.shutdown()).await;
    ran?;
    shutdown.map_err(|_| {
        let seconds = SHUTDOWN_MAX.as_secs();
        Failure::internal("cannot end the node", format!("it takes over {seconds} s"))
    })
}

fn announce(mesh: &Mesh, output: Output) -> Result<(), Failure> {
    let peer = mesh.presence().local_peer();
    let listen: Vec<String> = mesh.listen_addresses().iter().map(ToString::to_string).collect();
    let event = Event::Ready {
        peer_key_string: peer.peer_key_string.clone(),
        device_name: peer.device_name.clone(),
        network: mesh.network_name().to_owned(),
        open: mesh.is_open(),
        listen: listen.clone(),
    };
    output.print(&event, || text(mesh, &peer, &listen))
}

fn text(mesh: &Mesh, peer: &Peer, listen: &[String]) -> String {
    let network = printable(mesh.network_name());
    let kind = if mesh.is_open() {
        "open: everybody who knows its name may join; close it with --secret-file"
    } else {
        "closed: only those with its secret may join"
    };
    let listen = if listen.is_empty() { "nowhere".to_owned() } else { listen.join(", ") };
    format!(
        "name     {}\nkey      {}\nnetwork  {network} ({kind})\nlisten   {listen}\nready; \
         interrupt to end",
        printable(&peer.device_name),
        peer.peer_key_string,
    )
}

/// Completes when somebody wants the process to end. Listens from the call on, not only from
/// the first poll.
#[cfg(unix)]
pub(super) fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};

    let listen =
        |kind| signal(kind).map_err(|error| Failure::internal("cannot listen for signals", error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as on unix")]
pub(super) fn interrupted() -> Result<impl Future<Output = ()>, Failure> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
