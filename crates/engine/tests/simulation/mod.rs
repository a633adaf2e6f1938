//! Made-up traffic with known statistics, straight into an aggregator, as fast as it takes it.
//!
//! Time goes in steps of the shortest window; each step's requests of a pair arrive in one batch, as a worker would send
//! them in the step's last second. All randomness comes from a seed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "what panics in a test fails it; not every test uses every part"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::{Alert, Kind, State};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Cell, PairCounts, RouteCounts, Tallies, log_duration};
use pairwatch_engine::exchange::version::Version;

pub const STEP: u64 = 10;
pub const HOUR: u64 = 3600;
pub const DAY: u64 = 24 * HOUR;
pub const WEEK: u64 = 7 * DAY;
/// A Monday, so that a simulated week has its weekend at the end.
pub const START: u64 = 1_778_457_600;

/// SplitMix64 (S. Vigna, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (G. Box, M. Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Poisson: by multiplication where the mean is small, by the normal where it is large.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (limit, mut product, mut n) = ((-mean).exp(), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            n += 1;
        }
        n
    }

    /// How many of `n` events, each with probability `p`, happen.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| self.uniform() < p).count() as u64
    }
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Independently of one another.
    Poisson,
    /// With a rate that differs from one ten minutes to the next by a half.
    Overdispersed,
    /// With a daily curve of one to five, and a weekend at half.
    Seasonal,
    /// Ten times as many from eight to six on weekdays as else, from one minute to the next.
    OfficeHours,
    /// With a rate that wanders, and takes half an hour to come back.
    Autocorrelated,
    /// In sessions of thirty requests on average, within five minutes.
    Bursty,
    /// At a fixed pace but for a second, as scrapes and health checks are. Once a day whoever sends them is started anew: they
    /// are out for a minute.
    Regular,
}

pub const ARRIVALS: [Arrivals; 7] = [
    Arrivals::Poisson,
    Arrivals::Overdispersed,
    Arrivals::Seasonal,
    Arrivals::OfficeHours,
    Arrivals::Autocorrelated,
    Arrivals::Bursty,
    Arrivals::Regular,
];
/// Those without bursts, in which a change of level is plain.
pub const STEADY: [Arrivals; 3] = [
    Arrivals::Poisson,
    Arrivals::Overdispersed,
    Arrivals::Seasonal,
];

/// One pair's traffic.
#[derive(Clone, Debug)]
pub struct Traffic {
    pub source: String,
    pub destination: String,
    pub arrivals: Arrivals,
    /// Mean requests a step.
    pub rate: f64,
    /// Share of 5xx, 401 and 404.
    pub errors: [f64; 3],
    /// Mean bytes of an answer, and mean milliseconds.
    pub bytes: f64,
    pub millis: f64,
    /// The route of a step's served requests.
    pub route: fn(step: u64) -> String,
    /// The version of the destination.
    pub version: Version,
    random: Random,
    /// The wandering logarithm of the rate.
    wander: f64,
    /// Sessions, or a restart: seconds they have left.
    sessions: Vec<u64>,
    /// Requests at a fixed pace that were due by the end of the last step.
    due: f64,
}

