//! The command loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use btleplug::api::{Central as _, CentralState, Manager as _, Peripheral as _};
use btleplug::platform::{Adapter, Manager};
use hedgerow_driver::{
    Condition, ConditionState, DialFailure, DialId, DriverError, Endpoint, LinkOrigin, NodeGone,
    Port, TransportCommand,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::central::{Deaf, Known, scan, sight};
use super::values::Values;
use crate::BleConfig;
use crate::link::BleLinks;

/// How long an adapter that refused is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const SHUTDOWN_WITHIN: Duration = Duration::from_millis(900);

/// Runs the driver until the node shuts down.
pub(crate) async fn run(config: BleConfig, mut port: Port) -> Result<(), DriverError> {
    let links = Arc::new(BleLinks::new(port.reports.clone(), config.links_max));
    let known = Known::default();
    let (running, stopped) = watch::channel(());
    let mut tasks = JoinSet::new();
    tasks.spawn(keep_listening(config, Arc::clone(&links), known.clone(), stopped));
    let mut dials: HashMap<DialId, oneshot::Sender<()>> = HashMap::new();
    loop {
        tokio::select! {
            command = port.commands.recv() => match command {
                // Nobody can be told anything yet.
                Some(TransportCommand::Advertise(_) | TransportCommand::Hint { .. }) => {}
                Some(TransportCommand::Dial { dial, endpoint }) => {
                    dials.retain(|_, cancel| !cancel.is_closed());
                    let (cancel, cancelled) = oneshot::channel();
                    dials.insert(dial, cancel);
                    let (links, known) = (Arc::clone(&links), known.clone());
                    tasks.spawn(dial_and_carry(links, known, dial, endpoint, cancelled));
                }
                Some(TransportCommand::CancelDial(dial)) => drop(dials.remove(&dial)),
                Some(TransportCommand::Close(link)) => links.close(link),
                None => break,
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok(outcome) => outcome?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            },
        }
    }
    drop((running, dials));
    links.shut_down();
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(SHUTDOWN_WITHIN, all).await;
    tasks.shutdown().await;
    Ok(())
}

/// The condition in which a driver would be now.
pub(crate) async fn look(adapter: Option<&str>) -> Condition {
    match choose(adapter).await {
        Ok(_) => central_only(),
        Err(condition) => condition,
    }
}

/// This half works.
fn central_only() -> Condition {
    let detail = "this system is not found by others over Bluetooth yet, but finds and dials those \
                  that are";
    Condition::new(ConditionState::Unsupported, detail)
}

/// The adapter that is used, or why there is none.
async fn choose(wanted: Option<&str>) -> Result<Adapter, Condition> {
    let adapters =
        async { Manager::new().await?.adapters().await }.await.map_err(|e| refused(&e))?;
    let mut names = Vec::new();
    for adapter in adapters {
        let name = adapter.adapter_info().await.unwrap_or_default();
        if wanted.is_none_or(|wanted| name.contains(wanted)) {
            return match adapter.adapter_state().await {
                Ok(CentralState::PoweredOff) => Err(Condition::new(
                    ConditionState::RadioOff,
                    "Bluetooth is switched off: switch it on in the system's settings",
                )),
                Ok(_) => Ok(adapter),
                Err(error) => Err(refused(&error)),
            };
        }
        names.push(name);
    }
    let detail = match wanted {
        Some(wanted) => format!(
            "there is no Bluetooth adapter {wanted}, but {}: set transports.ble.adapter",
            if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
        ),
        None => "this machine has no Bluetooth adapter".to_owned(),
    };
    Err(Condition::new(ConditionState::NoHardware, detail))
}

fn refused(error: &btleplug::Error) -> Condition {
    match error {
        btleplug::Error::PermissionDenied => Condition::new(
            ConditionState::NoPermission,
            "this program may not use Bluetooth: allow it in the system's privacy settings",
        ),
        other => Condition::new(
            ConditionState::TemporarilyUnavailable,
            format!("the system refuses, and is asked again: {other}"),
        ),
    }
}

/// Scans and reports for as long as the node runs.
async fn keep_listening(
    config: BleConfig,
    links: Arc<BleLinks>,
    known: Known,
    mut stopped: watch::Receiver<()>,
) -> Result<(), NodeGone> {
    let mut last = Condition::ok();
    loop {
        let condition = match choose(config.adapter.as_deref()).await {
            Ok(adapter) => {
                tell(&links, &mut last, central_only()).await?;
                tokio::select! {
                    scanned = scan(&adapter, &links) => scanned.map_err(|error| refused(&error)),
                    heard = sight(&adapter, &known, links.reports()) => match heard {
                        Err(Deaf::NodeGone) => return Err(NodeGone),
                        Err(Deaf::Refused(error)) => Err(refused(&error)),
                        Ok(()) => Ok(()),
                    },
                    _ = stopped.changed() => return Ok(()),
                }
                .err()
            }
            Err(condition) => Some(condition),
        };
        if let Some(condition) = condition {
            tell(&links, &mut last, condition).await?;
        }
        tokio::select! {
            () = sleep(AGAIN_AFTER) => {}
            _ = stopped.changed() => return Ok(()),
        }
    }
}

async fn tell(
    links: &BleLinks,
    last: &mut Condition,
    condition: Condition,
) -> Result<(), NodeGone> {
    if *last == condition {
        return Ok(());
    }
    last.clone_from(&condition);
    links.reports().condition(condition).await
}

async fn dial_and_carry(
    links: Arc<BleLinks>,
    known: Known,
    number: DialId,
    endpoint: Endpoint,
    cancelled: oneshot::Receiver<()>,
) -> Result<(), NodeGone> {
    let reports = links.reports();
    let Some(peripheral) = known.find(&endpoint) else {
        return reports.dial_failed(number, DialFailure::Unreachable).await;
    };
    let Some(_seat) = links.seat() else {
        let reason = "all connections that the radio holds are taken".to_owned();
        return reports.dial_failed(number, DialFailure::Unavailable(reason)).await;
    };
    let dialled = async {
        // What an attempt before left behind would answer this one with an error.
        if peripheral.is_connected().await.unwrap_or(false) {
            let _ = peripheral.disconnect().await;
        }
        peripheral.connect().await?;
        Values::subscribe(peripheral.clone()).await
    };
    let values = tokio::select! {
        biased;
        _ = cancelled => Err(DialFailure::Cancelled),
        values = dialled => match values {
            Ok(Some(values)) => Ok(values),
            Ok(None) => Err(DialFailure::Refused),
            Err(btleplug::Error::TimedOut(_)) => Err(DialFailure::TimedOut),
            Err(error) => Err(DialFailure::Other(error.to_string())),
        },
    };
    match values {
        Ok(values) => {
            let origin = LinkOrigin::Dialled(number);
            let carried = links.carry(&values, values.medium(), origin, endpoint).await;
            values.hang_up().await;
            carried
        }
        Err(reason) => {
            reports.dial_failed(number, reason).await?;
            let _ = peripheral.disconnect().await;
            Ok(())
        }
    }
}
