//! What the aggregator hands back to the workers, and the inline verdict they make of it.
//!
//! For each pair: integer limits for the counts of the current shortest window, which are the counts at which the
//! evidence would outweigh the tolerated false alerts if the window ended now; the routes that are known; and the score
//! of an incident that is open on it. The filter compares integers.
//!
//! A worker sees its own part of a pair's traffic only, so a count that exceeds the limit in one worker exceeds it in
//! all together: the verdict may come late, it never comes for nothing.

use crate::Time;
use crate::counters::Tallies;
use crate::exchange::{Outcome, route};
use crate::frame::Framed;
use crate::table;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Everything the aggregator publishes, once a shortest window and when an incident opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Start of the window the limits are for. A new one sets the workers' counts back to zero.
    pub window: Time,
    /// All pairs the aggregator knows.
    pub pairs: Vec<PairLimits>,
    /// Whether it is old enough for a pair that is not among them to mean something.
    pub callers_known: bool,
    /// The seed of the hashes.
    pub seed: u64,
}

/// What is published of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairLimits {
    /// Who calls.
    pub source: String,
    /// What is called.
    pub destination: String,
    /// Counts that are one too many in the window; `u32::MAX` is no limit.
    pub counts: Tallies,
    /// Score of the open incident, 0 where there is none.
    pub incident: u8,
    /// The known routes as hashes; `None` while the pair is too young for a new one to mean something.
    pub routes: Option<Vec<u64>>,
}

impl Framed for Limits {
    const TAG: [u8; 2] = *b"LI";
    const VERSION: u16 = 1;
}

/// What the filter says of one exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// 0 (nothing known against it) to 100.
    pub score: u8,
}

/// Score of the first request of a new pair or route: worth a look, not proof.
const FIRST_SEEN: u8 = 60;
/// Score of a request past a limit: the evidence is complete.
const PAST_LIMIT: u8 = 80;

/// A worker's side of [`PairLimits`]: the limits and what was counted towards them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PairWatch {
    limits: Option<Tallies>,
    counted: Tallies,
    base: u8,
    known_routes: Option<Box<[u64]>>,
    seed: u64,
}

/// Whether a route is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteWatch {
    new: bool,
}

impl Limits {
    /// The hash under which a name is published.
    pub fn hash(seed: u64, name: &str) -> u64 {
        table::hasher(seed).hash_one(name)
    }

    pub(crate) fn by_pair(&self) -> HashMap<(&str, &str), &PairLimits, ahash::RandomState> {
        let mut map = HashMap::with_hasher(table::hasher(self.seed));
        for p in &self.pairs {
            map.insert((p.source.as_str(), p.destination.as_str()), p);
        }
        map
    }

    pub(crate) fn watch(&self, pair: &PairLimits) -> PairWatch {
        PairWatch {
            limits: Some(pair.counts),
            counted: Tallies::default(),
            base: pair.incident,
            known_routes: pair.routes.as_deref().map(Into::into),
            seed: self.seed,
        }
    }

    pub(crate) fn callers(&self) -> Callers {
        let hasher = table::hasher(self.seed);
        let known = self.callers_known.then(|| {
            let pairs = self.pairs.iter();
            let mut known: Vec<u64> = pairs
                .map(|p| hasher.hash_one((p.source.as_str(), p.destination.as_str())))
                .collect();
            known.sort_unstable();
            known
        });
        Callers {
            known,
            seed: self.seed,
        }
    }
}

/// Which pairs are known, as sorted hashes, to tell a new one on its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers {
    known: Option<Vec<u64>>,
    seed: u64,
}

impl Callers {
    /// The watch of a pair that has no limits of its own.
    pub(crate) fn watch(&self, source: &str, destination: &str) -> PairWatch {
        let new = self.known.as_ref().is_some_and(|known| {
            known
                .binary_search(&table::hasher(self.seed).hash_one((source, destination)))
                .is_err()
        });
        PairWatch {
            base: if new { FIRST_SEEN } else { 0 },
            ..PairWatch::default()
        }
    }
}

impl PairWatch {
    /// Goes on counting where `before` stands, within the same window.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        self.counted = before.counted;
        self
    }

    pub(crate) fn route(&self, template: &str) -> RouteWatch {
        let named = template != route::OTHER && template != route::UNROUTED;
        RouteWatch {
            new: named
                && self
                    .known_routes
                    .as_ref()
                    .is_some_and(|known| !known.contains(&Limits::hash(self.seed, template))),
        }
    }

    pub(crate) fn judge(&mut self, outcome: Outcome, route: RouteWatch) -> Verdict {
        let mut score = self.base;
        if let Some(l) = &self.limits {
            self.counted.add(outcome);
            let n = &self.counted;
            let past = n.requests >= l.requests
                || n.server_errors >= l.server_errors
                || n.auth_failures >= l.auth_failures
                || n.not_found.saturating_add(n.client_errors) >= l.client_errors;
            if past {
                score = score.max(PAST_LIMIT);
            }
            if route.new {
                score = score.max(FIRST_SEEN);
            }
        }
        Verdict { score }
    }
}
