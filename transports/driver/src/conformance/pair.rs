//! A bench with a node at each end.

use tokio::time::{sleep, timeout};

use super::flow::{Flow, Stream, Way};
use super::post::Post;
use super::witness::{Seen, Witness, beacon};
use super::{Bench, Breach, End, require};
use crate::{DialId, Endpoint, LinkId, LinkOrigin, LinkShape, LinkUp};

/// Dials of which one must come up.
const DIALS_TRIED: usize = 20;

/// Two nodes on a bench.
pub(super) struct Pair<B> {
    pub(super) bench: B,
    pub(super) here: Witness,
    pub(super) there: Witness,
    /// Flows made so far: each has bytes of its own.
    flows: u64,
}

/// The two ends of a link.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    pub(super) here: LinkUp,
    pub(super) there: LinkUp,
}

/// The most bytes that one transmit takes: a chunk or a packet.
pub(super) fn chunk_bytes(up: &LinkUp) -> Result<usize, Breach> {
    match up.shape {
        LinkShape::Stream { chunk_bytes, .. } => Ok(chunk_bytes),
        LinkShape::Packet { packet_bytes, .. } => Ok(packet_bytes),
        #[allow(unreachable_patterns, reason = "the core may learn other shapes")]
        other => Err(Breach(format!("{other:?}: a shape that this suite does not know yet"))),
    }
}

impl<B: Bench> Pair<B> {
    /// Runs both drivers; nobody advertises.
    pub(super) fn silent(mut bench: B) -> Self {
        let figures = bench.figures();
        let here = Witness::start(End::Here, bench.driver(End::Here), figures);
        let there = Witness::start(End::There, bench.driver(End::There), figures);
        Self { bench, here, there, flows: 0 }
    }

    /// Runs both drivers and advertises.
    pub(super) async fn start(bench: B) -> Result<Self, Breach> {
        let mut pair = Self::silent(bench);
        pair.here.advertise().await?;
        pair.there.advertise().await?;
        Ok(pair)
    }

    /// [`Pair::start`], and a link that was dialled from here.
    pub(super) async fn linked(bench: B) -> Result<(Self, Linked), Breach> {
        let mut pair = Self::start(bench).await?;
        let linked = pair.link().await?;
        Ok((pair, linked))
    }

    /// Runs a new driver there, in place of one that has ended.
    pub(super) async fn restart_there(&mut self) -> Result<(), Breach> {
        let driver = self.bench.driver(End::There);
        self.there = Witness::start(End::There, driver, self.bench.figures());
        self.there.advertise().await
    }

    /// Where the other end can be dialled.
    pub(super) async fn endpoint(&mut self, end: End) -> Result<Endpoint, Breach> {
        if let Some(endpoint) = self.bench.endpoint(end) {
            return Ok(endpoint);
        }
        let from = match end {
            End::Here => &mut self.there,
            End::There => &mut self.here,
        };
        let is_it = beacon(end);
        from.until_noted("sighting of the other end", |ledger| {
            let found = ledger.seen.iter().find(|&(_, beacon)| *beacon == Some(is_it));
            found.map(|(endpoint, _)| endpoint.clone())
        })
        .await
    }

    /// A link from here to there. A dial or two may fail: drivers obey when they come round to
    /// it, so the other end may not yet accept, or not yet be there again.
    pub(super) async fn link(&mut self) -> Result<Linked, Breach> {
        let mut failure = None;
        for _ in 0..DIALS_TRIED {
            let endpoint = self.endpoint(End::There).await?;
            let dial = self.here.dial(endpoint.clone()).await?;
            let answer = self.here.until("answer to a dial", |seen| match seen {
                Seen::Up(up) => Some(Ok(up.clone())),
                Seen::Failed(of, why) if *of == dial => Some(Err(why.clone())),
                _ => None,
            });
            match answer.await? {
                Ok(here) => {
                    is_answer(&here, dial, &endpoint)?;
                    return self.accepted(here).await;
                }
                Err(why) => failure = Some(why),
            }
            sleep(self.bench.figures().quiet).await;
            self.here.read_waiting()?;
        }
        Err(Breach(format!("{DIALS_TRIED} dials failed, the last one: {failure:?}")))
    }

