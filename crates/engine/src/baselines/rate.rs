//! Requests a window, by several predictors at once.
//!
//! - **The time**: what the pair usually has at this time of day and week.
//! - **What its source is asked itself**, by route, because each kind of request brings calls of its own
//!   ([`calls`](super::calls)). Where one Envoy (or a log of many) sees both, this predictor is the narrower one for most pairs:
//!   sessions, campaigns and the daily curve are in its exposure already, and so is what a request is for. (On the traffic of
//!   `make eval` the variance of ten minutes' requests over their mean falls from a median of 3.8 to 1.0 where all requests are
//!   alike and to 0.0006 by route, and from 1.6 to 0.5 and 0.07, on its two systems.)
//! - **What its source asks of others.** Two requests to a source may need different calls, and one that needs none of this pair's
//!   is no outage: then the other calls that such a request needs do not come either. Where they go on, the pair's are missed the
//!   sooner, however long its own lulls.
//!
//! The two that follow from the source are also the more telling: calls that nothing asked for are news, calls that fail to come
//! though all else goes on are too, and a busy hour is neither. What the source asks of others excuses only: no more is missed
//! than the time lets expect, however much it does beside, and no less may come. What it is asked is held against it in full, where
//! it is a mix of requests as there was before; but an alert of too little needs that it is too little for the time as well
//! ([`crate::signals::Gates::by_time`]).
//!
//! A level that is believed although it did not follow from what the source does says nothing of what does: a flood of calls that
//! nothing asked for does not make each request bring more. So what follows from the source is learned anew then.
//!
//! The prediction is a mixture, and so is its tail:
//!
//! ```text
//! p = (1 − w) · p(best) + w · mean p(others)
//! ```
//!
//! The best one is that whose windows vary least around what it expects (smallest φ). The others keep their say, because
//! each errs in its own way: a source may get requests that need no calls, or call at a time when it was not asked.
//!
//! How extreme a window is after those before it, where they follow one another, is [`wander`](super::wander)'s.
//!
//! A level that was just believed may have been passing ([`Exposure::before`]). Whether the one before is back is weighed window
//! by window ([`RateModel::favours_before`]). So may what was seen at the same hour of the last weeks be seen again
//! ([`Exposure::recurring`]).

use super::Tail;
use super::count::{CountModel, Memory, Prior};
use super::wander::Wander;
use serde::{Deserialize, Serialize};

/// Share of the less good predictors: a window in a hundred is left to them, …
const OTHERS: f64 = 1e-2;
/// … or one in a thousand beside what the source is asked, which errs least: the time says that a request in some minutes may well
/// fail to come, and would hide the outage of a call that each request needs.
const OTHERS_ASKED: f64 = 1e-3;
/// Requests to or from the source after which what follows from them is known.
const KNOWN: f64 = 200.0;

/// What follows from what a source does beside: from what it is asked, and from what it asks of others.
pub type Beside<T> = [T; 2];

/// The predictors, and how far the windows that they predict follow one another. 84 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RateModel {
    pub(crate) alone: CountModel,
    pub(crate) given: Beside<CountModel>,
    wander: Wander,
}

/// What the calls of a window are exposed to by what its source does beside, in requests of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Given {
    /// What too little is held against: without requests of which it is not known what they bring.
    pub least: f64,
    /// What is learned from.
    pub likely: f64,
    /// What too much is held against.
    pub most: f64,
    /// Whether it is held against a pair in full, or excuses only.
    pub accuses: bool,
}

impl Given {
    /// So many requests, each of which counts, and which excuse only.
    pub fn of(requests: f64) -> Self {
        Self {
            least: requests,
            likely: requests,
            most: requests,
            accuses: false,
        }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            least: self.least * factor,
            likely: self.likely * factor,
            most: self.most * factor,
            ..self
        }
    }

    /// No more is missed than `usual`, and no less may come.
    fn excusing(self, usual: f64) -> Self {
        Self {
            least: self.least.min(usual),
            most: self.most.max(usual),
            ..self
        }
    }
}

/// What is known of them before they are.
#[derive(Clone, Copy, Debug)]
pub struct RatePrior {
    /// Of the rate at the time; exposure in windows.
    pub alone: Prior,
    /// Of calls per request to the source, and per request of it to others; exposure in requests.
    pub given: Beside<Prior>,
}

