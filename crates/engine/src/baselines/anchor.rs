//! A level that follows another, but only so fast: capped daily drift.
//!
//! A baseline that adapts can be led: who changes a little in each window is always close to what was just learned. So what
//! was learned is held near an anchor, which follows it by at most [`A_DAY`] a day. What goes further than [`BAND`] from
//! the anchor is not believed, stays odd in every window, and adds up to an alarm like any other drift. Traffic that grows by
//! a half from one day to the next is at home.
//!
//! What was told of and believed is another matter: then there is a new anchor.

use serde::{Deserialize, Serialize};

/// Octaves a day that the anchor follows at most: half as much again.
const A_DAY: f32 = 0.585;
/// Octaves that a level may be from its anchor: as much, so that an hour of a day may be as far from the day as
/// one day from the next.
const BAND: f32 = 0.585;

/// A level as it was allowed to become, in octaves; not a number where none is known. 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anchor(f32);

impl Default for Anchor {
    fn default() -> Self {
        Self(f32::NAN)
    }
}

impl Anchor {
    /// Follows a level, in octaves, for so many days. Returns the level as far as it is believed.
    pub fn hold(&mut self, octaves: f32, days: f32) -> f32 {
        if !self.0.is_finite() || !octaves.is_finite() {
            self.0 = octaves;
            return octaves;
        }
        let step = A_DAY * days.max(0.0);
        self.0 += (octaves - self.0).clamp(-step, step);
        octaves.clamp(self.0 - BAND, self.0 + BAND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The level after `days` of windows of ten minutes in each of which it is led by `step` octaves.
    fn led(days: f32, step: f32) -> f32 {
        let (mut anchor, mut level) = (Anchor::default(), 0.0);
        anchor.hold(level, 0.0);
        for _ in 0..(days * 144.0) as u32 {
            level = anchor.hold(level + step, 1.0 / 144.0);
        }
        level
    }

    #[test]
    fn what_grows_by_a_quarter_a_day_is_followed() {
        assert!((led(10.0, 0.32 / 144.0) - 3.2).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn no_way_to_lead_a_level_moves_it_by_more_than_a_day_and_the_band(
            steps in prop::collection::vec(-5.0f32..5.0, 1..144),
        ) {
            let (mut anchor, mut level) = (Anchor::default(), 0.0);
            anchor.hold(level, 0.0);
            for step in steps {
                level = anchor.hold(level + step, 1.0 / 144.0);
            }
            prop_assert!(level.abs() <= A_DAY + BAND + 1e-3, "{level}");
        }
    }
}
