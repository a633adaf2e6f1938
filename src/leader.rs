//! The aggregator in office: off the queue, into the journal, into the engine; alerts, limits and snapshots out.
//!
//! The order within a tick is what makes a leader's death cost nothing: batches are journalled before the engine sees
//! them. Whoever takes over restores the last snapshot and merges what the journal holds beyond it. Should doing so kill
//! two leaders in a row, the third leaves the journal aside, and the fourth the snapshot too: an installation that
//! forgets is better than one that traps for ever. Where there is no snapshot, because Envoy began just now, [`crate::warm`]
//! looks for one elsewhere.

use crate::host;
use crate::metrics::LeaderMetrics;
use crate::risk::Risk;
use crate::sinks::Sinks;
use crate::vm::LIMITS;
use crate::warm::{self, Warm};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::State;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Batch;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::journal::{Entry, SLOTS, slot};
use proxy_wasm::types::LogLevel;

/// Where what was learned outlives the VM.
const SNAPSHOT: &str = "pairwatch.snapshot";
/// Items taken off the queue in one tick: what is more waits for the next, so that a tick ends.
const MAX_ITEMS: usize = 4096;
/// Failed leaders in a row after which the journal is left aside, and then the snapshot.
const DISTRUST_JOURNAL: u32 = 3;
const DISTRUST_SNAPSHOT: u32 = 4;

#[derive(Debug)]
pub(crate) struct Leader {
    engine: Aggregator,
    metrics: LeaderMetrics,
    risk: Risk,
    sinks: Sinks,
    warm: Warm,
    seed: u64,
    /// Number of the last journal entry written.
    journaled: u64,
    /// Number of the last one the snapshot contains.
    saved: u64,
    saved_at: Time,
    /// Start of the window the limits were published for.
    published: Option<Time>,
}

impl Leader {
    /// Leaves office where nobody is to follow: what it told of the moment would stand for ever.
    pub(crate) fn resign(self) {
        self.metrics.rest();
        self.risk.rest();
    }

    /// Takes office: restores what the last leader knew.
    pub(crate) fn take_over(config: Config, seed: u64, failures: u32, now: Time) -> Self {
        let metrics = LeaderMetrics::new();
        host::count(metrics.elections, 1);
        let (bytes, _) = host::shared(SNAPSHOT);
        let mut how = "with nothing learned yet";
        let mut restored = None;
        if !bytes.is_empty() && failures < DISTRUST_SNAPSHOT {
            match Aggregator::restore(config.clone(), seed, &bytes, now) {
                Ok(state) => {
                    how = "with what was learned";
                    restored = Some(state);
                    if let Some(found) = Aggregator::other_windows(&config, &bytes) {
                        let why = format!(
                            "its rates, learned with windows of {found}, are not the configuration's"
                        );
                        refuse(&metrics, "in shared data", &why);
                    }
                }
                Err(error) => {
                    refuse(&metrics, "in shared data", &error);
                    warm::forget();
                }
            }
        }
        let sinks = Sinks::new(&config, seed, now);
        let risk = Risk::take_over(restored.is_some());
        let warm = Warm::begin(&config, failures < DISTRUST_SNAPSHOT, seed, now);
        let (engine, saved) = restored.unwrap_or_else(|| (Aggregator::new(config, seed, now), 0));
        let mut leader = Self {
            engine,
            metrics,
            risk,
            sinks,
            warm,
            seed,
            journaled: saved,
            saved,
            saved_at: now,
            published: None,
        };
        let caught_up = leader.catch_up(failures < DISTRUST_JOURNAL, now);
        leader.metrics.begin(&leader.engine.totals());
        host::log(
            LogLevel::Info,
            &format!(
                "pairwatch: this VM aggregates now, {how}, {caught_up} requests from the journal"
            ),
        );
        leader.warm_up(now);
        leader
    }

    /// Takes in the baseline that the configuration holds, once in the life of this Envoy.
    fn warm_up(&mut self, now: Time) {
        if self.warm.inline(&mut self.engine, &self.metrics, now) {
            self.warmed(now);
        }
    }

    /// What was taken in outlives this VM from now on, and the filters' limits follow from it.
    fn warmed(&mut self, now: Time) {
        self.save(now);
        self.published = None;
    }