/// What a window is exposed to.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    /// Windows, times what the time of day and week make of the usual.
    pub time: f64,
    /// Requests that the source served in the window, and those that it made to others; `None` where nobody is seen to
    /// call it, or it calls nobody at all.
    pub given: Beside<Option<Given>>,
    /// The rate before a shift that was just believed, against the season's since: as usual as the new one, for a while.
    pub before: Option<f64>,
    /// The rate that was seen at this hour of the last weeks, against the usual: as usual as that.
    pub recurring: Option<f64>,
}

impl Exposure {
    /// At a rate of so many times the usual.
    fn times(&self, factor: f64) -> Self {
        Self {
            time: self.time * factor,
            given: self.given.map(|g| g.map(|n| n.times(factor))),
            ..*self
        }
    }
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
    /// Whether what the source did beside is taken into account, …
    pub given: bool,
    /// … and whether it is what it was asked: then what is left is news in each window, and tells nothing of the next.
    pub asked: bool,
    /// Whether the pair keeps the pace of a clock, whatever its source does beside.
    pub steady: bool,
}

impl Predicted {
    /// What is as usual as the other: odd is what neither lets expect.
    fn or(self, other: Self) -> Self {
        Self {
            tail: Tail {
                up: self.tail.up.max(other.tail.up),
                down: self.tail.down.max(other.tail.down),
            },
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            ..self
        }
    }
}

impl RateModel {
    /// What the window was expected to hold, and how extreme `count` is.
    pub fn predict(&self, prior: &RatePrior, count: u64, exposure: &Exposure) -> Predicted {
        let usual = self.predict_at(prior, count, exposure);
        self.as_usual(prior, exposure).fold(usual, |usual, by| {
            usual.or(self.predict_at(prior, count, &exposure.times(by)))
        })
    }

    /// The most that is as usual as the usual, in times of that.
    pub fn most(&self, prior: &RatePrior, exposure: &Exposure) -> f64 {
        self.as_usual(prior, exposure).fold(1.0, f64::max)
    }

    /// Rates that are as usual as the usual, in times of that.
    fn as_usual(&self, prior: &RatePrior, exposure: &Exposure) -> impl Iterator<Item = f64> {
        let before = exposure.before.map(|by| {
            // What was learned since the shift has moved on from where that led, and not what was before.
            let season = prior.alone.events / prior.alone.exposure.max(1e-9);
            let back = by * season / self.alone.rate(&prior.alone).max(1e-9);
            if by > 1.0 { by.max(back) } else { by.min(back) }
        });
        [before, exposure.recurring].into_iter().flatten()
    }

    /// How much likelier `count` is at the rate before the last shift than at that since, as a natural logarithm: of a Poisson
    /// variable that comes in clusters, x ln(before) − m (before − 1) for each cluster. 0 where no shift is remembered. `since`
    /// is the rate since in requests a window, over all times of day: what is learned would follow the count.
    pub fn favours_before(
        &self,
        prior: &RatePrior,
        count: u64,
        exposure: &Exposure,
        since: f64,
    ) -> f64 {
        let Some(before) = exposure.before else {
            return 0.0;
        };
        let clusters = 1.0 + self.alone.clustering(prior.alone.clustering);
        favours(count, since * exposure.time, before) / clusters
    }

    /// Moves the rate to `factor` times what it is, as if no more than so many windows had been seen. What follows from the source is
    /// learned anew.
    pub fn move_by(&mut self, factor: f64, windows: f64) {
        self.alone.move_by(factor, windows);
        for given in &mut self.given {
            given.adopt(0.0, 0.0);
        }
    }

    /// Holds all rates near their anchors, which follow them for so many days.
    pub fn hold(&mut self, prior: &RatePrior, days: f64) {
        self.alone.hold(&prior.alone, 0.0, days);
        for (given, prior) in self.given.iter_mut().zip(&prior.given) {
            if given.exposure() >= KNOWN {
                given.hold(prior, 0.0, days);
            }
        }
    }

