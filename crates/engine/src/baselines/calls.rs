//! How many of a pair's calls each kind of request to its source brings.
//!
//! A service's calls follow from what it is asked for: a page that is shown needs its recommendations, a log-in needs none. So
//! a request to the source counts as exposure of the pair's calls by how many of them its route brings, against those that a
//! request brings on average:
//!
//! ```text
//! exposure = Σ n_r w_r
//! ```
//!
//! Nobody says which call came of which request. Windows tell them apart: of `y` calls in a window, `n_r w_r / Σ n w` are put
//! down to route r, and its weight becomes what was put down to each of its requests in the mean. That is expectation and
//! maximisation for a sum of Poisson counts (A. Dempster, N. Laird, D. Rubin, "Maximum likelihood from incomplete data via the
//! EM algorithm", Journal of the Royal Statistical Society B 39, 1977), a window a step (O. Cappé, E. Moulines, "On-line
//! expectation–maximization algorithm for latent data models", the same, B 71, 2009). The shortest windows are learned from:
//! the fewer requests one holds, the surer it is whose the calls are.
//!
//! Weights are against one another only. How many calls the average request brings is the pair's rate
//! ([`super::rate`]), which is held against drift and moves with what is believed; after each step the weights are scaled
//! so that what was seen has the exposure that it had. So who slowly makes more calls does not teach that requests bring more.
//!
//! What is asked in the same mix at all times tells nothing apart, and then a rush for one thing looks as if it brought what all
//! bring. So the largest share is known that each route has had of a window's requests, as well as what it brings is. Where one has
//! more, what follows from them excuses only. On thin traffic, where most windows have one request, no share is strange, and need
//! not be.
//!
//! A service with more than [`ROUTES`] routes shows the rest of them as one, which is never known: what is in it can be another thing
//! tomorrow, and anybody can fill the places before it with paths that he makes up.

use super::rate::Given;
use serde::{Deserialize, Serialize};

/// Routes of a service that are told apart, the last of which is all the rest. Services have a dozen; who has more shows the same few
/// most of the time.
pub const ROUTES: usize = 16;

/// Requests on a route after which what they bring is held against anybody: until then they may have brought nothing, or more than
/// the average.
const KNOWN: f64 = 20.0;
/// Requests on a route that are remembered: a release that calls another way is followed within so many.
const MEMORY: f64 = 1_000.0;
/// A window teaches as much as so many requests, at most. However many it has, it is one trial of what they bring, and on busy
/// traffic its noise would be taken for that: a route with a thousand requests a window would forget all before it.
const WINDOW: f64 = 20.0;
/// Weight of the average, in requests.
const PRIOR: f64 = 1.0;
/// One window's calls teach that so many times the expected were brought, at most: more is not brought but something else.
const MOST: f64 = 10.0;
/// No route brings less against the average: what brings nothing for long may be changed to bring something.
const LEAST: f64 = 1e-3;

/// A share of a window's requests is like one that is larger by so much.
const ALIKE: f64 = 0.1;

/// What each route of the source brings, in the order in which the source's routes are counted. 8 bytes a route.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    routes: Vec<Route>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Route {
    /// Calls that a request brings, against the average.
    weight: f32,
    /// Requests, up to the memory, in 64ths: where a window teaches as much as a few, a rare route has a part of one.
    seen: u16,
    /// About the largest share of a window's requests that it has had, in 65535ths: a larger one is taken over at the pace at
    /// which its weight is learned.
    largest: u16,
}

/// What a request seen counts as.
const ONE: f64 = 64.0;

/// Of which nothing is known yet.
const STRANGE: Route = Route {
    weight: 1.0,
    seen: 0,
    largest: 0,
};

impl Route {
    fn seen(&self) -> f64 {
        f64::from(self.seen) / ONE
    }
}