    /// Merges the journal beyond the snapshot; where it is not trusted, counts it as dropped. Returns the requests
    /// merged.
    fn catch_up(&mut self, trusted: bool, now: Time) -> u64 {
        let mut requests = 0u64;
        loop {
            let next = self.journaled.saturating_add(1);
            let entry = Entry::from_frame(&host::shared(&journal_key(next)).0);
            let Ok(entry) = entry else { break };
            if entry.number != next {
                break;
            }
            self.journaled = next;
            for batch in &entry.batches {
                if let Ok(batch) = Batch::from_frame(batch) {
                    if !trusted {
                        host::count(self.metrics.dropped, batch.requests());
                        continue;
                    }
                    requests = requests.saturating_add(batch.requests());
                    let at = batch.to.min(now);
                    self.engine.advance(at);
                    self.engine.merge(batch, at);
                }
            }
        }
        requests
    }

    /// Goes on by another configuration, with what was learned.
    pub(crate) fn reconfigure(&mut self, config: Config) {
        if *self.engine.config() == config {
            return;
        }
        let now = host::now();
        self.sinks.reconfigure(&config, self.seed, now);
        let bytes = self.engine.snapshot(self.journaled);
        if let Ok((engine, _)) = Aggregator::restore(config, self.seed, &bytes, now) {
            self.engine = engine;
            self.published = None;
        }
        self.warm.reconfigure(self.engine.config(), self.seed, now);
        self.warm_up(now);
    }

    /// One tick in office. Returns the version of the limits that is published then.
    pub(crate) fn lead(&mut self, queue: u32, now: Time, limits: u64) -> u64 {
        let items: Vec<Vec<u8>> = std::iter::from_fn(|| host::dequeue(queue))
            .take(MAX_ITEMS)
            .collect();
        if !items.is_empty() {
            self.journaled = self.journaled.saturating_add(1);
            let entry = Entry {
                number: self.journaled,
                batches: items,
            };
            host::share(&journal_key(self.journaled), &entry.to_frame(), None);
            #[cfg(feature = "fault-injection")]
            crate::fault::on_lead();
            for item in &entry.batches {
                match Batch::from_frame(item) {
                    Ok(batch) => self.engine.merge(batch, now),
                    Err(error) => {
                        host::count(self.metrics.batches_refused, 1);
                        host::log(
                            LogLevel::Warn,
                            &format!("pairwatch: batch refused: {error}"),
                        );
                    }
                }
            }
        }
        self.engine.advance(now);
        let alerts = self.engine.drain_alerts();
        for alert in &alerts {
            if alert.suppressed.is_none() {
                self.metrics.alert(alert);
                self.risk.alert(alert);
            }
            if self.engine.is_written(alert) {
                host::log(LogLevel::Warn, &alert.to_line());
            }
            // What a rule hides is told to nobody; what somebody was told of is ended all the same.
            if alert.suppressed.is_none() || alert.state == State::Resolved {
                self.sinks.offer(alert, now);
            }
        }
        for notice in self.engine.drain_notices() {
            host::log(LogLevel::Warn, &format!("pairwatch: {notice}"));
        }
        self.sinks.send(now);
        self.warm.tick(&self.engine, &self.metrics, now);
        self.metrics.tell(&self.engine.totals(), now);
        let every = self.engine.config().learning.snapshot_every.duration();
        // An incident that is saved is not told of a second time by the next leader.
        let full = self.journaled.saturating_sub(self.saved) >= SLOTS.saturating_sub(1);
        if full || !alerts.is_empty() || now.since(self.saved_at) >= every {
            self.save(now);
        }
        let window = self.engine.window();
        if self.published != Some(window) || !alerts.is_empty() {
            self.published = Some(window);
            host::share(LIMITS, &self.engine.limits(now).to_frame(), None);
            return limits.wrapping_add(1);
        }
        limits
    }

    /// Takes in the answer to a call that a sink made, or a warm start.
    pub(crate) fn answered(&mut self, token: u32, status: Option<u16>, size: usize) {
        if !self.warm.asked(token) {
            self.sinks.answered(token, status);
            return;
        }
        let now = host::now();
        let (engine, metrics) = (&mut self.engine, &self.metrics);
        if self.warm.answered(status, size, engine, metrics, now) {
            self.warmed(now);
        }
    }

    fn save(&mut self, now: Time) {
        host::share(SNAPSHOT, &self.engine.snapshot(self.journaled), None);
        host::count(self.metrics.snapshots, 1);
        self.saved = self.journaled;
        self.saved_at = now;
    }
}

/// Counts a snapshot that can't be used, and says where it was, what was found and what is known.
pub(crate) fn refuse(metrics: &LeaderMetrics, place: &str, why: &dyn std::fmt::Display) {
    host::count(metrics.snapshots_refused, 1);
    host::log(
        LogLevel::Warn,
        &format!("pairwatch: snapshot {place} refused: {why}"),
    );
}

fn journal_key(number: u64) -> String {
    format!("pairwatch.journal.{}", slot(number))
}
