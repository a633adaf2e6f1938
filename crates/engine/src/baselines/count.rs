//! Counts against an exposure: a Gamma–Poisson model with learned dispersion.
//!
//! The rate is Gamma(a, b): `a` events were seen in `b` units of exposure. The exposure of a request rate is a window, times
//! what the time of day makes of it ([`super::season`]); of an error ratio, the window's requests. The next count then has
//! mean m = exposure · a/b and
//!
//! ```text
//! variance = m (1 + φ) + m² (κ + (1 + φ)/a)
//! ```
//!
//! - φ is the clustering: events come in sessions, retries and call trees, and a sum of clusters varies in proportion to
//!   its mean (1 + φ is the Fano factor). It is learned, by the method of moments. A form in which the variance grows with
//!   the square of the mean alone was tried: what it learned in a busy hour was too narrow for a quiet one. What keeps
//!   time (scrapes, health checks, a call that each request needs) varies less than chance: there φ is negative.
//! - κ is what no model of a rate gets rid of: a floor.
//! - (1 + φ)/a is what is not known yet about the rate: clusters teach as much as one event each.
//!
//! So one formula is right for a young pair (a small), one of independent calls (φ near 0), a bursty one (φ large) and a
//! regular one (φ negative). The tails are those of the negative binomial with that mean and variance; where the variance is
//! less than the mean, of the binomial. Its tail ends, and no clockwork is that good, so that a window in a hundred
//! is left to chance, that is to Poisson.
//!
//! One model serves ratios too, in place of a beta-binomial: where errors are rare the two agree; where they are common
//! this one has the wider tail, and alarms less. That buys one file in place of two.
//!
//! Forgetting: `a` and `b` are scaled down together when `b` outgrows the memory, which is exponential forgetting that
//! keeps the mean.

use super::Tail;
use super::anchor::Anchor;
use serde::{Deserialize, Serialize};
use statrs::function::{
    beta::checked_beta_reg,
    gamma::{checked_gamma_lr, checked_gamma_ur},
};

/// What is known before anything is seen.
#[derive(Clone, Copy, Debug)]
pub struct Prior {
    /// Events in `exposure`, as if seen.
    pub events: f64,
    /// Units of exposure, as if seen.
    pub exposure: f64,
    /// The clustering φ.
    pub clustering: f64,
}

/// How long a model remembers, in units of exposure.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The rate, at least: what is fast follows changes this fast.
    pub least: f64,
    /// The rate, at most: what is so thin that `least` holds too few events remembers up to this.
    pub most: f64,
    /// Windows over which the clustering is learned.
    pub spread: f64,
}

/// A learned rate and its clustering: what was seen, without the prior. 24 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct CountModel {
    events: f32,
    exposure: f32,
    /// Decayed sums of (x−m)²−m and of m, whose ratio is φ.
    excess: f32,
    mean: f32,
    anchor: Anchor,
    /// Logarithm of the rate that is believed against the one that was learned.
    held: f32,
}

/// Clustering where nothing is known of any: events in pairs, as a request and its retry.
pub const CLUSTERING: f64 = 1.0;
/// The least φ: the edges of windows alone make one count differ from the next.
const REGULAR: f64 = -0.9;
/// Standard deviations by which counts have to vary less than chance: ten windows that are alike may be chance.
const SURELY: f64 = 2.0;
/// The φ from which on counts are those of a clock, or of as many calls as each request needs.
const STEADY: f64 = -0.5;
/// Weight of a prior's clustering, in events.
const CLUSTERING_EVENTS: f64 = 5.0;
/// No real rate is so regular, and no model so right, that a window's mean is known to better than a tenth.
const KAPPA: f64 = 0.01;
/// Share of windows in which what is regular is not: a restart, a minute that was late.
const IRREGULAR: f64 = 0.01;
/// Clusters after which a rate is known to a tenth: what memory is stretched to hold.
const KNOWN: f64 = 100.0;
/// The most one window may teach about clustering, in standard deviations …
const CLIP: f64 = 4.0;
/// … but at least so many events: where nearly nothing is usual, a standard deviation is less than one.
const CLIP_EVENTS: f64 = 4.0;
/// Above this mean the count is as good as continuous, and the beta function's series gets long.
const CONTINUOUS: f64 = 5_000.0;

