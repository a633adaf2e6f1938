//! When to try again what failed elsewhere.
//!
//! Pauses double from a second to five minutes, and are shortened at random by up to half, so that a mesh of proxies does
//! not come back to one server at one moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
/// No pause is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(300);

/// How long to wait after so many failures in a row.
pub(crate) fn pause(failures: u32, seed: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = FIRST
        .saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(LONGEST);
    shortened(longest, failures, seed)
}

/// A pause shortened at random by up to half. `turn` makes each of a seed's another.
pub(crate) fn shortened(longest: Duration, turn: u32, seed: u64) -> Duration {
    // SplitMix64's finaliser: spread enough for a pause.
    let mut x = seed ^ u64::from(turn).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let part = f64::from((x >> 32) as u32) / f64::from(u32::MAX);
    longest.mul_f64(1.0 - part / 2.0)
}
