//! Batches in, alerts and limits out: everything above, wired.
//!
//! [`Aggregator::merge`] takes a worker's batch, [`Aggregator::advance`] lets time pass. Batches go into the window their
//! end lies in. When a window is over, each pair's counts are judged by each signal, become evidence, and only then are
//! learned, at a tenth of the weight while there is an incident or strong evidence: an attack must not teach the
//! baseline that it is normal. What goes on for longer than a quarter of the memory is believed to be the new normal and
//! learned in full, so that a release gives one alert and not a week of them.

mod pair;
mod snapshot;

pub use snapshot::Snapshot;

use crate::Time;
use crate::alerts::{Alert, Evidence, Kind, Severity};
use crate::baselines::novelty;
use crate::config::Config;
use crate::counters::{Batch, PairCounts, Tallies};
use crate::evidence::{p_for, threshold};
use crate::exchange::route;
use crate::incidents::{Finding, Incidents};
use crate::limits::{Limits, PairLimits};
use crate::signals::{Measure, SIGNALS, Side};
use crate::table::PairTable;
use crate::windows::{Clock, Due};
use pair::{Level, Pair};
use std::time::Duration;

/// Weight with which a pair under evidence is learned.
const SUSPECT_WEIGHT: f64 = 0.1;
/// An incident that goes on for this part of the memory is the new normal.
const NEW_NORMAL: f64 = 0.25;
/// A batch that spans longer than this was held back, and can't be laid on windows.
const HELD: Duration = Duration::from_millis(2_500);
/// A window of an open incident's pair that is this rare and passes the gates keeps the incident open.
const STILL_ODD: f64 = 1e-3;

/// What one Envoy's traffic taught, and what it says now.
#[derive(Debug)]
pub struct Aggregator {
    config: Config,
    seed: u64,
    /// When learning began.
    born: Time,
    clock: Clock,
    pairs: PairTable<Pair>,
    /// Shortest windows in which anything at all was seen.
    samples: u32,
    /// Pairs seen in exactly one of them.
    pairs_once: usize,
    waiting: Vec<Batch>,
    incidents: Incidents,
    alerts: Vec<Alert>,
    totals: Totals,
}

/// What the metrics tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Exchanges merged.
    pub requests: u64,
    /// Batches merged.
    pub batches: u64,
    /// Exchanges that workers reported as dropped.
    pub dropped: u64,
    /// Pairs known.
    pub pairs: usize,
    /// Pairs that made room for another.
    pub evicted: u64,
    /// Incidents open.
    pub incidents: usize,
    /// Incidents not opened because of the caps.
    pub overflowed: u64,
    /// How far the pairs are from knowing their rate, on average, 0 to 1.
    pub maturity: f64,
}

