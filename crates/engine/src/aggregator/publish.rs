//! The limits that workers judge by: integers out of the baselines and the evidence so far.

use super::Aggregator;
use super::judge;
use super::level::Level;
use super::pair::Pair;
use super::pool::Pool;
use crate::Time;
use crate::baselines::novelty;
use crate::baselines::rate::Exposure;
use crate::config::RequestRuleType;
use crate::counters::Tallies;
use crate::limits::{Limits, PairLimits, Standing};
use crate::signals::{Known, Measure, Model, SIGNALS, Seen, Side};
use crate::table::hasher;
use ahash::RandomState;
use hashbrown::HashMap;
use std::time::Duration;

/// What is held against pairs as a whole.
type Own<'a> = HashMap<(&'a str, &'a str), Standing, RandomState>;
/// What is held against single identities on them.
type Identities<'a> = HashMap<(&'a str, &'a str), Vec<(String, Standing)>, RandomState>;

/// Counts that nothing reaches, and what nothing is known of.
const UNLIMITED: Tallies = Tallies {
    requests: u32::MAX,
    server_errors: u32::MAX,
    auth_failures: u32::MAX,
    not_found: u32::MAX,
    client_errors: u32::MAX,
};

impl Aggregator {
    /// What the workers judge by until the next call.
    pub fn limits(&self, now: Time) -> Limits {
        let length = self
            .config
            .windows
            .first()
            .map_or(Duration::ZERO, |w| w.duration());
        let threshold = self.threshold(length);
        let (mut own, mut identities) = self.standings();
        let odd = self.odd_callers();
        let pairs = self
            .pairs
            .iter()
            .map(|e| {
                let names = (&*e.source, &*e.destination);
                let is_open = self.incidents.is_open(&e.source, &e.destination);
                let odd_elsewhere = !is_open && odd.contains(&e.value.caller);
                PairLimits {
                    source: e.source.to_string(),
                    destination: e.destination.to_string(),
                    counts: self.count_limits(&e.value, threshold, odd_elsewhere, length, now),
                    incident: own.remove(&names),
                    identities: identities.remove(&names).unwrap_or_default(),
                    routes: self.known_routes(&e.value, now),
                    routes_odd: self.routes_odd(&e.value),
                    typical: self.typical(&e.value, length),
                    hours: e.value.habits.kept(),
                }
            })
            .chain(self.asleep(now))
            .collect();
        Limits {
            window: self.clock.start(),
            length: crate::time::millis(length),
            pairs,
            callers_known: !self.learning(now),
            callers_odd: self.config.signals.new_pair,
            seed: self.seed,
        }
    }

    /// What is held against pairs as a whole, and against single identities on them.
    fn standings(&self) -> (Own<'_>, Identities<'_>) {
        let (mut own, mut identities) = (
            HashMap::with_hasher(hasher(self.seed)),
            HashMap::with_hasher(hasher(self.seed)),
        );
        for (source, destination, identity, standing) in self.incidents.standings() {
            let names = (source, destination);
            match identity {
                None => {
                    own.insert(names, standing);
                }
                Some(identity) => {
                    let all: &mut Vec<_> = identities.entry(names).or_default();
                    all.push((identity.to_owned(), standing));
                }
            }
        }
        (own, identities)
    }

    /// Pairs that a warm start knows: no strangers, but what is too much of them is known when they are awake.
    fn asleep(&self, now: Time) -> impl Iterator<Item = PairLimits> {
        self.dormant.iter().map(move |e| PairLimits {
            source: e.source.to_string(),
            destination: e.destination.to_string(),
            counts: UNLIMITED,
            routes: self.known_routes(&e.value, now),
            routes_odd: self.routes_odd(&e.value),
            hours: e.value.habits.kept(),
            ..PairLimits::default()
        })
    }

    /// Whether a new route is odd by itself.
    fn routes_odd(&self, pair: &Pair) -> bool {
        self.config.signals.new_route && pair.novelty() <= novelty::REMARKABLE
    }

    fn known_routes(&self, pair: &Pair, now: Time) -> Option<Vec<u64>> {
        let old = now.since(pair.first_seen()) >= self.config.learning.warmup.duration();
        let odd = self.routes_odd(pair);
        // Past the cap nothing is new: it is not known what was there before.
        let asked = self.config.has_rule_of(RequestRuleType::KnownRoute) && !pair.overflowed();
        (old && (odd || asked)).then(|| pair.routes().map(|r| Limits::hash(self.seed, r)).collect())
    }

    /// What a shortest window of the pair usually has, in thousandths, where a rule asks for it.
    fn typical(&self, pair: &Pair, length: Duration) -> Option<Tallies> {
        if !self.config.has_rule_of(RequestRuleType::Typical) {
            return None;
        }
        let mut typical = UNLIMITED;
        let (level, pools) = (pair.level(0)?, self.pools.first()?);
        for (index, signal) in SIGNALS.iter().enumerate() {
            let (Measure::Rate { count, .. } | Measure::Share { count, .. }) = &signal.measure
            else {
                continue;
            };
            let expected = level.typical(index, pools, pair.season_factor(), pair.long_run(length));
            if let Some(expected) = expected {
                // A float turned into an integer saturates; the largest stands for what is not known.
                *(count.limit)(&mut typical) =
                    ((expected * 1000.0).round() as u32).min(u32::MAX.saturating_sub(1));
            }
        }
        Some(typical)
    }

