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
mod sightings;
mod sketch;
mod versions;

pub use batch::{Batch, Broken, PairCounts, RouteCounts, Sighting};
pub use cell::{Cell, Failures, STEPS_PER_OCTAVE, Tallies, log_duration, millis_at};
pub use sightings::MAX_IDENTITY;
pub(crate) use sightings::bounded;
pub use sketch::Sketch;

use crate::Time;
use crate::exchange::route::{self, MAX_TEMPLATE, Template};
use crate::exchange::version::Version;
use crate::exchange::{Exchange, Outcome};
use crate::limits::{Callers, Limits, PairWatch, RouteWatch};
use crate::table::{self, Entry, PairTable, Slot};
use crate::verdicts::{Judgement, Learned, Phase, Rulebook};
use ahash::RandomState;
use sightings::Sightings;
use versions::Versions;

/// A worker's counters and the limits it was last handed.
#[derive(Debug)]
pub struct Counters {
    pairs: PairTable<Pair>,
    callers: Callers,
    /// The window of the limits last applied, and its length in milliseconds.
    window: Time,
    length: u64,
    /// The time, to within a tick.
    now: Time,
    /// The version that serves what is counted now.
    version: Version,
    routes: RandomState,
    paths: RandomState,
    routes_per_pair: usize,
    max_bytes: usize,
    bytes: usize,
    from: Time,
    dropped: u64,
}

#[derive(Debug)]
struct Pair {
    routes: Vec<Route>,
    sightings: Sightings,
    /// The last second something was counted: who was silent longest makes room first.
    active: Time,
    undelivered: bool,
    versions: Versions,
    /// Rules broken since the last batch: at most as many as there are.
    broken: Vec<Broken>,
    watch: PairWatch,
}

#[derive(Debug)]
struct Route {
    hash: u64,
    template: Box<str>,
    cell: Cell,
    watch: RouteWatch,
}

/// Seed of the hash by which unknown paths are told apart. The same in all workers, because a path that two of them see is
/// one. Who knows it can make paths that look like one, and gains by that a lesser name for the same alert.
const PATHS_SEED: u64 = 0x5EED;
/// What a route costs beside its name, for the byte budget.
const ROUTE_BYTES: usize = size_of::<Route>();
/// What a pair's names cost beside their letters: two fat pointers and a place in the index.
const NAMES_BYTES: usize = 64;

fn names(exchange: &Exchange<'_>) -> usize {
    NAMES_BYTES
        .saturating_add(exchange.source.len())
        .saturating_add(exchange.destination.len())
}

fn bytes_of(entry: &Entry<Pair>) -> usize {
    NAMES_BYTES
        .saturating_add(entry.source.len())
        .saturating_add(entry.destination.len())
        .saturating_add(entry.value.bytes())
}

impl Route {
    fn bytes(&self) -> usize {
        ROUTE_BYTES.saturating_add(self.template.len())
    }
}

impl Pair {
    /// Who was silent longest makes room first, and nobody whose counts are not delivered.
    fn worth(&self) -> Option<Time> {
        (!self.undelivered).then_some(self.active)
    }

    /// Counts the rules that are among what is held against an exchange.
    fn note(&mut self, judgement: &Judgement) {
        for verdict in judgement.iter() {
            let Some(rule) = verdict.rule else {
                continue;
            };
            match self.broken.iter_mut().find(|b| b.rule == rule) {
                Some(broken) => broken.requests = broken.requests.saturating_add(1),
                None => self.broken.push(Broken {
                    rule,
                    kind: verdict.kind,
                    severity: verdict.severity,
                    score: verdict.score,
                    requests: 1,
                }),
            }
        }
    }

    fn bytes(&self) -> usize {
        let routes = self.routes.iter().map(Route::bytes);
        routes
            .fold(size_of::<Self>(), usize::saturating_add)
            .saturating_add(self.sightings.bytes())
    }

    /// The number of the route a request counts for, made where there is none; `None` where its bytes do not fit into
    /// `room`.
    fn route(
        &mut self,
        template: &str,
        hash: u64,
        outcome: Outcome,
        hasher: &RandomState,
        cap: usize,
        room: usize,
    ) -> Option<usize> {
        if let Some(at) = self.routes.iter().position(|r| r.hash == hash) {
            return Some(at);
        }
        // Only what was served shows that a route exists: the rest is the caller's invention.
        let (name, hash) = match outcome {
            Outcome::Served if self.routes.len() < cap => (template, hash),
            Outcome::Served => (route::OTHER, hasher.hash_one(route::OTHER)),
            _ => (route::UNROUTED, hasher.hash_one(route::UNROUTED)),
        };
        if let Some(at) = self.routes.iter().position(|r| r.hash == hash) {
            return Some(at);
        }
        if ROUTE_BYTES.saturating_add(name.len()) > room {
            return None;
        }
        self.routes.push(Route {
            hash,
            template: name.into(),
            cell: Cell::default(),
            watch: self.watch.route(name),
        });
        Some(self.routes.len().saturating_sub(1))
    }
}