/// Counts up to which the tails are summed: fewer operations than the functions that have them whole, …
const FEW: u64 = 32;
/// … unless so little is left above that the sum's rounding would show.
const LEFT: f64 = 1e-3;

/// How a window's count is distributed.
#[derive(Clone, Copy)]
struct Expected {
    mean: f64,
    /// Variance over mean, less one: from [`REGULAR`] on.
    excess: f64,
}

impl CountModel {
    /// What is believed, or what was learned.
    fn expect(&self, prior: &Prior, exposure: f64, believed: bool) -> Expected {
        let events = f64::from(self.events) + prior.events;
        let held = if believed {
            f64::from(self.held).exp()
        } else {
            1.0
        };
        let mean = held * exposure * events / (f64::from(self.exposure) + prior.exposure).max(1e-9);
        let phi = self.surely(prior, mean);
        Expected {
            mean,
            excess: phi + mean * (KAPPA + (1.0 + phi) / events.max(1e-9)),
        }
    }

    /// The clustering φ, where windows hold `mean` events; of counts that vary less than chance what is sure of it.
    fn surely(&self, prior: &Prior, mean: f64) -> f64 {
        let phi = self.clustering(prior.clustering);
        if phi >= 0.0 {
            return phi;
        }
        // The estimate's variance over so many windows of independent events.
        let windows = f64::from(self.mean) / mean.max(1e-9);
        let variance = (2.0 + 1.0 / mean.max(1e-9)) / windows.max(1e-9);
        (phi + SURELY * variance.sqrt()).min(0.0)
    }

    /// Whether its counts are those of a clock: they surely vary by less than half of what chance would have them vary.
    pub fn is_steady(&self, prior: &Prior, exposure: f64) -> bool {
        self.surely(prior, self.expected(prior, exposure)) <= STEADY
    }

    /// Events expected in so much exposure.
    pub fn expected(&self, prior: &Prior, exposure: f64) -> f64 {
        self.expect(prior, exposure, true).mean
    }

    /// Exposure it has learned from, up to its memory.
    pub fn exposure(&self) -> f64 {
        f64::from(self.exposure)
    }

    /// The clustering φ, given what it is elsewhere: from −0.9 on.
    pub fn clustering(&self, prior: f64) -> f64 {
        let (excess, mean) = (f64::from(self.excess), f64::from(self.mean));
        ((excess + prior * CLUSTERING_EVENTS) / (mean + CLUSTERING_EVENTS)).max(REGULAR)
    }

    /// The rate, given what it is elsewhere.
    pub fn rate(&self, prior: &Prior) -> f64 {
        self.expected(prior, 1.0)
    }

    /// How extreme `count` is in so much exposure.
    pub fn tail(&self, prior: &Prior, count: u64, exposure: f64) -> Tail {
        self.expect(prior, exposure, true).tail(count)
    }

    /// The smallest count from `least` on whose upper tail is at most `p`.
    pub fn upper_limit(&self, prior: &Prior, exposure: f64, p: f64, least: u32) -> u32 {
        let expected = self.expect(prior, exposure, true);
        let (mut low, mut high) = (u64::from(least), u64::from(least));
        let mut step = 16u64;
        while expected.at_least(high) > p {
            low = high;
            high = high.saturating_add(step);
            step = step.saturating_mul(2);
            if high > u64::from(u32::MAX) {
                return u32::MAX;
            }
        }
        while high.saturating_sub(low) > 1 {
            let middle = low.midpoint(high);
            if expected.at_least(middle) > p {
                low = middle;
            } else {
                high = middle;
            }
        }
        u32::try_from(high).unwrap_or(u32::MAX)
    }