    /// The counts at which the current shortest window would complete the evidence.
    fn count_limits(
        &self,
        pair: &Pair,
        threshold: f64,
        odd_elsewhere: bool,
        length: Duration,
        now: Time,
    ) -> Tallies {
        let mut limits = UNLIMITED;
        let exposure = Exposure {
            time: pair.season_factor(),
            given: [None; 2],
            before: pair.shift.before(now),
            recurring: pair.recurring(now),
        };
        let Some(level) = pair.level(0) else {
            return limits;
        };
        let Some(pools) = self.pools.first() else {
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
            if let Some(limit) = level.count_limit(
                index,
                pools,
                (threshold, odd_elsewhere),
                &exposure,
                pair.long_run(length),
                (length, self.config.learning.memory.duration()),
            ) {
                *(count.limit)(&mut limits) = limit;
            }
        }
        limits
    }
}

impl Level {
    /// The count at which the window would complete the evidence; `None` where the signal does not count, or is too young.
    fn count_limit(
        &self,
        index: usize,
        pools: &[Pool],
        (threshold, odd_elsewhere): (f64, bool),
        exposure: &Exposure,
        long_run: (f64, f64),
        (length, memory): (Duration, Duration),
    ) -> Option<u32> {
        let (signal, pool) = (SIGNALS.get(index)?, pools.get(index)?);
        let (model, streams) = self.signal(index)?;
        let direction = signal.direction(Side::Up)?;
        let gate = &direction.gate;
        if signal.maturity(model) < 1.0 {
            return None;
        }
        let known = signal.known(&pool.model, long_run);
        let (count, prior, exposure) = match (model, &known) {
            (Model::Rate(m), Known::Rate(prior)) => {
                let most = m.most(prior, exposure);
                (&m.alone, &prior.alone, exposure.time * most)
            }
            (Model::Share(m), Known::Share(prior)) => {
                let requests = self.typical_requests(pools, exposure.time, long_run);
                (m, prior, requests)
            }
            _ => return None,
        };
        let typical = count.expected(prior, exposure);
        let steady = matches!(model, Model::Rate(_)) && count.is_steady(prior, exposure);
        let threshold = judge::threshold(
            signal,
            if steady { 1.0 } else { direction.share },
            self.active(),
            odd_elsewhere,
            threshold,
        );
        let p = streams.up.p_for(threshold, &pool.up, signal.habit());
        let alone = match model {
            Model::Rate(rate) if !steady => rate.high(p),
            _ => p,
        };
        let worth = |run: Seen| {
            let (seen, usual, exposed) = run.counts();
            let usual = usual + typical;
            let all = match signal.measure {
                Measure::Rate { .. } => (usual * gate.ratio).max(usual + gate.least(steady)),
                _ => (usual * gate.ratio)
                    .max(gate.volume)
                    .max(gate.amount * (exposed + exposure)),
            };
            (all - seen).ceil().max(1.0) as u32
        };
        // The gates are on the whole run of evidence, or on the window where that outweighs the run.
        let mut run = streams.up.run();
        run.fade(signal.keeps(length, memory));
        let mut least = worth(run);
        if streams.up.is_outweighed_by(p) {
            least = least.min(worth(Seen::default()));
        }
        Some(count.upper_limit(prior, exposure, alone, least))
    }

    /// The count expected in a window; `None` where the signal does not count, or is too young.
    fn typical(
        &self,
        index: usize,
        pools: &[Pool],
        season: f64,
        long_run: (f64, f64),
    ) -> Option<f64> {
        let (signal, pool) = (SIGNALS.get(index)?, pools.get(index)?);
        let (model, _) = self.signal(index)?;
        if signal.maturity(model) < 1.0 {
            return None;
        }
        match (model, &signal.known(&pool.model, long_run)) {
            (Model::Rate(m), Known::Rate(prior)) => Some(m.alone.expected(&prior.alone, season)),
            (Model::Share(m), Known::Share(prior)) => {
                Some(m.expected(prior, self.typical_requests(pools, season, long_run)))
            }
            _ => None,
        }
    }

    /// Requests expected in a window, at what the season makes of the usual; at least one.
    fn typical_requests(&self, pools: &[Pool], season: f64, long_run: (f64, f64)) -> f64 {
        let (Some(rate), Some(pool), Some((Model::Rate(m), _))) =
            (SIGNALS.first(), pools.first(), self.signal(0))
        else {
            return 1.0;
        };
        match rate.known(&pool.model, long_run) {
            Known::Rate(prior) => m.alone.expected(&prior.alone, season).max(1.0),
            _ => 1.0,
        }
    }
}
