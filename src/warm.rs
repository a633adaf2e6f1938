//! What an Envoy that was restarted begins with: a trained snapshot in the configuration, or what the last process put
//! into an HTTP store, and where this one puts what it learns.
//!
//! Shared data outlives a VM and not the process; here is what outlives the process. The leader alone does it. Which source
//! was read is marked in shared data, so that the next leader does not read it again: its own snapshot has all of it and more,
//! unless that was refused. The mark is set *before* what was fetched is taken in, so that a snapshot that would trap its reader does so once.
//!
//! Nothing waits for it. While a store is silent, the engine learns from scratch; what it does with a snapshot that comes
//! late is in [`Aggregator::warm_start`]'s module. When to ask and when to save is [`pairwatch_engine::store`]'s.

use crate::host;
use crate::leader::refuse;
use crate::metrics::LeaderMetrics;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::{Config, WarmStart};
use pairwatch_engine::store::{Ask, MAX_BYTES, Outcome, Store};
use proxy_wasm::types::LogLevel;

/// Where the fingerprint of the source is that this process has read.
const MARK: &str = "pairwatch.warm";

#[derive(Debug)]
pub(crate) struct Warm {
    source: Option<WarmStart>,
    store: Option<Store>,
    /// Whether what is in the configuration is still to be read.
    is_due: bool,
    /// The request under way.
    token: Option<u32>,
}

impl Warm {
    /// Looks at what is configured and at what was read already. What was not trusted is taken for read.
    pub(crate) fn begin(config: &Config, trusted: bool, seed: u64, now: Time) -> Self {
        let source = config.learning.warm_start.clone();
        let is_read = source.as_ref().is_none_or(|source| {
            !trusted || host::shared(MARK).0 == source.fingerprint().to_le_bytes()
        });
        let store = source.clone().filter(|s| s.inline.is_none()).map(|source| {
            let (id, cluster) = (host::node("id"), host::node("cluster"));
            Store::new(source, (&id, &cluster), seed, is_read, now)
        });
        Self {
            is_due: !is_read,
            source,
            store,
            token: None,
        }
    }

    /// Goes on by another configuration: another source is read, the same one is not read again.
    pub(crate) fn reconfigure(&mut self, config: &Config, seed: u64, now: Time) {
        if self.source != config.learning.warm_start {
            *self = Self::begin(config, true, seed, now);
        }
    }

    /// Takes in the snapshot of the configuration, if there is one that was not. Says whether it did.
    pub(crate) fn inline(
        &mut self,
        engine: &mut Aggregator,
        metrics: &LeaderMetrics,
        now: Time,
    ) -> bool {
        let source = self.source.clone().filter(|_| self.is_due);
        let Some(inline) = source.and_then(|source| source.inline) else {
            return false;
        };
        self.mark();
        take_in(inline.bytes(), "in the configuration", engine, metrics, now)
    }

    /// Once a second: asks of the store what is due.
    pub(crate) fn tick(&mut self, engine: &Aggregator, metrics: &LeaderMetrics, now: Time) {
        let Some(store) = &mut self.store else {
            return;
        };
        let Some(ask) = store.due(now) else {
            return;
        };
        let mut body = Vec::new();
        if ask == Ask::Save {
            if !engine.knows_a_pair() {
                store.postpone(now);
                return;
            }
            body = engine.snapshot(0);
            if body.len() > MAX_BYTES {
                let (name, size) = (store.name(), body.len());
                store.postpone(now);
                host::count(metrics.store_failed, 1);
                let said = format!(
                    "pairwatch: {name}: a snapshot of {size} bytes is not saved, {MAX_BYTES} is the most; lower limits.pairs"
                );
                host::log(LogLevel::Warn, &said);
                return;
            }
        }
        let request = store.ask(ask, now);
        self.token = host::call(request.cluster, request.headers, &body, request.timeout);
        // No such cluster, or none of its hosts is up: as good as no answer.
        if self.token.is_none()
            && let Outcome::Failed(said) = store.answered(None, 0, now)
        {
            host::count(metrics.store_failed, 1);
            say(said);
        }
    }

    /// Whether a call was one of this.
    pub(crate) fn asked(&self, token: u32) -> bool {
        self.token == Some(token)
    }

    /// Takes in the answer of the store; its body is read only where it is a snapshot. Says whether the engine took it in.
    pub(crate) fn answered(
        &mut self,
        status: Option<u16>,
        size: usize,
        engine: &mut Aggregator,
        metrics: &LeaderMetrics,
        now: Time,
    ) -> bool {
        self.token = None;
        let Some(store) = &mut self.store else {
            return false;
        };
        let place = format!("in {}", store.name());
        match store.answered(status, size, now) {
            Outcome::Fetched => {
                self.mark();
                return take_in(&host::answer_body(size), &place, engine, metrics, now);
            }
            Outcome::Refused(why) => {
                self.mark();
                refuse(metrics, &place, &why);
            }
            Outcome::Empty(said) => {
                self.mark();
                host::log(LogLevel::Info, &format!("pairwatch: {said}"));
            }
            Outcome::Saved(said) => {
                host::count(metrics.store_saved, 1);
                say(said);
            }
            Outcome::Failed(said) => {
                host::count(metrics.store_failed, 1);
                say(said);
            }
            Outcome::Stray => {}
        }
        false
    }

    fn mark(&mut self) {
        self.is_due = false;
        if let Some(source) = &self.source {
            host::share(MARK, &source.fingerprint().to_le_bytes(), None);
        }
    }
}

/// What was taken in is lost: the next that asks reads it again.
pub(crate) fn forget() {
    host::share(MARK, &[], None);
}

fn take_in(
    bytes: &[u8],
    place: &str,
    engine: &mut Aggregator,
    metrics: &LeaderMetrics,
    now: Time,
) -> bool {
    match engine.warm_start(bytes, now) {
        Ok(pairs) => {
            host::count(metrics.warm_starts, 1);
            let said =
                format!("pairwatch: warm start: {pairs} pairs known by the snapshot {place}");
            host::log(LogLevel::Info, &said);
            true
        }
        Err(error) => {
            refuse(metrics, place, &error);
            false
        }
    }
}

fn say(said: Option<String>) {
    if let Some(said) = said {
        host::log(LogLevel::Warn, &format!("pairwatch: {said}"));
    }
}