impl Traffic {
    pub fn new(source: &str, destination: &str, arrivals: Arrivals, rate: f64, seed: u64) -> Self {
        Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            arrivals,
            rate,
            errors: [0.002, 0.005, 0.005],
            bytes: 2_000.0,
            millis: 30.0,
            route: |_| "GET /items/{id}".to_owned(),
            version: Version::UNKNOWN,
            random: Random(seed),
            wander: 0.0,
            sessions: Vec::new(),
            due: 0.0,
        }
    }

    /// Requests in the step that begins at `now`, in seconds.
    fn requests(&mut self, now: u64) -> u64 {
        let r = &mut self.random;
        let hour = (now % DAY) as f64 / HOUR as f64;
        let rate = match self.arrivals {
            Arrivals::Poisson => self.rate,
            Arrivals::Overdispersed => {
                if now % 600 < STEP {
                    self.wander = 0.5 * r.normal() - 0.125;
                }
                self.rate * self.wander.exp()
            }
            Arrivals::Seasonal => {
                let curve =
                    1.0 + (2.0 / 3.0) * ((hour - 15.0) / 24.0 * std::f64::consts::TAU).cos();
                // From Friday's midnight to Sunday's, which are not the same hour for everybody.
                let hours = ((now - START) % WEEK) as f64 / HOUR as f64;
                let edge = |at: f64| ((hours - at) / 4.0 + 0.5).clamp(0.0, 1.0);
                let weekend = edge(120.0) - edge(168.0) + 1.0 - edge(0.0);
                self.rate * curve * (1.0 - 0.5 * weekend)
            }
            Arrivals::OfficeHours => {
                let weekday = (now - START) % WEEK < 5 * DAY;
                let open = weekday && (8.0..18.0).contains(&hour);
                self.rate * if open { 2.7 } else { 0.27 }
            }
            Arrivals::Autocorrelated => {
                let keep = 1.0 - STEP as f64 / 1800.0;
                self.wander = self.wander * keep + 0.4 * (1.0 - keep * keep).sqrt() * r.normal();
                self.rate * (self.wander - 0.08).exp()
            }
            Arrivals::Bursty => {
                for _ in 0..r.poisson(self.rate / 30.0) {
                    self.sessions.push(300);
                }
                let busy = self.sessions.len() as f64;
                for left in &mut self.sessions {
                    *left -= STEP;
                }
                self.sessions.retain(|left| *left > 0);
                busy * 30.0 / (300.0 / STEP as f64)
            }
            Arrivals::Regular => {
                if r.uniform() < STEP as f64 / DAY as f64 {
                    self.sessions.push(60);
                }
                for left in &mut self.sessions {
                    *left = left.saturating_sub(STEP);
                }
                self.sessions.retain(|left| *left > 0);
                let due = (now + STEP) as f64 + r.uniform();
                let before = std::mem::replace(&mut self.due, due * self.rate / STEP as f64);
                let requests = (self.due.floor() - before.floor()) as u64;
                let out = before == 0.0 || !self.sessions.is_empty();
                return if out { 0 } else { requests };
            }
        };
        self.random.poisson(rate)
    }

    fn counts(&mut self, now: u64) -> Option<PairCounts> {
        let requests = self.requests(now);
        if requests == 0 {
            return None;
        }
        let r = &mut self.random;
        let [failed, refused, missing] = self.errors.map(|p| r.binomial(requests, p));
        let served = requests.saturating_sub(failed + refused + missing);
        let (mut bytes, mut durations) = (0u64, 0u64);
        for _ in 0..served {
            bytes += (self.bytes * (0.6 * r.normal() - 0.18).exp()) as u64;
            let slow = if r.uniform() < 0.003 { 10.0 } else { 1.0 };
            let us = 1000.0 * self.millis * slow * (0.5 * r.normal()).exp();
            durations += u64::from(log_duration(us as u64));
        }
        let cell = |tallies, served, response_bytes, log_durations| Cell {
            tallies,
            served,
            request_bytes: u64::from(served) * 100,
            response_bytes,
            log_durations,
            ..Cell::default()
        };
        let served = u32::try_from(served).unwrap();
        let unserved = Tallies {
            requests: u32::try_from(failed + refused + missing).unwrap(),
            server_errors: u32::try_from(failed).unwrap(),
            auth_failures: u32::try_from(refused).unwrap(),
            not_found: u32::try_from(missing).unwrap(),
            client_errors: 0,
        };
        let of_route = Tallies {
            requests: served,
            ..Tallies::default()
        };
        let mut routes = vec![RouteCounts {
            route: (self.route)(now / STEP),
            cell: cell(of_route, served, bytes, durations),
        }];
        if unserved.requests > 0 {
            routes.push(RouteCounts {
                route: "{unrouted}".to_owned(),
                cell: cell(unserved, 0, 0, 0),
            });
        }
        Some(PairCounts {
            source: self.source.clone(),
            destination: self.destination.clone(),
            routes,
            versions: vec![self.version],
            ..PairCounts::default()
        })
    }
}

/// An aggregator and the traffic it sees.
pub struct Simulation {
    pub aggregator: Aggregator,
    pub traffic: Vec<Traffic>,
    /// Seconds since the epoch.
    pub now: u64,
}

impl Simulation {
    pub fn new(config: &str, traffic: Vec<Traffic>) -> Self {
        let config = Config::from_json(config.as_bytes()).unwrap();
        Self {
            aggregator: Aggregator::new(config, 7, Time(START * 1000)),
            traffic,
            now: START,
        }
    }

    /// Lets so many seconds pass. Returns the alerts.
    pub fn run(&mut self, seconds: u64) -> Vec<Alert> {
        let end = self.now + seconds;
        let mut alerts = Vec::new();
        while self.now < end {
            let pairs: Vec<_> = self
                .traffic
                .iter_mut()
                .filter_map(|t| t.counts(self.now))
                .collect();
            self.now += STEP;
            let to = Time(self.now * 1000);
            if !pairs.is_empty() {
                let from = Time(to.0 - 1000);
                let batch = Batch {
                    from,
                    to,
                    pairs,
                    dropped: 0,
                };
                self.aggregator.merge(batch, to);
            }
            self.aggregator.advance(Time(to.0 + 1600));
            alerts.extend(self.aggregator.drain_alerts());
        }
        alerts
    }

    /// The first pair with this destination.
    pub fn to(&mut self, destination: &str) -> &mut Traffic {
        self.traffic
            .iter_mut()
            .find(|t| t.destination == destination)
            .unwrap()
    }

    /// The first pair with this source.
    pub fn pair(&mut self, source: &str) -> &mut Traffic {
        self.traffic
            .iter_mut()
            .find(|t| t.source == source)
            .unwrap()
    }
}

/// The incidents that were opened, or opened again.
pub fn opened(alerts: &[Alert]) -> Vec<&Alert> {
    alerts.iter().filter(|a| a.state == State::Open).collect()
}

/// What was opened about the caller `web` in so many seconds.
pub fn told(simulation: &mut Simulation, seconds: u64, kinds: &[Kind]) -> Vec<String> {
    let alerts = simulation.run(seconds);
    opened(&alerts)
        .iter()
        .filter(|a| a.source == "web" && kinds.contains(&a.kind))
        .map(|a| format!("{} {}", a.time, a.message))
        .collect()
}
