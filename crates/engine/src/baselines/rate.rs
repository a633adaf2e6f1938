//! Requests a window, by two predictors at once.
//!
//! Alone: what the pair usually has at this time of day and week. Given: what its source is asked itself. A service's calls
//! follow from the calls it gets, so where one Envoy (or a log of many) sees both, the second predictor is far the
//! narrower one for most pairs: sessions, campaigns and the daily curve are in its exposure already. (On the traffic of
//! `make eval` the variance of ten minutes' requests over their mean falls from a median of 3.2 to 1.0 and from 1.4 to
//! 0.5 on its two systems.) It is also the more telling: calls that nothing asked for are news, calls that fail to come
//! though they were asked for are too, and a busy hour is neither.
//!
//! The prediction is a mixture, and so is its tail:
//!
//! ```text
//! p = (1 − w) · p(better) + w · p(other)
//! ```
//!
//! The better one is that whose windows vary less around what it expects (smaller φ). The other keeps its say, because
//! each errs in its own way: a source may get requests that need no calls, or call at a time when it was not asked.

use super::Tail;
use super::count::{CountModel, Memory, Prior};
use serde::{Deserialize, Serialize};

/// Share of the less good predictor: a window in a hundred is left to it.
const OTHER: f64 = 0.01;
/// How far the first predictor bounds the second: what was not asked for twice as often as usual can't be missed, and what
/// was asked for half as often as usual may still be done.
const BOUND: f64 = 2.0;
/// Requests to the source after which what follows from them is known.
const KNOWN: f64 = 200.0;

/// The two predictors. 48 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RateModel {
    pub(crate) alone: CountModel,
    pub(crate) given: CountModel,
}

/// What is known of the two before they are.
#[derive(Clone, Copy, Debug)]
pub struct RatePrior {
    /// Of the rate at the time; exposure in windows.
    pub alone: Prior,
    /// Of calls per request to the source; exposure in requests.
    pub given: Prior,
}

/// What a window is exposed to.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    /// Windows, times what the time of day and week make of the usual.
    pub time: f64,
    /// Requests that the source served in the window; `None` where nobody is seen to call it.
    pub asked: Option<f64>,
    /// The rate before a shift that was just believed, against that since: as usual as the new one, for a while.
    pub before: Option<f64>,
}

/// What a window was expected to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// How extreme it was.
    pub tail: Tail,
    /// What too little is compared with, …
    pub low: f64,
    /// … and too much.
    pub high: f64,
    /// Whether what the source was asked is taken into account.
    pub given: bool,
}

impl RateModel {
    /// What the window was expected to hold, and how extreme `count` is.
    pub fn predict(&self, prior: &RatePrior, count: u64, exposure: &Exposure) -> Predicted {
        let now = self.predict_at(prior, count, exposure);
        let Some(before) = exposure.before else {
            return now;
        };
        let then = Exposure {
            time: exposure.time * before,
            asked: exposure.asked.map(|n| n * before),
            before: None,
        };
        let then = self.predict_at(prior, count, &then);
        Predicted {
            tail: Tail {
                up: now.tail.up.max(then.tail.up),
                down: now.tail.down.max(then.tail.down),
            },
            low: now.low.min(then.low),
            high: now.high.max(then.high),
            given: now.given,
        }
    }

    /// Moves both predictors to `factor` times what they are, as if no more than so many windows had been seen.
    pub fn move_by(&mut self, factor: f64, windows: f64) {
        self.alone.move_by(factor, windows);
        self.given.move_by(factor, KNOWN);
    }

    /// Holds both rates near their anchors, which follow them for so many days.
    pub fn hold(&mut self, prior: &RatePrior, days: f64) {
        self.alone.hold(&prior.alone, 0.0, days);
        if self.given.exposure() >= KNOWN {
            self.given.hold(&prior.given, 0.0, days);
        }
    }

    fn predict_at(&self, prior: &RatePrior, count: u64, exposure: &Exposure) -> Predicted {
        let alone = self.alone.tail(&prior.alone, count, exposure.time);
        let expected = self.alone.expected(&prior.alone, exposure.time);
        let known = self.given.exposure() >= KNOWN;
        let Some(asked) = exposure.asked.filter(|_| known) else {
            return Predicted {
                tail: alone,
                low: expected,
                high: expected,
                given: false,
            };
        };
        // What the source would be asked usually at this time.
        let usual = expected / self.given.rate(&prior.given).max(1e-9);
        let (least, most) = (asked.min(usual * BOUND), asked.max(usual / BOUND));
        let given = Predicted {
            tail: Tail {
                up: self.given.tail(&prior.given, count, most).up,
                down: self.given.tail(&prior.given, count, least).down,
            },
            low: self.given.expected(&prior.given, least),
            high: self.given.expected(&prior.given, most),
            given: true,
        };
        let narrower = self.given.clustering(prior.given.clustering)
            < self.alone.clustering(prior.alone.clustering);
        let weight = if narrower { 1.0 - OTHER } else { OTHER };
        Predicted {
            tail: Tail {
                up: weight * given.tail.up + (1.0 - weight) * alone.up,
                down: weight * given.tail.down + (1.0 - weight) * alone.down,
            },
            low: if narrower { given.low } else { expected },
            high: if narrower { given.high } else { expected },
            given: narrower,
        }
    }

    /// Learns one window, with weight 0 to 1.
    pub fn learn(
        &mut self,
        prior: &RatePrior,
        count: u64,
        exposure: &Exposure,
        weight: f64,
        memory: (Memory, Memory),
    ) {
        self.alone
            .learn(&prior.alone, count, exposure.time, weight, memory.0);
        if let Some(asked) = exposure.asked.filter(|n| *n > 0.0) {
            self.given
                .learn(&prior.given, count, asked, weight, memory.1);
        }
    }

    /// Takes one pair's window into the model of all pairs.
    pub fn pool(&mut self, prior: &RatePrior, count: u64, exposure: &Exposure, pair: &Self) {
        self.alone
            .pool(&prior.alone, count, exposure.time, f64::MAX, &pair.alone);
        if let Some(asked) = exposure.asked.filter(|n| *n > 0.0) {
            self.given
                .pool(&prior.given, count, asked, f64::MAX, &pair.given);
        }
    }
}
