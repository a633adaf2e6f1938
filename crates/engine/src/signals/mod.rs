//! What is looked at. A signal is one file and one entry in [`SIGNALS`]: what it reads from a window, what model says how
//! usual that is, and for each direction that means something: the kind of alert, the gates, and the words.
//!
//! The gates are why rarity alone wakes nobody: an alert needs volume (two errors are no burst) and practical effect
//! (a rate 3 % above a very steady one is rare and does not matter). They are applied to what was seen over the whole
//! run of evidence, not to its last window.

mod auth_failures;
mod client_errors;
mod latency;
mod request_bytes;
mod request_rate;
pub(crate) mod response_bytes;
pub(crate) mod scanning;
mod server_errors;

use crate::alerts::{Kind, Severity};
use crate::baselines::Tail;
use crate::baselines::count::{CLUSTERING, CountModel, Memory, Prior};
use crate::baselines::rate::{Exposure, RateModel, RatePrior};
use crate::baselines::scale::ScaleModel;
use crate::config;
use crate::counters::Tallies;
use crate::evidence::Habit;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// All signals that are read from windows. The order is that of the stored models: append.
pub const SIGNALS: [&Signal; 7] = [
    &request_rate::SIGNAL,
    &server_errors::SIGNAL,
    &client_errors::SIGNAL,
    &auth_failures::SIGNAL,
    &request_bytes::SIGNAL,
    &response_bytes::SIGNAL,
    &latency::SIGNAL,
];

/// A thing to look at.
pub struct Signal {
    /// Its name in configuration and evidence.
    pub name: &'static str,
    /// Whether the configuration wants it.
    pub enabled: fn(&config::Signals) -> bool,
    /// What is read, and the model that knows how usual it is.
    pub measure: Measure,
    /// What it means when it is high.
    pub up: Option<Direction>,
    /// What it means when it is low.
    pub down: Option<Direction>,
}

/// What is read from a window.
pub enum Measure {
    /// Requests per window.
    Rate {
        /// The count.
        count: Tally,
    },
    /// Events as a share of requests.
    Share {
        /// The events.
        count: Tally,
        /// The exposure: the window's requests, each counted by how prone its route is.
        prone: fn(&Window) -> f64,
        /// The share before anything is seen of any pair.
        usual: f64,
    },
    /// A size or duration against what the same routes usually take.
    Scale {
        /// The deviation; `None` where nothing comparable was seen.
        read: fn(&Window) -> Option<Deviation>,
        /// What of a route it is held against.
        usual: Usual,
        /// Unit of its absolute value.
        unit: &'static str,
        /// So little, in that unit, nobody would notice: it is added to both what was seen and what is usual, to keep near
        /// nothing from being a multiple of nothing.
        unnoticed: f64,
    },
}

/// What is known of what a route usually takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usual {
    /// How long it takes.
    Duration,
    /// What it is sent.
    RequestBytes,
    /// What it answers.
    ResponseBytes,
}

impl Usual {
    /// All of them, in the order in which a route keeps them.
    pub const ALL: [Self; 3] = [Self::Duration, Self::RequestBytes, Self::ResponseBytes];
}

/// One of the counts by outcome.
pub struct Tally {
    /// Reads it.
    pub read: fn(&Tallies) -> u32,
    /// Where its limit stands in the limits that workers judge by.
    pub limit: fn(&mut Tallies) -> &mut u32,
}

/// A window's mean deviation from the usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Exchanges.
    pub n: f64,
    /// Mean deviation, in octaves.
    pub octaves: f64,
    /// The mean itself, in the signal's unit.
    pub actual: f64,
}

/// What it means when a signal is high, or low.
pub struct Direction {
    /// The kind of alert.
    pub kind: Kind,
    /// Its share of the tolerated false alerts, against one of the others.
    pub share: f64,
    /// Below these it is not worth an alert, however rare.
    pub gate: Gate,
    /// How urgent.
    pub severity: fn(&Effect) -> Severity,
    /// What is said of it, after «frontend → catalog: ».
    pub words: fn(&Effect) -> String,
    /// MITRE ATT&CK techniques it may be part of.
    pub techniques: &'static [&'static str],
}

