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
mod response_bytes;
pub(crate) mod scanning;
mod server_errors;

use crate::alerts::{Kind, Severity};
use crate::baselines::Tail;
use crate::baselines::count::{CountModel, Memory, Prior};
use crate::baselines::scale::ScaleModel;
use crate::config;
use crate::counters::Tallies;
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
        /// What is known before anything is seen.
        prior: Prior,
    },
    /// Events as a share of requests.
    Share {
        /// The events; the window's requests are the exposure.
        count: Tally,
        /// What is known before anything is seen.
        prior: Prior,
        /// Requests remembered.
        memory: f64,
    },
    /// A size or duration against what the same routes usually take.
    Scale {
        /// The deviation; `None` where nothing comparable was seen.
        read: fn(&Window) -> Option<Deviation>,
        /// Unit of its absolute value.
        unit: &'static str,
    },
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
    /// Events, exchanges, or requests too many or too few.
    pub volume: f64,
    /// Actual against typical: at least this when high, at most this when low.
    pub ratio: f64,
    /// Of a share: at least this.
    pub share: f64,
}

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
    /// Events, exchanges, or requests too many or too few.
    pub volume: f64,
    /// How long it has lasted.
    pub lasted: Duration,
}

/// A signal's model on one pair and window length.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Model {
    /// Of rates and shares.
    Count(CountModel),
    /// Of sizes and durations.
    Scale(ScaleModel),
}

/// What a signal says of one window.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// How extreme it was.
    pub tail: Tail,
    /// What was seen, to be summed over a run.
    pub seen: Seen,
}

/// What is known of a window beside its counts.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Whether it was watched from start to end: one that was not says nothing about rates.
    pub whole: bool,
    /// What the time of day and of week make of a usual rate: 1 on average.
    pub season: f64,
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
/// How long the rate of a thin pair remembers at most: a day, so that its own curve does not become its level.
const MEMORY_MOST: Duration = Duration::from_secs(86_400);
/// Windows over which clustering is learned at least: a variance needs some hundreds of samples to be known to a tenth.
const SPREAD_WINDOWS: f64 = 500.0;
/// Windows after which a rate is known well enough to tell a fifth of it apart.
const MATURE_WINDOWS: f64 = 20.0;

impl Signal {
    /// The model that knows nothing yet.
    pub fn fresh(&self) -> Model {
        match &self.measure {
            Measure::Rate { prior, .. } | Measure::Share { prior, .. } => {
                Model::Count(CountModel::new(prior))
            }
            Measure::Scale { .. } => Model::Scale(ScaleModel::default()),
        }
    }

    /// What is said of a direction.
    pub fn direction(&self, side: Side) -> Option<&Direction> {
        match side {
            Side::Up => self.up.as_ref(),
            Side::Down => self.down.as_ref(),
        }
    }

    /// 0 to 1.
    pub fn maturity(&self, model: &Model) -> f64 {
        match (&self.measure, model) {
            (Measure::Rate { prior, .. } | Measure::Share { prior, .. }, Model::Count(m)) => {
                m.maturity(prior)
            }
            (_, Model::Scale(m)) => m.maturity(),
            _ => 0.0,
        }
    }

    /// What the model says of a window; `None` where the window says nothing to this signal.
    pub fn judge(&self, model: &Model, window: &Window, context: &Context) -> Option<Judged> {
        match (&self.measure, model) {
            (Measure::Rate { count, .. }, Model::Count(m)) => context
                .whole
                .then(|| judge_count(m, count.of(window), context.season)),
            (Measure::Share { count, .. }, Model::Count(m)) => {
                let requests = window.tallies.requests;
                (requests > 0).then(|| judge_count(m, count.of(window), f64::from(requests)))
            }
            (Measure::Scale { read, .. }, Model::Scale(m)) => read(window).map(|d| Judged {
                tail: m.tail(d.octaves, d.n),
                seen: Seen {
                    observed: (d.octaves * d.n) as f32,
                    expected: (d.actual.max(1e-3).log2() * d.n) as f32,
                    exposure: d.n as f32,
                },
            }),
            _ => None,
        }
    }