    /// Learns one window, with weight 0 to 1.
    pub fn learn(&mut self, prior: &Prior, count: u64, exposure: f64, weight: f64, memory: Memory) {
        let Expected { mean: m, excess } = self.expect(prior, exposure, false);
        let x = count as f64;
        let clip = (CLIP * (m * (1.0 + excess)).sqrt()).max(CLIP_EVENTS);
        let square = (x - m).powi(2).min(clip * clip);
        let keep = 1.0 - weight / memory.spread.max(1.0);
        self.excess = (f64::from(self.excess) * keep + weight * (square - m)) as f32;
        self.mean = (f64::from(self.mean) * keep + weight * m) as f32;
        let events = f64::from(self.events) + weight * x;
        let seen = f64::from(self.exposure) + weight * exposure;
        let rate = (events + prior.events) / (seen + prior.exposure).max(1e-9);
        let known = KNOWN * (1.0 + self.clustering(prior.clustering)) / rate.max(1e-9);
        let memory = known.clamp(memory.least, memory.most.max(memory.least));
        let scale = if seen > memory { memory / seen } else { 1.0 };
        self.events = (events * scale) as f32;
        self.exposure = (seen * scale) as f32;
    }

    /// Holds what is believed of the rate near its anchor, which follows it for so many days. Rates below `floor` are all
    /// one to it. Only what is believed is held: clustering is learned around what was, or a drift would teach it.
    pub fn hold(&mut self, prior: &Prior, floor: f64, days: f64) {
        let rate = self.expect(prior, 1.0, false).mean;
        let octaves = (rate + floor).log2() as f32;
        let held = self.anchor.hold(octaves, days as f32);
        let believed = (f64::from(held).exp2() - floor).max(0.0);
        self.held = if held == octaves {
            0.0
        } else {
            (believed / rate).max(f64::MIN_POSITIVE).ln() as f32
        };
    }

    /// Believes what was learned.
    fn let_go(&mut self) {
        self.anchor = Anchor::default();
        self.held = 0.0;
    }

    /// Moves the rate to `factor` times what it is, as if no more than `exposure` had been seen.
    pub fn move_by(&mut self, factor: f64, exposure: f64) {
        let keep = (exposure / self.exposure().max(1e-9)).min(1.0);
        self.events = (f64::from(self.events) * factor * keep) as f32;
        self.exposure = (self.exposure() * keep) as f32;
        self.let_go();
    }

    /// Moves the rate towards `usual`, by `factor` at most, as if no more than `exposure` had been seen. What it has come there by itself
    /// it has learned, but may not believe yet: the anchor was where it comes from.
    pub fn return_by(&mut self, factor: f64, usual: f64, exposure: f64) {
        let learned = f64::from(self.events) / self.exposure();
        let left = (usual / learned).ln() / factor.ln();
        if !left.is_nan() {
            self.move_by(factor.powf(left.clamp(0.0, 1.0)), exposure);
        }
    }

    /// Takes over a rate, as if it had been seen in so much exposure.
    pub fn adopt(&mut self, rate: f64, exposure: f64) {
        self.events = (rate * exposure) as f32;
        self.exposure = exposure as f32;
        self.let_go();
    }

    /// Takes one pair's window into a model of all pairs, as if it had had an exposure of at most `most`: the busiest pair
    /// shall not drown all others.
    pub fn pool(&mut self, prior: &Prior, count: u64, exposure: f64, most: f64, model: &Self) {
        let weight = (most / exposure.max(1e-9)).min(1.0);
        let m = model.expected(prior, exposure);
        let square = (count as f64 - m)
            .powi(2)
            .min(CLIP_EVENTS.max(CLIP * m).powi(2));
        // A window with many events says more about clustering than one with few, but not in proportion.
        let worth = weight / (1.0 + m);
        let keep = 1.0 - worth * m / POOL_EVENTS;
        self.excess = (f64::from(self.excess) * keep + worth * (square - m)) as f32;
        self.mean = (f64::from(self.mean) * keep + worth * m) as f32;
        let seen = f64::from(self.exposure) + weight * exposure;
        let scale = if seen > POOL_EXPOSURE {
            POOL_EXPOSURE / seen
        } else {
            1.0
        };
        self.events = ((f64::from(self.events) + weight * count as f64) * scale) as f32;
        self.exposure = (seen * scale) as f32;
    }
}