/// Smallest volume and effect that matter.
pub struct Gate {
    /// Events, requests too many or too few, or exchanges times octaves off.
    pub volume: f64,
    /// Actual against typical: at least this when high, at most this when low.
    pub ratio: f64,
    /// When high, in the signal's unit: a share of at least this, a size or duration so much above the usual.
    pub amount: f64,
}

/// A value, what it has to come to, and whether it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passed {
    /// The value.
    pub value: f64,
    /// What it is held against.
    pub least: f64,
    /// Whether it is enough.
    pub passed: bool,
}

impl Passed {
    fn new(value: f64, least: f64, passed: bool) -> Self {
        Self {
            value,
            least,
            passed,
        }
    }
}

/// What stands between rarity and an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// Events, requests too many or too few, or exchanges times octaves off.
    pub volume: Passed,
    /// Actual against typical: not below the gate's when high, not above it when low.
    pub ratio: Passed,
    /// The share itself, or by how much a size or duration is above the usual, when high.
    pub amount: Passed,
    /// How well the usual is known, 0 to 1; gross failure needs no more than to be seen.
    pub maturity: Passed,
    /// Requests fewer than the time lets expect, where they are too few.
    pub by_time: Passed,
    /// Whether only time is missing: of what would be gross failure too little was seen yet.
    pub pending: bool,
}

impl Gates {
    /// Whether all are passed.
    pub fn pass(&self) -> bool {
        let Self {
            volume,
            ratio,
            amount,
            maturity,
            by_time,
            pending: _,
        } = self;
        [volume, ratio, amount, maturity, by_time]
            .iter()
            .all(|gate| gate.passed)
    }
}

/// Share of its volume that a gate lets pass where a rate does not follow from what its source was asked: that is not mere traffic.
const UNASKED: f64 = 0.5;
/// Calls that fail to come, whatever lets expect them, are fewer than the time does, too: by so many standard deviations of a Poisson
/// variable, …
const CHANCE: f64 = 2.0;
/// … and by a fifth. Otherwise they are as they always are, and odd are the requests that bring none.
const FEWER_BY_TIME: f64 = 0.2;
/// Exchanges below which no size or duration is worth an alert: one or two are an accident.
const SCALE_VOLUME_MIN: f64 = 3.0;
/// While a share is not mature only this much of it counts, …
const GROSS_SHARE: f64 = 0.5;
/// … over at least so many events: what no service does when it is well.
const GROSS_EVENTS: f64 = 20.0;

/// Which side of usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Too high.
    Up,
    /// Too low.
    Down,
}

/// Sums over a run of windows. Rates and shares: events seen, events expected, exposure. Scales, weighted by
/// exchanges: deviations, logarithms of the actual, exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    observed: f32,
    expected: f32,
    exposure: f32,
}

impl Seen {
    /// What was seen against what was expected, where the run holds counts. One event more on either side, so that
    /// nothing is not infinitely less than little.
    pub fn ratio(&self) -> f64 {
        (f64::from(self.observed) + 1.0) / (f64::from(self.expected) + 1.0)
    }

    /// Whether its count is likelier at `factor` times what was expected than at that: of a Poisson variable.
    fn is_likelier_at(&self, factor: f64) -> bool {
        f64::from(self.observed) * factor.ln() > f64::from(self.expected) * (factor - 1.0)
    }

    /// Events seen and expected, and exposure, of a run of counts.
    pub(crate) fn counts(&self) -> (f64, f64, f64) {
        (
            f64::from(self.observed),
            f64::from(self.expected),
            f64::from(self.exposure),
        )
    }

    /// Forgets: keeps this much, 0 to 1.
    pub fn fade(&mut self, keep: f64) {
        self.observed *= keep as f32;
        self.expected *= keep as f32;
        self.exposure *= keep as f32;
    }

    /// Adds a window's.
    pub fn add(&mut self, other: &Self) {
        self.observed += other.observed;
        self.expected += other.expected;
        self.exposure += other.exposure;
    }
}

/// How large a deviation is, in the signal's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// What was seen.
    pub actual: f64,
    /// What is usual.
    pub typical: f64,
    /// One against the other; of sizes and durations with what nobody would notice added to both.
    pub ratio: f64,
    /// Events, exchanges, or requests too many or too few.
    pub volume: f64,
    /// Of how much: seconds of a rate, requests of a share, exchanges of a size or duration.
    pub exposure: f64,
    /// How long it has lasted.
    pub lasted: Duration,
}

