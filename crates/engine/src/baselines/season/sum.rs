//! How the sums of a season are kept: in 32 bits for all pairs together, in sixteen for each of them.
//!
//! A pair has three hundred phases. Half a binary32 has its range, and a step of one in 128 to 256. Rounded to the nearest such
//! number a sum would stand still as soon as what is added is less than half a step. So it is rounded up or down at random, up the
//! likelier the nearer that is, and is right on average: off by one in a hundred where a week's hour is the sum of some fifty
//! windows, by seven however little is added each time. (M. Croci and others, "Stochastic rounding: implementation, error
//! analysis and applications", Royal Society Open Science 9, 2022.) Chance is made of the sum and the time, so that the same
//! traffic teaches the same. The curve of all pairs takes a little of each of ten thousand, and is kept once: it is whole.

use serde::{Deserialize, Serialize};

/// A sum of what is not negative.
pub trait Sum: Copy + Default {
    /// What it holds.
    fn get(self) -> f64;
    /// What holds `x`, up to its precision. Where that needs chance, it is made of `chance`.
    fn of(x: f64, chance: u64) -> Self;
}

impl Sum for f32 {
    fn get(self) -> f64 {
        self.into()
    }

    fn of(x: f64, _: u64) -> Self {
        x as Self
    }
}

/// The upper half of a binary32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Half(u16);

/// Bits of a binary32 that half of it does without.
const DROPPED: u32 = 16;

impl Sum for Half {
    fn get(self) -> f64 {
        f32::from_bits(u32::from(self.0) << DROPPED).into()
    }

    /// Rounds up with the probability that the dropped bits are of a step.
    fn of(x: f64, chance: u64) -> Self {
        let bits = (x as f32).to_bits();
        // The finalizer of SplitMix64 (G. Steele and others, "Fast splittable pseudorandom number generators", OOPSLA 2014).
        let mut mixed = chance ^ (u64::from(bits) << 32);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let dither = (mixed >> 48) as u32;
        Self((bits.saturating_add(dither) >> DROPPED) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_added_little_by_little_is_in_a_half_on_average() {
        const SUMS: u64 = 100;
        let mut sums = [Half::default(); 100];
        for step in 0..10_000 {
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = Half::of(sum.get() + 0.1, step * SUMS + at as u64);
            }
        }
        let all: f64 = sums.iter().map(|sum| sum.get()).sum();
        assert!((all / 100_000.0 - 1.0).abs() < 0.03, "{all}");
    }

    proptest! {
        #[test]
        fn a_half_is_within_a_step_of_what_it_holds(x in 0.0f64..1e9, chance: u64) {
            let held = Half::of(x, chance).get();
            prop_assert!((held - x).abs() <= x / 128.0 + f64::from(f32::MIN_POSITIVE), "{held}");
        }

        #[test]
        fn what_a_half_has_the_bits_for_it_holds_exactly(windows in 0u16..256, chance: u64) {
            let x = f64::from(windows) * 64.0;
            prop_assert_eq!(Half::of(x, chance).get(), x);
        }
    }
}
