//! Requests like clockwork: one caller asks for one route of a pair at a fixed period. `beaconing`
//!
//! For each pair, caller and route the last beat and the running period are kept. A request that comes within
//! [`tolerance`] of a period after the last beat is a match. If the requests were strewn at random, with the log of the gap
//! no denser than [`DENSEST`] a nat anywhere (an exponential reaches 1/e, people who click at their own pace about 1), a
//! window as wide as w around the period T would be hit with probability at most p = DENSEST·w/T; requests that came early
//! show that more of them were about, and each makes p larger by as much: p = 1 − exp(−(1 + early)·w/T). So a match
//! multiplies an e-value by 1/p, and a period that is missed ends it. An alarm is raised where the e-value outweighs
//! the false alarms tolerated over all gaps that are seen: each of them may begin a rhythm, and by Ville's inequality one
//! that is none reaches A with probability at most 1/A.
//!
//! Most rhythms are meant: health checks, scrapes, nightly jobs. One that is found while the proxy or its pair is young is
//! known from then on, and so is one that was alerted: it may pause, come back and change its period. What another caller
//! of the route kept time by is known, too: see [`super::periods`]. So is the time that the route as a whole keeps: jobs of one
//! schedule that any of several pods takes up come from each of them at multiples of its period, for as long as chance has it.
//!
//! Limits: time is in whole seconds (that of a batch), so that periods below [`SHORTEST`] tell nothing; two rhythms of one
//! caller on one route hide each other; whoever changes the route or jitters by more than a twentieth is not seen. At
//! most [`CAP`] rhythms of 48 bytes are followed; what is made up competes with its like.

use super::keyed::Keyed;
use super::periods::Periods;
use crate::Time;
use serde::{Deserialize, Serialize};

/// Rhythms followed at once.
const CAP: usize = 8192;
/// Seconds of the shortest and longest period. Below, a second's resolution is no match; above, a night has too few beats.
const SHORTEST: u32 = 5;
const LONGEST: u32 = 3600;
/// How dense the logarithm of gaps may be at its densest, per nat: see the module's words.
const DENSEST: f64 = 1.0;
/// Early requests that a period bears: more of them, and it is no rhythm that is heard through them.
const MOST_EARLY: u8 = 8;
/// Beats that must match at least, whatever their weight: fewer are a coincidence a person would shrug at.
const FEWEST: u16 = 5;
/// Matches after which the period is an average over as many.
const AVERAGED: f32 = 8.0;
const WEEK: f64 = 7.0 * 86_400.0;

/// All rhythms that are followed.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Rhythms {
    table: Keyed<Rhythm>,
    periods: Periods,
    /// Gaps seen, and the seconds they were seen in: how many rhythms may begin in a week.
    gaps: f64,
    span: f64,
    last: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Rhythm {
    /// Seconds since the epoch of the last beat, and of the first of the run.
    beat: u32,
    since: u32,
    /// Seconds; 0 while there is none.
    period: f32,
    /// Logarithm of the e-value.
    evidence: f32,
    beats: u16,
    early: u8,
    /// Whether it is meant, or was told.
    known: bool,
}

/// A rhythm that is worth an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beacon {
    /// Seconds.
    pub(super) period: f64,
    /// Beats that matched.
    pub(super) beats: u16,
    /// When it began.
    pub(super) since: Time,
    /// Nats of evidence, and how many were needed.
    pub(super) evidence: f64,
    pub(super) needed: f64,
}

impl Default for Rhythms {
    fn default() -> Self {
        Self {
            table: Keyed::new(CAP),
            periods: Periods::default(),
            gaps: 0.0,
            span: 0.0,
            last: 0,
        }
    }
}

/// Seconds a beat may be off: a fortieth of the period (a jitter of two hundredths, and what the running mean is off), and
/// the second that batches are cut at.
fn tolerance(period: f64) -> f64 {
    1.0 + period / 40.0
}

/// Seconds since the epoch.
fn whole(at: Time) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(u32::MAX)
}

impl Rhythms {
    /// The same, out of a snapshot.
    pub(super) fn fit(mut self) -> Self {
        self.table = self.table.capped(CAP);
        self.periods = self.periods.fit();
        self
    }

    /// A request of anybody on a pair's route, by its hash. To be told before those of its callers.
    pub(super) fn pulse(&mut self, route: u64, at: Time) {
        let now = whole(at);
        if let Some(rhythm) = self.follow(route, now) {
            rhythm.hear(now);
        }
    }

    fn follow(&mut self, key: u64, now: u32) -> Option<&mut Rhythm> {
        let fresh = || Rhythm {
            beat: now,
            since: now,
            ..Rhythm::default()
        };
        let worth = |r: &Rhythm| (r.known, r.evidence.to_bits(), r.beat);
        self.table.get_or_insert(key, fresh, worth)
    }