    fn predict_at(&self, prior: &RatePrior, count: u64, exposure: &Exposure) -> Predicted {
        let expected = self.alone.expected(&prior.alone, exposure.time);
        let steady = self.alone.is_steady(&prior.alone, exposure.time);
        let mut best = Predicted {
            tail: self.alone.tail(&prior.alone, count, exposure.time),
            low: expected,
            high: expected,
            given: false,
            asked: false,
            steady,
        };
        let mut clustering = self.alone.clustering(prior.alone.clustering);
        let mut others = Others::default();
        let given = self.given.iter().zip(&prior.given);
        for ((model, prior), seen) in given.zip(exposure.given) {
            let Some(seen) = seen.filter(|_| model.exposure() >= KNOWN) else {
                continue;
            };
            // What the source would do beside, usually, at this time.
            let usual = expected / model.rate(prior).max(1e-9);
            let accuses = seen.accuses;
            let held = if accuses { seen } else { seen.excusing(usual) };
            let Given { least, most, .. } = held;
            let given = Predicted {
                tail: Tail {
                    up: model.tail(prior, count, most).up,
                    down: model.tail(prior, count, least).down,
                },
                low: model.expected(prior, least),
                high: model.expected(prior, most),
                given: true,
                asked: accuses,
                steady,
            };
            let varies = model.clustering(prior.clustering);
            if varies < clustering {
                clustering = varies;
                others.add(std::mem::replace(&mut best, given).tail);
            } else {
                others.add(given.tail);
            }
        }
        let share = if best.asked { OTHERS_ASKED } else { OTHERS };
        best.tail = others.mixed_into(best.tail, share);
        best
    }

    /// Calls that follow from what the source was asked.
    pub fn follow_from(&self, prior: &RatePrior, exposure: &Exposure) -> Option<f64> {
        let [asked, _] = exposure.given;
        let ([model, _], [prior, _]) = (&self.given, &prior.given);
        asked.map(|asked| model.expected(prior, asked.likely))
    }

    /// How extreme a window is after those before, which by itself is as extreme as `tail` says.
    pub fn after(&self, tail: Tail) -> Tail {
        self.wander.after(tail)
    }

    /// The tail probability by itself of a high window that is as rare as `p` after those before.
    pub fn high(&self, p: f64) -> f64 {
        self.wander.high(p)
    }

    /// Learns how a window that by itself is as extreme as `tail` says has followed those before, with weight 0 to 1.
    pub fn follow(&mut self, tail: Tail, weight: f64) {
        self.wander.learn(tail, self.alone.exposure(), weight);
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
        let expected = self.alone.expected(&prior.alone, exposure.time);
        let recurs = exposure
            .recurring
            .filter(|by| favours(count, expected, *by) > 0.0);
        // What the hour of the week does is no level: the next hour does something else.
        let time = exposure.time * recurs.unwrap_or(1.0);
        self.alone
            .learn(&prior.alone, count, time, weight, memory.0);
        for ((given, prior), seen) in self.given.iter_mut().zip(&prior.given).zip(exposure.given) {
            if let Some(seen) = seen.filter(|n| n.likely > 0.0 || count > 0) {
                given.learn(prior, count, seen.likely, weight, memory.1);
            }
        }
    }

    /// Takes one pair's window into the model of all pairs.
    pub fn pool(&mut self, prior: &RatePrior, count: u64, exposure: &Exposure, pair: &Self) {
        self.alone
            .pool(&prior.alone, count, exposure.time, f64::MAX, &pair.alone);
        let given = self.given.iter_mut().zip(&pair.given);
        for (((given, pair), prior), seen) in given.zip(&prior.given).zip(exposure.given) {
            if let Some(seen) = seen.filter(|n| n.likely > 0.0) {
                given.pool(prior, count, seen.likely, f64::MAX, pair);
            }
        }
    }
}

/// How much likelier a count is at `by` times what was expected of it, as a natural logarithm.
fn favours(count: u64, expected: f64, by: f64) -> f64 {
    count as f64 * by.ln() - expected * (by - 1.0)
}

/// What the less good predictors say: the sum of their tails.
#[derive(Clone, Copy, Default)]
struct Others {
    up: f64,
    down: f64,
    n: f64,
}

impl Others {
    fn add(&mut self, tail: Tail) {
        self.up += tail.up;
        self.down += tail.down;
        self.n += 1.0;
    }