/// A signal's model on one pair and window length.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Model {
    /// Of rates: three times as large as the others, and one of seven.
    Rate(Box<RateModel>),
    /// Of shares.
    Share(CountModel),
    /// Of sizes and durations.
    Scale(ScaleModel),
}

impl Model {
    /// Whether it is of the kind that a signal has.
    pub fn is_of(&self, signal: &Signal) -> bool {
        matches!(
            (self, &signal.measure),
            (Self::Rate(_), Measure::Rate { .. })
                | (Self::Share(_), Measure::Share { .. })
                | (Self::Scale(_), Measure::Scale { .. })
        )
    }
}

/// What a signal says of one window.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// How extreme it was, after the windows before.
    pub tail: Tail,
    /// How extreme it was by itself.
    pub alone: Tail,
    /// What was seen, to be summed over a run of windows that were too high, …
    pub high: Seen,
    /// … and of ones that were too low.
    pub low: Seen,
    /// Whether it is more than volume: the share of the budget that goes with volume alone does not apply.
    pub explained: bool,
    /// Whether it is held against what the source was asked.
    pub asked: bool,
}

/// What is known before a pair's own model is.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// Of a rate.
    Rate(RatePrior),
    /// Of a share.
    Share(Prior),
    /// Of a size or duration: it starts from the pool.
    Scale,
}

/// What is known of a window beside its counts.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Whether it was watched from start to end: one that was not says nothing about rates.
    pub whole: bool,
    /// What a rate is exposed to.
    pub exposure: Exposure,
    /// Requests in such a window in the long run, and how well that is known, 0 to 1.
    pub long_run: (f64, f64),
    /// How long it is.
    pub length: Duration,
    /// How long a rate remembers, at least.
    pub memory: Duration,
}

impl Tally {
    fn of(&self, window: &Window) -> u64 {
        u64::from((self.read)(&window.tallies))
    }
}

/// Requests after which a share is known well enough: ten errors at one in twenty.
const MATURE_REQUESTS: f64 = 200.0;
/// Requests that a share remembers.
const MEMORY_REQUESTS: f64 = 5_000.0;
/// Weight of what is borrowed, in events: pairs' error rates differ from one another by about their mean.
const PRIOR_EVENTS: f64 = 0.5;
/// Weight of the long run in a rate, in clusters: it steadies what memory holds, and follows it where it holds enough.
const LONG_RUN: f64 = 20.0;
/// Weight of knowing nothing, in events and exposure alike.
const NOTHING: f64 = 0.05;
/// Requests of one window and pair that a pool takes at most.
const POOL_REQUESTS: f64 = 20.0;
/// How long the rate of a thin pair remembers at most: a day, so that its own curve does not become its level.
const MEMORY_MOST: Duration = Duration::from_secs(86_400);
/// Windows over which clustering is learned at least: a variance needs some hundreds of samples to be known to a tenth.
const SPREAD_WINDOWS: f64 = 500.0;
/// Windows after which a rate is known well enough to tell a fifth of it apart.
pub(crate) const MATURE_WINDOWS: f64 = 20.0;

/// Seconds.
const DAY: f64 = 86_400.0;
/// Shares below this are all one to what holds them: one in two hundred is no trouble, however much more it is than before.
const SHARE_FLOOR: f64 = 0.005;

impl Signal {
    /// The model that knows nothing yet.
    pub fn fresh(&self) -> Model {
        match &self.measure {
            Measure::Rate { .. } => Model::Rate(Box::default()),
            Measure::Share { .. } => Model::Share(CountModel::default()),
            Measure::Scale { .. } => Model::Scale(ScaleModel::default()),
        }
    }

    /// Whether it is a level, which may be another tomorrow for good reasons: a rate, size or duration. A share of errors is
    /// none.
    pub fn is_level(&self) -> bool {
        !matches!(self.measure, Measure::Share { .. })
    }

    /// Whether its windows are taken to tell of one another: a busy quarter of an hour is busy in all of them, and leaves sizes,
    /// durations and errors what they are.
    pub(crate) fn habit(&self) -> Habit {
        match self.measure {
            Measure::Rate { .. } => Habit::Wandering,
            Measure::Share { .. } | Measure::Scale { .. } => Habit::Independent,
        }
    }

