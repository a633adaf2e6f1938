//! What is known of one pair: its routes, and for each window length the open window, the models and the evidence.

use super::habits::Habits;
use super::judge::Closed;
use super::release::Releases;
use super::shift::{Adopted, Shift};
use crate::Time;
use crate::baselines::anchor::Anchor;
use crate::baselines::calls::{Calls, ROUTES};
use crate::baselines::novelty;
use crate::baselines::outcomes::Outcomes;
use crate::baselines::rate::RateModel;
use crate::baselines::season::Season;
use crate::config::Span;
use crate::counters::{Failures, PairCounts, RouteCounts, STEPS_PER_OCTAVE};
use crate::evidence::Stream;
use crate::exchange::principal::spoken;
use crate::exchange::route;
use crate::exchange::version::Version;
use crate::signals::response_bytes::UNNOTICED;
use crate::signals::{MATURE_WINDOWS, Measure, Model, SIGNALS, Seen, Side, Usual};
use crate::table::fnv;
use crate::time::millis;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Served exchanges after which a route's usual duration and sizes are worth comparing with.
const ROUTE_KNOWN: f32 = 8.0;
/// A pair's silence halves what it is worth to know it so often by the time it has lasted as long as the pair was known. Who is gone
/// for as long as he was there is most likely gone for good, and is then worth no more than a name seen for the first time (one
/// part in 256 of what was known), while a job that pauses for an hour or a night has lost little after days.
const HALVINGS: u64 = 8;
/// Served exchanges that a route's usual is worth where a new one is believed: few, so that as many replace it.
const ROUTE_DOUBTED: f32 = 16.0;
/// Served exchanges from which on a route's usual makes what is far from it weigh less.
const ROUTE_FIRM: f32 = 50.0;
/// Octaves from the usual at which an exchange teaches half as much: sixteen times, or a sixteenth. Nearer, and the usual of a
/// route whose durations are spread over a factor of ten and skewed would be that of its quick half, and all windows slow.
const ROUTE_FAR: f32 = 4.0;
/// Served exchanges a route's usual values are averaged over, so that they follow a change within a few hundred.
const ROUTE_MEMORY: f32 = 500.0;

/// By so much a window under suspicion lifts what is usual at its time of day, at most: to be back at the usual the next day is no
/// drop. What comes back every day is learned all the same, if in more days.
const SUSPECT_LIFT: f64 = 0.25;

/// Seconds.
const DAY: f32 = 86_400.0;

/// What one window weighs in the share of windows that have traffic: some hundred are looked back on.
const OCCUPIED_GAIN: f32 = 1.0 / 300.0;

/// What is known of a pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pair {
    first_seen: Time,
    last_seen: Time,
    /// Shortest windows in which it had traffic.
    samples: u32,
    /// Start of the last of them.
    last_sample: Time,
    routes: Vec<Route>,
    /// Whether there were more routes than are kept: then a new one is nothing new.
    overflowed: bool,
    season: Season,
    /// The season's mean and coverage, as last learned: every window asks, and few change them.
    #[serde(skip)]
    summed: Option<(f64, f64)>,
    /// What the time of day and of week make of the usual now.
    factor: f32,
    /// Hashes of what the two services are called, to see what a source is asked itself.
    #[serde(skip)]
    pub(super) caller: u64,
    #[serde(skip)]
    pub(super) called: u64,
    /// How many of its calls each kind of request to its source brings.
    pub(super) calls: Calls,
    pub(super) shift: Shift,
    pub(super) releases: Releases,
    pub(super) habits: Habits,
    levels: Vec<Level>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Route {
    template: Box<str>,
    /// Shortest windows in which it was seen.
    samples: u32,
    last_sample: Time,
    /// Served exchanges, up to the memory.
    served: f32,
    /// Octaves of a microsecond.
    duration: f32,
    request_bytes: f32,
    response_bytes: f32,
    /// What holds the three.
    anchors: [Anchor; 3],
    /// All exchanges, and how many of them failed.
    outcomes: Outcomes,
    /// How prone to fail it was against the pair's other routes when the last window was closed.
    prone: Failures<f32>,
}