    /// The other end of a link that was dialled here.
    async fn accepted(&mut self, here: LinkUp) -> Result<Linked, Breach> {
        let there = self.there.link_up().await?;
        require(there.origin == LinkOrigin::Accepted, || {
            format!("there: a link that came in says {:?}", there.origin)
        })?;
        let linked = Linked { here, there };
        self.add_flow(&linked)?;
        Ok(linked)
    }

    /// Lets both ends know what is to come on a link.
    pub(super) fn add_flow(&mut self, linked: &Linked) -> Result<(), Breach> {
        let [mut out_here, back_there] = self.way(self.flows + 1, &linked.here)?;
        let [mut out_there, back_here] = self.way(self.flows + 2, &linked.there)?;
        for (out, end, up) in [
            (&mut out_here, &self.here, &linked.here),
            (&mut out_there, &self.there, &linked.there),
        ] {
            if let Some(told) = end.packet_bytes.get(&up.link) {
                out.set_packet_bytes(*told)?;
            }
        }
        let at_here = Flow { out: out_here, back: back_here };
        let at_there = Flow { out: out_there, back: back_there };
        self.flows += 2;
        self.here.flows.insert(linked.here.link, at_here);
        self.there.flows.insert(linked.there.link, at_there);
        Ok(())
    }

    /// Both ends of the direction in which `up` sends.
    fn way(&self, seed: u64, up: &LinkUp) -> Result<[Way; 2], Breach> {
        let figures = self.bench.figures();
        let bytes = chunk_bytes(up)?;
        Ok(match up.shape {
            LinkShape::Packet { is_ordered, .. } => {
                Way::packets(Post::new(seed, bytes, is_ordered, &figures))
            }
            _ => Way::stream(&Stream::new(seed, bytes, figures.keeps_boundaries)),
        })
    }

    /// About `bytes` more are to go each way.
    pub(super) fn plan(&mut self, linked: &Linked, bytes: usize) -> Result<(), Breach> {
        plan_way(&mut self.here, linked.here.link, &mut self.there, linked.there.link, bytes)?;
        plan_way(&mut self.there, linked.there.link, &mut self.here, linked.here.link, bytes)
    }

    /// Carries what is planned.
    pub(super) async fn carry(&mut self) -> Result<(), Breach> {
        let (here, there) = tokio::join!(self.here.carry(), self.there.carry());
        here.and(there)
    }

    /// About `bytes` go each way.
    pub(super) async fn exchange(&mut self, linked: &Linked, bytes: usize) -> Result<(), Breach> {
        self.plan(linked, bytes)?;
        self.carry().await
    }

    pub(super) async fn quiet(&mut self) -> Result<(), Breach> {
        let (here, there) = tokio::join!(self.here.quiet(), self.there.quiet());
        here.and(there)
    }

    /// Waits until both ends of a link are down.
    pub(super) async fn both_down(&mut self, linked: &Linked) -> Result<(), Breach> {
        self.here.link_down(linked.here.link).await?;
        self.there.link_down(linked.there.link).await?;
        Ok(())
    }

    /// The driver here has ended: nothing that it started may hold its channels any more.
    pub(super) async fn nothing_left_here(&mut self) -> Result<(), Breach> {
        let patience = self.bench.figures().quiet;
        let reading = async {
            while self.here.next_or_end().await?.is_some() {}
            Ok(())
        };
        timeout(patience, reading).await.unwrap_or_else(|_| {
            Err(Breach("the driver has ended, but a task it started lives on".to_owned()))
        })
    }
}

/// A link says which dial it answers.
fn is_answer(up: &LinkUp, dial: DialId, endpoint: &Endpoint) -> Result<(), Breach> {
    require(up.origin == LinkOrigin::Dialled(dial), || {
        format!("the link that was dialled says {:?}", up.origin)
    })?;
    require(up.endpoint == *endpoint, || {
        format!("a link dialled at {endpoint} says that its endpoint is {}", up.endpoint)
    })
}

/// `from` is to send about `bytes` more, and `to` to receive all that `from` ever sends.
fn plan_way(
    from: &mut Witness,
    from_link: LinkId,
    to: &mut Witness,
    to_link: LinkId,
    bytes: usize,
) -> Result<(), Breach> {
    let (Some(sending), Some(receiving)) =
        (from.flows.get_mut(&from_link), to.flows.get_mut(&to_link))
    else {
        return Err(Breach("a link without a flow".to_owned()));
    };
    sending.out.goal = sending.out.goal_after(bytes);
    receiving.back.goal = sending.out.goal;
    Ok(())
}