    /// What is said of a direction.
    pub fn direction(&self, side: Side) -> Option<&Direction> {
        match side {
            Side::Up => self.up.as_ref(),
            Side::Down => self.down.as_ref(),
        }
    }

    /// How far a model is from knowing enough, 0 to 1.
    pub fn maturity(&self, model: &Model) -> f64 {
        let known = match model {
            Model::Rate(m) => m.alone.exposure() / MATURE_WINDOWS,
            Model::Share(m) => m.exposure() / MATURE_REQUESTS,
            Model::Scale(m) => m.maturity(),
        };
        known.min(1.0)
    }

    /// What is known before the model: of a share what all pairs say, of a rate what the pair had in the long run (requests a
    /// window, and how well that is known, 0 to 1).
    pub fn known(&self, pool: &Model, long_run: (f64, f64)) -> Known {
        match (&self.measure, pool) {
            (Measure::Share { usual, .. }, Model::Share(pool)) => {
                let clustering = pool.clustering(CLUSTERING);
                let share = pool.rate(&Prior {
                    events: PRIOR_EVENTS,
                    exposure: PRIOR_EVENTS / usual,
                    clustering,
                });
                Known::Share(Prior {
                    events: PRIOR_EVENTS,
                    exposure: PRIOR_EVENTS / share,
                    clustering,
                })
            }
            (Measure::Rate { .. }, Model::Rate(pool)) => {
                let clustering = pool.alone.clustering(CLUSTERING);
                let (usual, known) = long_run;
                let events = LONG_RUN * known * (1.0 + clustering);
                let exposure = if usual > 0.0 { events / usual } else { 0.0 };
                Known::Rate(RatePrior {
                    alone: Prior {
                        events: events + NOTHING,
                        exposure: exposure + NOTHING,
                        clustering,
                    },
                    given: pool.given.map(|given| Prior {
                        events: NOTHING,
                        exposure: NOTHING,
                        clustering: given.clustering(CLUSTERING),
                    }),
                })
            }
            _ => Known::Scale,
        }
    }

    /// What the model says of a window; `None` where the window says nothing to this signal.
    pub fn judge(
        &self,
        model: &Model,
        known: &Known,
        window: &Window,
        context: &Context,
    ) -> Option<Judged> {
        match (&self.measure, model, known) {
            (Measure::Rate { count }, Model::Rate(m), Known::Rate(prior)) => {
                context.whole.then(|| {
                    let count = count.of(window);
                    let predicted = m.predict(prior, count, &context.exposure);
                    let seen = |expected: f64| Seen {
                        observed: count as f32,
                        expected: expected as f32,
                        exposure: 1.0,
                    };
                    Judged {
                        tail: if predicted.asked {
                            predicted.tail
                        } else {
                            m.after(predicted.tail)
                        },
                        alone: predicted.tail,
                        high: seen(predicted.high),
                        low: seen(predicted.low),
                        explained: predicted.given,
                        asked: predicted.asked,
                    }
                })
            }
            (Measure::Share { count, prone, .. }, Model::Share(m), Known::Share(prior)) => {
                let requests = f64::from(window.tallies.requests);
                let prone = prone(window);
                let count = count.of(window);
                (requests > 0.0).then(|| {
                    let seen = Seen {
                        observed: count as f32,
                        expected: m.expected(prior, prone) as f32,
                        exposure: requests as f32,
                    };
                    let tail = m.tail(prior, count, prone);
                    Judged {
                        tail,
                        alone: tail,
                        high: seen,
                        low: seen,
                        explained: false,
                        asked: false,
                    }
                })
            }
            (
                Measure::Scale {
                    read, unnoticed, ..
                },
                Model::Scale(m),
                _,
            ) => read(window).map(|d| {
                let seen = Seen {
                    observed: (d.octaves * d.n) as f32,
                    expected: ((d.actual + unnoticed).log2() * d.n) as f32,
                    exposure: d.n as f32,
                };
                let tail = m.tail(d.octaves, d.n);
                Judged {
                    tail,
                    alone: tail,
                    high: seen,
                    low: seen,
                    explained: false,
                    asked: false,
                }
            }),
            _ => None,
        }
    }