/// What a pool remembers: expected events, and units of exposure.
const POOL_EVENTS: f64 = 1_000.0;
const POOL_EXPOSURE: f64 = 100_000.0;

impl Expected {
    /// Its size, as a negative binomial's.
    fn size(&self) -> f64 {
        self.mean.max(1e-9) / self.excess.max(1e-9)
    }

    /// Both tails of a count, itself in either.
    fn tail(&self, k: u64) -> Tail {
        self.summed(k).unwrap_or_else(|| Tail {
            up: self.at_least(k),
            down: self.at_most(k),
        })
    }

    /// The same, term by term; `None` where there are many, or where too little is left for it to be exact.
    fn summed(&self, k: u64) -> Option<Tail> {
        if k > FEW {
            return None;
        }
        let m = self.mean;
        let (below, here) = if self.excess >= 0.0 {
            let r = self.size();
            let p = m / (m + r);
            terms(k, -r * (m / r).ln_1p(), p, (r - 1.0) * p)?
        } else {
            let q = -self.excess;
            let (odds, trials) = (q / (1.0 - q), m / q);
            // Beyond the last whole trial there are no terms.
            if k as f64 >= trials {
                return None;
            }
            let regular = terms(k, trials * (-q).ln_1p(), -odds, (trials + 1.0) * odds)?;
            let chance = terms(k, -m, 0.0, m)?;
            let mixed = |r: f64, c: f64| (1.0 - IRREGULAR) * r + IRREGULAR * c;
            (mixed(regular.0, chance.0), mixed(regular.1, chance.1))
        };
        let up = 1.0 - below;
        (up >= LEFT).then(|| Tail {
            up: sound(up),
            down: sound(below + here),
        })
    }

    /// P(X ≥ k).
    fn at_least(&self, k: u64) -> f64 {
        if self.excess >= 0.0 {
            at_least(k, self.mean, self.size())
        } else {
            let regular = regular_at_least(k as f64, self.mean, -self.excess);
            (1.0 - IRREGULAR) * regular + IRREGULAR * by_chance_at_least(k as f64, self.mean)
        }
    }

    /// P(X ≤ k).
    fn at_most(&self, k: u64) -> f64 {
        if self.excess >= 0.0 {
            at_most(k, self.mean, self.size())
        } else {
            let more = k as f64 + 1.0;
            let regular = 1.0 - regular_at_least(more, self.mean, -self.excess);
            let chance = 1.0 - by_chance_at_least(more, self.mean);
            (1.0 - IRREGULAR) * regular + IRREGULAR * chance
        }
    }
}

/// P(X < k) and P(X = k) where each term follows from the one before, pₖ = pₖ₋₁ (a + b/k), as those of the binomial, the Poisson and the
/// negative binomial distribution do (H. Panjer, "Recursive evaluation of a family of compound distributions", ASTIN Bulletin
/// 12, 1981). `none` is the logarithm of the first; `None` where that is too small to begin with.
fn terms(k: u64, none: f64, a: f64, b: f64) -> Option<(f64, f64)> {
    /// Far enough from the least number there is for what follows to keep its digits.
    const LEAST: f64 = -600.0;
    let (mut below, mut here) = (0.0, none.exp());
    for j in 1..=k {
        below += here;
        here *= (a + b / j as f64).max(0.0);
    }
    (none > LEAST).then_some((below, here))
}

/// P(X ≥ k) of a binomial with mean `m` and probability `q`: I_q(k, m/q − k + 1), for any number of trials, whole or not.
fn regular_at_least(k: f64, m: f64, q: f64) -> f64 {
    let beyond = m / q - k + 1.0;
    if k <= 0.0 {
        1.0
    } else if beyond <= 0.0 {
        0.0
    } else {
        sound(checked_beta_reg(k, beyond, q).unwrap_or(1.0))
    }
}

/// P(X ≥ k) of a Poisson variable with mean `m`: the regularised lower gamma function.
fn by_chance_at_least(k: f64, m: f64) -> f64 {
    if k <= 0.0 {
        1.0
    } else if m <= 0.0 {
        0.0
    } else {
        sound(checked_gamma_lr(k, m).unwrap_or(1.0))
    }
}