    /// A request of a caller on a pair's route, by the hash of all and that of the route. `learning` says that rhythms found
    /// now are meant. `per_week` is how many may be alerted in a week where there is none.
    pub(super) fn beat(
        &mut self,
        key: u64,
        route: u64,
        at: Time,
        learning: bool,
        per_week: f64,
    ) -> Option<Beacon> {
        let now = whole(at);
        // A hole in the time is no time in which there was a gap.
        self.span += f64::from(now.saturating_sub(self.last).min(LONGEST));
        self.last = self.last.max(now);
        self.gaps += 1.0;
        let gaps_a_week = self.gaps * WEEK / self.span.max(f64::from(LONGEST));
        let followed = self.follow(key, now)?;
        followed.hear(now);
        let rhythm = *followed;
        if rhythm.known || rhythm.beat != now {
            return None;
        }
        let needed = (gaps_a_week / per_week.max(1e-9)).max(1.0).ln();
        if f64::from(rhythm.evidence) < needed || rhythm.beats < FEWEST {
            return None;
        }
        if self.table.get(route).is_some_and(|p| p.gives(&rhythm)) {
            return None;
        }
        self.table.get_mut(key)?.known = true;
        let tolerated = tolerance(f64::from(rhythm.period)) as f32;
        let news = self.periods.meet(route, rhythm.period, tolerated, now);
        (news && !learning).then(|| Beacon {
            period: f64::from(rhythm.period),
            beats: rhythm.beats,
            since: Time(u64::from(rhythm.since).saturating_mul(1000)),
            evidence: f64::from(rhythm.evidence),
            needed,
        })
    }
}

impl Rhythm {
    /// Whether a caller's rhythm is this one, of the route as a whole, shared out: it comes on its beat, at a multiple of its
    /// period, and is no more than the part of it that the caller happened to get.
    fn gives(&self, caller: &Self) -> bool {
        let (period, shared) = (f64::from(self.period), f64::from(caller.period));
        let turns = (shared / period).round();
        self.beat == caller.beat
            && self.beats >= caller.beats.saturating_add(FEWEST)
            && (shared - turns * period).abs() <= tolerance(shared)
    }

    fn hear(&mut self, now: u32) {
        let gap = now.saturating_sub(self.beat);
        if gap == 0 {
            return;
        }
        let (t, period) = (f64::from(gap), f64::from(self.period));
        let tolerated = tolerance(period);
        if period > 0.0 && (t - period).abs() <= tolerated {
            // The window in whole seconds.
            let width = 2.0 * tolerated.floor() + 1.0;
            let dense = DENSEST * (1.0 + f64::from(self.early)) * width / period;
            self.evidence -= (1.0 - (-dense).exp()).ln() as f32;
            self.beats = self.beats.saturating_add(1);
            self.period += (gap as f32 - self.period) / f32::from(self.beats).min(AVERAGED);
            self.beat = now;
            self.early = 0;
        } else if t < period && self.beats > 0 && self.early < MOST_EARLY {
            self.early = self.early.saturating_add(1);
        } else {
            // The last beat, or what was taken for one, begins the next run.
            let fits = (SHORTEST..=LONGEST).contains(&gap);
            self.period = if fits { gap as f32 } else { 0.0 };
            self.since = self.beat;
            self.beat = now;
            self.evidence = 0.0;
            self.beats = 0;
            self.early = 0;
        }
    }
}