/// One window length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Level {
    window: Window,
    signals: Vec<(Model, Streams)>,
    /// Share of windows that had traffic.
    active: f32,
    pub(super) adopted: Adopted,
    /// Whether its last window was under maintenance.
    maintained: bool,
}

/// Evidence on either side. To be low means something to few signals: the others pay nothing for it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Streams {
    pub(super) up: Stream,
    down: Option<Box<Stream>>,
}

impl Streams {
    /// What the side with more evidence has seen.
    pub(super) fn stronger(&self) -> Seen {
        match &self.down {
            Some(down) if down.evidence() > self.up.evidence() => down.seen,
            _ => self.up.seen,
        }
    }

    fn forget(&mut self) {
        self.up.forget();
        if let Some(down) = &mut self.down {
            down.forget();
        }
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Up => &mut self.up,
            Side::Down => self.down.get_or_insert_default(),
        }
    }
}

impl Pair {
    pub(super) fn new(levels: usize, now: Time) -> Self {
        Self {
            first_seen: now,
            last_seen: now,
            samples: 0,
            last_sample: Time::default(),
            routes: Vec::new(),
            overflowed: false,
            season: Season::default(),
            summed: None,
            factor: 1.0,
            caller: 0,
            called: 0,
            calls: Calls::default(),
            shift: Shift::default(),
            releases: Releases::default(),
            habits: Habits::default(),
            levels: vec![Level::new(); levels],
        }
    }

    /// It, by its names.
    pub(super) fn named(mut self, source: &str, destination: &str) -> Self {
        let hash = |name| fnv(spoken(name).bytes());
        self.caller = hash(source);
        self.called = hash(destination);
        self
    }