/// P(X ≥ k) of a negative binomial with mean `m` and size `r`: I_{m/(m+r)}(k, r).
fn at_least(k: u64, m: f64, r: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    let k = k as f64;
    let p = if m > CONTINUOUS {
        // Gamma of shape r and mean m, with half a count for continuity.
        checked_gamma_ur(r, r * (k - 0.5) / m).unwrap_or(1.0)
    } else {
        checked_beta_reg(k, r, m / (m + r)).unwrap_or(1.0)
    };
    sound(p)
}

/// P(X ≤ k) of the same.
fn at_most(k: u64, m: f64, r: f64) -> f64 {
    let p = if k == 0 {
        (-r * (m / r).ln_1p()).exp()
    } else if m > CONTINUOUS {
        1.0 - checked_gamma_ur(r, r * (k as f64 + 0.5) / m).unwrap_or(0.0)
    } else {
        checked_beta_reg(r, k as f64 + 1.0, r / (m + r)).unwrap_or(1.0)
    };
    sound(p)
}

/// A probability, whatever the arithmetic did: what is not a number says nothing.
pub(super) fn sound(p: f64) -> f64 {
    if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const PRIOR: Prior = Prior {
        events: 1.0,
        exposure: 1.0,
        clustering: CLUSTERING,
    };
    const MEMORY: Memory = Memory {
        least: 1000.0,
        most: 1000.0,
        spread: 500.0,
    };

    fn learned(counts: &[u64]) -> CountModel {
        let mut model = CountModel::default();
        for &c in counts {
            model.learn(&PRIOR, c, 1.0, 1.0, MEMORY);
        }
        model
    }

    proptest! {
        #[test]
        fn tails_are_probabilities_and_cover_every_count(
            counts in prop::collection::vec(0u64..2000, 0..200), next in 0u64..100_000, exposure in 0.0f64..1e6,
        ) {
            let t = learned(&counts).tail(&PRIOR, next, exposure);
            prop_assert!((0.0..=1.0).contains(&t.up) && (0.0..=1.0).contains(&t.down), "{t:?}");
            prop_assert!(t.up + t.down >= 1.0 - 1e-6, "the count itself is in both tails: {t:?}");
        }

        #[test]
        fn tails_summed_term_by_term_are_those_of_the_whole_functions(
            mean in 1e-6f64..400.0, excess in prop_oneof![-0.9f64..-1e-3, 1e-3f64..0.1, 0.1f64..50.0], k in 0u64..=FEW,
        ) {
            let expected = Expected { mean, excess };
            if let Some(summed) = expected.summed(k) {
                for (summed, whole) in [(summed.up, expected.at_least(k)), (summed.down, expected.at_most(k))] {
                    prop_assert!((summed / whole - 1.0).abs() < 1e-6 || (summed - whole).abs() < 1e-12, "{summed} and {whole}");
                }
            }
        }

        #[test]
        fn a_larger_count_is_never_less_extreme(
            counts in prop::collection::vec(0u64..500, 1..100), a in 0u64..5000, b in 0u64..5000,
        ) {
            let model = learned(&counts);
            let (small, large) = (model.tail(&PRIOR, a.min(b), 1.0).up, model.tail(&PRIOR, a.max(b), 1.0).up);
            prop_assert!(large <= small + 1e-9, "{large} > {small}");
        }

        #[test]
        fn the_limit_is_the_first_count_that_is_rare_enough(
            counts in prop::collection::vec(0u64..200, 1..100), exponent in 2.0f64..12.0,
        ) {
            let (model, p) = (learned(&counts), 10f64.powf(-exponent));
            let limit = u64::from(model.upper_limit(&PRIOR, 1.0, p, 1));
            prop_assert!(model.tail(&PRIOR, limit, 1.0).up <= p);
            prop_assert!(limit <= 1 || model.tail(&PRIOR, limit - 1, 1.0).up > p);
        }
    }

    #[test]
    fn tails_agree_with_the_distribution_summed_term_by_term() {
        let (m, r) = (7.0f64, 2.5f64);
        let ln_pmf = |k: f64| {
            use statrs::function::gamma::ln_gamma;
            ln_gamma(k + r) - ln_gamma(r) - ln_gamma(k + 1.0)
                + r * (r / (m + r)).ln()
                + k * (m / (m + r)).ln()
        };
        for k in [1u64, 5, 7, 20, 60] {
            let below: f64 = (0..k).map(|i| ln_pmf(i as f64).exp()).sum();
            assert!(
                (at_least(k, m, r) - (1.0 - below)).abs() < 1e-9,
                "P(X >= {k})"
            );
            assert!(
                (at_most(k, m, r) - below - ln_pmf(k as f64).exp()).abs() < 1e-9,
                "P(X <= {k})"
            );
        }
    }

    #[test]
    fn the_tails_of_what_is_regular_agree_with_the_distribution_summed_term_by_term() {
        use statrs::distribution::{Binomial, Discrete, Poisson};
        let (trials, q) = (20u32, 0.6);
        let mean = q * f64::from(trials);
        let (binomial, poisson) = (
            Binomial::new(q, trials.into()).unwrap(),
            Poisson::new(mean).unwrap(),
        );
        let expected = Expected { mean, excess: -q };
        let pmf = |k: u64| (1.0 - IRREGULAR) * binomial.pmf(k) + IRREGULAR * poisson.pmf(k);
        for k in [0u64, 1, 5, 12, 19, 20, 21, 40] {
            let below: f64 = (0..k).map(pmf).sum();
            assert!(
                (expected.at_least(k) - (1.0 - below)).abs() < 1e-9,
                "P(X >= {k})"
            );
            assert!(
                (expected.at_most(k) - below - pmf(k)).abs() < 1e-9,
                "P(X <= {k})"
            );
        }
    }

    #[test]
    fn what_keeps_time_is_missed_sooner_than_what_comes_by_chance() {
        // Both ten on average; of the latter's windows the variance is the mean.
        let regular = learned(&[10, 10, 9, 10, 11].repeat(80));
        let chance = learned(&[10, 6, 13, 11, 7, 14, 9, 10, 5, 15].repeat(40));
        assert!(chance.clustering(CLUSTERING).abs() < 0.1);
        let (missed, usual) = (
            regular.tail(&PRIOR, 4, 1.0).down,
            chance.tail(&PRIOR, 4, 1.0).down,
        );
        assert!(missed < usual / 10.0, "{missed} and {usual}");
    }

    #[test]
    fn counts_are_steady_where_many_windows_are_alike_and_not_where_they_came_by_chance() {
        let alike = [10, 10, 9, 10, 11];
        assert!(learned(&alike.repeat(80)).is_steady(&PRIOR, 1.0));
        assert!(
            !learned(&alike).is_steady(&PRIOR, 1.0),
            "too few to be sure"
        );
        let chance = [10, 6, 13, 11, 7, 14, 9, 10, 5, 15];
        assert!(!learned(&chance.repeat(40)).is_steady(&PRIOR, 1.0));
    }

    #[test]
    fn the_continuous_tail_joins_the_discrete_one() {
        let r = 10.0;
        for ratio in [0.5, 0.9, 1.1, 2.0] {
            let k = (CONTINUOUS * ratio) as u64;
            let (below, above) = (
                at_least(k, CONTINUOUS, r),
                at_least(k, CONTINUOUS + 1e-6, r),
            );
            assert!(
                (below / above - 1.0).abs() < 0.02,
                "at {ratio} × the mean: {below} and {above}"
            );
        }
    }

    #[test]
    fn a_bursty_pair_finds_a_burst_less_remarkable_than_a_steady_one() {
        let steady = learned(&[20; 200]);
        let bursty = learned(&[0, 0, 0, 80].repeat(50));
        assert!(steady.tail(&PRIOR, 80, 1.0).up < 1e-6);
        assert!(bursty.tail(&PRIOR, 80, 1.0).up > 1e-2);
    }

    #[test]
    fn a_young_model_is_modest() {
        let (young, old) = (learned(&[10]), learned(&[10; 300]));
        assert!(young.tail(&PRIOR, 40, 1.0).up > 1e3 * old.tail(&PRIOR, 40, 1.0).up);
    }
}