/// A period in words: `every 45 seconds`, `every 5 minutes`.
pub(super) fn words(period: f64) -> String {
    let seconds = period.round();
    let minutes = (period / 60.0).round();
    if minutes >= 2.0 && (period / 60.0 - minutes).abs() < 0.1 {
        return format!("every {minutes} minutes");
    }
    format!("every {seconds} seconds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn unit(state: &mut u64) -> f64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((*state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn seconds(t: f64) -> Time {
        Time((t * 1000.0) as u64)
    }

    /// Beats until it is told, of a rhythm with a jitter of 2 %.
    fn heard(period: f64, jitter: f64) -> Option<u16> {
        let (mut rhythms, mut state, mut t) = (Rhythms::default(), 7u64, 1e6);
        (0..400).find_map(|_| {
            t += period * (1.0 + jitter * (2.0 * unit(&mut state) - 1.0));
            rhythms
                .beat(1, 1, seconds(t), false, 0.1)
                .map(|beacon| beacon.beats)
        })
    }

    #[test]
    fn a_beacon_is_heard_within_a_score_of_beats_at_any_period() {
        for period in [6.0, 10.0, 33.0, 60.0, 300.0, 1800.0] {
            let beats = heard(period, 0.02);
            assert!(
                beats.is_some_and(|b| b <= 25),
                "{beats:?} beats of {period} s"
            );
        }
    }

    #[test]
    fn what_jitters_by_a_third_is_no_rhythm() {
        assert_eq!(heard(60.0, 0.33), None);
    }

    #[test]
    fn requests_at_random_and_at_a_persons_pace_stay_within_the_tolerated_false_alarms() {
        let (mut rhythms, mut state, mut told) = (Rhythms::default(), 7u64, 0);
        // 200 callers a week: exponential gaps, and gaps with a third's deviation around their mean.
        for caller in 0..200u64 {
            let mean = 10.0 * (1.0 + (caller % 40) as f64);
            let mut t = 1e6;
            while t < 1e6 + WEEK {
                t += if caller % 2 == 0 {
                    -unit(&mut state).ln() * mean
                } else {
                    let normal = (0..12).map(|_| unit(&mut state)).sum::<f64>() - 6.0;
                    mean * (normal / 3.0).exp()
                };
                told += u32::from(
                    rhythms
                        .beat(caller, caller, seconds(t), false, 1.0)
                        .is_some(),
                );
            }
        }
        assert!(told <= 2, "{told} told");
    }

    #[test]
    fn a_rhythm_that_is_meant_may_pause_and_come_back_at_another_period() {
        let mut rhythms = Rhythms::default();
        let mut t = 0.0;
        let mut run = |period: f64, beats: u32, learning: bool| {
            (0..beats).any(|_| {
                t += period;
                rhythms.beat(1, 1, seconds(t), learning, 0.1).is_some()
            })
        };
        assert!(!run(15.0, 100, true), "learned, not told");
        assert!(
            !run(86_400.0, 1, false) && !run(30.0, 100, false),
            "known by now"
        );
    }

    #[test]
    fn other_requests_in_between_weaken_a_rhythm_and_do_not_hide_it() {
        let (mut rhythms, mut state, mut told) = (Rhythms::default(), 3u64, false);
        let mut times: Vec<f64> = (1..60).map(|i| 1e6 + f64::from(i) * 300.0).collect();
        times.extend((0..20).map(|_| 1e6 + unit(&mut state) * 18_000.0));
        times.sort_by(f64::total_cmp);
        for t in times {
            told |= rhythms.beat(1, 1, seconds(t), false, 0.1).is_some();
        }
        assert!(told);
    }

    /// Times of a clock, in seconds from a million on, each a little late.
    fn ticks(period: f64, count: u32, state: &mut u64) -> Vec<f64> {
        (1..=count)
            .map(|i| 1e6 + f64::from(i) * period + 0.2 * unit(state))
            .collect()
    }

    #[test]
    fn a_timer_is_told_once_and_not_of_each_caller_that_has_it() {
        let (mut rhythms, mut state, mut told) = (Rhythms::default(), 5u64, Vec::new());
        for caller in 0..20u64 {
            for t in ticks(30.0, 60, &mut state) {
                let at = seconds(t + 1801.0 * caller as f64);
                rhythms.pulse(9, at);
                if rhythms.beat(100 + caller, 9, at, false, 0.1).is_some() {
                    told.push(caller);
                }
            }
        }
        assert_eq!(told, [0]);
    }

    /// A week of one schedule whose jobs any of three pods takes up, and whatever else is added; who is told of.
    fn shared(more: impl IntoIterator<Item = (f64, u64)>) -> Vec<u64> {
        let (mut rhythms, mut state) = (Rhythms::default(), 5u64);
        let mut times: Vec<(f64, u64)> = ticks(30.0, 20_160, &mut state)
            .into_iter()
            .map(|t| (t, (unit(&mut state) * 3.0) as u64))
            .chain(more)
            .collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut told = Vec::new();
        for (t, caller) in times {
            rhythms.pulse(9, seconds(t));
            told.extend(
                rhythms
                    .beat(100 + caller, 9, seconds(t), false, 0.1)
                    .map(|_| caller),
            );
        }
        told
    }

    #[test]
    fn jobs_of_one_schedule_are_no_rhythm_of_the_pods_that_take_them_up() {
        assert_eq!(shared([]), Vec::<u64>::new());
    }

    #[test]
    fn who_calls_home_beside_a_schedule_is_told() {
        for period in [10.0, 45.0, 60.0, 300.0] {
            let home = (0..60).map(|i| (1_100_011.0 + period * f64::from(i), 7u64));
            assert_eq!(shared(home), [7], "every {period} s");
        }
    }

    proptest! {
        #[test]
        fn however_the_clock_jumps_nothing_breaks(times in prop::collection::vec(any::<u64>(), 1..50)) {
            let mut rhythms = Rhythms::default();
            for t in times {
                let _ = rhythms.beat(1, 1, Time(t), false, 1.0);
            }
        }
    }

    #[test]
    fn a_period_is_told_as_people_say_it() {
        assert_eq!(words(300.4), "every 5 minutes");
        assert_eq!(words(59.8), "every 60 seconds");
        assert_eq!(words(9.96), "every 10 seconds");
    }
}
