//! When windows end, on a clock that may jump.
//!
//! Windows are aligned to the epoch. One ends when its time is over and a grace has passed in which the workers' last
//! batches arrive; until then batches of later windows wait.
//!
//! A window is *whole* when it was watched from start to end. One that was not (the aggregator began in it, the clock
//! jumped, a batch covers more time than the window) is closed, but says nothing about rates: too few requests in it
//! may just mean that nobody looked.

use crate::Time;
use crate::config::{MAX_WINDOWS, Span};
use crate::time::millis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after its end a window is kept open. Workers send each second and the aggregator looks each second, so the
/// last counts are at most two seconds late; what is later than this goes into the next window.
const GRACE: Duration = Duration::from_millis(1500);
/// Windows that may be made up for at once after the aggregator was held up. More than that was not a hold-up but a jump of
/// the clock, or a night without a log line.
const CATCH_UP: u64 = 64;

/// The clock of the shortest windows; the longer ones end with one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clock {
    start: Time,
    /// Milliseconds of each window length, shortest first.
    lengths: Vec<u64>,
    whole: Vec<bool>,
    /// Windows that begin before are not whole either. Whoever goes on by a snapshot is told anew.
    #[serde(skip)]
    unwatched: Time,
}

/// Windows that are due to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Start of the shortest window.
    pub start: Time,
    /// Its end.
    pub end: Time,
    /// For each window length that ends here, shortest first: its start, and whether it was whole.
    pub levels: Vec<(Time, bool)>,
}

impl Clock {
    /// A clock that begins to watch at `now`.
    pub fn new(lengths: impl Iterator<Item = Duration>, now: Time) -> Self {
        let lengths: Vec<u64> = lengths.map(|l| millis(l).max(1)).collect();
        let mut clock = Self {
            start: now,
            whole: vec![false; lengths.len()],
            lengths,
            unwatched: Time::default(),
        };
        clock.restart(now);
        clock
    }

    /// Whether it ticks in these lengths: one out of a snapshot may be of another configuration, or made up.
    pub fn fits(&self, lengths: impl Iterator<Item = Duration>) -> bool {
        self.whole.len() == self.lengths.len()
            && self
                .lengths
                .iter()
                .copied()
                .eq(lengths.map(|l| millis(l).max(1)))
    }

    /// The window lengths, as `1s, 1m`.
    pub(crate) fn lengths(&self) -> String {
        // One out of a snapshot may be made up, and of any length.
        let lengths = self.lengths.iter().take(MAX_WINDOWS.saturating_add(1));
        let spans = lengths.map(|l| Span::of(Duration::from_millis(*l)).to_string());
        spans.collect::<Vec<_>>().join(", ")
    }

    fn shortest(&self) -> Duration {
        Duration::from_millis(self.lengths.first().copied().unwrap_or(1))
    }

    /// Start of the current shortest window.
    pub fn start(&self) -> Time {
        self.start
    }

    /// End of the current shortest window.
    pub fn end(&self) -> Time {
        self.start.plus(self.shortest())
    }

    /// Begins anew at `now`: the windows that are open then are not whole.
    fn restart(&mut self, now: Time) {
        self.start = now.floor(self.shortest());
        self.whole.fill(false);
        self.unwatched = self.unwatched.min(now);
    }

    /// Says that the windows open now are not whole, nor those that begin before `until`.
    pub fn interrupted(&mut self, until: Time) {
        self.whole.fill(false);
        self.unwatched = self.unwatched.max(until);
    }

    /// The next windows that are over at `now`, if any. Call until there are none.
    pub fn next_due(&mut self, now: Time) -> Option<Due> {
        let shortest = self.shortest();
        let behind = now.since(self.end());
        // A clock set back by less than a window is waited for; by more, it is believed.
        let ahead = self.start.since(now);
        let too_far = millis(behind) > millis(shortest).saturating_mul(CATCH_UP);
        if ahead > shortest || too_far {
            self.whole.fill(false);
            let due = self.close();
            self.restart(now);
            return Some(due);
        }
        // By what has passed: at the end of time a window's end can't move on, and would be over for ever.
        (behind >= GRACE).then(|| self.close())
    }

    fn close(&mut self) -> Due {
        let (start, end) = (self.start, self.end());
        let mut levels = Vec::new();
        for (length, whole) in self.lengths.iter().zip(&mut self.whole) {
            if end.0.checked_rem(*length) != Some(0) {
                break;
            }
            levels.push((Time(end.0.saturating_sub(*length)), *whole));
            *whole = end >= self.unwatched;
        }
        self.start = end;
        Due { start, end, levels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn clock(now: u64) -> Clock {
        Clock::new([10, 60].into_iter().map(Duration::from_secs), Time(now))
    }

    #[test]
    fn at_the_end_of_time_no_window_is_over_for_ever() {
        let lengths = [Duration::from_secs(1), Duration::from_secs(10)];
        let mut clock = Clock::new(lengths.into_iter(), Time(1000));
        let end_of_time = Time(u64::MAX);
        let due = std::iter::from_fn(|| clock.next_due(end_of_time));
        assert!(due.take(100).count() < 100, "closing windows ends");
    }

    #[test]
    fn a_window_that_was_not_watched_from_its_start_is_not_whole() {
        let mut clock = clock(63_000);
        let due = clock.next_due(Time(71_500)).unwrap();
        assert_eq!(due.levels, [(Time(60_000), false)]);
        let due = clock.next_due(Time(81_500)).unwrap();
        assert_eq!(due.levels, [(Time(70_000), true)]);
    }

    #[test]
    fn windows_that_began_while_nobody_watched_are_not_whole() {
        let mut clock = clock(0);
        clock.interrupted(Time(20_000));
        let due = std::iter::from_fn(|| clock.next_due(Time(41_500)));
        let whole: Vec<_> = due.map(|due| due.levels.first().copied()).collect();
        let want = [(0, false), (10_000, false), (20_000, true), (30_000, true)];
        assert_eq!(whole, want.map(|(t, w)| Some((Time(t), w))));
    }

    #[test]
    fn a_longer_window_ends_with_the_shorter_one_that_ends_there() {
        let mut clock = clock(0);
        let mut long = Vec::new();
        for now in (0..300_000).step_by(1000) {
            while let Some(due) = clock.next_due(Time(now)) {
                long.extend(due.levels.get(1).copied());
            }
        }
        let want = [(0, false), (60_000, true), (120_000, true), (180_000, true)];
        assert_eq!(long, want.map(|(t, w)| (Time(t), w)));
    }

    proptest! {
        #[test]
        fn however_the_clock_jumps_it_goes_on_and_ends_where_now_is(jumps in prop::collection::vec(0u64..10_000_000_000, 1..30)) {
            let mut clock = clock(5_000_000_000);
            for now in jumps {
                let mut closed = 0;
                while clock.next_due(Time(now)).is_some() {
                    closed += 1;
                    prop_assert!(closed <= CATCH_UP + 3, "stuck at {now}");
                }
                prop_assert!(clock.start().0 <= now + 20_000, "left in the future");
                prop_assert!(clock.end().0 + 12_000 > now, "left in the past");
            }
        }
    }
}
