//! Batches in, alerts and limits out: everything above, wired.
//!
//! [`Aggregator::merge`] takes a worker's batch, [`Aggregator::advance`] lets time pass. Batches go into the window their
//! end lies in. When a window is over, each pair's counts are judged by each signal, become evidence, and only then are
//! learned, at a tenth of the weight while there is an incident or strong evidence: an attack must not teach the
//! baseline that it is normal. What goes on for longer than a quarter of the memory is believed to be the new normal and
//! learned in full, so that a release gives one alert and not a week of them.

mod asked;
mod broken;
mod explain;
mod first_seen;
mod habits;
mod hidden;
mod inspect;
mod judge;
mod level;
mod pair;
mod pool;
mod publish;
mod recurring;
mod release;
mod route;
mod shift;
mod snapshot;
mod warm;

pub use explain::Look;
pub use hidden::Hidden;
pub use inspect::{AGGREGATOR_VM, Memory, Usual, Vm, WORKER_VM};
pub use snapshot::Snapshot;
pub use warm::WarmError;

use crate::Time;
use crate::alerts::{Alert, Kind};
use crate::baselines::calls::Calls;
use crate::baselines::novelty;
use crate::baselines::season::Pooled;
use crate::config::{Config, Privacy};
use crate::counters::{Batch, PairCounts};
use crate::evidence::threshold;
use crate::identities::{Identities, Scene};
use crate::incidents::{End, Finding, Incidents};
use crate::signals::SIGNALS;
use crate::table::{Entry, PairTable, Slot, hasher};
use crate::windows::{Clock, Due};
use asked::Asked;
use broken::broken_rule;
use explain::Watch;
use first_seen::first_seen;
use hashbrown::{HashMap, HashSet};
use hidden::Ledger;
use judge::{Beside, Judge};
use pair::Pair;
use pool::Pool;
use shift::NEW_NORMAL;
use std::cell::Cell;
use std::time::Duration;

/// Weight with which a pair under evidence is learned.
const SUSPECT_WEIGHT: f64 = 0.1;
/// A batch that spans longer than this was held back, and can't be laid on windows.
const HELD: Duration = Duration::from_millis(2_500);

/// What one Envoy's traffic taught, and what it says now.
#[derive(Debug)]
pub struct Aggregator {
    config: Config,
    seed: u64,
    /// When learning began.
    born: Time,
    clock: Clock,
    pairs: PairTable<Pair>,
    /// Pairs that a warm start knows of and that have not been seen since.
    dormant: PairTable<Pair>,
    /// Shortest windows in which anything at all was seen.
    samples: u32,
    /// Pairs seen in exactly one of them.
    pairs_once: usize,
    waiting: Vec<Batch>,
    identities: Identities,
    /// What services are asked now.
    asked: Asked,
    incidents: Incidents,
    /// The curve of all pairs.
    season: Pooled,
    /// For each window length, what all pairs know of each signal.
    pools: Vec<Vec<Pool>>,
    alerts: Vec<Alert>,
    hidden: Ledger,
    notices: Vec<String>,
    totals: Totals,
    /// The pair whose windows are explained.
    watch: Option<Watch>,
    /// Pairs in the last snapshot, and the room there was for it in bytes.
    last_snapshot: Cell<(usize, usize)>,
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
    /// Exchanges whose caller a cap on memory left out.
    pub unsighted: u64,
    /// Identities known.
    pub identities: usize,
    /// Identities that made room for another.
    pub identities_evicted: u64,
    /// Incidents open.
    pub incidents: usize,
    /// Incidents not opened because of the caps.
    pub overflowed: u64,
    /// Alert lines that rules hid.
    pub suppressed: u64,
    /// How well the pairs are known, on average, 0 to 1: as of an alert about their rate.
    pub maturity: f64,
}