impl Calls {
    /// The exposure of the pair's calls in a window in which its source served so many requests on each route.
    pub fn given(&self, asked: &[u32]) -> Given {
        let mut given = Given::default();
        let all = total(asked);
        given.accuses = true;
        for (at, (route, &n)) in self.routes(asked.len()).zip(asked).enumerate() {
            let is_rest = at.saturating_add(1) >= ROUTES;
            let route = if is_rest { STRANGE } else { route };
            let (n, weight) = (f64::from(n), f64::from(route.weight));
            let known = route.seen() >= KNOWN;
            given.accuses &= n <= all * (f64::from(route.largest) / 65535.0 + ALIKE);
            given.likely += n * weight;
            given.least += if known { n * weight } else { 0.0 };
            given.most += if known {
                n * weight
            } else {
                n * weight.max(1.0)
            };
        }
        given
    }

    /// Learns a window with so many `calls` where `expected` followed from what was asked, with weight 0 to 1.
    pub fn learn(&mut self, asked: &[u32], calls: u64, expected: f64, weight: f64) {
        if weight <= 0.0 || expected <= 0.0 || asked.iter().all(|n| *n == 0) {
            return;
        }
        self.routes = self.routes(asked.len()).collect();
        let all = total(asked);
        let factor = (calls as f64 / expected).min(MOST);
        let before = self.exposed();
        let mut after = 0.0;
        for (route, &n) in self.routes.iter_mut().zip(asked) {
            let part = 65535.0 * f64::from(n) / all;
            let n = weight * f64::from(n) * (WINDOW / all).min(1.0);
            let seen = (route.seen() + n).min(MEMORY);
            let share = (n / (seen + PRIOR)).min(1.0);
            let more = (part - f64::from(route.largest)).max(0.0);
            route.largest = (f64::from(route.largest) + share * more).ceil() as u16;
            let w = f64::from(route.weight);
            after += route.seen() * w * (1.0 + share * (factor - 1.0));
            route.weight = (w + share * w * (factor - 1.0)).max(LEAST) as f32;
            route.seen = (seen * ONE).ceil() as u16;
        }
        let scale = before / after;
        if scale.is_finite() && scale > 0.0 {
            for route in &mut self.routes {
                route.weight = (f64::from(route.weight) * scale).clamp(LEAST, 1.0 / LEAST) as f32;
            }
        }
    }

    /// What is known of so many routes.
    fn routes(&self, count: usize) -> impl Iterator<Item = Route> + '_ {
        let known = self.routes.iter().copied();
        known.chain(std::iter::repeat(STRANGE)).take(count)
    }

    /// The exposure of all that was seen.
    fn exposed(&self) -> f64 {
        let each = |r: &Route| r.seen() * f64::from(r.weight);
        self.routes.iter().map(each).sum()
    }

    /// Bytes of what is known of so many routes.
    pub fn bytes(routes: usize) -> usize {
        routes.saturating_mul(size_of::<Route>())
    }
}

