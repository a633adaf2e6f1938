//! At what periods a pair's route is asked.
//!
//! Most clocks are the application's and not the caller's: a dashboard asks anew every thirty seconds whoever looks at it, a
//! phone polls while the app is open, a scrape goes on from another pod after a release. What somebody on the route
//! kept time by is no news of the next one, so that a timer is told once and not of each caller. Where the callers of a
//! route keep as many different times as are kept here, each has a clock of its own (devices that report), and one more
//! is no news either.
//!
//! What it hides: who calls home over a route, and at a period, that others poll it at.

use super::keyed::Keyed;
use serde::{Deserialize, Serialize};

/// Routes whose periods are kept, of some 50 bytes each: rhythms are of few routes, and a quarter of those that are followed
/// leaves each four callers.
const CAP: usize = 2048;
/// Periods of one route. A service has two or three timers on a route, and a poll that skips a turn shows as a multiple.
const KEPT: usize = 6;

/// The periods of all routes.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Periods {
    table: Keyed<Route>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Route {
    /// Seconds; 0 where there is none yet.
    periods: [f32; KEPT],
    /// When one of them was last met, in seconds since the epoch.
    met: u32,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            table: Keyed::new(CAP),
        }
    }
}

impl Periods {
    /// The same, out of a snapshot.
    pub(super) fn fit(mut self) -> Self {
        self.table = self.table.capped(CAP);
        self
    }

    /// Somebody keeps time on a pair's route, by their hash: from now on that period is known there, within `tolerated`
    /// seconds. Returns whether it is news.
    pub(super) fn meet(&mut self, route: u64, period: f32, tolerated: f32, now: u32) -> bool {
        let Some(route) = self.table.get_or_insert(route, Route::default, |r| r.met) else {
            return true;
        };
        route.met = now;
        let known = |p: &f32| *p > 0.0 && (*p - period).abs() <= tolerated;
        if route.periods.iter().any(known) {
            return false;
        }
        match route.periods.iter_mut().find(|p| **p == 0.0) {
            Some(place) => {
                *place = period;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_period_is_news_once_on_each_route() {
        let mut periods = Periods::default();
        assert!(periods.meet(1, 30.0, 1.75, 0));
        assert!(
            !periods.meet(1, 31.0, 1.75, 100),
            "within what is tolerated"
        );
        assert!(periods.meet(1, 60.0, 2.5, 200), "another");
        assert!(periods.meet(2, 30.0, 1.75, 300), "elsewhere");
    }

    #[test]
    fn where_everybody_keeps_a_time_of_its_own_one_more_is_no_news() {
        let mut periods = Periods::default();
        let told = (1..=100u8).filter(|i| periods.meet(1, 10.0 * f32::from(*i), 1.0, 0));
        assert_eq!(told.count(), KEPT);
    }

    #[test]
    fn routes_without_end_take_the_places_of_those_that_were_met_longest_ago() {
        let mut periods = Periods::default();
        for i in 0..50_000u32 {
            let _ = periods.meet(u64::from(i), 30.0, 1.75, i);
            assert!(!periods.meet(7, 30.0, 1.75, i) || i < 8);
        }
        assert_eq!(periods.table.len(), CAP);
    }
}
