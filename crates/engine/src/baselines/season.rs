//! Time of day and of week, as factors that multiply what is usual.
//!
//! For each ten minutes of the day and each hour of the week it is kept how many events were seen in how much time. A factor is
//! the rate in that phase against the mean over all of them, drawn towards a prior:
//!
//! ```text
//! factor = (seen + s · prior) / (expected + s)
//! ```
//!
//! which is the posterior mean of a Gamma–Poisson model whose prior has mean `prior` and the weight of `s` events. It is
//! asked in steps, each of which is the next one's prior:
//!
//! - **The hour of the day**, whose prior is the same hour over all pairs ([`Pooled::pool`], empirical Bayes). Hours are
//!   interpolated between their middles: traffic has no steps on the hour, …
//! - **ten minutes** of it, the longest usual window: … jobs have, and show in them.
//! - **The day of the week**, over all hours, against what these hours have on all days. Its prior is all pairs' day.
//! - **The hour of that day**, against the same hour of all days: offices that are closed on Sunday leave the night as it is. Its
//!   prior is the pair's day, in the shape that all pairs' day has. These are not interpolated: what opens on the hour on five
//!   days of seven has a step there on these only.
//!
//! So a pair that has seen few cycles, or has few requests, follows the common curve, then its own by the hour, and what runs at
//! two o'clock for twenty minutes is known as that after some nights.
//!
//! Days need more than hours, because the traffic of one Monday differs from the next by more than chance: the prior of
//! a day weighs as much as two whole usual ones.
//!
//! (With one factor for the hour and one for the day, a service that is used from eight to six on weekdays was missed each
//! evening and each weekend for as long as it was watched: six false drops a week of a single pair.)
//!
//! A cycle is learned also where it was suspect, up to a few times the usual: what comes back the same time each day is how
//! things are, and one odd hour is one of several cycles. What comes back after a week is known sooner: see
//! `aggregator/recurring`. Hours are of UTC: a factor needs no name, only a period.

mod cycle;
mod sum;
mod week;

use self::cycle::Cycle;
use self::sum::{Half, Sum};
use self::week::{DAYS, HOURS, Week};
use super::count::CLUSTERING;
use crate::Time;
use serde::{Deserialize, Serialize};

/// Weight of a prior, in events: with twenty a Poisson rate is known to about a quarter, which is what hours differ by.
const PRIOR_EVENTS: f64 = 20.0;
/// Cycles remembered: a week of days, two months of weeks.
const CYCLES: f64 = 8.0;
/// What a pool takes from one pair at most, in events an hour: the busiest shall not drown all others.
const POOL_EVENTS: f64 = 30.0;
/// What a pool remembers of each hour, in events.
const POOL_MEMORY: f64 = 20_000.0;
/// Factors stay within these: a job that runs ten minutes a day is at 144 times its mean, and nothing is at more.
const RANGE: (f64, f64) = (0.02, 144.0);

/// By so much a window under suspicion lifts what is usual at its time, at most: to be back at the usual the next day is no
/// drop. What comes back every day is learned all the same, if in more days.
const DOUBTED_LIFT: f64 = 0.25;

/// Squared standard deviations at which a prior is half believed: three of them.
const CONTRADICTED: f64 = 9.0;

/// By how much one cycle differs from the next, beyond chance: one Monday has half as much again as another.
const CYCLE_DIFFERS: f64 = 0.5;

const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;
const BINS_AN_HOUR: usize = 6;
/// Seconds.
const BIN: f64 = HOUR / BINS_AN_HOUR as f64;

/// The curve of a pair. 1,300 bytes.
pub type Season = Curve<Half>;

/// That of all pairs together.
pub type Pooled = Curve<f32>;

/// What was seen at which times of day and week, in sums of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    try_from = "Stored<S>",
    bound(deserialize = "S: Sum + Deserialize<'de>")
)]
pub struct Curve<S> {
    /// Ten minutes of the day, in groups of an hour.
    bins: Cycle<S>,
    /// Hours of the week, in groups of a day.
    week: Cycle<S>,
}

/// A curve out of a snapshot, which may be made up.
#[derive(Deserialize)]
struct Stored<S> {
    bins: Cycle<S>,
    week: Cycle<S>,
}

impl<S: Sum> TryFrom<Stored<S>> for Curve<S> {
    type Error = &'static str;

    fn try_from(Stored { bins, week }: Stored<S>) -> Result<Self, Self::Error> {
        if bins.is_of(HOURS, BINS_AN_HOUR) && week.is_of(DAYS, HOURS) {
            Ok(Self { bins, week })
        } else {
            Err("a season of other phases, or of sums that are none")
        }
    }
}

impl<S: Sum> Default for Curve<S> {
    fn default() -> Self {
        Self {
            bins: Cycle::new(HOURS, BINS_AN_HOUR),
            week: Cycle::new(DAYS, HOURS),
        }
    }
}

fn bin_of(at: Time) -> usize {
    usize::try_from((at.0 / 600_000) % 144).unwrap_or(0)
}

impl Season {
    /// Bytes of a season beside its own: events and seconds of each phase.
    pub const HEAP: usize = Cycle::<Half>::heap(HOURS * BINS_AN_HOUR + DAYS * HOURS);

