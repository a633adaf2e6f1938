//! One sink's way from an alert to an answer.
//!
//! Tries are spaced by a [back-off](crate::backoff). What is worth a try again: no answer, 408, 429 and any
//! 5xx. Any other answer but a 2xx is the receiver's last word on that batch.

use super::bucket::Bucket;
use super::{Item, Told, body};
use crate::Time;
use crate::alerts::{Alert, State};
use crate::backoff;
use crate::config::{Alerts, Sink};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Alerts that wait for the next request: an hour of a quiet mesh, some hundred KiB.
const MAX_WAITING: usize = 256;
/// Alerts in one request: a body of about 100 KiB.
const MAX_BATCH: usize = 64;
/// Incidents a sink is known to have been told of: more than the engine holds open.
const MAX_TOLD: usize = 512;
/// Tries of one batch. With the back-off below they span a quarter of an hour.
const MAX_TRIES: u32 = 11;
/// Beyond the time-out, after which an answer is not to be waited for: the root that asked may be gone, and its answer
/// with it.
const GRACE: Duration = Duration::from_secs(5);

/// Alerts and the log's lines about them are kept apart: these count what became of the former.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Alerts delivered.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Alerts there were no tokens for, or no room.
    pub held_back: u64,
    /// Alerts given up after the last try, or refused by the receiver.
    pub lost: u64,
}

/// A request as the host makes it: always a POST of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The cluster it goes to.
    pub cluster: &'a str,
    /// Names and values, `:method`, `:path` and `:authority` first.
    pub headers: Vec<(&'a str, &'a str)>,
    /// JSON.
    pub body: String,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

/// One sink: its queue, its tries, its counts.
#[derive(Clone, Debug)]
pub struct Delivery {
    sink: Sink,
    /// For how long an alert is good for that nobody ends.
    lasts: Duration,
    seed: u64,
    bucket: Bucket,
    waiting: VecDeque<Item>,
    told: BTreeMap<String, Told>,
    /// Held back since the last summary.
    unsaid: u64,
    /// What is under way, or to be tried again.
    batch: Vec<Item>,
    sent_at: Option<Time>,
    tries: u32,
    /// In a row, over batches.
    failures: u32,
    not_before: Time,
    counts: Counts,
}

impl Delivery {
    /// A sink with nothing to send yet. `alerts` says how long the silence between two lines about an incident may be.
    pub fn new(sink: Sink, alerts: &Alerts, seed: u64, now: Time) -> Self {
        let silence = alerts
            .update_every
            .duration()
            .max(alerts.resolve_after.duration());
        Self {
            // Twice, so that one line that comes late or is held back ends nothing.
            lasts: silence.saturating_mul(2),
            bucket: Bucket::new(sink.per_minute, now),
            sink,
            seed,
            waiting: VecDeque::new(),
            told: BTreeMap::new(),
            unsaid: 0,
            batch: Vec::new(),
            sent_at: None,
            tries: 0,
            failures: 0,
            not_before: Time(0),
            counts: Counts::default(),
        }
    }

    /// Its configuration.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// What became of alerts so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in an alert, if it is for this sink.
    pub fn offer(&mut self, alert: &Alert, now: Time) {
        let told = self.told.get(&alert.id);
        let is_over = alert.state == State::Resolved;
        if told.is_none() && (is_over || alert.severity < self.sink.min_severity) {
            return;
        }
        let is = Told::of(alert);
        let was = told.filter(|was| **was != is).cloned();
        let has_room = self.waiting.len() < MAX_WAITING;
        if !has_room || (!is_over && !self.bucket.take(now)) {
            self.unsaid = self.unsaid.saturating_add(1);
            self.counts.held_back = self.counts.held_back.saturating_add(1);
            return;
        }
        if is_over {
            self.told.remove(&alert.id);
        } else {
            if self.told.len() >= MAX_TOLD {
                self.told.pop_first();
            }
            self.told.insert(alert.id.clone(), is);
        }
        self.waiting.push_back(Item::Alert {
            alert: Box::new(alert.clone()),
            was,
        });
    }

