//! A token bucket: so many alerts a minute, and a minute's worth at once.

use crate::Time;

/// A minute, the unit of the rate.
const MINUTE_MS: u64 = 60_000;

/// Counts in tokens times a minute's milliseconds, so that no fraction is lost between two ticks.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_minute: u64,
    /// Tokens times [`MINUTE_MS`].
    level: u64,
    filled: Time,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(per_minute: u32, now: Time) -> Self {
        let per_minute = u64::from(per_minute);
        Self {
            per_minute,
            level: per_minute.saturating_mul(MINUTE_MS),
            filled: now,
        }
    }

    /// Takes a token; false where there is none.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let gone = now.0.saturating_sub(self.filled.0);
        // A clock set back gives no tokens; one set forth fills the bucket at most.
        self.filled = now;
        let full = self.per_minute.saturating_mul(MINUTE_MS);
        let more = gone.saturating_mul(self.per_minute);
        self.level = self.level.saturating_add(more).min(full);
        match self.level.checked_sub(MINUTE_MS) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(target_arch = "wasm32"))]
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_minutes_worth_passes_at_once_and_then_the_rate() {
        let mut bucket = Bucket::new(30, Time(0));
        assert_eq!((0..100).filter(|_| bucket.take(Time(0))).count(), 30);
        assert!(!bucket.take(Time(1999)));
        assert!(bucket.take(Time(2000)), "one in two seconds");
        assert!(!bucket.take(Time(2000)));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest! {
        #[test]
        fn no_span_lets_more_pass_than_its_rate_and_a_minutes_worth(
            per_minute in 1u32..6000,
            steps in proptest::collection::vec(0u64..5000, 1..400),
        ) {
            let mut bucket = Bucket::new(per_minute, Time(0));
            let (mut now, mut taken) = (0u64, 0u64);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(Time(now)));
                let most = u64::from(per_minute) * (now + MINUTE_MS) / MINUTE_MS + 1;
                prop_assert!(taken <= most, "{taken} of {most} at {now}");
            }
        }
    }
}