    /// Learns a window with weight 0 to 1, for the pair and into the pool of all pairs.
    pub fn learn(
        &self,
        model: &mut Model,
        pool: &mut Model,
        known: &Known,
        window: &Window,
        context: &Context,
        weight: f64,
    ) {
        let windows = |d: Duration| d.as_secs_f64() / context.length.as_secs_f64().max(1e-3);
        let by_requests = Memory {
            least: MEMORY_REQUESTS,
            most: MEMORY_REQUESTS,
            spread: SPREAD_WINDOWS,
        };
        let days = context.length.as_secs_f64() / DAY;
        match (&self.measure, model, pool, known) {
            (Measure::Rate { count }, Model::Rate(m), Model::Rate(pool), Known::Rate(prior))
                if context.whole =>
            {
                let least = windows(context.memory).max(MATURE_WINDOWS * 1.5);
                let spread = windows(MEMORY_MOST).max(SPREAD_WINDOWS);
                let by_time = Memory {
                    least,
                    most: windows(MEMORY_MOST).max(least),
                    spread,
                };
                let by_requests = Memory {
                    spread,
                    ..by_requests
                };
                let count = count.of(window);
                if weight >= 1.0 {
                    pool.pool(prior, count, &context.exposure, m);
                }
                let memory = (by_time, by_requests);
                m.learn(prior, count, &context.exposure, weight, memory);
                // Before a whole day was seen its curve is in the level.
                if context.long_run.1 >= 1.0 {
                    m.hold(prior, days);
                }
            }
            (
                Measure::Share { count, prone, .. },
                Model::Share(m),
                Model::Share(pool),
                Known::Share(prior),
            ) => {
                let (count, exposure) = (count.of(window), prone(window));
                if exposure > 0.0 {
                    if weight >= 1.0 {
                        pool.pool(prior, count, exposure, POOL_REQUESTS, m);
                    }
                    m.learn(prior, count, exposure, weight, by_requests);
                }
                if m.exposure() >= MATURE_REQUESTS {
                    m.hold(prior, SHARE_FLOOR, days);
                }
            }
            (Measure::Scale { read, .. }, Model::Scale(m), Model::Scale(pool), _) => {
                if let Some(d) = read(window) {
                    if weight >= 1.0 {
                        pool.learn(d.octaves, d.n, weight);
                    }
                    m.borrow(pool);
                    m.learn(d.octaves, d.n, weight);
                }
            }
            _ => {}
        }
    }

    /// How much likelier the window is at the level before the last shift than at that since, as a logarithm; 0 where it does
    /// not say.
    pub fn favours_before(
        &self,
        model: &Model,
        known: &Known,
        window: &Window,
        context: &Context,
    ) -> f64 {
        match (&self.measure, model, known) {
            (Measure::Rate { count }, Model::Rate(m), Known::Rate(prior)) if context.whole => {
                let (since, _) = context.long_run;
                m.favours_before(prior, count.of(window), &context.exposure, since)
            }
            _ => 0.0,
        }
    }

    /// Whether a window is nearer to what a run has shown than to what was usual: a rate may be back at that already. Sizes and
    /// durations are learned anew anyway.
    pub fn goes_on(&self, run: &Seen, judged: Option<&Judged>) -> bool {
        let factor = run.ratio();
        let window = judged.map(|j| if factor > 1.0 { j.high } else { j.low });
        match (&self.measure, window) {
            (Measure::Rate { .. }, Some(window)) => window.is_likelier_at(factor),
            _ => true,
        }
    }

    /// Takes over what a run has shown as the usual: it is believed.
    pub fn adopt(&self, model: &mut Model, seen: Seen) {
        match model {
            Model::Rate(m) => m.move_by(seen.ratio(), MATURE_WINDOWS),
            Model::Share(m) => m.adopt(
                f64::from(seen.observed) / f64::from(seen.exposure).max(1.0),
                MEMORY_REQUESTS,
            ),
            // Its routes are learned anew.
            Model::Scale(_) => {}
        }
    }

