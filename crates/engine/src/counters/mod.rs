//! A worker's counters: one [`Cell`] per route of a pair, drained into a [`Batch`] each second.
//!
//! This is the hot path. Once a pair and route are known, counting an exchange is two look-ups and some additions: no
//! allocation, no host call. Names and cells stay from second to second, only the numbers are drained.
//!
//! While there is no aggregator nothing is drained, and what comes is merged into the same cells: holding costs no
//! more memory than counting. Both are bounded by the number of pairs and by bytes; a pair with undelivered counts never
//! makes room for another. What the bounds turn away is counted as dropped and reported with the next batch.

mod batch;
mod cell;

pub use batch::{Batch, PairCounts, RouteCounts};
pub use cell::{Cell, STEPS_PER_OCTAVE, Tallies, log_duration, millis_at};

use crate::Time;
use crate::exchange::route::{self, Template};
use crate::exchange::{Exchange, Outcome};
use crate::limits::{Callers, Limits, PairWatch, RouteWatch, Verdict};
use crate::table::{self, PairTable};
use ahash::RandomState;

/// A worker's counters and the limits it was last handed.
#[derive(Debug)]
pub struct Counters {
    pairs: PairTable<Pair>,
    callers: Callers,
    routes: RandomState,
    routes_per_pair: usize,
    max_bytes: usize,
    bytes: usize,
    from: Time,
    dropped: u64,
}

#[derive(Debug)]
struct Pair {
    routes: Vec<Route>,
    /// The last second something was counted: who was silent longest makes room first.
    active: Time,
    undelivered: bool,
    watch: PairWatch,
}

#[derive(Debug)]
struct Route {
    hash: u64,
    template: Box<str>,
    cell: Cell,
    watch: RouteWatch,
}

/// What a pair and a route cost beside their names, for the byte budget.
const PAIR_BYTES: usize = size_of::<Pair>() + 64;
const ROUTE_BYTES: usize = size_of::<Route>();

impl Counters {
    /// Counters that hold at most `pairs` pairs of `routes_per_pair` routes in at most `max_bytes` bytes. `seed` is the
    /// hash's and should be unguessable; `now` is when counting begins.
    pub fn new(pairs: u32, routes_per_pair: u32, max_bytes: u32, seed: u64, now: Time) -> Self {
        Self {
            pairs: PairTable::new(pairs, seed),
            callers: Callers::default(),
            routes: table::hasher(!seed),
            routes_per_pair: usize::try_from(routes_per_pair).unwrap_or(usize::MAX),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            bytes: 0,
            from: now,
            dropped: 0,
        }
    }

    /// Counts one exchange and judges it against the limits last handed over.
    pub fn observe(&mut self, exchange: &Exchange<'_>) -> Verdict {
        let outcome = exchange.outcome();
        let template = Template::of(exchange.method, exchange.path);
        let hash = self.routes.hash_one(template.as_str());
        let (now, room) = (self.from, self.max_bytes.saturating_sub(self.bytes));
        let cost = PAIR_BYTES
            .saturating_add(exchange.source.len())
            .saturating_add(exchange.destination.len());
        let before = (self.pairs.len(), self.pairs.evicted());
        let pair = self.pairs.get_or_insert(
            exchange.source,
            exchange.destination,
            || Pair {
                routes: Vec::new(),
                active: now,
                undelivered: false,
                watch: self.callers.watch(exchange.source, exchange.destination),
            },
            |p| (!p.undelivered).then_some(p.active),
        );
        let Some(pair) = pair else {
            self.dropped = self.dropped.saturating_add(1);
            return Verdict::default();
        };
        pair.active = now;
        let known = pair.routes.iter().position(|r| r.hash == hash);
        let (at, fresh) = match known {
            Some(at) => (Some(at), None),
            None => {
                // Only what was served shows that a route exists: the rest is the caller's invention.
                let full = pair.routes.len() >= self.routes_per_pair;
                let name = match outcome {
                    Outcome::Served if !full => template.as_str(),
                    Outcome::Served => route::OTHER,
                    _ => route::UNROUTED,
                };
                let at = pair.routes.iter().position(|r| *r.template == *name);
                (at, at.is_none().then_some(name))
            }
        };
        let mut grown = 0;
        if let Some(name) = fresh {
            grown = ROUTE_BYTES.saturating_add(name.len());
            if grown.saturating_add(cost) > room {
                self.dropped = self.dropped.saturating_add(1);
                self.recount();
                return Verdict::default();
            }
            let hash = if name == template.as_str() {
                hash
            } else {
                self.routes.hash_one(name)
            };
            pair.routes.push(Route {
                hash,
                template: name.into(),
                cell: Cell::default(),
                watch: pair.watch.route(name),
            });
        }
        let at = at.unwrap_or(pair.routes.len().saturating_sub(1));
        let Some(route) = pair.routes.get_mut(at) else {
            return Verdict::default();
        };
        route.cell.add(exchange, outcome);
        pair.undelivered = true;
        let verdict = pair.watch.judge(outcome, &route.watch);
        self.bytes = self.bytes.saturating_add(grown);
        if (self.pairs.len(), self.pairs.evicted()) != before {
            self.recount();
        }
        verdict
    }

    /// What the entries cost now. Only when pairs come or go, which in steady state they do not.
    fn recount(&mut self) {
        self.bytes = self.pairs.iter().fold(0usize, |sum, e| {
            e.value
                .routes
                .iter()
                .fold(sum, |s, r| {
                    s.saturating_add(ROUTE_BYTES)
                        .saturating_add(r.template.len())
                })
                .saturating_add(PAIR_BYTES)
                .saturating_add(e.source.len())
                .saturating_add(e.destination.len())
        });
    }

    /// The counts since the last call, which become zero; `None` where there are none. Nothing is lost by not calling.
    pub fn drain(&mut self, now: Time) -> Option<Batch> {
        let from = std::mem::replace(&mut self.from, now);
        let mut pairs = Vec::new();
        for entry in self.pairs.iter_mut().filter(|e| e.value.undelivered) {
            entry.value.undelivered = false;
            let routes = entry
                .value
                .routes
                .iter_mut()
                .filter(|r| !r.cell.is_empty())
                .map(|r| RouteCounts {
                    route: r.template.to_string(),
                    cell: std::mem::take(&mut r.cell),
                })
                .collect();
            pairs.push(PairCounts {
                source: entry.source.to_string(),
                destination: entry.destination.to_string(),
                routes,
            });
        }
        let dropped = std::mem::take(&mut self.dropped);
        (!pairs.is_empty() || dropped > 0).then_some(Batch {
            from,
            to: now,
            pairs,
            dropped,
        })
    }

    /// Takes over what the aggregator published. Pairs it does not name lose their limits.
    pub fn apply(&mut self, limits: &Limits) {
        self.callers = limits.callers();
        let mut named = limits.by_pair();
        for entry in self.pairs.iter_mut() {
            let pair = &mut entry.value;
            pair.watch = named
                .remove(&(&*entry.source, &*entry.destination))
                .map_or_else(
                    || self.callers.watch(&entry.source, &entry.destination),
                    |known| limits.watch(known),
                );
            for route in &mut pair.routes {
                route.watch = pair.watch.route(&route.template);
            }
        }
    }

    /// Pairs held, their bytes, and how many made room for another since the start.
    pub fn size(&self) -> (usize, usize, u64) {
        (self.pairs.len(), self.bytes, self.pairs.evicted())
    }
}