    /// The best predictor's tail, but for the share that is theirs.
    fn mixed_into(self, best: Tail, share: f64) -> Tail {
        if self.n == 0.0 {
            return best;
        }
        Tail {
            up: (1.0 - share) * best.up + share * self.up / self.n,
            down: (1.0 - share) * best.down + share * self.down / self.n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOTHING: Prior = Prior {
        events: 0.05,
        exposure: 0.05,
        clustering: 1.0,
    };
    const PRIOR: RatePrior = RatePrior {
        alone: NOTHING,
        given: [NOTHING; 2],
    };

    fn beside(calls: f64) -> Exposure {
        Exposure {
            time: 1.0,
            given: [None, Some(Given::of(calls))],
            before: None,
            recurring: None,
        }
    }

    /// A source that makes ten calls, and twenty to others, in every other window.
    fn in_sessions() -> RateModel {
        let memory = Memory {
            least: 1_000.0,
            most: 1_000.0,
            spread: 1_000.0,
        };
        let mut model = RateModel::default();
        for window in 0..400 {
            let busy = f64::from(window % 2);
            let exposure = beside(20.0 * busy);
            model.learn(
                &PRIOR,
                (10.0 * busy) as u64,
                &exposure,
                1.0,
                (memory, memory),
            );
        }
        model
    }

    #[test]
    fn calls_are_missed_where_the_sources_other_calls_go_on() {
        let model = in_sessions();
        let tail = |calls| model.predict(&PRIOR, 0, &beside(calls)).tail;
        assert!(tail(10.0).down < 0.01, "{:?}", tail(10.0));
        assert!(tail(0.0).down > 0.9, "{:?}", tail(0.0));
    }

    #[test]
    fn a_busy_hour_of_the_source_is_no_news() {
        let model = in_sessions();
        let tail = |calls| model.predict(&PRIOR, 30, &beside(calls)).tail;
        assert!(tail(60.0).up > 0.1, "{:?}", tail(60.0));
        assert!(tail(10.0).up < 1e-3, "{:?}", tail(10.0));
    }

    #[test]
    fn however_much_the_source_does_beside_what_is_usual_at_the_time_is_not_too_little() {
        let model = in_sessions();
        let busy = model.predict(&PRIOR, 5, &beside(1_000.0));
        assert!(busy.tail.down > 0.1, "{busy:?}");
    }

    #[test]
    fn what_was_seen_at_the_same_hour_of_the_last_weeks_is_neither_too_much_nor_too_little() {
        let model = in_sessions();
        for (recurring, count) in [(8.0, 40), (8.0, 80), (8.0, 10), (0.01, 0)] {
            let exposure = Exposure {
                recurring: Some(recurring),
                ..beside(20.0)
            };
            let Tail { up, down } = model.predict(&PRIOR, count, &exposure).tail;
            assert!(up > 0.1 && down > 0.1, "{count}: {up} {down}");
        }
    }

    #[test]
    fn what_recurs_at_an_hour_of_the_week_is_no_level() {
        let mut model = RateModel::default();
        let memory = Memory {
            least: 100.0,
            most: 100.0,
            spread: 100.0,
        };
        let mut learn = |count, recurring| {
            let exposure = Exposure {
                recurring,
                ..beside(0.0)
            };
            for _ in 0..100 {
                model.learn(&PRIOR, count, &exposure, 1.0, (memory, memory));
            }
            model.alone.expected(&PRIOR.alone, 1.0)
        };
        learn(10, None);
        assert!((learn(80, Some(8.0)) - 10.0).abs() < 1.0);
        assert!((learn(10, Some(8.0)) - 10.0).abs() < 1.0);
        assert!(learn(80, None) > 30.0);
    }

    #[test]
    fn windows_of_the_old_level_favour_it_and_those_of_the_new_do_not() {
        let model = in_sessions();
        let shifted = Exposure {
            before: Some(0.1),
            ..beside(10.0)
        };
        let favours = |count| model.favours_before(&PRIOR, count, &shifted, 5.0);
        assert!(favours(0) > 0.0 && favours(5) < 0.0);
    }

    proptest! {
        #[test]
        fn a_tail_is_a_probability_whatever_the_source_does(
            count in 0u64..1_000_000, calls in prop::option::of(0.0f64..1e9), before in prop::option::of(0.01f64..100.0),
            recurring in prop::option::of(0.01f64..100.0),
        ) {
            let exposure = Exposure { time: 1.0, given: [calls.map(Given::of); 2], before, recurring };
            let Tail { up, down } = in_sessions().predict(&PRIOR, count, &exposure).tail;
            prop_assert!((0.0..=1.0).contains(&up) && (0.0..=1.0).contains(&down), "{up} {down}");
        }
    }
}