impl Aggregator {
    /// An aggregator that knows nothing. `seed` is the hash's, and should be unguessable.
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        Self {
            clock: Clock::new(config.window_lengths(), now),
            pairs: PairTable::new(config.limits.pairs, seed),
            seed,
            born: now,
            samples: 0,
            pairs_once: 0,
            waiting: Vec::new(),
            incidents: Incidents::default(),
            alerts: Vec::new(),
            totals: Totals::default(),
            config,
        }
    }

    /// The configuration it runs by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Takes in a batch.
    pub fn merge(&mut self, batch: Batch, now: Time) {
        self.totals.batches = self.totals.batches.saturating_add(1);
        self.totals.dropped = self.totals.dropped.saturating_add(batch.dropped);
        self.totals.requests = self.totals.requests.saturating_add(batch.requests());
        // A batch of the next window waits until this one is closed, unless its clock is not ours.
        let wait = self
            .config
            .windows
            .first()
            .map_or(Duration::ZERO, |w| w.duration());
        if batch.to > self.clock.end() && batch.to <= self.clock.end().plus(wait) {
            self.waiting.push(batch);
        } else {
            self.take(&batch, now);
        }
    }

    /// Lets time pass until `now`: closes the windows that are over.
    pub fn advance(&mut self, now: Time) {
        while let Some(due) = self.clock.next_due(now) {
            self.close(&due, now);
            let end = self.clock.end();
            let (ready, waiting) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|b: &Batch| b.to <= end);
            self.waiting = waiting;
            for batch in ready {
                self.take(&batch, now);
            }
        }
        let resolved = self.incidents.advance(now, &self.config.alerts);
        self.alerts.extend(resolved);
    }

    /// The alerts raised since the last call, in the order they were.
    pub fn drain_alerts(&mut self) -> Vec<Alert> {
        std::mem::take(&mut self.alerts)
    }

    /// Whether an alert is worth a line by `alerts.min_severity`.
    pub fn is_written(&self, alert: &Alert) -> bool {
        alert.severity >= self.config.alerts.min_severity
    }

    /// What the metrics tell.
    pub fn totals(&self) -> Totals {
        let (incidents, overflowed) = self.incidents.count();
        let count = self.pairs.len();
        let sum: f64 = self.pairs.iter().map(|e| e.value.maturity()).sum();
        Totals {
            pairs: count,
            evicted: self.pairs.evicted(),
            incidents,
            overflowed,
            maturity: if count == 0 { 0.0 } else { sum / count as f64 },
            ..self.totals
        }
    }

    fn learning(&self, now: Time) -> bool {
        now.since(self.born) < self.config.learning.warmup.duration()
    }

    fn take(&mut self, batch: &Batch, now: Time) {
        if batch.to.since(batch.from) > HELD {
            self.clock.interrupted();
        }
        for counts in &batch.pairs {
            self.take_pair(counts, batch.to, now);
        }
    }

    fn take_pair(&mut self, counts: &PairCounts, at: Time, now: Time) {
        let learning = self.learning(now);
        let caps = self.config.limits;
        let window = self.clock.start();
        let (samples, once) = (self.samples, self.pairs_once);
        let levels = self.config.windows.len();
        let mut is_new = false;
        let pair = self.pairs.get_or_insert(
            &counts.source,
            &counts.destination,
            || {
                is_new = true;
                Pair::new(levels, at)
            },
            |p| Some((p.samples(), p.last_seen())),
        );
        let Some(pair) = pair else { return };
        let suspect = self.incidents.is_open(&counts.source, &counts.destination);
        let weight = if suspect { SUSPECT_WEIGHT } else { 1.0 };
        let new_routes = pair.take(counts, window, at, weight, caps.routes_per_pair);
        if is_new {
            self.pairs_once = self.pairs_once.saturating_add(1);
            let p = novelty::probability(once, samples);
            if self.config.signals.new_pair && !learning && p <= novelty::REMARKABLE {
                let finding = first_seen(Kind::NewPair, "", p, at, counts);
                self.report(&counts.source, &counts.destination, finding, now);
            }
            return;
        }
        let young = at.since(pair.first_seen()) < self.config.learning.warmup.duration();
        if young || !self.config.signals.new_route {
            return;
        }
        for (new, p) in new_routes {
            if p <= novelty::REMARKABLE {
                let finding = first_seen(Kind::NewRoute, &new, p, at, counts);
                self.report(&counts.source, &counts.destination, finding, now);
            }
        }
    }

    fn report(&mut self, source: &str, destination: &str, finding: Finding, now: Time) {
        let line = self
            .incidents
            .report(source, destination, finding, now, &self.config.alerts);
        self.alerts.extend(line);
    }

    fn close(&mut self, due: &Due, now: Time) {
        if self.pairs.iter().any(|e| e.value.had_traffic()) {
            self.samples = self.samples.saturating_add(1);
        }
        let mut findings = Vec::new();
        for (index, &(start, whole)) in due.levels.iter().enumerate() {
            self.close_level(index, start, whole, now, &mut findings);
        }
        self.pairs_once = self.pairs.iter().filter(|e| e.value.samples() <= 1).count();
        for (source, destination, finding) in findings {
            self.report(&source, &destination, finding, now);
        }
    }

    /// Judges, weighs and learns one window of one length, for all pairs.
    fn close_level(
        &mut self,
        index: usize,
        start: Time,
        whole: bool,
        now: Time,
        findings: &mut Vec<(Box<str>, Box<str>, Finding)>,
    ) {
        let length = self
            .config
            .windows
            .get(index)
            .map_or(Duration::ZERO, |w| w.duration());
        let threshold = self.threshold(length);
        let judge = Judge {
            config: &self.config,
            length,
            threshold,
            start,
            whole,
            now,
        };
        for entry in self.pairs.iter_mut() {
            let lasted = self
                .incidents
                .lasted(&entry.source, &entry.destination, now);
            let closed = judge.pair(&mut entry.value, index, lasted);
            if closed.still_odd {
                self.incidents.touch(&entry.source, &entry.destination, now);
            }
            findings.extend(
                closed
                    .finding
                    .map(|f| (entry.source.clone(), entry.destination.clone(), f)),
            );
        }
    }

    /// The evidence at which a stream of windows of this length alarms: the tolerated false alerts, shared evenly among all
    /// signals, directions, window lengths and pairs.
    fn threshold(&self, length: Duration) -> f64 {
        let directions: usize = SIGNALS
            .iter()
            .filter(|s| (s.enabled)(&self.config.signals))
            .map(|s| usize::from(s.up.is_some()).saturating_add(usize::from(s.down.is_some())))
            .sum();
        let streams = directions
            .saturating_mul(self.config.windows.len())
            .saturating_mul(self.pairs.len().max(1));
        threshold(self.config.false_alerts_per_week, length, streams as f64)
    }

    /// What the workers judge by until the next call.
    pub fn limits(&self, now: Time) -> Limits {
        let length = self
            .config
            .windows
            .first()
            .map_or(Duration::ZERO, |w| w.duration());
        let threshold = self.threshold(length);
        let pairs = self
            .pairs
            .iter()
            .map(|e| PairLimits {
                source: e.source.to_string(),
                destination: e.destination.to_string(),
                counts: self.count_limits(&e.value, threshold),
                incident: self.incidents.score(&e.source, &e.destination),
                routes: self.known_routes(&e.value, now),
            })
            .collect();
        let known_pairs = (self.config.signals.new_pair && !self.learning(now)).then(|| {
            let mut known: Vec<u64> = self
                .pairs
                .iter()
                .map(|e| Limits::hash_pair(self.seed, &e.source, &e.destination))
                .collect();
            known.sort_unstable();
            known
        });
        Limits {
            window: self.clock.start(),
            pairs,
            known_pairs,
            seed: self.seed,
        }
    }

    fn known_routes(&self, pair: &Pair, now: Time) -> Option<Vec<u64>> {
        let old = now.since(pair.first_seen()) >= self.config.learning.warmup.duration();
        (self.config.signals.new_route && old && pair.novelty() <= novelty::REMARKABLE)
            .then(|| pair.routes().map(|r| Limits::hash(self.seed, r)).collect())
    }

    /// The counts at which the current shortest window would complete the evidence.
    fn count_limits(&self, pair: &Pair, threshold: f64) -> Tallies {
        let mut limits = Tallies {
            requests: u32::MAX,
            server_errors: u32::MAX,
            auth_failures: u32::MAX,
            not_found: u32::MAX,
            client_errors: u32::MAX,
        };
        let Some(level) = pair.level(0) else {
            return limits;
        };
        for (index, signal) in SIGNALS.iter().enumerate() {
            if !(signal.enabled)(&self.config.signals) {
                continue;
            }
            let (Measure::Rate { count, .. } | Measure::Share { count, .. }) = &signal.measure
            else {
                continue;
            };
            if let Some(limit) = level.count_limit(index, threshold) {
                *(count.limit)(&mut limits) = limit;
            }
        }
        limits
    }
}