fn total(asked: &[u32]) -> f64 {
    asked.iter().map(|n| f64::from(*n)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// What has seen windows of requests on three routes, of which each brings so many calls, beside a rate that is learned, too.
    fn learned(brings: [u32; 3]) -> Calls {
        let (mut calls, mut state) = (Calls::default(), 1u64);
        let (mut came, mut exposed) = (1.0, 1.0);
        for _ in 0..3_000 {
            let asked = [(); 3].map(|()| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                u32::from((state >> 40) % 4 == 0)
            });
            let count: u32 = asked.iter().zip(brings).map(|(n, each)| n * each).sum();
            let likely = calls.given(&asked).likely;
            calls.learn(&asked, u64::from(count), came / exposed * likely, 1.0);
            came = 0.99 * came + f64::from(count);
            exposed = 0.99 * exposed + likely;
        }
        calls
    }

    #[test]
    fn what_each_route_brings_is_told_apart_by_the_windows_it_is_in() {
        let calls = learned([0, 1, 5]);
        let alone = |asked: [u32; 3]| calls.given(&asked).likely;
        let (none, one, five) = (alone([1, 0, 0]), alone([0, 1, 0]), alone([0, 0, 1]));
        assert!(none < 0.05 * one, "{none} against {one}");
        assert!((five / one - 5.0).abs() < 0.5, "{five} against {one}");
    }

    #[test]
    fn a_mix_of_requests_that_was_never_seen_accuses_nobody_however_it_goes_on() {
        let mut calls = Calls::default();
        for n in 0..300u32 {
            let asked = [16 + n % 5, 8 + n % 3];
            calls.learn(&asked, u64::from(asked[0]), calls.given(&asked).likely, 1.0);
        }
        assert!(calls.given(&[17, 9]).accuses);
        for _ in 0..20 {
            let asked = [17, 200];
            let given = calls.given(&asked);
            assert!(!given.accuses);
            calls.learn(&asked, 17, given.likely, 0.1);
        }
    }

    #[test]
    fn what_busy_routes_bring_does_not_run_away_with_the_noise_of_their_windows() {
        let (mut calls, mut state) = (Calls::default(), 1u64);
        for _ in 0..30_000 {
            let asked = [20_000, 200];
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // A twentieth more or fewer, evenly.
            let came = 19_190 + (state >> 33) % 2_021;
            calls.learn(&asked, came, 20_200.0, 1.0);
        }
        let [busy, rare] = [[1, 0], [0, 1]].map(|asked| calls.given(&asked).likely);
        assert!((rare / busy).ln().abs() < 1.0, "{busy} and {rare}");
        assert!(calls.routes.iter().all(|r| r.seen() >= KNOWN), "{calls:?}");
    }

    #[test]
    fn what_the_rest_of_the_routes_bring_accuses_nobody() {
        let (mut calls, mut asked) = (Calls::default(), [0; ROUTES]);
        for n in 0..300 {
            asked[n % ROUTES] += 1;
            calls.learn(&asked, 1, calls.given(&asked).likely, 1.0);
            asked[n % ROUTES] -= 1;
        }
        let accuses = |at: usize| {
            let mut asked = [0; ROUTES];
            asked[at] = 1;
            calls.given(&asked).accuses
        };
        assert!(accuses(0) && accuses(ROUTES - 2));
        assert!(!accuses(ROUTES - 1));
    }

    #[test]
    fn what_a_route_brings_that_is_hardly_known_is_held_against_nobody() {
        let given = learned([0, 1, 5]).given(&[0, 0, 0, 10]);
        assert!(given.least <= 0.0 && given.most >= 10.0, "{given:?}");
    }

    #[test]
    fn more_calls_than_ever_do_not_teach_that_requests_bring_more() {
        let mut calls = learned([1, 1, 1]);
        let asked = [2, 2, 2];
        let before = calls.given(&asked).likely;
        for _ in 0..500 {
            calls.learn(&asked, 12, calls.given(&asked).likely, 1.0);
        }
        let after = calls.given(&asked).likely;
        assert!((after / before - 1.0).abs() < 0.05, "{before} to {after}");
    }

    proptest! {
        #[test]
        fn whatever_was_seen_the_exposure_is_a_number_and_in_its_range(
            windows in prop::collection::vec((prop::collection::vec(0u32..1_000_000, 0..20), 0u64..1_000_000_000, 0.0f64..1e9, 0.0f64..=1.0), 0..50),
            asked in prop::collection::vec(0u32..u32::MAX, 0..20),
        ) {
            let mut calls = Calls::default();
            for (asked, came, expected, weight) in windows {
                calls.learn(&asked, came, expected, weight);
            }
            let Given { least, likely, most, .. } = calls.given(&asked);
            prop_assert!(least.is_finite() && least >= 0.0 && least <= likely && likely <= most && most.is_finite(), "{least} {likely} {most}");
        }
    }
}