impl Aggregator {
    /// An aggregator that knows nothing. `seed` is the hash's, and should be unguessable.
    pub fn new(config: Config, seed: u64, now: Time) -> Self {
        Self {
            clock: Clock::new(config.window_lengths(), now),
            pairs: PairTable::new(config.limits.pairs, seed),
            dormant: PairTable::new(config.limits.pairs, seed),
            seed,
            born: now,
            samples: 0,
            pairs_once: 0,
            waiting: Vec::new(),
            identities: Identities::new(&config, seed),
            asked: Asked::default(),
            incidents: Incidents::default(),
            season: Pooled::default(),
            pools: vec![Pool::all(); config.windows.len()],
            alerts: Vec::new(),
            hidden: Ledger::default().fit(&config),
            notices: Vec::new(),
            totals: Totals::default(),
            watch: None,
            last_snapshot: Cell::default(),
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
        for pair in &batch.pairs {
            let more = u64::from(pair.unsighted);
            self.totals.unsighted = self.totals.unsighted.saturating_add(more);
        }
        // A batch of a later window waits until those before are closed, unless its clock is not ours.
        let end = self.clock.end();
        let next = self.config.window_lengths().next();
        let next = end.plus(next.unwrap_or_default());
        let latest = if is_held(&batch) { next } else { next.max(now) };
        if batch.to > end && batch.to <= latest {
            self.waiting.push(batch);
        } else {
            self.take(&batch, now);
        }
    }

    /// Lets time pass until `now`: closes the windows that are over.
    pub fn advance(&mut self, now: Time) {
        while let Some(due) = self.clock.next_due(now) {
            self.close(&due, now);
            if self.clock.start() != due.end {
                self.look_ahead();
            }
            let end = self.clock.end();
            let (ready, waiting) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|b: &Batch| b.to <= end);
            self.waiting = waiting;
            for batch in ready {
                self.take(&batch, now);
            }
        }
        let pairs = &self.pairs;
        let end = |source: &str, destination: &str, since| match pairs.get(source, destination) {
            Some(pair) if pair.takes_as_usual(now) => End::Usual,
            Some(pair) if pair.last_seen() >= since => End::Over,
            _ => End::Silent,
        };
        let resolved = self.incidents.advance(now, end, &self.config);
        for alert in resolved {
            self.tell(alert);
        }
        self.notices.extend(self.hidden.ended(&self.config, now));
    }

    /// Start of the window that is open.
    pub fn window(&self) -> Time {
        self.clock.start()
    }

    /// The alerts raised since the last call, in the order they were.
    pub fn drain_alerts(&mut self) -> Vec<Alert> {
        let mut alerts = std::mem::take(&mut self.alerts);
        if self.config.identity.privacy == Privacy::Drop {
            alerts.iter_mut().for_each(Alert::conceal);
        }
        alerts
    }

    /// What else is to be told since the last call: rules that have ended, each once.
    pub fn drain_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// What each rule of the configuration hid, in their order: suppressions, then maintenance.
    pub fn hidden(&self, now: Time) -> Vec<Hidden> {
        self.hidden.list(&self.config, now)
    }

    /// Whether an alert is worth a line by `alerts.min_severity`.
    pub fn is_written(&self, alert: &Alert) -> bool {
        alert.severity >= self.config.alerts.min_severity
    }

    /// What the metrics tell.
    pub fn totals(&self) -> Totals {
        let (incidents, overflowed) = self.incidents.count();
        let (identities, identities_evicted) = self.identities.count();
        let count = self.pairs.len();
        let (now, warmup) = (self.clock.end(), self.config.learning.warmup.duration());
        let known = self.pairs.iter().map(|e| e.value.maturity(now, warmup));
        let sum: f64 = known.sum();
        Totals {
            pairs: count,
            evicted: self.pairs.evicted(),
            identities,
            identities_evicted,
            incidents,
            overflowed,
            maturity: if count == 0 { 0.0 } else { sum / count as f64 },
            ..self.totals
        }
    }