/// What closing a pair's window gave.
#[derive(Default)]
struct Closed {
    finding: Option<Finding>,
    still_odd: bool,
}

/// What all pairs' windows of one length and time have in common.
struct Judge<'a> {
    config: &'a Config,
    length: Duration,
    threshold: f64,
    start: Time,
    whole: bool,
    now: Time,
}

/// A stream that is over its threshold.
struct Alarm {
    signal: usize,
    side: Side,
    evidence: f64,
    since: Time,
    maturity: f64,
    words: String,
    kind: Kind,
    severity: Severity,
    techniques: &'static [&'static str],
    told: Evidence,
}

impl Judge<'_> {
    fn pair(&self, pair: &mut Pair, index: usize, incident: Option<Duration>) -> Closed {
        let Some(window) = pair.close(index) else {
            return Closed::default();
        };
        let Some(level) = pair.level_mut(index) else {
            return Closed::default();
        };
        let memory = self.config.learning.memory.duration();
        let believed = incident.is_some_and(|lasted| lasted >= memory.mul_f64(NEW_NORMAL));
        let windows = memory.as_secs_f64() / self.length.as_secs_f64().max(1e-3);
        let start = u32::try_from(self.start.0 / 1000).unwrap_or(u32::MAX);
        let (mut alarms, mut still_odd) = (Vec::new(), false);
        for (s, signal) in SIGNALS.iter().enumerate() {
            if !(signal.enabled)(&self.config.signals) {
                continue;
            }
            let Some((model, streams)) = level.signal_mut(s) else {
                continue;
            };
            let maturity = signal.maturity(model);
            let mut weight = if incident.is_some() && !believed {
                SUSPECT_WEIGHT
            } else {
                1.0
            };
            if let Some(judged) = signal.judge(model, &window, self.whole) {
                for (side, p, stream) in [
                    (Side::Up, judged.tail.up, &mut streams.up),
                    (Side::Down, judged.tail.down, &mut streams.down),
                ] {
                    let Some(direction) = signal.direction(side) else {
                        continue;
                    };
                    stream.update(p, start, judged.seen);
                    let since = Time(u64::from(stream.since()).saturating_mul(1000));
                    let lasted = self.start.plus(self.length).since(since);
                    let effect = signal.effect(&stream.seen, self.length, lasted);
                    if incident.is_some() && p <= STILL_ODD && !believed {
                        let now = signal.effect(&judged.seen, self.length, self.length);
                        still_odd |= signal.passes(side, &now, maturity);
                    }
                    if stream.evidence() >= self.threshold.sqrt() && !believed {
                        weight = SUSPECT_WEIGHT;
                    }
                    if stream.evidence() >= self.threshold && signal.passes(side, &effect, maturity)
                    {
                        alarms.push(Alarm {
                            signal: s,
                            side,
                            evidence: stream.evidence(),
                            since,
                            maturity,
                            words: (direction.words)(&effect),
                            kind: direction.kind,
                            severity: (direction.severity)(&effect),
                            techniques: direction.techniques,
                            told: Evidence {
                                signal: signal.name.to_owned(),
                                unit: signal.unit().to_owned(),
                                actual: Some(round(effect.actual)),
                                typical: Some(round(effect.typical)),
                                band: signal
                                    .band(model, &window, effect.typical, self.length)
                                    .map(|b| b.map(round)),
                                contribution: 0.0,
                            },
                        });
                    }
                }
            }
            if self.whole || !matches!(signal.measure, Measure::Rate { .. }) {
                signal.learn(model, &window, self.whole, weight, windows);
            }
        }
        for alarm in &alarms {
            level.reset(alarm.signal, alarm.side);
        }
        Closed {
            finding: self.finding(pair, alarms),
            still_odd,
        }
    }

    /// One finding out of all the streams of a window that are over their threshold.
    fn finding(&self, pair: &Pair, mut alarms: Vec<Alarm>) -> Option<Finding> {
        alarms.sort_by(|a, b| b.kind.cmp(&a.kind).then(b.evidence.total_cmp(&a.evidence)));
        let total: f64 = alarms.iter().map(|a| a.evidence.ln()).sum();
        let age = self.now.since(pair.first_seen()).as_secs_f64();
        let warmup = self
            .config
            .learning
            .warmup
            .duration()
            .as_secs_f64()
            .max(1e-3);
        let strongest = alarms.iter().map(|a| a.evidence).fold(1.0, f64::max);
        let lead = alarms.first()?;
        Some(Finding {
            kind: lead.kind,
            severity: alarms.iter().map(|a| a.severity).max().unwrap_or_default(),
            score: (50.0 * strongest.ln() / self.threshold.ln()).clamp(50.0, 100.0) as u8,
            since: alarms.iter().map(|a| a.since).min().unwrap_or(self.start),
            maturity: round(lead.maturity.min(age / warmup).min(1.0)),
            techniques: lead.techniques,
            words: lead.words.clone(),
            evidence: alarms
                .iter()
                .map(|a| Evidence {
                    contribution: round(a.evidence.ln() / total.max(1e-9)),
                    ..a.told.clone()
                })
                .collect(),
        })
    }
}

