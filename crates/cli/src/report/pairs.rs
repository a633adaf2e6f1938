//! What each pair did over time, route by route.

use super::names::Names;
use super::scale::{Bin, Scale, place};
use super::sketch::Sketch;
use crate::record::Line;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Usual;
use pairwatch_engine::exchange::Outcome;
use pairwatch_engine::exchange::route::{OTHER, Template, UNROUTED};
use std::collections::HashMap;
use std::time::Duration;

/// Bins of a pair's counts: half-hours over two weeks.
const FINE: usize = 700;
/// Bins of a route's durations: two-hour steps over ten days.
const COARSE: usize = 120;
/// Pairs told of in full: more than anybody looks through. What comes after is counted.
const PAIRS: usize = 2_000;
/// Routes with durations over time. At some 12 KB each this bounds them to 50 MB.
const TIMED: usize = 4_000;
/// Hours of a week.
pub(super) const HOURS: usize = 168;

/// All pairs.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) fine: Scale,
    pub(super) coarse: Scale,
    pub(super) pairs: Vec<Pair>,
    by_ends: HashMap<(u32, u32), usize>,
    timed: usize,
    routes_per_pair: usize,
    /// Requests of pairs that are not told of.
    pub(super) more: u64,
}

/// A pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) counts: Vec<Counts>,
    pub(super) heat: Box<[u32; HOURS]>,
    pub(super) routes: Vec<Route>,
    minute: Time,
    in_minute: u32,
}

/// What a pair did in one bin.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) requests: u32,
    pub(super) errors: u32,
    pub(super) denied: u32,
    /// The most requests in any minute.
    pub(super) peak: u32,
    /// What was usual at its beginning.
    usual: [f32; 3],
    millis: f32,
    samples: u16,
    timed: u16,
}

/// A route of a pair.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: u32,
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) denied: u64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) served: u64,
    pub(super) micros: u64,
    /// Durations of served requests; none where too many routes have some.
    pub(super) durations: Option<Vec<Sketch>>,
}

/// Where a line was counted.
pub(super) struct Counted {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) route: u32,
}

impl Bin for Sketch {
    fn merge(&mut self, other: &Self) {
        Sketch::merge(self, other);
    }
}

impl Bin for Counts {
    fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.denied = self.denied.saturating_add(other.denied);
        self.peak = self.peak.max(other.peak);
        for (sum, more) in self.usual.iter_mut().zip(other.usual) {
            *sum += more;
        }
        self.samples = self.samples.saturating_add(other.samples);
        self.millis += other.millis;
        self.timed = self.timed.saturating_add(other.timed);
    }
}

impl Counts {
    fn count(&mut self, outcome: Outcome, in_minute: u32) {
        self.requests = self.requests.saturating_add(1);
        self.peak = self.peak.max(in_minute);
        let (error, denied) = (
            outcome == Outcome::ServerError,
            outcome == Outcome::AuthFailure,
        );
        self.errors = self.errors.saturating_add(u32::from(error));
        self.denied = self.denied.saturating_add(u32::from(denied));
    }

    fn usually(&mut self, usual: &Usual<'_>) {
        let [low, high] = usual.band;
        for (sum, value) in self.usual.iter_mut().zip([usual.rate, low, high]) {
            *sum += value as f32;
        }
        self.samples = self.samples.saturating_add(1);
        if let Some(millis) = usual.millis {
            self.millis += millis as f32;
            self.timed = self.timed.saturating_add(1);
        }
    }

    /// Typical requests a second and the ends of their band.
    pub(super) fn usual(&self) -> Option<[f64; 3]> {
        let n = f64::from(self.samples);
        (self.samples > 0).then(|| self.usual.map(|sum| f64::from(sum) / n))
    }

    /// Typical milliseconds.
    pub(super) fn millis(&self) -> Option<f64> {
        let n = f64::from(self.timed);
        (self.timed > 0).then(|| f64::from(self.millis) / n)
    }
}

impl Pairs {
    /// None, of a log that begins at `first`.
    pub(super) fn new(first: Time, routes_per_pair: u32) -> Self {
        Self {
            fine: Scale::new(first, FINE),
            coarse: Scale::new(first, COARSE),
            pairs: Vec::new(),
            by_ends: HashMap::new(),
            timed: 0,
            routes_per_pair: usize::try_from(routes_per_pair).unwrap_or(usize::MAX),
            more: 0,
        }
    }

    /// Makes room for a time.
    pub(super) fn reach(&mut self, at: Time) {
        while let Some(widening) = self.fine.widen(at) {
            for pair in &mut self.pairs {
                widening.apply(&mut pair.counts);
            }
        }
        while let Some(widening) = self.coarse.widen(at) {
            let routes = self.pairs.iter_mut().flat_map(|p| &mut p.routes);
            for durations in routes.filter_map(|r| r.durations.as_mut()) {
                widening.apply(durations);
            }
        }
    }