    /// Learns a window with weight 0 to 1.
    pub fn learn(&self, model: &mut Model, window: &Window, context: &Context, weight: f64) {
        let windows = |d: Duration| d.as_secs_f64() / context.length.as_secs_f64().max(1e-3);
        match (&self.measure, model) {
            (Measure::Rate { count, .. }, Model::Count(m)) if context.whole => {
                let least = windows(context.memory).max(MATURE_WINDOWS * 1.5);
                let memory = Memory {
                    least,
                    most: windows(MEMORY_MOST).max(least),
                    spread: windows(MEMORY_MOST).max(SPREAD_WINDOWS),
                };
                m.learn(count.of(window), context.season, weight, memory);
            }
            (Measure::Share { count, memory, .. }, Model::Count(m))
                if window.tallies.requests > 0 =>
            {
                let memory = Memory {
                    least: *memory,
                    most: *memory,
                    spread: SPREAD_WINDOWS,
                };
                let exposure = f64::from(window.tallies.requests);
                m.learn(count.of(window), exposure, weight, memory);
            }
            (Measure::Scale { read, .. }, Model::Scale(m)) => {
                if let Some(d) = read(window) {
                    m.learn(d.octaves, d.n, weight);
                }
            }
            _ => {}
        }
    }

    /// How large the deviation of a run over windows of length `window` is.
    pub fn effect(&self, seen: &Seen, window: Duration, lasted: Duration) -> Effect {
        let (observed, expected, exposure) = (
            f64::from(seen.observed),
            f64::from(seen.expected),
            f64::from(seen.exposure).max(1e-9),
        );
        let (actual, typical, volume) = match self.measure {
            Measure::Rate { .. } => {
                let seconds = exposure * window.as_secs_f64().max(1e-3);
                (
                    observed / seconds,
                    expected / seconds,
                    (observed - expected).abs(),
                )
            }
            Measure::Share { .. } => (observed / exposure, expected / exposure, observed),
            Measure::Scale { .. } => {
                let actual = (expected / exposure).exp2();
                (actual, actual / (observed / exposure).exp2(), exposure)
            }
        };
        Effect {
            actual,
            typical,
            volume,
            lasted,
        }
    }

    /// Whether an effect is worth an alert, given how mature the model is.
    pub fn passes(&self, side: Side, effect: &Effect, maturity: f64) -> bool {
        let Some(Direction { gate, .. }) = self.direction(side) else {
            return false;
        };
        let ratio = effect.actual / effect.typical.max(1e-9);
        let enough = effect.volume >= gate.volume
            && match side {
                Side::Up => ratio >= gate.ratio && effect.actual >= gate.share,
                Side::Down => ratio <= gate.ratio,
            };
        enough
            && (maturity >= 1.0
                || (matches!(self.measure, Measure::Share { .. })
                    && effect.actual >= GROSS_SHARE
                    && effect.volume >= GROSS_EVENTS))
    }

    /// Unit of the effect's numbers.
    pub fn unit(&self) -> &'static str {
        match self.measure {
            Measure::Rate { .. } => "requests/s",
            Measure::Share { .. } => "share",
            Measure::Scale { unit, .. } => unit,
        }
    }

    /// Where 98 of 100 usual windows lie, around `typical` and for as much exposure as the run had per window.
    pub fn band(
        &self,
        model: &Model,
        window: &Window,
        typical: f64,
        length: Duration,
    ) -> Option<[f64; 2]> {
        /// One in a hundred on either side.
        const EDGE: f64 = 0.01;
        /// The same of Student's t with 6 degrees of freedom, in spreads.
        const SPREADS: f64 = 3.143;
        match (&self.measure, model) {
            (Measure::Rate { .. }, Model::Count(m)) => {
                let high = f64::from(m.upper_limit(1.0, EDGE)) / length.as_secs_f64().max(1e-3);
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
            (Measure::Share { .. }, Model::Count(m)) => {
                let n = f64::from(window.tallies.requests.max(1));
                Some([0.0, (f64::from(m.upper_limit(n, EDGE)) / n).min(1.0)])
            }
            (Measure::Scale { read, .. }, Model::Scale(m)) => {
                let n = read(window).map_or(1.0, |d| d.n);
                let factor = (SPREADS * m.spread(n)).exp2();
                Some([typical / factor, typical * factor])
            }
            _ => None,
        }
    }
}

fn judge_count(model: &CountModel, count: u64, exposure: f64) -> Judged {
    Judged {
        tail: model.tail(count, exposure),
        seen: Seen {
            observed: count as f32,
            expected: model.expected(exposure) as f32,
            exposure: exposure as f32,
        },
    }
}