/// What is found on the first sight of a pair (`new` empty) or route.
fn first_seen(kind: Kind, new: &str, p: f64, since: Time, counts: &PairCounts) -> Finding {
    let requests: u64 = counts
        .routes
        .iter()
        .filter(|r| new.is_empty() || r.route == new)
        .fold(0u64, |n, r| {
            n.saturating_add(u64::from(r.cell.tallies.requests))
        });
    let plural = if requests == 1 { "request" } else { "requests" };
    // A route that was served names the call best.
    let first = counts
        .routes
        .iter()
        .find(|r| r.route != route::UNROUTED)
        .map_or("nothing served", |r| r.route.as_str());
    let (signal, words, techniques): (_, _, &'static [&'static str]) = match kind {
        Kind::NewPair => (
            "new_pair",
            format!("first call ever: {first} ({requests} {plural})"),
            &["T1021"],
        ),
        _ => (
            "new_route",
            format!("first {new} ever on this pair ({requests} {plural})"),
            &["T1190"],
        ),
    };
    Finding {
        kind,
        severity: Severity::Medium,
        // 50 where the novelty is just remarkable, ten more for each factor of ten.
        score: (50.0 + 10.0 * (novelty::REMARKABLE / p.max(1e-9)).log10()).clamp(50.0, 90.0) as u8,
        since,
        evidence: vec![Evidence {
            signal: signal.to_owned(),
            unit: if new.is_empty() { first } else { new }.to_owned(),
            actual: Some(requests as f64),
            typical: Some(0.0),
            band: None,
            contribution: 1.0,
        }],
        maturity: 1.0,
        techniques,
        words,
    }
}

/// Four digits that matter: more would be noise in an alert.
fn round(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - x.abs().log10().floor());
    (x * scale).round() / scale
}

impl Level {
    /// The count at which the window would complete the evidence; `None` where the signal does not count, or is too young.
    fn count_limit(&self, index: usize, threshold: f64) -> Option<u32> {
        use crate::signals::Model;
        let signal = SIGNALS.get(index)?;
        let (model, streams) = self.signal(index)?;
        let Model::Count(count) = model else {
            return None;
        };
        let gate = &signal.direction(Side::Up)?.gate;
        if signal.maturity(model) < 1.0 {
            return None;
        }
        let requests = self.typical_requests();
        let exposure = match signal.measure {
            Measure::Rate { .. } => 1.0,
            _ => requests.max(1.0),
        };
        let typical = count.expected(exposure);
        let rare = count.upper_limit(exposure, p_for(threshold / (streams.up.evidence() + 1.0)));
        let worth = match signal.measure {
            Measure::Rate { .. } => (typical * gate.ratio).max(typical + gate.volume),
            _ => (typical * gate.ratio)
                .max(gate.volume)
                .max(gate.share * exposure),
        };
        Some(rare.max(worth.ceil() as u32))
    }
}
