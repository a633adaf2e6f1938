//! What is known of one pair: its routes, and for each window length the open window, the models and the evidence.

use crate::Time;
use crate::baselines::novelty;
use crate::counters::{PairCounts, RouteCounts, STEPS_PER_OCTAVE};
use crate::evidence::Stream;
use crate::exchange::route;
use crate::signals::{Model, SIGNALS, Side};
use crate::windows::Window;
use serde::{Deserialize, Serialize};

/// Served exchanges after which a route's usual duration and sizes are worth comparing with.
const ROUTE_KNOWN: f32 = 8.0;
/// Served exchanges a route's usual values are averaged over, so that they follow a change within a few hundred.
const ROUTE_MEMORY: f32 = 500.0;

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
}

/// One window length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Level {
    window: Window,
    signals: Vec<(Model, Streams)>,
}

/// Evidence on either side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Streams {
    pub(super) up: Stream,
    pub(super) down: Stream,
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
            levels: vec![Level::new(); levels],
        }
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

    pub(super) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|r| &*r.template)
    }

    /// Bytes of a pair with so many window lengths, and routes of so many bytes each in name.
    pub(super) fn bytes(levels: usize, routes: usize, name: usize) -> usize {
        let signals = SIGNALS.len().saturating_mul(size_of::<(Model, Streams)>());
        let level = size_of::<Level>().saturating_add(signals);
        let route = size_of::<Route>().saturating_add(name);
        size_of::<Self>()
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
        let mut new = Vec::new();
        for counted in &counts.routes {
            if let Some(level) = self.levels.first_mut() {
                level.window.tallies.merge(&counted.cell.tallies);
            }
            if counted.cell.served == 0 || counted.route == route::UNROUTED {
                continue;
            }
            let at = self
                .routes
                .iter()
                .position(|r| *r.template == *counted.route);
            let at = match at {
                Some(at) => at,
                None if counted.route == route::OTHER
                    || self.routes.len() >= usize::try_from(cap).unwrap_or(usize::MAX) =>
                {
                    self.overflowed = true;
                    continue;
                }
                None => {
                    new.push((counted.route.clone(), expected));
                    self.routes.push(Route::new(&counted.route));
                    self.routes.len().saturating_sub(1)
                }
            };
            if let (Some(route), Some(level)) = (self.routes.get_mut(at), self.levels.first_mut()) {
                route.take(counted, window, weight as f32, &mut level.window);
            }
        }
        if self.last_sample != window || self.samples == 0 {
            self.last_sample = window;
            self.samples = self.samples.saturating_add(1);
        }
        new
    }

    /// Takes out the finished window of a length, and adds it to the next longer.
    pub(super) fn close(&mut self, index: usize) -> Option<Window> {
        let window = std::mem::take(&mut self.levels.get_mut(index)?.window);
        if let Some(longer) = self.levels.get_mut(index.saturating_add(1)) {
            longer.window.merge(&window);
        }
        Some(window)
    }

    /// Makes it fit a configuration with other window lengths or signals: what was learned of them is gone.
    pub(super) fn fit(&mut self, levels: usize, same: bool) {
        let fits = same
            && self.levels.len() == levels
            && self.levels.iter().all(|l| l.signals.len() == SIGNALS.len());
        if !fits {
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
        }
    }

    fn take(&mut self, counted: &RouteCounts, at: Time, weight: f32, window: &mut Window) {
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
        let gain = (weight * n) / (self.served + weight * n).max(1e-6);
        let toward = |typical: &mut f32, sum: f64| *typical += gain * (sum as f32 / n - *typical);
        toward(&mut self.duration, octaves);
        toward(&mut self.request_bytes, asked);
        toward(&mut self.response_bytes, given);
        self.served = (self.served + weight * n).min(ROUTE_MEMORY);
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
        }
    }

    pub(super) fn signal(&self, index: usize) -> Option<(&Model, &Streams)> {
        self.signals.get(index).map(|(m, s)| (m, s))
    }

    pub(super) fn signal_mut(&mut self, index: usize) -> Option<(&mut Model, &mut Streams)> {
        self.signals.get_mut(index).map(|(m, s)| (m, s))
    }

    pub(super) fn reset(&mut self, index: usize, side: Side) {
        if let Some((_, streams)) = self.signals.get_mut(index) {
            match side {
                Side::Up => streams.up.reset(),
                Side::Down => streams.down.reset(),
            }
        }
    }

    /// Requests expected in a window.
    pub(super) fn typical_requests(&self) -> f64 {
        match self.signals.first() {
            Some((Model::Count(m), _)) => m.expected(1.0),
            _ => 0.0,
        }
    }
}
