//! A log's time in a bounded number of bins, whatever its length.
//!
//! How long a log is, nobody knows before it is read. So bins begin a minute wide, and each time there would be too many
//! they become wider, by a step of [`WIDTHS`], and what was collected is merged. All widths are multiples of those before,
//! and divide or are whole days, so that bins begin where people expect them.

use pairwatch_engine::Time;
use std::time::Duration;

const MINUTE: u64 = 60;
/// Widths in seconds; past the last they double.
const WIDTHS: [u64; 9] = [
    MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    60 * MINUTE,
    120 * MINUTE,
    240 * MINUTE,
    720 * MINUTE,
    1440 * MINUTE,
];

/// Where bins begin, and how wide they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    pub(super) origin: Time,
    pub(super) width: Duration,
    max: usize,
}

/// How bins become wider: bin `i` goes into bin `(i + shift) / factor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Widening {
    shift: usize,
    factor: usize,
}

/// A bin, of which neighbours can become one.
pub(super) trait Bin: Clone + Default {
    /// Takes in the bin behind it.
    fn merge(&mut self, other: &Self);
}

impl Scale {
    /// One-minute bins from `first` on, and at most `max` of them.
    pub(super) fn new(first: Time, max: usize) -> Self {
        let width = Duration::from_secs(MINUTE);
        Self {
            origin: first.floor(width),
            width,
            max,
        }
    }

    /// The bin of a time; what was before the origin is in the first.
    pub(super) fn bin(&self, at: Time) -> usize {
        let bins = at
            .since(self.origin)
            .as_millis()
            .checked_div(self.width.as_millis())
            .unwrap_or(0);
        usize::try_from(bins).unwrap_or(usize::MAX)
    }

    /// Makes bins wider by a step where `at` would be in one too many.
    pub(super) fn widen(&mut self, at: Time) -> Option<Widening> {
        if self.bin(at) < self.max {
            return None;
        }
        let old = *self;
        let seconds = self.width.as_secs();
        let next = WIDTHS.iter().copied().find(|w| *w > seconds);
        self.width = Duration::from_secs(next.unwrap_or(seconds.saturating_mul(2)));
        self.origin = old.origin.floor(self.width);
        let times = self.width.as_secs().checked_div(seconds).unwrap_or(1);
        Some(Widening {
            shift: old.shift_from(self.origin),
            factor: usize::try_from(times).unwrap_or(usize::MAX),
        })
    }

    fn shift_from(&self, earlier: Time) -> usize {
        let by = self.origin.since(earlier).as_millis();
        let bins = by.checked_div(self.width.as_millis()).unwrap_or(0);
        usize::try_from(bins).unwrap_or(0)
    }
}

impl Widening {
    /// Merges a series' bins.
    pub(super) fn apply<B: Bin>(&self, series: &mut Vec<B>) {
        let mut wide: Vec<B> = Vec::new();
        for (i, bin) in series.iter().enumerate() {
            let at = i
                .saturating_add(self.shift)
                .checked_div(self.factor)
                .unwrap_or(0);
            place(&mut wide, at).merge(bin);
        }
        *series = wide;
    }
}

/// The bin at a place, made where the series does not reach it yet.
pub(super) fn place<B: Bin>(series: &mut Vec<B>, at: usize) -> &mut B {
    if series.len() <= at {
        series.resize(at.saturating_add(1), B::default());
    }
    let last = series.len().saturating_sub(1);
    // It is long enough by now.
    #[expect(clippy::indexing_slicing, reason = "the series was made that long")]
    &mut series[at.min(last)]
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "an overflow in a test is a failed test"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Bin for u64 {
        fn merge(&mut self, other: &Self) {
            *self += other;
        }
    }

    proptest! {
        #[test]
        fn however_bins_widen_each_line_stays_in_the_bin_of_its_time(
            first in 0u64..100_000_000_000, steps in prop::collection::vec(0u64..40_000_000, 1..200),
        ) {
            let (mut scale, mut at) = (Scale::new(Time(first), 50), first);
            let mut series: Vec<u64> = Vec::new();
            let mut times = Vec::new();
            for step in steps {
                at += step;
                while let Some(widening) = scale.widen(Time(at)) {
                    widening.apply(&mut series);
                }
                *place(&mut series, scale.bin(Time(at))) += 1;
                times.push(at);
            }
            prop_assert!(series.len() <= 50);
            let mut want = vec![0u64; series.len()];
            for at in times {
                want[scale.bin(Time(at))] += 1;
            }
            prop_assert_eq!(series, want);
        }
    }
}