impl Counters {
    /// Counters that hold at most `pairs` pairs of `routes_per_pair` routes in at most `max_bytes` bytes. `seed` is the
    /// hash's and should be unguessable; `now` is when counting begins.
    pub fn new(pairs: u32, routes_per_pair: u32, max_bytes: u32, seed: u64, now: Time) -> Self {
        Self {
            pairs: PairTable::new(pairs, seed),
            callers: Callers::default(),
            window: Time::default(),
            length: 0,
            now,
            version: Version::UNKNOWN,
            routes: table::hasher(!seed),
            paths: table::hasher(PATHS_SEED),
            routes_per_pair: usize::try_from(routes_per_pair).unwrap_or(usize::MAX),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            bytes: 0,
            from: now,
            dropped: 0,
        }
    }

    /// Says what time it is.
    pub fn tick(&mut self, now: Time) {
        self.now = now;
    }

    /// Says which version of the destination serves what is counted from now on.
    pub fn served_by(&mut self, version: Version) {
        self.version = version;
    }

    /// What is held against a request of which no more than its headers is known, by the limits last handed over and by
    /// `rules`. Counts nothing.
    pub fn foresee(&self, exchange: &Exchange<'_>, rules: &Rulebook) -> Judgement {
        let template = Template::of(exchange.method, exchange.path);
        let template = template.as_str();
        let fresh = self.is_fresh();
        let stranger;
        let watch = match self.pairs.get(exchange.source, exchange.destination) {
            Some(pair) => &pair.watch,
            None => {
                stranger = self.callers.watch(exchange.source, exchange.destination);
                &stranger
            }
        };
        let learned = fresh.then(|| watch.learned(watch.route(template), 1));
        let mut judgement = Judgement::default();
        if let Some(learned) = &learned {
            watch.judge(exchange, learned, &mut judgement);
        }
        let (learned, phase) = (learned.as_ref(), Phase::Request);
        rules.judge(exchange, template, learned, phase, self.now, &mut judgement);
        judgement
    }

    fn is_fresh(&self) -> bool {
        Limits::is_fresh(self.window, self.length, self.now)
    }

    /// Counts one exchange and says what is held against it by the limits last handed over.
    pub fn observe(&mut self, exchange: &Exchange<'_>) -> Judgement {
        self.judge(exchange, &Rulebook::default())
    }

    /// Counts one exchange and says what is held against it by the limits last handed over and by `rules`.
    pub fn judge(&mut self, exchange: &Exchange<'_>, rules: &Rulebook) -> Judgement {
        let outcome = exchange.outcome();
        let template = Template::of(exchange.method, exchange.path);
        let template = template.as_str();
        let hash = self.routes.hash_one(template);
        self.make_room(exchange);
        let now = self.from;
        let slot = self.pairs.get_or_insert(
            exchange.source,
            exchange.destination,
            || Pair {
                routes: Vec::new(),
                sightings: Sightings::default(),
                active: now,
                undelivered: false,
                versions: Versions::default(),
                broken: Vec::new(),
                watch: self.callers.watch(exchange.source, exchange.destination),
            },
            Pair::worth,
        );
        let Some(Slot {
            value: pair,
            is_new,
            evicted,
        }) = slot
        else {
            self.dropped = self.dropped.saturating_add(1);
            return Judgement::default();
        };
        let routes = pair.routes.len();
        let callers = pair.sightings.bytes();
        let room = self.max_bytes.saturating_sub(self.bytes);
        pair.active = now;
        let route = pair.route(
            template,
            hash,
            outcome,
            &self.routes,
            self.routes_per_pair,
            room,
        );
        let fresh = Limits::is_fresh(self.window, self.length, self.now);
        let mut judgement = Judgement::default();
        match route.and_then(|at| Some((at, pair.routes.get_mut(at)?))) {
            Some((at, route)) => {
                route.cell.add(exchange, outcome);
                if outcome.is_refusal() && *route.template == *route::UNROUTED {
                    let tried = Template::of_tried(exchange.method, exchange.path);
                    route.cell.paths.add(self.paths.hash_one(tried.as_str()));
                }
                let watch = route.watch;
                pair.undelivered = true;
                pair.versions.add(self.version);
                pair.sightings
                    .add(exchange, outcome, at, &self.routes, room);
                pair.watch.count(outcome);
                let learned: Option<Learned> = fresh.then(|| pair.watch.learned(watch, 0));
                if let Some(learned) = &learned {
                    pair.watch.judge(exchange, learned, &mut judgement);
                }
                let learned = learned.as_ref();
                rules.judge(
                    exchange,
                    template,
                    learned,
                    Phase::Whole,
                    self.now,
                    &mut judgement,
                );
                pair.note(&judgement);
            }
            None => self.dropped = self.dropped.saturating_add(1),
        }
        let mut grown = pair.sightings.bytes().saturating_sub(callers);
        if pair.routes.len() > routes {
            grown = grown.saturating_add(pair.routes.last().map_or(0, Route::bytes));
        }
        if is_new {
            grown = grown
                .saturating_add(names(exchange))
                .saturating_add(size_of::<Pair>());
        }
        let left = evicted.map_or(0, |e| bytes_of(&e));
        self.bytes = self.bytes.saturating_add(grown).saturating_sub(left);
        judgement
    }

