//! How usual a window is to a signal: its model on one pair and window length, what is borrowed from all pairs before, and what a
//! window teaches.

use super::{Measure, Seen, Signal};
use crate::baselines::Tail;
use crate::baselines::count::{CLUSTERING, CountModel, Memory, Prior};
use crate::baselines::rate::{Exposure, RateModel, RatePrior};
use crate::baselines::scale::ScaleModel;
use crate::windows::Window;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// Whether it is more than the ups and downs of traffic.
    pub surprising: bool,
}

impl Judged {
    /// Of what does not follow from anything but its own usual.
    fn by_itself(tail: Tail, seen: Seen) -> Self {
        Self {
            tail,
            alone: tail,
            high: seen,
            low: seen,
            explained: false,
            asked: false,
            surprising: false,
        }
    }
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
                    let surprising = predicted.asked || predicted.steady;
                    let seen = |expected: f64| Seen {
                        observed: count as f32,
                        expected: expected as f32,
                        exposure: 1.0,
                    };
                    Judged {
                        tail: if surprising {
                            predicted.tail
                        } else {
                            m.after(predicted.tail)
                        },
                        alone: predicted.tail,
                        high: seen(predicted.high),
                        low: seen(predicted.low),
                        explained: predicted.given || predicted.steady,
                        asked: predicted.asked,
                        surprising,
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
                    Judged::by_itself(m.tail(prior, count, prone), seen)
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
                Judged::by_itself(m.tail(d.octaves, d.n), seen)
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
            // Known as well as it was seen, so that it is forgotten as soon when it has passed.
            Model::Share(m) => {
                let exposure = f64::from(seen.exposure);
                m.adopt(
                    f64::from(seen.observed) / exposure.max(1.0),
                    exposure.clamp(MATURE_REQUESTS, MEMORY_REQUESTS),
                );
            }
            // Its routes are learned anew.
            Model::Scale(_) => {}
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
                let high = f64::from(m.alone.upper_limit(&prior.alone, time, EDGE, 1))
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
                Some([
                    0.0,
                    (f64::from(m.upper_limit(prior, n, EDGE, 1)) / n).min(1.0),
                ])
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