    /// Learns that in `seconds` around `at` there were so many events. Where that is doubted, `usual` says how many there usually
    /// are, and no phase's mean is lifted by more than [`DOUBTED_LIFT`]. Returns how many the ten minutes have learned.
    pub fn learn(&mut self, at: Time, events: f64, seconds: f64, usual: Option<f64>) -> f64 {
        let (bin, hour) = (bin_of(at), week::hour_of(&self.week, at));
        let learned = |cycles: f64| match usual {
            Some(usual) => events.min(usual * (1.0 + DOUBTED_LIFT * (1.0 + cycles))),
            None => events,
        };
        let (_, watched) = self.bins.phase(bin);
        let ten_minutes = learned(watched / BIN);
        self.bins.add(bin, at, ten_minutes, seconds, CYCLES * BIN);
        let (_, watched) = self.week.phase(hour);
        self.week
            .add(hour, at, learned(watched / HOUR), seconds, CYCLES * HOUR);
        ten_minutes
    }
}

impl Pooled {
    /// Takes a pair's window into the curve of all pairs, by the pair's own mean rate, in events a second. A pool counts
    /// time in events expected, so that all pairs' curves lie on one another.
    pub fn pool(&mut self, at: Time, events: f64, seconds: f64, mean: f64) {
        if mean > 0.0 {
            let weight = (POOL_EVENTS / HOUR / mean).min(1.0);
            let (seen, expected) = (events * weight, seconds * mean * weight);
            let ten_minutes = POOL_MEMORY / BINS_AN_HOUR as f64;
            self.bins.add(bin_of(at), at, seen, expected, ten_minutes);
            let hour = week::hour_of(&self.week, at);
            self.week.add(hour, at, seen, expected, POOL_MEMORY);
        }
    }
}

impl<S: Sum> Curve<S> {
    /// Moves the level and keeps the curve.
    pub fn move_by(&mut self, factor: f64) {
        self.bins.scale(factor);
        self.week.scale(factor);
    }

    /// Events a second, over the phases that were seen.
    pub fn mean(&self) -> f64 {
        self.bins.mean()
    }

    /// How much of a whole day was seen, 0 to 1.
    pub fn coverage(&self) -> f64 {
        (self.bins.total_seconds() / DAY).min(1.0)
    }

    /// What multiplies the usual at a time; 1 on average. `pool` is the curve of all pairs.
    pub fn factor(&self, at: Time, pool: &Pooled) -> f64 {
        let bin = bin_of(at);
        let (mean, pooled) = (self.bins.mean(), pool.bins.mean());
        let against = |(seen, seconds): (f64, f64), mean: f64| (seen, seconds * mean);
        let hour = |h: usize| {
            let prior = ratio(against(pool.bins.group(h), pooled), 1.0, PRIOR_EVENTS);
            let whole = (mean * HOUR).max(PRIOR_EVENTS);
            ratio(against(self.bins.group(h), mean), prior, whole)
        };
        // How far the middle of the bin lies from the middle of its hour, in hours.
        let h = bin / BINS_AN_HOUR;
        let off = ((bin % BINS_AN_HOUR) as f64 + 0.5) / BINS_AN_HOUR as f64 - 0.5;
        let other = if off < 0.0 {
            h.wrapping_add(23)
        } else {
            h.wrapping_add(1)
        } % 24;
        let hours = hour(h) * (1.0 - off.abs()) + hour(other) * off.abs();
        let whole = (mean * BIN).max(PRIOR_EVENTS);
        let ten_minutes = ratio(against(self.bins.phase(bin), mean), hours, whole);
        ten_minutes * Week::of(&self.week).factor(at, &Week::of(&pool.week))
    }
}