    /// How large the deviation of a run over windows of length `window` is.
    pub fn effect(&self, seen: &Seen, window: Duration, lasted: Duration) -> Effect {
        let (observed, expected, exposure) = (
            f64::from(seen.observed),
            f64::from(seen.expected),
            f64::from(seen.exposure).max(1e-9),
        );
        let plain = |actual: f64, typical: f64| (actual, typical, actual / typical.max(1e-9));
        let ((actual, typical, ratio), volume, exposure) = match self.measure {
            Measure::Rate { .. } => {
                let seconds = exposure * window.as_secs_f64().max(1e-3);
                (
                    plain(observed / seconds, expected / seconds),
                    (observed - expected).abs(),
                    seconds,
                )
            }
            Measure::Share { .. } => (
                plain(observed / exposure, expected / exposure),
                observed,
                exposure,
            ),
            Measure::Scale { unnoticed, .. } => {
                let (actual, ratio) = ((expected / exposure).exp2(), (observed / exposure).exp2());
                let [actual, typical] =
                    [actual, actual / ratio].map(|floored| (floored - unnoticed).max(0.0));
                ((actual, typical, ratio), exposure, exposure)
            }
        };
        Effect {
            actual,
            typical,
            ratio,
            volume,
            exposure,
            lasted,
        }
    }

    /// What a run of windows is remembered by, from one to the next: a run of a rate as long as the rate, because what
    /// drifts was hardly off at first, and a run of many hours would never come to the effect that matters. (To do so with
    /// shares and sizes makes false alerts, and they have gates that drifts pass.)
    pub(crate) fn keeps(&self, window: Duration, memory: Duration) -> f64 {
        match self.measure {
            Measure::Rate { .. } => (-window.as_secs_f64() / memory.as_secs_f64().max(1.0)).exp(),
            _ => 1.0,
        }
    }

    /// What an effect is held against, given how mature the model is; `None` where this side means nothing. `asked` says whether
    /// it is against what the source was asked, `by_time` what the time lets expect of a rate, a second.
    pub fn gates(
        &self,
        side: Side,
        effect: &Effect,
        maturity: f64,
        asked: bool,
        by_time: Option<f64>,
    ) -> Option<Gates> {
        let Direction { gate, .. } = self.direction(side)?;
        let least = gate.volume * if asked { UNASKED } else { 1.0 };
        let by_time = match (side, by_time) {
            (Side::Down, Some(rate)) => {
                let expected = rate * effect.exposure;
                let missed = expected - effect.actual * effect.exposure;
                let matters = (CHANCE * expected.sqrt()).max(expected * FEWER_BY_TIME);
                Passed::new(missed, matters, missed >= matters)
            }
            _ => Passed::new(0.0, 0.0, true),
        };
        let ratio = effect.ratio;
        let amount = match self.measure {
            Measure::Scale { .. } => effect.actual - effect.typical,
            _ => effect.actual,
        };
        // Sizes and durations: what is far off needs fewer exchanges to matter than what is a little off.
        let volume = match self.measure {
            Measure::Scale { .. } if effect.volume >= SCALE_VOLUME_MIN => {
                effect.volume * ratio.max(1e-9).log2().abs()
            }
            Measure::Scale { .. } => 0.0,
            _ => effect.volume,
        };
        let failing = matches!(self.measure, Measure::Share { .. }) && effect.actual >= GROSS_SHARE;
        let gross = failing && effect.volume >= GROSS_EVENTS;
        let mut gates = Gates {
            volume: Passed::new(volume, least, volume >= least),
            ratio: Passed::new(
                ratio,
                gate.ratio,
                match side {
                    Side::Up => ratio >= gate.ratio,
                    Side::Down => ratio <= gate.ratio,
                },
            ),
            amount: Passed::new(
                amount,
                gate.amount,
                side == Side::Down || amount >= gate.amount,
            ),
            maturity: Passed::new(maturity, 1.0, maturity >= 1.0 || gross),
            by_time,
            pending: false,
        };
        gates.pending = failing
            && [gates.volume, gates.ratio].iter().all(|g| g.passed)
            && !gates.maturity.passed;
        Some(gates)
    }

