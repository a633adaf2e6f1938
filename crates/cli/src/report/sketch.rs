//! Quantiles of what is spread over orders of magnitude: a histogram on the engine's own logarithmic scale.
//!
//! Eight buckets an octave, so that a quantile is at most 9 % off; merging is adding, in any order. Most series touch a
//! few buckets only, so they are kept sparsely, in some hundred bytes, where a general sketch (`sketches-ddsketch`,
//! `hdrhistogram`) keeps kilobytes each and a report has a hundred thousand of them.

use pairwatch_engine::counters::{STEPS_PER_OCTAVE, log_duration, millis_at};

/// Buckets an octave.
const PER_OCTAVE: u32 = 8;

/// A histogram of durations or counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch {
    /// Bucket and count, by bucket.
    buckets: Vec<(u8, u32)>,
}

impl Sketch {
    /// Adds a value: microseconds, or a count.
    pub(super) fn add(&mut self, value: u64) {
        let steps = STEPS_PER_OCTAVE.checked_div(PER_OCTAVE).unwrap_or(1);
        let bucket = log_duration(value).checked_div(steps).unwrap_or(0);
        self.add_to(u8::try_from(bucket).unwrap_or(u8::MAX), 1);
    }

    fn add_to(&mut self, bucket: u8, count: u32) {
        match self.buckets.binary_search_by_key(&bucket, |(b, _)| *b) {
            Ok(at) => {
                if let Some((_, n)) = self.buckets.get_mut(at) {
                    *n = n.saturating_add(count);
                }
            }
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.buckets {
            self.add_to(bucket, count);
        }
    }

    /// Values added.
    pub(super) fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(0u64, |n, (_, count)| n.saturating_add(u64::from(*count)))
    }

    /// The value below which a share `q` of all lie, when there were `zeros` more of 0; `None` without any.
    pub(super) fn quantile_with(&self, q: f64, zeros: u64) -> Option<f64> {
        let count = self.count().saturating_add(zeros);
        if count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let mut seen = zeros as f64;
        if zeros > 0 && seen >= rank {
            return Some(0.0);
        }
        let mut last = 0.0;
        for &(bucket, n) in &self.buckets {
            // The middle of the bucket, back from milliseconds.
            last = millis_at((f64::from(bucket) + 0.5) / f64::from(PER_OCTAVE)) * 1000.0;
            seen += f64::from(n);
            if seen >= rank {
                break;
            }
        }
        Some(last)
    }

    /// The value below which a share `q` of all lie; `None` without any.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        self.quantile_with(q, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_within_a_bucket_of_the_true_one(
            mut values in prop::collection::vec(1000u64..100_000_000, 1..400), q in 0.0f64..=1.0,
        ) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|v| sketch.add(*v));
            values.sort_unstable();
            let rank = (q * values.len() as f64).ceil() as usize;
            let (want, got) = (values[rank.saturating_sub(1)] as f64, sketch.quantile(q).unwrap());
            prop_assert!((got / want - 1.0).abs() < 0.13, "{got} for {want}");
        }

        #[test]
        fn merging_is_adding(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
            let (mut left, mut right, mut both) = (Sketch::default(), Sketch::default(), Sketch::default());
            a.iter().for_each(|v| left.add(*v));
            b.iter().for_each(|v| right.add(*v));
            a.iter().chain(&b).for_each(|v| both.add(*v));
            right.merge(&left);
            prop_assert_eq!(right, both);
        }
    }

    #[test]
    fn silence_counts_where_it_is_told() {
        let mut sketch = Sketch::default();
        sketch.add(100);
        assert_eq!(sketch.quantile_with(0.5, 9), Some(0.0));
        assert!(sketch.quantile_with(0.95, 9).is_some_and(|v| v > 90.0));
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