    pub(super) fn first_seen(&self) -> Time {
        self.first_seen
    }

    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    /// Who is known least, and then who was silent longest, makes room first. Silence takes from what is known ([`HALVINGS`]): a
    /// cap full of those who are gone would leave no room to learn those who came.
    pub(super) fn worth(&self, now: Time) -> Option<(u32, Time)> {
        let known = millis(self.last_seen.since(self.first_seen));
        let silent = millis(now.since(self.last_seen));
        let halvings = silent.saturating_mul(HALVINGS).checked_div(known);
        let halvings = halvings.unwrap_or(if silent > 0 { u64::MAX } else { 0 });
        let halvings = u32::try_from(halvings).unwrap_or(u32::MAX);
        let left = self.samples.checked_shr(halvings).unwrap_or(0);
        Some((left, self.last_seen))
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|r| &*r.template)
    }

    /// Whether it had more routes than are kept.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Bytes of a pair with so many window lengths, and routes of so many bytes each in name.
    pub(super) fn bytes(levels: usize, routes: usize, name: usize) -> usize {
        let signals = SIGNALS.len().saturating_mul(size_of::<(Model, Streams)>());
        let downs = SIGNALS.iter().filter(|s| s.down.is_some()).count();
        let downs = downs.saturating_mul(size_of::<Stream>());
        let level = size_of::<Level>().saturating_add(signals);
        let rates = SIGNALS
            .iter()
            .filter(|s| matches!(s.measure, Measure::Rate { .. }));
        let rates = rates.count().saturating_mul(size_of::<RateModel>());
        let level = level.saturating_add(downs).saturating_add(rates);
        let route = size_of::<Route>().saturating_add(name);
        size_of::<Self>()
            .saturating_add(Season::HEAP)
            .saturating_add(Calls::bytes(ROUTES))
            .saturating_add(levels.saturating_mul(level))
            .saturating_add(routes.saturating_mul(route))
    }

    /// How long a served request usually takes, over all routes, in octaves of a microsecond.
    pub(super) fn usual_octaves(&self) -> Option<f64> {
        let (mut served, mut octaves) = (0.0, 0.0);
        for route in &self.routes {
            served += f64::from(route.served);
            octaves += f64::from(route.served) * f64::from(route.duration);
        }
        (served > 0.0).then(|| octaves / served)
    }

    /// The probability that its next window shows a new route.
    pub(super) fn novelty(&self) -> f64 {
        if self.overflowed {
            return 1.0;
        }
        let once = self.routes.iter().filter(|r| r.samples == 1).count();
        novelty::probability(once, self.samples)
    }

    /// How far it is from knowing its rate, 0 to 1.
    pub(super) fn maturity(&self) -> f64 {
        let (Some(level), Some(signal)) = (self.levels.first(), SIGNALS.first()) else {
            return 0.0;
        };
        level
            .signals
            .first()
            .map_or(0.0, |(m, _)| signal.maturity(m))
    }

    /// Whether some signal knows it as well as it ever will: which ones learn is the configuration's.
    pub(super) fn is_known(&self) -> bool {
        let models = self.levels.first().map(|level| &level.signals);
        let mut models = SIGNALS.iter().zip(models.into_iter().flatten());
        models.any(|(signal, (model, _))| signal.maturity(model) >= 1.0)
    }

    pub(super) fn level(&self, index: usize) -> Option<&Level> {
        self.levels.get(index)
    }

    pub(super) fn level_mut(&mut self, index: usize) -> Option<&mut Level> {
        self.levels.get_mut(index)
    }

    /// Whether the open shortest window has anything in it.
    pub(super) fn had_traffic(&self) -> bool {
        self.levels
            .first()
            .is_some_and(|l| l.window.tallies.requests > 0)
    }

    /// Takes in a batch's counts, which fall into the shortest window that began at `window`. Returns the routes that
    /// are new, each with the probability that one was to be expected.
    pub(super) fn take(
        &mut self,
        counts: &PairCounts,
        window: Time,
        at: Time,
        weight: f64,
        cap: u32,
    ) -> Vec<(String, f64)> {
        self.last_seen = self.last_seen.max(at);
        let expected = self.novelty();
        let relearned = self.shift.relearned();
        let mut new = Vec::new();
        for counted in &counts.routes {
            let tallies = &counted.cell.tallies;
            let mut routes = self.routes.iter();
            let at = routes.position(|r| *r.template == *counted.route);
            let known = at.and_then(|at| self.routes.get_mut(at));
            let prone = known.as_ref().map_or([1.0; 3], |route| route.prone);
            if let Some(route) = known {
                route.outcomes.add(&tallies.into(), weight as f32);
            }
            if let Some(Level { window, .. }) = self.levels.first_mut() {
                window.tallies.merge(tallies);
                window.expose(tallies.requests as f32, prone);
                if counted.route == route::UNROUTED {
                    window.unrouted.take(&counted.cell);
                }
            }
            if counted.cell.served == 0 || counted.route == route::UNROUTED {
                continue;
            }
            let at = match at {
                Some(at) => at,
                None if counted.route == route::OTHER
                    || self.routes.len() >= usize::try_from(cap).unwrap_or(usize::MAX) =>
                {
                    self.overflowed = true;
                    let Some(other) = self.other(cap) else {
                        continue;
                    };
                    other
                }
                None => {
                    new.push((counted.route.clone(), expected));
                    let mut route = Route::new(&counted.route);
                    route.outcomes.add(&tallies.into(), weight as f32);
                    self.routes.push(route);
                    self.routes.len().saturating_sub(1)
                }
            };
            if let (Some(route), Some(level)) = (self.routes.get_mut(at), self.levels.first_mut()) {
                route.take(counted, window, weight as f32, relearned, &mut level.window);
            }
        }
        if self.last_sample != window || self.samples == 0 {
            self.last_sample = window;
            self.samples = self.samples.saturating_add(1);
        }
        new
    }

    /// The route that stands for all routes past the cap, which learns what they take together. Where there is no room left, it
    /// takes that of the route that was served least.
    fn other(&mut self, cap: u32) -> Option<usize> {
        if let Some(at) = self
            .routes
            .iter()
            .position(|r| *r.template == *route::OTHER)
        {
            return Some(at);
        }
        if self.routes.len() < usize::try_from(cap).unwrap_or(usize::MAX) {
            self.routes.push(Route::new(route::OTHER));
            return self.routes.len().checked_sub(1);
        }
        let served = self.routes.iter().map(|r| r.served).enumerate();
        let (least, _) = served.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        self.routes.get_mut(least)?.template = route::OTHER.into();
        Some(least)
    }

    /// Requests in the open window of a length.
    pub(super) fn requested(&self, index: usize) -> u32 {
        self.levels
            .get(index)
            .map_or(0, |l| l.window.tallies.requests)
    }

    /// Takes out the finished window of a length, and adds it to the next longer.
    pub(super) fn close(&mut self, index: usize) -> Option<Window> {
        let window = std::mem::take(&mut self.levels.get_mut(index)?.window);
        if index == 0 && window.tallies.requests > 0 {
            self.compare_routes();
        }
        if let Some(longer) = self.levels.get_mut(index.saturating_add(1)) {
            longer.window.merge(&window);
        }
        Some(window)
    }

    /// Learns how prone to fail each route is against the others.
    fn compare_routes(&mut self) {
        let mut all = Outcomes::default();
        for route in &mut self.routes {
            route.outcomes.forget();
            all.add(&route.outcomes, 1.0);
        }
        for route in &mut self.routes {
            route.prone = route.outcomes.proneness(&all);
        }
    }

    /// What has been seen since the open longest window began, up to the end of a window of this length just closed. A
    /// short window holds too little of some things.
    pub(super) fn lately(&self, index: usize, closed: &Window) -> Window {
        let longer = self.levels.iter().skip(index.saturating_add(1));
        let sum = longer.map(|l| l.window).reduce(|mut sum, window| {
            sum.merge(&window);
            sum
        });
        sum.unwrap_or(*closed)
    }

    /// What the time of day and of week make of the usual now: 1 on average.
    pub(super) fn season_factor(&self) -> f64 {
        f64::from(self.factor)
    }

    /// Takes over what the signals of the longest window believe: a rate moves the season's level, a size or duration is
    /// learned anew.
    pub(super) fn adopt(&mut self, believed: &[(usize, f64)], now: Time) {
        for &(index, ratio) in believed {
            match SIGNALS.get(index).map(|s| &s.measure) {
                Some(Measure::Rate { .. }) => {
                    let by = self.shift.moved(ratio, now);
                    self.season.move_by(by);
                    self.summed = None;
                }
                Some(Measure::Scale { usual, .. }) => self.doubt_routes(*usual),
                _ => {}
            }
        }
    }

    /// Takes the last shift of its rate back. The season's level is the old one again, and so is each window's that has not come
    /// there by itself.
    pub(super) fn go_back(&mut self, windows: &[Span]) {
        let by = self.shift.take_back();
        self.season.move_by(by);
        self.summed = None;
        let a_second = self.season.mean();
        for (level, length) in self.levels.iter_mut().zip(windows) {
            let usual = a_second * length.duration().as_secs_f64();
            for (model, _) in &mut level.signals {
                if let Model::Rate(rate) = model {
                    rate.return_by(by, usual, MATURE_WINDOWS);
                }
            }
        }
    }

    /// Learns anew this of what its routes usually take.
    pub(super) fn doubt_routes(&mut self, usual: Usual) {
        self.shift.relearn(usual);
        for route in &mut self.routes {
            route.served = route.served.min(ROUTE_DOUBTED);
            if let Some(anchor) = route.anchors.get_mut(usual as usize) {
                *anchor = Anchor::default();
            }
        }
    }

    /// Takes note of the versions that answered; what a release belongs to lasts for `period`. With a new one the evidence about
    /// levels starts over: what there was is about the version before.
    pub(super) fn answered(&mut self, versions: &[Version], at: Time, period: Duration) {
        if !self.releases.answered(versions, at, period) {
            return;
        }
        for level in &mut self.levels {
            for (signal, (_, streams)) in SIGNALS.iter().zip(&mut level.signals) {
                if signal.is_level() {
                    streams.forget();
                }
            }
        }
    }

    /// Requests in a window of this length in the long run, and how well that is known, 0 to 1.
    pub(super) fn long_run(&self, length: Duration) -> (f64, f64) {
        let (mean, coverage) = self.summed.unwrap_or_else(|| self.sum());
        (mean * length.as_secs_f64(), coverage)
    }

    fn sum(&self) -> (f64, f64) {
        (self.season.mean(), self.season.coverage())
    }

    /// What a longest window of so many requests teaches the season: under suspicion no more than lifts the mean of the cycles that
    /// are known by [`SUSPECT_LIFT`].
    pub(super) fn teaches(
        &self,
        requests: u32,
        closed: &Closed,
        start: Time,
        length: Duration,
    ) -> f64 {
        let events = f64::from(requests);
        let usual = self.long_run(length).0 * self.season_factor();
        if closed.suspected && usual > 0.0 {
            let cycles = 1.0 + self.season.cycles(start);
            events.min(usual * (1.0 + SUSPECT_LIFT * cycles))
        } else {
            events
        }
    }

    /// Learns the longest window's events as the season's, and looks ahead to the next window.
    pub(super) fn learn_season(
        &mut self,
        start: Time,
        length: Duration,
        events: Option<f64>,
        pool: &mut Season,
    ) {
        let half = length.div_f64(2.0);
        if let Some(events) = events {
            let (at, seconds) = (start.plus(half), length.as_secs_f64());
            self.season.learn(at, events, seconds);
            let summed = self.sum();
            pool.pool(at, events, seconds, summed.0);
            self.summed = Some(summed);
        }
        self.factor = self.season.factor(start.plus(length).plus(half), pool) as f32;
    }

    /// Puts it to rest: what was learned stays, what was of the moment is forgotten. What another clock saw ahead of `now`
    /// was seen until now, for as long.
    pub(super) fn rest(&mut self, now: Time) {
        let ahead = millis(self.last_seen.since(now));
        self.first_seen = Time(self.first_seen.0.saturating_sub(ahead)).min(now);
        self.last_seen = self.last_seen.min(now);
        self.shift.over();
        for level in &mut self.levels {
            level.window = Window::default();
            level.adopted = Adopted::default();
            for (_, streams) in &mut level.signals {
                *streams = Streams::default();
            }
        }
    }

    /// Takes over what `other` has learned, if that has seen more. The open windows stay.
    pub(super) fn learn_from(&mut self, mut other: Self) {
        if other.samples <= self.samples {
            return;
        }
        for (theirs, ours) in other.levels.iter_mut().zip(&self.levels) {
            theirs.window = ours.window;
        }
        other.last_seen = self.last_seen;
        *self = other;
    }

    /// Whether it is of so many window lengths and of the signals of today.
    pub(super) fn fits(&self, levels: usize) -> bool {
        self.levels.len() == levels
            && self.levels.iter().all(|level| {
                let models = level.signals.iter().map(|(model, _)| model);
                level.signals.len() == SIGNALS.len()
                    && models
                        .zip(SIGNALS)
                        .all(|(model, signal)| model.is_of(signal))
            })
    }

    /// Makes it fit a configuration with other window lengths or signals: what was learned of them is gone.
    pub(super) fn fit(&mut self, levels: usize, same: bool) {
        if !same || !self.fits(levels) {
            self.levels = vec![Level::new(); levels];
        }
    }
}

