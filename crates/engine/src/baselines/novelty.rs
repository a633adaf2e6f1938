//! Whether something never seen before was to be expected.
//!
//! A closed population (five routes, all used daily) makes a sixth remarkable; an open one (a new path each minute)
//! makes it the rule. Good and Turing's estimate tells them apart: the probability that the next sample shows something
//! new is the share of things seen exactly once, Q₁/T, over T samples. (I. J. Good, "The population frequencies of species
//! and the estimation of population parameters", Biometrika 40, 1953; the form for samples that show several things at
//! once is A. Chao's.) A sample is one shortest window with traffic, because requests of one moment are not independent.
//!
//! It corrects itself: what is reported as new is, from then on, a thing seen once, and makes the next one less
//! remarkable until there is time behind it again.

/// The probability above which a novelty is taken as the way things are here: one window in fifty.
pub const REMARKABLE: f64 = 0.02;

/// The probability that a sample shows something new, after `samples` samples in which `once` things were seen in
/// exactly one. Half a thing is added, so that it is never nothing.
pub fn probability(once: usize, samples: u32) -> f64 {
    ((once as f64 + 0.5) / (f64::from(samples) + 1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_closed_population_makes_a_newcomer_remarkable_and_an_open_one_does_not() {
        assert!(probability(0, 100) < REMARKABLE);
        assert!(probability(30, 100) > REMARKABLE);
    }

    #[test]
    fn nothing_is_remarkable_after_a_handful_of_samples() {
        assert!(probability(0, 10) > REMARKABLE);
    }
}
