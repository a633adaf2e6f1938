//! The hours of the day that a pair keeps, for rules that refer to them.
//!
//! For each hour (UTC) the days on which the pair had traffic in it. An hour is kept once it was seen on two days: one day is
//! an accident, and whoever intrudes at night shall not be usual the next night. What is under suspicion is not learned.

use crate::Time;
use serde::{Deserialize, Serialize};

const HOURS: usize = 24;
const HOUR: u64 = 3_600_000;
/// Days that make an hour kept.
const DAYS_KEPT: u8 = 2;
/// Days a single hour's count may reach: then all are halved, so that what is not done any more fades within two months.
const MOST_DAYS: u8 = 60;

/// The hours a pair keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Habits {
    days: [u8; HOURS],
    /// The last hour learned, in hours since the epoch.
    last: u32,
}

impl Habits {
    /// Learns that there was traffic.
    pub(super) fn learn(&mut self, at: Time) {
        let hours = at.0 / HOUR;
        let now = u32::try_from(hours).unwrap_or(u32::MAX);
        if now <= self.last {
            return;
        }
        self.last = now;
        let of_day = usize::try_from(hours % 24).unwrap_or(0);
        let Some(days) = self.days.get_mut(of_day) else {
            return;
        };
        *days = days.saturating_add(1);
        if *days >= MOST_DAYS {
            self.days.iter_mut().for_each(|d| *d /= 2);
        }
    }

    /// The hours kept, one bit each from midnight on; `None` where there is none.
    pub(super) fn kept(&self) -> Option<u32> {
        let kept = self
            .days
            .iter()
            .rev()
            .fold(0u32, |set, days| (set << 1) | u32::from(*days >= DAYS_KEPT));
        (kept != 0).then_some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const DAY: u64 = 24 * HOUR;

    #[test]
    fn an_hour_is_kept_from_its_second_day_on() {
        let mut habits = Habits::default();
        for minute in 0..60 {
            habits.learn(Time(10 * DAY + 9 * HOUR + minute * 60_000));
        }
        assert_eq!(habits.kept(), None);
        habits.learn(Time(11 * DAY + 9 * HOUR));
        habits.learn(Time(11 * DAY + 23 * HOUR));
        assert_eq!(habits.kept(), Some(1 << 9));
    }

    #[test]
    fn what_is_not_done_any_more_fades() {
        let mut habits = Habits::default();
        for day in 0..200 {
            habits.learn(Time(DAY * (day + 1)));
            if day < 4 {
                habits.learn(Time(DAY * (day + 1) + 5 * HOUR));
            }
        }
        assert_eq!(habits.kept(), Some(1));
    }

    #[test]
    fn a_clock_set_back_counts_no_day_twice() {
        let mut habits = Habits::default();
        habits.learn(Time(10 * DAY));
        habits.learn(Time(9 * DAY));
        assert_eq!(habits.kept(), None);
    }
}