impl Route {
    fn new(template: &str) -> Self {
        Self {
            template: template.into(),
            samples: 0,
            last_sample: Time::default(),
            served: 0.0,
            duration: 0.0,
            request_bytes: 0.0,
            response_bytes: 0.0,
            anchors: [Anchor::default(); 3],
            outcomes: Outcomes::default(),
            prone: [1.0; 3],
        }
    }

    /// Takes in what was counted of it, with a weight of 0 to 1. What is `relearned` (in the order of [`Usual::ALL`]) does not
    /// heed it.
    fn take(
        &mut self,
        counted: &RouteCounts,
        at: Time,
        weight: f32,
        relearned: [bool; 3],
        window: &mut Window,
    ) {
        let days = at.since(self.last_sample).as_secs_f32() / DAY;
        if self.last_sample != at || self.samples == 0 {
            self.last_sample = at;
            self.samples = self.samples.saturating_add(1);
        }
        let cell = &counted.cell;
        let n = cell.served as f32;
        let octaves = cell.log_durations as f64 / f64::from(STEPS_PER_OCTAVE);
        let (asked, given) = (cell.request_bytes as f64, cell.response_bytes as f64);
        if self.served >= ROUTE_KNOWN {
            let usual = f64::from(cell.served);
            let l = &mut window.latency;
            l.n = l.n.saturating_add(cell.served);
            l.octaves += octaves;
            l.usual += usual * f64::from(self.duration);
            for (totals, bytes, typical) in [
                (&mut window.request_bytes, asked, self.request_bytes),
                (&mut window.response_bytes, given, self.response_bytes),
            ] {
                totals.n = totals.n.saturating_add(cell.served);
                totals.bytes += bytes;
                totals.usual += usual * f64::from(typical);
            }
        }
        // The usual that is not in doubt is as firm as it was: how often a route was served is forgotten for the others' sake.
        let any = relearned.contains(&true);
        let served = self.served;
        let others = if any { ROUTE_MEMORY } else { served };
        let toward = |typical: &mut f32, actual: f32, octaves: f32, relearned: bool| {
            let (weight, served) = if relearned {
                (1.0, served)
            } else {
                (weight, others)
            };
            // What is far from a usual that is well known is more likely another thing than a new usual.
            let weight = if served >= ROUTE_FIRM {
                weight / (1.0 + (octaves / ROUTE_FAR).powi(2))
            } else {
                weight
            };
            *typical += (weight * n) / (served + weight * n).max(1e-6) * (actual - *typical);
        };
        let [duration, request, response] = relearned;
        let mean = octaves as f32 / n;
        let off = mean - self.duration;
        toward(&mut self.duration, mean, off, duration);
        for (typical, sum, relearned) in [
            (&mut self.request_bytes, asked, request),
            (&mut self.response_bytes, given, response),
        ] {
            let mean = sum as f32 / n;
            let off = ((mean + UNNOTICED as f32) / (*typical + UNNOTICED as f32)).log2();
            toward(typical, mean, off, relearned);
        }
        let weight = if any { 1.0 } else { weight };
        self.served = (self.served + weight * n).min(ROUTE_MEMORY);
        if self.served >= ROUTE_FIRM {
            self.hold(days);
        }
    }