    /// What is known of those the requests speak for.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    fn learning(&self, now: Time) -> bool {
        now.since(self.born) < self.config.learning.warmup.duration()
    }

    fn take(&mut self, batch: &Batch, now: Time) {
        let held = is_held(batch);
        if held {
            // One out of the future blinds nobody until then.
            self.clock.interrupted(batch.to.min(now));
        }
        for counts in &batch.pairs {
            self.take_pair(counts, batch.to, held, now);
        }
    }

    fn take_pair(&mut self, counts: &PairCounts, at: Time, held: bool, now: Time) {
        let learning = self.learning(now);
        let caps = self.config.limits;
        let window = self.clock.start();
        let (samples, once) = (self.samples, self.pairs_once);
        let levels = self.config.windows.len();
        let mut woken = false;
        let slot = self.pairs.get_or_insert(
            &counts.source,
            &counts.destination,
            || {
                if let Some(known) = self.dormant.remove(&counts.source, &counts.destination) {
                    woken = true;
                    let mut known = known.value;
                    let (start, longest) = longest_window(&self.clock, &self.config);
                    known.look_ahead(start, longest, &self.season);
                    return known;
                }
                Pair::new(levels, at).named(&counts.source, &counts.destination)
            },
            |p| p.worth(at),
        );
        let Some(Slot {
            value: pair,
            is_new,
            ..
        }) = slot
        else {
            return;
        };
        let young = at.since(pair.first_seen()) < self.config.learning.warmup.duration();
        let scene = Scene {
            config: &self.config,
            at,
            learning,
            young,
            held,
        };
        let odd = self.identities.take(counts, &scene);
        let suspect = self.incidents.is_open(&counts.source, &counts.destination)
            || self
                .config
                .in_maintenance(&counts.source, &counts.destination, at);
        let weight = if suspect { SUSPECT_WEIGHT } else { 1.0 };
        if !suspect {
            pair.habits.learn(at);
        }
        let period = self.config.learning.memory.duration();
        pair.answered(&counts.versions, at, period.mul_f64(NEW_NORMAL));
        self.asked
            .take(pair.called, &counts.routes, levels, caps.pairs);
        let new_routes = pair.take(counts, window, at, weight, caps.routes_per_pair);
        for finding in odd {
            self.report(&counts.source, &counts.destination, finding, now);
        }
        for broken in &counts.broken {
            let finding = broken_rule(broken, &self.config.rules, at);
            self.report(&counts.source, &counts.destination, finding, now);
        }
        if is_new && !woken {
            self.pairs_once = self.pairs_once.saturating_add(1);
            let p = novelty::probability(once, samples);
            if self.config.signals.new_pair && !learning && p <= novelty::REMARKABLE {
                let finding = first_seen(Kind::NewPair, "", p, at, counts);
                self.report(&counts.source, &counts.destination, finding, now);
            }
            return;
        }
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
            .report(source, destination, finding, now, &self.config);
        if let Some(alert) = line {
            self.tell(alert);
        }
    }

    /// Hands an alert on, or books it where a rule hides it.
    fn tell(&mut self, alert: Alert) {
        if alert.suppressed.is_some() {
            self.totals.suppressed = self.totals.suppressed.saturating_add(1);
            self.hidden.book(&alert);
            if !self.config.alerts.show_suppressed {
                return;
            }
        }
        self.alerts.push(alert);
    }

    /// Asks anew what the time makes of all pairs' usual: it is another time than the last window let expect.
    fn look_ahead(&mut self) {
        let (start, longest) = longest_window(&self.clock, &self.config);
        for entry in self.pairs.iter_mut() {
            entry.value.look_ahead(start, longest, &self.season);
        }
    }

    fn close(&mut self, due: &Due, now: Time) {
        if self.pairs.iter().any(|e| e.value.had_traffic()) {
            self.samples = self.samples.saturating_add(1);
        }
        let mut findings = Vec::new();
        for (index, &(start, whole)) in due.levels.iter().enumerate() {
            self.close_level(index, start, whole, now, &mut findings);
        }
        self.count_once();
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
        let longest = self.config.windows.len().saturating_sub(1);
        let end = start.plus(length);
        let maintenance = self.config.maintenance.iter();
        let maintenance: Vec<_> = maintenance.filter(|m| m.is_between(start, end)).collect();
        let odd = self.odd_callers();
        let Some(pools) = self.pools.get_mut(index) else {
            return;
        };
        let mut made: HashMap<u64, f64, ahash::RandomState> =
            HashMap::with_hasher(hasher(self.seed));
        for entry in self.pairs.iter() {
            let pair = &entry.value;
            *made.entry(pair.caller).or_default() += f64::from(pair.requested(index));
        }
        for entry in self.pairs.iter_mut() {
            let lasted = self
                .incidents
                .lasted(&entry.source, &entry.destination, now);
            let caller = entry.value.caller;
            let own = f64::from(entry.value.requested(index));
            let maintained = maintenance
                .iter()
                .any(|m| m.covers(&entry.source, &entry.destination));
            let beside = Beside {
                incident: lasted,
                odd_elsewhere: lasted.is_none() && odd.contains(&caller),
                asked: self.asked.of(caller, index),
                made: made.get(&caller).map(|all| all - own),
                maintained,
            };
            let watch = self.watch.as_mut();
            let watch = watch.filter(|w| w.is_of(&entry.source, &entry.destination));
            let closed = judge.pair(&mut entry.value, index, &beside, pools, watch);
            for usual in &closed.doubted {
                entry.value.doubt_routes(*usual);
            }
            if index == longest {
                entry.value.adopt(&closed.adopted, now);
                if closed.back {
                    entry.value.go_back(&self.config.windows);
                }
                // Maintenance is no part of a usual week.
                let requests = closed.requests.filter(|_| !maintained);
                let seen = (requests, closed.suspected);
                let season = &mut self.season;
                entry.value.learn_season(start, length, seen, season);
            }
            if closed.still_odd {
                self.incidents.touch(&entry.source, &entry.destination, end);
            }
            if let Some(mut finding) = closed.finding {
                let (source, destination) = (&entry.source, &entry.destination);
                self.identities
                    .tell(source, destination, index, &mut finding);
                findings.push((source.clone(), destination.clone(), finding));
            }
        }
        self.identities.close(index);
        self.asked.close(index);
        if index == longest {
            self.forget_services();
        }
    }

    /// Forgets what services are asked that nobody calls any more, and what that brought.
    fn forget_services(&mut self) {
        let mut called = HashSet::with_hasher(hasher(self.seed));
        let pairs = self.pairs.iter().chain(self.dormant.iter());
        called.extend(pairs.map(|e| e.value.called));
        self.asked.retain(|service| called.contains(&service));
        for entry in self.pairs.iter_mut() {
            if !called.contains(&entry.value.caller) {
                entry.value.calls = Calls::default();
            }
        }
    }

    /// Hashes of what the sources of open incidents are called.
    fn odd_callers(&self) -> HashSet<u64, ahash::RandomState> {
        let mut odd = HashSet::with_hasher(hasher(self.seed));
        if self.incidents.count().0 > 0 {
            let open = |e: &&Entry<Pair>| self.incidents.is_open(&e.source, &e.destination);
            odd.extend(self.pairs.iter().filter(open).map(|e| e.value.caller));
        }
        odd
    }

    /// The evidence at which a stream of windows of this length alarms: the tolerated false alerts, shared among all signals
    /// and directions by their shares, and evenly among window lengths and pairs.
    fn threshold(&self, length: Duration) -> f64 {
        let shares: f64 = SIGNALS
            .iter()
            .filter(|s| (s.enabled)(&self.config.signals))
            .flat_map(|s| [&s.up, &s.down])
            .flatten()
            .map(|d| d.share)
            .sum();
        let streams = shares * self.config.windows.len() as f64 * self.pairs.len().max(1) as f64;
        threshold(self.config.false_alerts_per_week, length, streams)
    }
}

/// Start and length of the longest window that is open.
fn longest_window(clock: &Clock, config: &Config) -> (Time, Duration) {
    let longest = config.window_lengths().last().unwrap_or_default();
    (clock.start().floor(longest), longest)
}

fn is_held(batch: &Batch) -> bool {
    batch.to.since(batch.from) > HELD
}

/// Four digits that matter: more would be noise in an alert.
fn round(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - x.abs().log10().floor());
    (x * scale).round() / scale
}
