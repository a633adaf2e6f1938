//! How much one window tells of the next.
//!
//! A busy quarter of an hour is busy in all of its windows. Taken one by one each is a little rare, and together they would be
//! rarer than anything: evidence that is summed must be of what is new in each. So what a pair's last windows let expect of the next
//! is learned, and taken out of it:
//!
//! ```text
//! z′ = (z − β m) / √(1 − ρ²)        m ← m + λ (z − m)
//! ```
//!
//! where z is the normal deviate of a window's place among those that were to be expected, m the mean of the deviates before it, the
//! last ones most, `β = E[z m] / E[m²]` how much of it comes again, and ρ the correlation of the two. These are the residuals of an
//! autoregression on a moving mean. (L. Alwan, H. Roberts, "Time-series modeling for statistical process control", Journal of Business &
//! Economic Statistics 6, 1988; on the last window alone, as there, what wanders slowly beneath the noise of small counts would
//! show in none and add up over all.) The first window of a burst is as rare as ever, and a level that has moved stays evidence: in full
//! until the mean has followed it, and 1 − β of it from then on.
//!
//! It only excuses: a window after low ones is no rarer than it is by itself.

use super::Tail;
use serde::{Deserialize, Serialize};
use statrs::function::erf::{erfc, erfc_inv};

/// What is learned of how windows follow one another. 12 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Wander {
    /// The moving mean m of deviates.
    before: f32,
    /// The mean product of a deviate and m before it.
    product: f32,
    /// The mean square of m.
    square: f32,
}

/// How far a window's excess is to be expected: the share β of what was before, and the standard deviation of the rest.
#[derive(Clone, Copy)]
struct Follows {
    share: f64,
    rest: f64,
}

/// λ: what the last window weighs in the mean. A tenth, as is customary for moving means that are to tell a small shift from noise.
const GAIN: f32 = 0.1;
/// Windows remembered.
const MEMORY: f64 = 300.0;
/// Weight of the prior that windows tell nothing of one another, in windows.
const PRIOR: f64 = 20.0;
/// The most that windows are taken to follow one another: beyond it a level that has moved would be no news at all.
const MOST: f64 = 0.9;
/// Less is chance: the mean product of so many independent windows is off by as much.
const LEAST: f64 = 0.05;
/// Deviates beyond these, one window in seven hundred, teach no more than these.
const CLIP: f32 = 3.0;
/// Rarer than this is not told apart.
const RAREST: f64 = 1e-30;

/// The deviate that is exceeded with this probability.
fn deviate(upper: f64) -> f64 {
    std::f64::consts::SQRT_2 * erfc_inv(2.0 * upper.clamp(RAREST, 1.0 - f64::EPSILON))
}

/// The probability that a deviate is exceeded.
fn upper(deviate: f64) -> f64 {
    erfc(deviate / std::f64::consts::SQRT_2) / 2.0
}

impl Wander {
    /// How extreme a window is after those before.
    pub fn after(&self, tail: Tail) -> Tail {
        let before = f64::from(self.before);
        Tail {
            up: self.excuse(tail.up, before),
            down: self.excuse(tail.down, -before),
        }
    }

    /// The tail probability of a high window that is as rare as `p` after those before: [`Wander::after`] backwards.
    pub fn high(&self, p: f64) -> f64 {
        let before = f64::from(self.before);
        match self.follows() {
            Some(Follows { share, rest }) if before > 0.0 && p < 0.5 => {
                upper(deviate(p) * rest + share * before).min(p)
            }
            _ => p,
        }
    }

    /// Learns a window that has followed the last one, with weight 0 to 1, where `windows` are known. It is by itself as extreme as
    /// `tail` says.
    pub fn learn(&mut self, tail: Tail, windows: f64, weight: f64) {
        // Its place is the middle of what it shares with its equals: most windows of a thin pair are empty.
        let place = f64::midpoint(tail.up, 1.0 - tail.down);
        let now = (deviate(place) as f32).clamp(-CLIP, CLIP);
        let gain = weight / (windows.min(MEMORY) + PRIOR);
        self.product += gain as f32 * (now * self.before - self.product);
        self.square += gain as f32 * (self.before * self.before - self.square);
        self.before += GAIN * (now - self.before);
    }