    /// Holds what is usual near its anchors, which follow it for so many days.
    fn hold(&mut self, days: f32) {
        let [duration, request, response] = &mut self.anchors;
        self.duration = duration.hold(self.duration, days);
        for (anchor, bytes) in [
            (request, &mut self.request_bytes),
            (response, &mut self.response_bytes),
        ] {
            let floor = UNNOTICED as f32;
            *bytes = anchor.hold((*bytes + floor).log2(), days).exp2() - floor;
        }
    }
}

impl Level {
    fn new() -> Self {
        Self {
            window: Window::default(),
            signals: SIGNALS
                .iter()
                .map(|s| (s.fresh(), Streams::default()))
                .collect(),
            active: 1.0,
            adopted: Adopted::default(),
            maintained: false,
        }
    }

    pub(super) fn signal(&self, index: usize) -> Option<(&Model, &Streams)> {
        self.signals.get(index).map(|(m, s)| (m, s))
    }

    pub(super) fn signal_mut(&mut self, index: usize) -> Option<(&mut Model, &mut Streams)> {
        self.signals.get_mut(index).map(|(m, s)| (m, s))
    }

    /// Says whether the window that ends had traffic.
    pub(super) fn occupy(&mut self, had_traffic: bool) {
        let x = if had_traffic { 1.0 } else { 0.0 };
        self.active += (x - self.active) * OCCUPIED_GAIN;
    }

    /// Says whether the window that ends was under maintenance. What evidence there was of it ends with it.
    pub(super) fn maintain(&mut self, maintained: bool) {
        if std::mem::replace(&mut self.maintained, maintained) && !maintained {
            for (_, streams) in &mut self.signals {
                streams.forget();
            }
        }
    }

    /// Share of windows that had traffic.
    pub(super) fn active(&self) -> f64 {
        f64::from(self.active)
    }
}