    /// Unit of the effect's numbers.
    pub fn unit(&self) -> &'static str {
        match self.measure {
            Measure::Rate { .. } => "requests/s",
            Measure::Share { .. } => "share",
            Measure::Scale { unit, .. } => unit,
        }
    }

    /// Requests a second that the time of day and week let expect; `None` of what is no rate.
    pub fn by_time(&self, model: &Model, known: &Known, context: &Context) -> Option<f64> {
        let (Model::Rate(m), Known::Rate(prior)) = (model, known) else {
            return None;
        };
        let expected = m.alone.expected(&prior.alone, context.exposure.time);
        Some(expected / context.length.as_secs_f64().max(1e-3))
    }

    /// Where 98 of 100 usual windows lie, around `typical` and for as much exposure as the run had per window.
    pub fn band(
        &self,
        model: &Model,
        known: &Known,
        window: &Window,
        typical: f64,
        context: &Context,
    ) -> Option<[f64; 2]> {
        /// One in a hundred on either side.
        const EDGE: f64 = 0.01;
        /// The same of Student's t with 6 degrees of freedom, in spreads.
        const SPREADS: f64 = 3.143;
        match (&self.measure, model, known) {
            (Measure::Rate { .. }, Model::Rate(m), Known::Rate(prior)) => {
                let time = context.exposure.time;
                let high = f64::from(m.alone.upper_limit(&prior.alone, time, EDGE))
                    / context.length.as_secs_f64().max(1e-3);
                // The distribution is skewed; mirrored on the logarithmic scale it is near enough for a band.
                Some([
                    if high > 0.0 {
                        typical * (typical / high).min(1.0)
                    } else {
                        0.0
                    },
                    high,
                ])
            }
            (Measure::Share { .. }, Model::Share(m), Known::Share(prior)) => {
                let n = f64::from(window.tallies.requests.max(1));
                Some([0.0, (f64::from(m.upper_limit(prior, n, EDGE)) / n).min(1.0)])
            }
            (
                Measure::Scale {
                    read, unnoticed, ..
                },
                Model::Scale(m),
                _,
            ) => {
                let n = read(window).map_or(1.0, |d| d.n);
                let factor = (SPREADS * m.spread(n)).exp2();
                let around = typical + unnoticed;
                Some([around / factor, around * factor].map(|x| (x - unnoticed).max(0.0)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::Totals;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CONTEXT: Context = Context {
        whole: true,
        exposure: Exposure {
            time: 1.0,
            given: [None; 2],
            before: None,
        },
        long_run: (0.0, 0.0),
        length: Duration::from_secs(10),
        memory: Duration::from_secs(7_200),
    };

    /// What request bytes say of windows of so many bytes each, twenty requests in all of them, where `usual` is usual.
    fn request_bytes(windows: &[f64], usual: f64) -> (Effect, Gates) {
        let signal = &request_bytes::SIGNAL;
        let mut run = Seen::default();
        for bytes in windows {
            let window = Window {
                request_bytes: Totals {
                    n: 20,
                    bytes: 20.0 * bytes,
                    usual: 20.0 * usual,
                },
                ..Window::default()
            };
            let judged = signal.judge(&signal.fresh(), &Known::Scale, &window, &CONTEXT);
            run.add(&judged.unwrap().high);
        }
        let effect = signal.effect(&run, CONTEXT.length, CONTEXT.length);
        (
            effect,
            signal.gates(Side::Up, &effect, 1.0, false, None).unwrap(),
        )
    }

    fn words(effect: &Effect) -> String {
        (request_bytes::SIGNAL.direction(Side::Up).unwrap().words)(effect)
    }

    #[test]
    fn a_size_is_told_beside_what_it_usually_is() {
        let (effect, gates) = request_bytes(&[3_000.0, 3_000.0], 1_000.0);
        assert!(gates.pass(), "{gates:?}");
        assert_eq!(
            words(&effect),
            "requests carry 3000 bytes on average, 3 × the typical 1000"
        );
    }

    #[test]
    fn what_nobody_would_notice_is_no_growth() {
        let (effect, gates) = request_bytes(&[33.0, 33.0], 0.0);
        assert!(!gates.amount.passed, "{gates:?}");
        assert_eq!(
            words(&effect),
            "requests carry 33 bytes on average, typical are 0"
        );
    }

    #[test]
    fn a_window_without_bodies_hides_no_growth_in_the_others() {
        let (effect, gates) = request_bytes(&[9_000.0, 0.0, 9_000.0, 9_000.0], 1_000.0);
        assert!(gates.pass(), "{effect:?}: {gates:?}");
    }
}
