//! How prone to fail one route of a pair is against its others.
//!
//! Where a tenth of log-ins is refused and a tenth of what a crawler asks for is not there any more, a pair's share of errors
//! follows from what it is asked: a busy morning and a visit of the crawler are no news. So a window's requests count as
//! exposure to an outcome by how prone their route is to it,
//!
//! ```text
//! proneness = (events of the route + s) / (events expected of it + s)
//! ```
//!
//! where expected is what the route's requests would have at the share of all the pair's. It is the posterior mean of a
//! Gamma–Poisson model whose prior has mean 1 and the weight of `s` events. Over all routes the mean of it is about 1, so that
//! what is learned of the pair's share ([`super::count`]) stays its share.

use crate::counters::{Failures, Tallies};
use serde::{Deserialize, Serialize};

/// Weight of the prior, in events: one alone is no habit.
const PRIOR: f64 = 1.0;
/// Requests remembered, as many as the share of the pair remembers.
const MEMORY: f32 = 5_000.0;

/// Requests, and how many of them failed. 16 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    requests: f32,
    failed: Failures<f32>,
}

impl From<&Tallies> for Outcomes {
    fn from(t: &Tallies) -> Self {
        Self {
            requests: t.requests as f32,
            failed: t.failures().map(|n| n as f32),
        }
    }
}

impl Outcomes {
    /// Adds all of `other`, with weight 0 to 1.
    pub fn add(&mut self, other: &Self, weight: f32) {
        self.requests += weight * other.requests;
        for (mine, theirs) in self.failed.iter_mut().zip(other.failed) {
            *mine += weight * theirs;
        }
    }

    /// Forgets what is beyond the memory.
    pub fn forget(&mut self) {
        if self.requests > MEMORY {
            let keep = MEMORY / self.requests;
            self.requests *= keep;
            self.failed = self.failed.map(|n| n * keep);
        }
    }

    /// How much more prone to fail than `all`, of which it is part, it is: 1 is as prone.
    pub fn proneness(&self, all: &Self) -> Failures<f32> {
        let part = f64::from(self.requests) / f64::from(all.requests).max(1.0);
        let mut prone = [1.0; 3];
        for ((prone, mine), all) in prone.iter_mut().zip(self.failed).zip(all.failed) {
            *prone = ((f64::from(mine) + PRIOR) / (f64::from(all) * part + PRIOR)) as f32;
        }
        prone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn outcomes(requests: f32, failed: Failures<f32>) -> Outcomes {
        Outcomes { requests, failed }
    }

    #[test]
    fn the_route_that_fails_is_prone_to_and_the_others_are_not() {
        let (log_in, items) = (
            outcomes(100.0, [0.0, 0.0, 10.0]),
            outcomes(900.0, [0.0, 0.0, 0.0]),
        );
        let mut all = log_in;
        all.add(&items, 1.0);
        let ([_, _, more], [_, _, less]) = (log_in.proneness(&all), items.proneness(&all));
        assert!(more > 5.0 && less < 0.2, "{more} and {less}");
    }

    #[test]
    fn one_route_alone_is_as_prone_as_its_pair() {
        let only = outcomes(1000.0, [7.0, 0.0, 300.0]);
        assert_eq!(only.proneness(&only), [1.0; 3]);
    }

    proptest! {
        #[test]
        fn what_routes_are_exposed_to_together_is_at_most_twice_what_they_are_asked(
            n in prop::array::uniform2(1.0f32..5_000.0), of in prop::array::uniform2(0.0f32..=1.0),
        ) {
            let [a, b] = [0, 1].map(|i: usize| outcomes(n[i], [n[i] * of[i]; 3]));
            let mut all = a;
            all.add(&b, 1.0);
            let exposed = f64::from(n[0] * a.proneness(&all)[0] + n[1] * b.proneness(&all)[0]);
            let asked = f64::from(n[0] + n[1]);
            prop_assert!(exposed > 0.0 && exposed <= 2.001 * asked, "{exposed} of {asked}");
        }

        #[test]
        fn whatever_was_seen_proneness_is_positive_and_finite(
            mine in prop::array::uniform4(0.0f32..1e9), rest in prop::array::uniform4(0.0f32..1e9),
        ) {
            let mine = outcomes(mine[0], [mine[1], mine[2], mine[3]]);
            let mut all = mine;
            all.add(&outcomes(rest[0], [rest[1], rest[2], rest[3]]), 1.0);
            for p in mine.proneness(&all) {
                prop_assert!(p.is_finite() && p > 0.0, "{p}");
            }
        }
    }
}
