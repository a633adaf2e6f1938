//! How many different things were seen, in eight bytes.
//!
//! Linear counting (K.-Y. Whang, B. T. Vander-Zanden, H. M. Taylor, "A linear-time probabilistic counting algorithm for
//! database applications", ACM Transactions on Database Systems 15, 1990): each thing sets one of m = 64 bits by its hash,
//! and from the share v of bits that are not set follows the estimate −m ln v. Sketches of several workers and windows
//! merge by OR, exactly as if one had seen it all. The estimate's standard deviation is one in 10 things and six in 60;
//! beyond some 200 it says no more than "many".

use serde::{Deserialize, Serialize};

const BITS: u32 = u64::BITS;

/// A set of things, of which only the size can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sketch(u64);

impl Sketch {
    /// From here on an estimate rests on fewer than three bits.
    pub const MANY: f64 = 200.0;

    /// Adds a thing by its hash.
    pub fn add(&mut self, hash: u64) {
        self.0 |= 1u64.wrapping_shl(hash as u32 & (BITS - 1));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// How many different things were added, about. At most 266.
    pub fn estimate(self) -> f64 {
        let m = f64::from(BITS);
        // With all bits set there is no estimate: it is that of one bit left.
        let unset = f64::from(self.0.count_zeros()).max(1.0);
        m * (m / unset).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn of(things: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        for thing in things {
            sketch.add(*thing);
        }
        sketch
    }

    proptest! {
        #[test]
        fn sketches_merge_as_if_one_had_seen_it_all(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let mut merged = of(&a);
            merged.merge(of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn the_estimate_is_about_the_number_of_different_things(n in 1usize..100, seed in any::<u64>()) {
            let hasher = crate::table::hasher(seed);
            let things: Vec<u64> = (0..n).map(|i| hasher.hash_one(i)).collect();
            let twice = [things.clone(), things].concat();
            // Bits that are left are nearly normal, which the estimate, their logarithm, is not where few are left: it is they
            // that are held to six standard deviations, by the paper's formula.
            let (m, load) = (f64::from(BITS), n as f64 / f64::from(BITS));
            let unset = m * (-of(&twice).estimate() / m).exp();
            let expected = m * (-load).exp();
            let spread = (expected * (1.0 - (1.0 + load) * (-load).exp())).sqrt();
            prop_assert!((unset - expected).abs() <= 6.0 * spread + 1.0, "{unset} bits for {n}, not {expected}");
        }
    }

    #[test]
    fn one_thing_however_often_is_one() {
        assert!((of(&[7; 1000]).estimate() - 1.0).abs() < 0.05);
        assert!(Sketch::default().estimate().abs() < 1e-9);
        assert!(of(&(0..64).collect::<Vec<_>>()).estimate() > Sketch::MANY);
    }
}
