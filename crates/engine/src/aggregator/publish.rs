//! The limits that workers judge by: integers out of the baselines and the evidence so far.

use super::Aggregator;
use super::judge;
use super::pair::{Level, Pair};
use super::pool::Pool;
use crate::Time;
use crate::baselines::novelty;
use crate::counters::Tallies;
use crate::limits::{Limits, PairLimits};
use crate::signals::{Known, Measure, Model, SIGNALS, Side};
use std::time::Duration;

/// Counts that nothing reaches.
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
        let odd = self.odd_callers();
        let pairs = self
            .pairs
            .iter()
            .map(|e| {
                let incident = self.incidents.score(&e.source, &e.destination);
                let odd_elsewhere = incident == 0 && odd.contains(&e.value.caller);
                PairLimits {
                    source: e.source.to_string(),
                    destination: e.destination.to_string(),
                    counts: self.count_limits(&e.value, threshold, odd_elsewhere, length),
                    incident,
                    routes: self.known_routes(&e.value, now),
                }
            })
            .chain(self.asleep(now))
            .collect();
        Limits {
            window: self.clock.start(),
            pairs,
            callers_known: self.config.signals.new_pair && !self.learning(now),
            seed: self.seed,
        }
    }

    /// Pairs that a warm start knows: no strangers, but what is too much of them is known when they are awake.
    fn asleep(&self, now: Time) -> impl Iterator<Item = PairLimits> {
        self.dormant.iter().map(move |e| PairLimits {
            source: e.source.to_string(),
            destination: e.destination.to_string(),
            counts: UNLIMITED,
            incident: 0,
            routes: self.known_routes(&e.value, now),
        })
    }

    fn known_routes(&self, pair: &Pair, now: Time) -> Option<Vec<u64>> {
        let old = now.since(pair.first_seen()) >= self.config.learning.warmup.duration();
        (self.config.signals.new_route && old && pair.novelty() <= novelty::REMARKABLE)
            .then(|| pair.routes().map(|r| Limits::hash(self.seed, r)).collect())
    }

    /// The counts at which the current shortest window would complete the evidence.
    fn count_limits(
        &self,
        pair: &Pair,
        threshold: f64,
        odd_elsewhere: bool,
        length: Duration,
    ) -> Tallies {
        let mut limits = UNLIMITED;
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
                pair.season_factor(),
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
        season: f64,
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
            (Model::Rate(m), Known::Rate(prior)) => (&m.alone, &prior.alone, season),
            (Model::Share(m), Known::Share(prior)) => {
                (m, prior, self.typical_requests(pools, season, long_run))
            }
            _ => return None,
        };
        let typical = count.expected(prior, exposure);
        let threshold = judge::threshold(
            signal,
            direction.share,
            self.active(),
            odd_elsewhere,
            threshold,
        );
        let p = streams.up.p_for(threshold, &pool.up);
        let rare = count.upper_limit(prior, exposure, p);
        // The gates are on the whole run of evidence.
        let mut run = streams.up.run();
        run.fade(signal.keeps(length, memory));
        let (seen, usual, exposed) = run.counts();
        let usual = usual + typical;
        let worth = match signal.measure {
            Measure::Rate { .. } => (usual * gate.ratio).max(usual + gate.volume),
            _ => (usual * gate.ratio)
                .max(gate.volume)
                .max(gate.share * (exposed + exposure)),
        };
        Some(rare.max((worth - seen).ceil().max(1.0) as u32))
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