    /// Lets go of pairs whose counts are delivered, until a new pair and route would fit. In steady state there is room.
    fn make_room(&mut self, exchange: &Exchange<'_>) {
        let needed = names(exchange)
            .saturating_add(size_of::<Pair>())
            .saturating_add(ROUTE_BYTES)
            .saturating_add(MAX_TEMPLATE);
        while self.bytes.saturating_add(needed) > self.max_bytes {
            match self.pairs.evict(Pair::worth) {
                Some(gone) => self.bytes = self.bytes.saturating_sub(bytes_of(&gone)),
                None => break,
            }
        }
    }

    /// The counts since the last call, which become zero; `None` where there are none. Nothing is lost by not calling.
    pub fn drain(&mut self, now: Time) -> Option<Batch> {
        let from = std::mem::replace(&mut self.from, now);
        self.now = now;
        let mut pairs = Vec::new();
        for entry in self.pairs.iter_mut().filter(|e| e.value.undelivered) {
            entry.value.undelivered = false;
            let (mut routes, mut places) = (Vec::new(), Vec::new());
            for r in &mut entry.value.routes {
                let counted = !r.cell.is_empty();
                places.push(u16::try_from(routes.len()).ok().filter(|_| counted));
                if counted {
                    routes.push(RouteCounts {
                        route: r.template.to_string(),
                        cell: std::mem::take(&mut r.cell),
                    });
                }
            }
            let (sightings, unsighted) = entry.value.sightings.drain(&places);
            pairs.push(PairCounts {
                source: entry.source.to_string(),
                destination: entry.destination.to_string(),
                routes,
                sightings,
                unsighted,
                broken: std::mem::take(&mut entry.value.broken),
                versions: entry.value.versions.drain(),
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
        self.length = limits.length;
        let same = std::mem::replace(&mut self.window, limits.window) == limits.window;
        let mut named = limits.by_pair();
        for entry in self.pairs.iter_mut() {
            let pair = &mut entry.value;
            let watch = named
                .remove(&(&*entry.source, &*entry.destination))
                .map_or_else(
                    || self.callers.watch(&entry.source, &entry.destination),
                    |known| limits.watch(known),
                );
            pair.watch = if same {
                watch.continuing(&pair.watch)
            } else {
                watch
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn the_bytes_kept_in_mind_are_those_of_the_entries(
            requests in prop::collection::vec((0u16..60, 0u16..30, any::<bool>()), 1..300),
        ) {
            let mut counters = Counters::new(25, 8, 30_000, 3, Time(0));
            for (i, (source, path, drain)) in requests.iter().enumerate() {
                counters.observe(&Exchange {
                    source: &format!("s{source}"),
                    destination: "d",
                    identity: Some(&format!("user-{path}")),
                    address: None,
                    method: b"GET",
                    path: format!("/r{path}x").as_bytes(),
                    status: 200,
                    grpc_status: None,
                    request_bytes: 0,
                    response_bytes: 0,
                    duration_us: 0,
                });
                if *drain {
                    counters.drain(Time(i as u64));
                }
                let held: usize = counters.pairs.iter().map(bytes_of).sum();
                prop_assert_eq!(counters.bytes, held);
            }
        }
    }
}