    /// What is to be sent now, if anything: it then counts as under way.
    pub fn next(&mut self, now: Time) -> Option<Request<'_>> {
        if let Some(at) = self.sent_at {
            let patience = self.sink.timeout.duration().saturating_add(GRACE);
            if now.since(at) < patience && at.since(now) < patience {
                return None;
            }
            self.fail(now);
        }
        // Further ahead than any pause: the clock was set back.
        let pause = self.not_before.since(now);
        if pause > Duration::ZERO && pause <= backoff::LONGEST {
            return None;
        }
        if self.batch.is_empty() {
            let count = self.waiting.len().min(MAX_BATCH);
            self.batch.extend(self.waiting.drain(..count));
            // Whoever is told of alerts is told of those that are missing; a summary alone costs a token.
            if self.unsaid > 0 && (count > 0 || self.bucket.take(now)) {
                let count = std::mem::take(&mut self.unsaid);
                self.batch.push(Item::HeldBack { count });
            }
        }
        if self.batch.is_empty() {
            return None;
        }
        self.sent_at = Some(now);
        let fixed = [
            (":method", "POST"),
            (":path", self.sink.path()),
            (":authority", self.sink.authority()),
            ("content-type", "application/json"),
            (
                "user-agent",
                concat!("pairwatch/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        let own = self.sink.headers.iter();
        Some(Request {
            cluster: &self.sink.cluster,
            headers: fixed
                .into_iter()
                .chain(own.map(|(name, value)| (name.as_str(), value.as_str())))
                .collect(),
            body: body(&self.sink, &self.batch, self.lasts, now),
            timeout: self.sink.timeout.duration(),
        })
    }

    /// Takes in what became of the request under way: its status, or nothing where there was no answer. Returns what is
    /// worth a line in the log.
    pub fn answered(&mut self, status: Option<u16>, now: Time) -> Option<String> {
        self.sent_at?;
        let name = self.sink.name();
        match status {
            Some(200..=299) => {
                let again = (self.failures > 0).then(|| format!("sink {name}: delivers again"));
                self.counts.sent = self.counts.sent.saturating_add(alerts_in(&self.batch));
                self.done();
                self.failures = 0;
                again
            }
            None | Some(408 | 429 | 500..=599) => {
                let what = status.map_or_else(
                    || "no answer".to_owned(),
                    |status| format!("answered {status}"),
                );
                // Said once, and not at every try.
                let first = self.failures == 0;
                let said = first.then(|| format!("sink {name}: {what}, tries go on"));
                self.fail(now);
                said
            }
            Some(status) => {
                self.counts.failed = self.counts.failed.saturating_add(1);
                let lost = alerts_in(&self.batch);
                self.counts.lost = self.counts.lost.saturating_add(lost);
                let said = format!("sink {name}: refused {lost} alerts, answered {status}");
                self.done();
                Some(said)
            }
        }
    }

    fn done(&mut self) {
        self.batch.clear();
        self.sent_at = None;
        self.tries = 0;
        self.not_before = Time(0);
    }

    fn fail(&mut self, now: Time) {
        self.counts.failed = self.counts.failed.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        let tries = self.tries.saturating_add(1);
        if tries >= MAX_TRIES {
            let lost = alerts_in(&self.batch);
            self.counts.lost = self.counts.lost.saturating_add(lost);
            self.done();
        } else {
            self.sent_at = None;
            self.tries = tries;
        }
        self.not_before = now.plus(backoff::pause(self.failures, self.seed));
    }
}

fn alerts_in(batch: &[Item]) -> u64 {
    let alerts = batch
        .iter()
        .filter(|item| matches!(item, Item::Alert { .. }));
    u64::try_from(alerts.count()).unwrap_or(u64::MAX)
}
