//! A small seeded random generator (SplitMix64): the same seed, the same traffic.

use std::f64::consts::TAU;
use std::time::Duration;

/// The state is one number; every draw advances it by the golden ratio's fraction.
#[derive(Debug, Clone)]
pub struct Prng(u64);

impl Prng {
    /// A generator for this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of its own, for a task that draws at its own pace.
    pub const fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what a double's fraction holds.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `limit` (0 where the limit is 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64().checked_rem(limit).unwrap_or(0)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// The wait until the next of events that come `rate` a second.
    pub fn wait(&mut self, rate: f64) -> Duration {
        let seconds = -(1.0 - self.unit()).ln() / rate.max(f64::MIN_POSITIVE);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Log-normal around a median: most times near it, a few much longer. That's how service times look.
    pub fn log_normal(&mut self, median: Duration, sigma: f64) -> Duration {
        let normal = (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos();
        Duration::try_from_secs_f64(median.as_secs_f64() * (sigma * normal).exp()).unwrap_or(median)
    }
}

#[cfg(test)]
mod tests {
    use super::Prng;
    use std::time::Duration;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut one, mut other) = (Prng::new(7), Prng::new(7));
        assert!((0..100).all(|_| one.next_u64() == other.next_u64()));
    }

    #[test]
    fn waits_average_to_the_rate_and_times_to_the_median() {
        let mut random = Prng::new(1);
        let total: f64 = (0..20_000).map(|_| random.wait(50.0).as_secs_f64()).sum();
        assert!(
            (total / 20_000.0 - 0.02).abs() < 0.001,
            "the mean wait at 50 a second is 20 ms"
        );
        let median = Duration::from_millis(10);
        let longer = (0..20_000)
            .filter(|_| random.log_normal(median, 0.5) > median)
            .count();
        assert!(
            (9_500..10_500).contains(&longer),
            "half of the times are longer than the median, not {longer}"
        );
    }
}
