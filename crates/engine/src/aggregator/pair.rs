//! What is known of one pair: its routes, and for each window length the open window, the models and the evidence.

use super::habits::Habits;
use super::level::Level;
use super::recurring::{Hourly, Recurring};
use super::release::Releases;
use super::route::Route;
use super::shift::{MOST, Shift};
use crate::Time;
use crate::baselines::calls::{Calls, ROUTES};
use crate::baselines::novelty;
use crate::baselines::outcomes::Outcomes;
use crate::baselines::season::{Pooled, Season};
use crate::config::Span;
use crate::counters::PairCounts;
use crate::exchange::principal::spoken;
use crate::exchange::route::{OTHER, UNROUTED};
use crate::exchange::version::Version;
use crate::signals::{Measure, SIGNALS, Signal, Usual};
use crate::table::fnv;
use crate::time::millis;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A pair's silence halves what it is worth to know it so often by the time it has lasted as long as the pair was known. Who is gone
/// for as long as he was there is most likely gone for good, and is then worth no more than a name seen for the first time (one
/// part in 256 of what was known), while a job that pauses for an hour or a night has lost little after days.
const HALVINGS: u64 = 8;
/// Seconds.
const HOUR: f64 = 3600.0;

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
    summed: (f64, f64),
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
    recurring: Recurring,
    levels: Vec<Level>,
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
            summed: (0.0, 0.0),
            factor: 1.0,
            caller: 0,
            called: 0,
            calls: Calls::default(),
            shift: Shift::default(),
            releases: Releases::default(),
            habits: Habits::default(),
            recurring: Recurring::default(),
            levels: vec![Level::new(); levels],
        }
    }

    /// It, by its names, with all that is no part of a snapshot.
    pub(super) fn named(mut self, source: &str, destination: &str) -> Self {
        let hash = |name| fnv(spoken(name).bytes());
        self.caller = hash(source);
        self.called = hash(destination);
        self.summed = self.sum();
        self
    }

    pub(super) fn first_seen(&self) -> Time {
        self.first_seen
    }

    pub(super) fn last_seen(&self) -> Time {
        self.last_seen
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
        size_of::<Self>()
            .saturating_add(Season::HEAP)
            .saturating_add(Recurring::HEAP)
            .saturating_add(Calls::bytes(ROUTES))
            .saturating_add(levels.saturating_mul(Level::bytes()))
            .saturating_add(routes.saturating_mul(Route::bytes(name)))
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

    /// How much of the warm-up it has been watched for, 0 to 1.
    pub(super) fn watched(&self, now: Time, warmup: Duration) -> f64 {
        let age = now.since(self.first_seen).as_secs_f64();
        (age / warmup.as_secs_f64().max(1e-3)).min(1.0)
    }

    /// How well its rate is known, and it itself, 0 to 1.
    pub(super) fn maturity(&self, now: Time, warmup: Duration) -> f64 {
        let model = self.levels.first().and_then(|level| level.signal(0));
        let known = SIGNALS.first().zip(model);
        let known = known.map_or(0.0, |(signal, (model, _))| signal.maturity(model));
        known.min(self.watched(now, warmup))
    }

    /// Whether some signal knows it as well as it ever will: which ones learn is the configuration's.
    pub(super) fn is_known(&self) -> bool {
        self.levels.first().is_some_and(Level::is_known)
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
                if counted.route == UNROUTED {
                    window.unrouted.take(&counted.cell);
                }
            }
            if counted.cell.served == 0 || counted.route == UNROUTED {
                continue;
            }
            let at = match at {
                Some(at) => at,
                None if counted.route == OTHER
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
        if let Some(at) = self.routes.iter().position(|r| *r.template == *OTHER) {
            return Some(at);
        }
        if self.routes.len() < usize::try_from(cap).unwrap_or(usize::MAX) {
            self.routes.push(Route::new(OTHER));
            return self.routes.len().checked_sub(1);
        }
        let served = self.routes.iter().map(|r| r.served).enumerate();
        let (least, _) = served.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        self.routes.get_mut(least)?.template = OTHER.into();
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
                    self.summed = self.sum();
                }
                Some(Measure::Scale { usual, .. }) => self.doubt_routes(*usual),
                _ => {}
            }
        }
    }

    /// Whether what was odd in its open incident was taken over, and not back since.
    pub(super) fn takes_as_usual(&self, now: Time) -> bool {
        let moved = self.shift.before(now).is_some();
        SIGNALS.iter().enumerate().any(|(s, signal)| {
            let stays = moved || !matches!(signal.measure, Measure::Rate { .. });
            stays && self.levels.iter().any(|level| level.adopted.has(s))
        })
    }

    /// Takes the last shift of its rate back. The season's level is the old one again, and so is each window's that has not come
    /// there by itself.
    pub(super) fn go_back(&mut self, windows: &[Span]) {
        let by = self.shift.take_back();
        self.season.move_by(by);
        self.summed = self.sum();
        let a_second = self.season.mean();
        for (level, length) in self.levels.iter_mut().zip(windows) {
            let usual = a_second * length.duration().as_secs_f64();
            level.return_by(by, usual);
        }
    }

    /// Learns anew this of what its routes usually take.
    pub(super) fn doubt_routes(&mut self, usual: Usual) {
        self.shift.relearn(usual);
        for route in &mut self.routes {
            route.doubt(usual);
        }
    }

    /// Takes note of the versions that answered; what a release belongs to lasts for `period`. With a new one the evidence about
    /// levels starts over: what there was is about the version before.
    pub(super) fn answered(&mut self, versions: &[Version], at: Time, period: Duration) {
        if !self.releases.answered(versions, at, period) {
            return;
        }
        for level in &mut self.levels {
            level.forget(Signal::is_level);
        }
    }

    /// Requests in a window of this length in the long run, and how well that is known, 0 to 1.
    pub(super) fn long_run(&self, length: Duration) -> (f64, f64) {
        let (mean, coverage) = self.summed;
        (mean * length.as_secs_f64(), coverage)
    }

    /// What it had at this hour of the last weeks, against what is usual at this time, where that is as usual.
    pub(super) fn recurring(&self, at: Time) -> Option<f64> {
        let rate = self.recurring.rate(at)?;
        let (mean, _) = self.summed;
        let usual = mean * HOUR * self.season_factor();
        (usual > 0.0).then(|| (rate / usual).clamp(1.0 / MOST, MOST))
    }

    fn sum(&self) -> (f64, f64) {
        (self.season.mean(), self.season.coverage())
    }

    /// Learns the longest window's requests as the season's, if any were seen, and looks ahead to the next window.
    pub(super) fn learn_season(
        &mut self,
        start: Time,
        length: Duration,
        (requests, suspected): (Option<u32>, bool),
        pool: &mut Pooled,
    ) {
        if let Some(requests) = requests {
            let at = start.plus(length.div_f64(2.0));
            let seconds = length.as_secs_f64();
            let usual = self.long_run(length).0 * self.season_factor();
            let before = self.shift.before(start);
            let an_hour = HOUR / seconds;
            let hourly = Hourly {
                seen: f64::from(requests) * an_hour,
                usual: usual * before.unwrap_or(1.0) * an_hour,
            };
            self.recurring
                .take(start, hourly, suspected || before.is_some());
            let usual = (suspected && usual > 0.0).then_some(usual);
            let (since, _) = self.summed;
            let learned = self.season.learn(at, f64::from(requests), seconds, usual);
            self.summed = self.sum();
            let (mean, _) = self.summed;
            self.shift.learned(mean / since);
            pool.pool(at, learned, seconds, mean);
        }
        self.look_ahead(start.plus(length), length, pool);
    }

    /// Asks what the time makes of the usual in the longest window that begins at `start`.
    pub(super) fn look_ahead(&mut self, start: Time, length: Duration, pool: &Pooled) {
        let middle = start.plus(length.div_f64(2.0));
        self.factor = self.season.factor(middle, pool) as f32;
    }

    /// Puts it to rest: what was learned stays, what was of the moment is forgotten. What another clock saw ahead of `now`
    /// was seen until now, for as long.
    pub(super) fn rest(&mut self, now: Time) {
        let ahead = millis(self.last_seen.since(now));
        self.first_seen = Time(self.first_seen.0.saturating_sub(ahead)).min(now);
        self.last_seen = self.last_seen.min(now);
        self.shift.over();
        for level in &mut self.levels {
            level.rest();
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
        self.levels.len() == levels && self.levels.iter().all(Level::fits)
    }

    /// Makes it fit a configuration with other window lengths or signals: what was learned of them is gone.
    pub(super) fn fit(&mut self, levels: usize, same: bool) {
        if !same || !self.fits(levels) {
            self.levels = vec![Level::new(); levels];
        }
    }
}
