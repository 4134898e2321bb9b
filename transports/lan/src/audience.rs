//! Who hears what is seen and what does not work: the node, or the driver that runs this one.

use hedgerow_driver::{Condition, Endpoint, NodeGone, Reports, Sighting};
use tokio::sync::mpsc;

/// What a [`LanService`](crate::LanService) tells the driver that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LanNews {
    /// Somebody was seen at an endpoint.
    Sighted(Sighting),
    /// Nobody is at an endpoint any more.
    Lost(Endpoint),
    /// What does not work; [`Condition::ok`] once all does.
    Condition(Condition),
}

/// Whom discovery and conditions are told to. Links are always the node's.
#[derive(Clone, Debug)]
pub(crate) enum Audience {
    Node(Reports),
    Host(mpsc::Sender<LanNews>),
}

impl Audience {
    pub(crate) async fn tell(&self, news: LanNews) -> Result<(), NodeGone> {
        match (self, news) {
            (Self::Host(host), news) => host.send(news).await.map_err(|_| NodeGone),
            (Self::Node(reports), LanNews::Sighted(sighting)) => reports.sighted(sighting).await,
            (Self::Node(reports), LanNews::Lost(endpoint)) => reports.lost(endpoint).await,
            (Self::Node(reports), LanNews::Condition(condition)) => {
                reports.condition(condition).await
            }
        }
    }
}