    /// How far windows follow those before, where they do.
    fn follows(&self) -> Option<Follows> {
        let (product, square) = (f64::from(self.product), f64::from(self.square));
        let rho = (product / square.sqrt()).min(MOST);
        // Not a number, too, while nothing is known.
        (rho >= LEAST).then(|| Follows {
            share: (product / square).min(1.0),
            rest: (1.0 - rho * rho).sqrt(),
        })
    }

    fn excuse(&self, p: f64, before: f64) -> f64 {
        match self.follows() {
            Some(Follows { share, rest }) if before > 0.0 && p < 0.5 => {
                upper((deviate(p) - share * before) / rest).clamp(p, 1.0)
            }
            _ => p,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The tail of a deviate.
    fn tail(z: f64) -> Tail {
        Tail {
            up: upper(z),
            down: upper(-z),
        }
    }

    /// Deviates of which each follows the last one by `rho`, from a seed.
    fn deviates(rho: f64, seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        let mut z = 0.0;
        std::iter::repeat_with(move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let uniform = ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            z = rho * z + (1.0 - rho * rho).sqrt() * deviate(uniform);
            z
        })
    }

    /// What has seen a thousand such windows.
    fn learned(rho: f64) -> Wander {
        let mut wander = Wander::default();
        for (windows, z) in deviates(rho, 1).take(1_000).enumerate() {
            wander.learn(tail(z), windows as f64, 1.0);
        }
        wander
    }

    #[test]
    fn windows_that_follow_one_another_are_seldom_rare_together() {
        let mut wander = learned(0.8);
        let (mut rare, mut runs) = (0, 0);
        let mut last = false;
        for z in deviates(0.8, 2).take(10_000) {
            let high = wander.after(tail(z)).up <= 0.02;
            rare += u32::from(high);
            runs += u32::from(high && last);
            last = high;
            wander.learn(tail(z), 300.0, 1.0);
        }
        // Of independent ones 200 and 4, of these by themselves some 200 and 90.
        assert!((20..=220).contains(&rare), "{rare}");
        assert!(runs <= 45, "{runs}");
    }

    #[test]
    fn windows_that_do_not_follow_one_another_are_taken_as_they_are() {
        let mut wander = learned(0.0);
        wander.before = 1.0;
        let after = wander.after(tail(3.0)).up;
        assert!(after < 2.5 * upper(3.0), "{after}");
    }

    #[test]
    fn a_level_that_moves_is_evidence_until_the_windows_before_have_followed_it() {
        let mut wander = learned(0.8);
        wander.before = 0.0;
        let mut after = Vec::new();
        for _ in 0..50 {
            after.push(wander.after(tail(3.0)).up);
            wander.learn(tail(3.0), 300.0, 0.0);
        }
        assert_eq!(after[0], upper(3.0));
        assert!(after[2] < 0.01 && after[49] > 0.02, "{after:?}");
        assert!(after.is_sorted(), "{after:?}");
    }

    proptest! {
        #[test]
        fn it_only_excuses(
            windows in prop::collection::vec((-40.0f64..40.0, 0.0f64..=1.0), 0..50), z in -40.0f64..40.0,
        ) {
            let mut wander = Wander::default();
            for (known, (z, weight)) in windows.into_iter().enumerate() {
                wander.learn(tail(z), known as f64, weight);
            }
            let (by_itself, after) = (tail(z), wander.after(tail(z)));
            prop_assert!((by_itself.up..=1.0).contains(&after.up), "{after:?}");
            prop_assert!((by_itself.down..=1.0).contains(&after.down), "{after:?}");
        }

        #[test]
        fn what_is_rare_enough_after_the_windows_before_is_found_backwards(
            before in -3.0f32..3.0, product in 0.0f32..1.0, square in 0.01f32..1.0, z in 0.1f64..8.0,
        ) {
            let wander = Wander { before, product, square };
            let p = upper(z);
            let back = wander.after(Tail { up: wander.high(p), down: 1.0 }).up;
            prop_assert!((deviate(back) - z).abs() < 1e-6, "{back} for {p}");
        }
    }
}
