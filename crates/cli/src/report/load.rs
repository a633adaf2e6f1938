//! How much each destination has to bear: typical minutes, and the peaks to plan for.

use super::sketch::Sketch;
use pairwatch_engine::Time;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// A destination's load, over all sources.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Requests of each minute that had any.
    minutes: Sketch,
    active: u64,
    minute: Peak,
    second: Peak,
}

/// The most requests in one stretch of time, and those in the one that is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    start: Time,
    count: u64,
    /// The fullest one's count and start.
    pub(super) most: (u64, Time),
}

impl Peak {
    /// Counts a request; returns the count of the stretch that ended before it, if one did.
    fn count(&mut self, at: Time, length: Duration) -> Option<u64> {
        let start = at.floor(length);
        let ended = (start != self.start && self.count > 0).then_some(self.count);
        if start != self.start {
            (self.start, self.count) = (start, 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count > self.most.0 {
            self.most = (self.count, start);
        }
        ended
    }
}

impl Load {
    /// Counts a request.
    pub(super) fn line(&mut self, at: Time) {
        self.second.count(at, SECOND);
        if let Some(count) = self.minute.count(at, MINUTE) {
            self.ended(count);
        }
    }

    fn ended(&mut self, count: u64) {
        self.minutes.add(count);
        self.active = self.active.saturating_add(1);
    }

    /// Requests a minute below which shares of all `minutes` of the log lie, silent ones included.
    pub(super) fn quantiles<const N: usize>(&self, minutes: u64, shares: [f64; N]) -> [f64; N] {
        let mut all = self.minutes.clone();
        all.add(self.minute.count);
        let silent = minutes.saturating_sub(self.active.saturating_add(1));
        shares.map(|q| all.quantile_with(q, silent).unwrap_or(0.0))
    }

    /// The fullest minute and the fullest second.
    pub(super) fn peaks(&self) -> [(u64, Time); 2] {
        [self.minute.most, self.second.most]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typical_minutes_and_peaks_are_told_apart() {
        let mut load = Load::default();
        for minute in 0..100u64 {
            let requests = if minute == 70 { 600 } else { 30 };
            for i in 0..requests {
                load.line(Time(minute * 60_000 + i * 60_000 / requests));
            }
        }
        let [p50, p99] = load.quantiles(200, [0.75, 0.999]);
        assert!((p50 / 30.0 - 1.0).abs() < 0.1, "{p50}");
        assert!((p99 / 600.0 - 1.0).abs() < 0.1, "{p99}");
        assert_eq!(load.quantiles(200, [0.4]), [0.0], "silent minutes count");
        assert_eq!(
            load.peaks(),
            [(600, Time(70 * 60_000)), (10, Time(70 * 60_000))]
        );
    }
}