/// What was seen against what was expected, drawn towards a prior with the weight of so many events. A prior that what was
/// seen contradicts weighs less, as one with heavy tails would (Student's t): it holds where there is nothing better.
fn ratio((seen, expected): (f64, f64), prior: f64, weight: f64) -> f64 {
    let spread =
        (1.0 + CLUSTERING) * (expected * prior + 1.0) + (CYCLE_DIFFERS * expected * prior).powi(2);
    let z2 = (seen - expected * prior).powi(2) / spread;
    let weight = weight / (1.0 + z2 / CONTRADICTED);
    ((seen + weight * prior) / (expected + weight)).clamp(RANGE.0, RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const WINDOW: f64 = 600.0;

    fn at(day: u64, bin: u64) -> Time {
        Time(day * 86_400_000 + bin * 600_000 + 300_000)
    }

    /// Days of a rate that is `busy` from nine to five and `quiet` else, in events a window.
    fn office(days: u64, quiet: f64, busy: f64) -> Season {
        let mut season = Season::default();
        for day in 0..days {
            for bin in 0..144 {
                let events = if (54..102).contains(&bin) {
                    busy
                } else {
                    quiet
                };
                season.learn(at(day, bin), events, WINDOW, None);
            }
        }
        season
    }

    #[test]
    fn a_pair_that_has_seen_some_days_follows_its_own_curve() {
        let (season, pool) = (office(5, 10.0, 60.0), Pooled::default());
        let ratio = season.factor(at(5, 80), &pool) / season.factor(at(5, 10), &pool);
        assert!((ratio / 6.0 - 1.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn one_that_has_seen_little_follows_the_curve_of_all() {
        let mut pool = Pooled::default();
        for day in 0..5 {
            for bin in 0..144 {
                let events = if (54..102).contains(&bin) { 6.0 } else { 1.0 };
                pool.pool(at(day, bin), events, WINDOW, 1.0 / 225.0);
            }
        }
        let young = Season::default();
        let ratio = young.factor(at(5, 80), &pool) / young.factor(at(5, 10), &pool);
        assert!(ratio > 4.0, "{ratio}");
    }

    #[test]
    fn a_nightly_job_is_known_at_its_ten_minutes_after_two_nights() {
        let mut season = Season::default();
        for day in 0..2 {
            for bin in 0..144 {
                season.learn(
                    at(day, bin),
                    if bin == 12 { 120.0 } else { 0.0 },
                    WINDOW,
                    None,
                );
            }
        }
        let pool = Pooled::default();
        assert!(season.factor(at(2, 12), &pool) > 50.0);
        assert!(season.factor(at(2, 40), &pool) < 1.0);
    }

    /// Weeks of ten events in each ten minutes, and sixty from eight to six on weekdays.
    fn weekdays(weeks: u64) -> Season {
        let mut season = Season::default();
        for day in 0..7 * weeks {
            for bin in 0..144 {
                season.learn(monday(day, bin), on_weekdays(day, bin), WINDOW, None);
            }
        }
        season
    }

    fn on_weekdays(day: u64, bin: u64) -> f64 {
        if day % 7 < 5 && (48..108).contains(&bin) {
            60.0
        } else {
            10.0
        }
    }

    /// The epoch's fifth day was a Monday.
    fn monday(day: u64, bin: u64) -> Time {
        at(day + 4, bin)
    }

    #[test]
    fn office_hours_are_known_on_weekdays_and_at_weekends_after_four_weeks() {
        let (season, pool) = (weekdays(4), Pooled::default());
        for day in 28..35 {
            for bin in 0..144 {
                let expected = season.mean() * WINDOW * season.factor(monday(day, bin), &pool);
                let off = expected / on_weekdays(day, bin);
                assert!((0.6..1.6).contains(&off), "{off} on day {day} at {bin}");
            }
        }
    }

    #[test]
    fn what_was_not_seen_yet_is_expected_as_what_was() {
        let (mut season, pool) = (Season::default(), Pooled::default());
        for bin in 60..75 {
            season.learn(at(0, bin), 3000.0, WINDOW, None);
            let factor = season.factor(at(0, bin + 1), &pool);
            assert!((factor - 1.0).abs() < 0.05, "{factor} after {bin}");
        }
    }

    #[test]
    fn moving_the_level_keeps_the_curve() {
        let (mut season, pool) = (office(5, 10.0, 60.0), Pooled::default());
        let before = (season.mean(), season.factor(at(5, 80), &pool));
        season.move_by(3.0);
        assert!((season.mean() / before.0 - 3.0).abs() < 1e-3);
        assert!((season.factor(at(5, 80), &pool) / before.1 - 1.0).abs() < 0.1);
    }

    #[test]
    fn a_stored_curve_of_other_phases_or_without_numbers_is_refused() {
        let stored = postcard::to_allocvec(&Season::default()).unwrap();
        let read = |bytes: &[u8]| postcard::from_bytes::<Season>(bytes);
        assert!(read(&stored).is_ok());
        // Behind two bytes each of length 144 events and seconds, a byte each; then the phases of a group.
        let phases = 2 * (2 + 144);
        assert_eq!(stored[phases], 6);
        let forged = |at: usize, bytes: &[u8]| [&stored[..at], bytes, &stored[at + 1..]].concat();
        for many in [&[0][..], &[7], &[0xff, 0xff, 0xff, 0xff, 0x0f]] {
            assert!(read(&forged(phases, many)).is_err(), "{many:?}");
        }
        for sum in [f32::NAN, f32::INFINITY, -1.0] {
            let half = postcard::to_allocvec(&((sum.to_bits() >> 16) as u16)).unwrap();
            assert!(read(&forged(2, &half)).is_err(), "{sum} events");
            assert!(read(&forged(phases - 1, &half)).is_err(), "{sum} seconds");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_seen_a_factor_is_within_its_range(
            seen in prop::collection::vec((0u64..20_000_000_000, 0.0f64..1e9, 0.0f64..86_400.0), 0..200), now in 0u64..20_000_000_000,
        ) {
            let (mut season, mut pool) = (Season::default(), Pooled::default());
            for (at, events, seconds) in seen {
                season.learn(Time(at), events, seconds, None);
                pool.pool(Time(at), events, seconds, season.mean());
            }
            let factor = season.factor(Time(now), &pool);
            prop_assert!(factor.is_finite() && factor > 0.0 && factor <= RANGE.1 * RANGE.1, "{factor}");
        }
    }
}