    /// Counts a line; `None` where there are too many pairs.
    pub(super) fn line(&mut self, at: Time, line: &Line<'_>, names: &mut Names) -> Option<Counted> {
        let ends = (names.number(line.source), names.number(line.destination));
        let known = self.by_ends.get(&ends).copied();
        let index = match known {
            Some(index) => index,
            None if self.pairs.len() < PAIRS => {
                self.pairs.push(Pair::new(ends));
                let index = self.pairs.len().saturating_sub(1);
                self.by_ends.insert(ends, index);
                index
            }
            None => {
                self.more = self.more.saturating_add(1);
                return None;
            }
        };
        let pair = self.pairs.get_mut(index)?;
        let outcome = Outcome::of(line.status, line.grpc_status);
        let in_minute = pair.in_minute(at);
        place(&mut pair.counts, self.fine.bin(at)).count(outcome, in_minute);
        let route = pair.route(line, outcome, self.routes_per_pair, &mut self.timed, names)?;
        route.count(line, outcome, self.coarse.bin(at));
        Some(Counted {
            source: ends.0,
            destination: ends.1,
            route: route.name,
        })
    }

    /// Notes what is usual from `at` on.
    pub(super) fn usually(&mut self, at: Time, usual: &Usual<'_>, names: &Names) {
        let ends = names
            .known(usual.source)
            .zip(names.known(usual.destination));
        let index = ends.and_then(|ends| self.by_ends.get(&ends).copied());
        if let Some(pair) = index.and_then(|i| self.pairs.get_mut(i)) {
            place(&mut pair.counts, self.fine.bin(at)).usually(usual);
        }
    }
}

impl Pair {
    fn new((source, destination): (u32, u32)) -> Self {
        Self {
            source,
            destination,
            counts: Vec::new(),
            heat: Box::new([0; HOURS]),
            routes: Vec::new(),
            minute: Time::default(),
            in_minute: 0,
        }
    }

    /// Counts a request of a minute and hour of the week; returns how many the minute has.
    fn in_minute(&mut self, at: Time) -> u32 {
        let minute = at.floor(Duration::from_secs(60));
        if minute != self.minute {
            self.minute = minute;
            self.in_minute = 0;
        }
        self.in_minute = self.in_minute.saturating_add(1);
        if let Some(hour) = self.heat.get_mut(hour_of_week(at)) {
            *hour = hour.saturating_add(1);
        }
        self.in_minute
    }

    /// The route a request counts for, by the engine's rule: only what was served shows that a route exists.
    fn route(
        &mut self,
        line: &Line<'_>,
        outcome: Outcome,
        cap: usize,
        timed: &mut usize,
        names: &mut Names,
    ) -> Option<&mut Route> {
        let template = Template::of(line.method.as_bytes(), line.path.as_bytes());
        let known = |name: u32, routes: &[Route]| routes.iter().position(|r| r.name == name);
        let found = names
            .known(template.as_str())
            .and_then(|name| known(name, &self.routes));
        let at = match found {
            Some(at) => at,
            None => {
                let name = match outcome {
                    Outcome::Served if self.routes.len() < cap => template.as_str(),
                    Outcome::Served => OTHER,
                    _ => UNROUTED,
                };
                let name = names.number(name);
                known(name, &self.routes).unwrap_or_else(|| {
                    self.routes.push(Route::new(name, *timed < TIMED));
                    *timed = timed.saturating_add(1);
                    self.routes.len().saturating_sub(1)
                })
            }
        };
        self.routes.get_mut(at)
    }

    /// All its requests.
    pub(super) fn requests(&self) -> u64 {
        self.routes
            .iter()
            .fold(0u64, |n, r| n.saturating_add(r.requests))
    }
}

impl Route {
    fn new(name: u32, timed: bool) -> Self {
        Self {
            name,
            requests: 0,
            errors: 0,
            denied: 0,
            request_bytes: 0,
            response_bytes: 0,
            served: 0,
            micros: 0,
            durations: timed.then(Vec::new),
        }
    }

    fn count(&mut self, line: &Line<'_>, outcome: Outcome, bin: usize) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, 1);
        add(&mut self.errors, u64::from(outcome == Outcome::ServerError));
        add(&mut self.denied, u64::from(outcome == Outcome::AuthFailure));
        add(&mut self.request_bytes, line.request_bytes);
        add(&mut self.response_bytes, line.response_bytes);
        if outcome == Outcome::Served {
            let micros = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX);
            add(&mut self.served, 1);
            add(&mut self.micros, micros);
            if let Some(durations) = &mut self.durations {
                place(durations, bin).add(micros);
            }
        }
    }

    /// All durations together.
    pub(super) fn all(&self) -> Sketch {
        let mut all = Sketch::default();
        for sketch in self.durations.iter().flatten() {
            all.merge(sketch);
        }
        all
    }
}

/// Hour of the week in UTC, from Monday 0:00.
fn hour_of_week(at: Time) -> usize {
    /// 1970 began on a Thursday.
    const THURSDAY: u64 = 3 * 24;
    let hours = (at.0 / 3_600_000).saturating_add(THURSDAY);
    usize::try_from(hours % 168).unwrap_or(0)
}
