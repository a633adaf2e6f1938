//! Open-loop load: visits begin at random moments at a given rate, whether or not the ones before are done.
//!
//! That's how many independent users look (arrivals are a Poisson process), and what a closed loop hides: a slow server
//! doesn't slow its users down. A visit is any sequence of requests: one GET, or a failed login and its retry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::http::{self, Client, Reply};
use crate::prng::Prng;

/// Visits under way at once; one more is not begun, but counted. A server that hangs must not cost the machine.
const AT_ONCE: usize = 1024;
/// A visit a day: keeps the wait for the next one a time that a clock can hold.
const LEAST_RATE: f64 = 1.0 / 86_400.0;

/// What came of a load so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a response.
    pub errors: u64,
    /// Visits not begun, as too many were under way.
    pub dropped: u64,
}

impl Counts {
    /// All responses.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Responses of this status.
    #[must_use]
    pub fn status(&self, code: u16) -> u64 {
        self.statuses.get(&code).copied().unwrap_or(0)
    }
}

/// One visit: a client and dice of its own.
#[derive(Debug)]
pub struct Visitor {
    /// What it draws at random, from the load's seed.
    pub random: Prng,
    client: Client,
    counts: Arc<watch::Sender<Counts>>,
}

impl Visitor {
    /// Sends a request and counts what comes back; nothing when there's no response.
    pub async fn send(&self, request: Result<Request<Full<Bytes>>>) -> Option<Reply> {
        let reply = match request {
            Ok(request) => self.client.send(request).await,
            Err(error) => Err(error),
        };
        self.counts.send_modify(|counts| match &reply {
            Ok(reply) => *counts.statuses.entry(reply.status).or_default() += 1,
            Err(_) => counts.errors += 1,
        });
        reply.ok()
    }
}

/// A load under way. Dropping it ends it, visits under way included.
#[derive(Debug)]
pub struct Load {
    counts: Arc<watch::Sender<Counts>>,
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Load {
    /// Requests a second of an attack that begins with a pair's first request. Fewer may be so few in the first window that they
    /// are taken for usual, where windows are of seconds.
    pub const ATTACK: f64 = 200.0;

    /// GETs of one URL, at `rate` a second.
    #[must_use]
    pub fn get(rate: f64, seed: u64, url: impl Into<String>) -> Self {
        let url: Arc<str> = url.into().into();
        Self::start(rate, seed, move |visitor| {
            let url = Arc::clone(&url);
            async move {
                visitor
                    .send(http::request(Method::GET, &url, &[], ""))
                    .await;
            }
        })
    }

    /// Visits at `rate` a second.
    #[must_use]
    pub fn start<V, F>(rate: f64, seed: u64, visit: V) -> Self
    where
        V: Fn(Visitor) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let counts = Arc::new(watch::Sender::new(Counts::default()));
        let (stop, mut stopped) = oneshot::channel();
        let (mut random, client) = (Prng::new(seed), Client::new());
        let tally = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut visits = JoinSet::new();
            let mut next = Instant::now();
            loop {
                next += random.wait(rate.max(LEAST_RATE));
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    _ = &mut stopped => break,
                }
                while visits.try_join_next().is_some() {}
                if visits.len() >= AT_ONCE {
                    tally.send_modify(|counts| counts.dropped += 1);
                    continue;
                }
                visits.spawn(visit(Visitor {
                    random: random.fork(),
                    client: client.clone(),
                    counts: Arc::clone(&tally),
                }));
            }
            while visits.join_next().await.is_some() {}
        });
        Self {
            counts,
            task,
            stop: Some(stop),
        }
    }

    /// What came of it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// Awaits what comes of it.
    ///
    /// # Errors
    /// After `within`, with what came until then.
    pub async fn wait_for(
        &self,
        within: Duration,
        wanted: impl Fn(&Counts) -> bool,
    ) -> Result<Counts> {
        let mut counts = self.counts.subscribe();
        match tokio::time::timeout(within, counts.wait_for(|counts| wanted(counts))).await {
            Ok(Ok(counts)) => Ok(counts.clone()),
            _ => bail!("after {within:?} the load is still at {:?}", self.counts()),
        }
    }

    /// Begins no more visits, awaits those under way, and says what came of all.
    pub async fn stop(mut self) -> Counts {
        // Where the task has ended, there's nobody to tell, and nothing left to await.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = (&mut self.task).await;
        self.counts()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}
