//! Events and seconds in each phase of a cycle.

use super::sum::Sum;
use crate::Time;
use serde::{Deserialize, Serialize};

/// Phases come in groups of so many, of which the mean is known earlier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cycle<S> {
    seen: Box<[S]>,
    seconds: Box<[S]>,
    phases: usize,
}

impl<S: Sum> Cycle<S> {
    /// Bytes beside its own, with so many phases in all.
    pub(super) const fn heap(phases: usize) -> usize {
        phases.saturating_mul(size_of::<[S; 2]>())
    }

    pub(super) fn new(groups: usize, phases: usize) -> Self {
        let all = groups.saturating_mul(phases);
        Self {
            seen: vec![S::default(); all].into(),
            seconds: vec![S::default(); all].into(),
            phases,
        }
    }

    /// Whether it has so many groups of so many phases, and all its sums are numbers.
    pub(super) fn is_of(&self, groups: usize, phases: usize) -> bool {
        let all = groups.saturating_mul(phases);
        let sums = |sums: &[S]| {
            let is_sum = |sum: f64| sum.is_finite() && sum >= 0.0;
            sums.len() == all && sums.iter().all(|sum| is_sum(sum.get()))
        };
        self.phases == phases && sums(&self.seen) && sums(&self.seconds)
    }

    /// Which phase of all it is, by its group and its place there.
    pub(super) fn at(&self, group: usize, phase: usize) -> usize {
        group.saturating_mul(self.phases).saturating_add(phase)
    }

    /// Events and seconds of a phase.
    pub(super) fn phase(&self, phase: usize) -> (f64, f64) {
        let of = |sums: &[S]| sums.get(phase).map_or(0.0, |sum| sum.get());
        (of(&self.seen), of(&self.seconds))
    }

    /// Events and seconds of the phases of a group.
    pub(super) fn phases(&self, group: usize) -> impl Iterator<Item = (f64, f64)> {
        let start = self.at(group, 0);
        (start..start.saturating_add(self.phases)).map(|phase| self.phase(phase))
    }

    /// Events and seconds of a group.
    pub(super) fn group(&self, group: usize) -> (f64, f64) {
        self.phases(group)
            .fold((0.0, 0.0), |sum, phase| (sum.0 + phase.0, sum.1 + phase.1))
    }

    fn groups(&self) -> usize {
        self.seen.len().checked_div(self.phases).unwrap_or(0)
    }

    /// Events a second: the mean over the groups that were seen, each weighing the same however long it was seen.
    pub(super) fn mean(&self) -> f64 {
        mean((0..self.groups()).map(|group| self.group(group)))
    }

    pub(super) fn total_seconds(&self) -> f64 {
        self.seconds.iter().map(|s| s.get()).sum()
    }

    /// Adds what was seen at a time to a phase, and forgets of it what is beyond `memory` seconds.
    pub(super) fn add(&mut self, phase: usize, at: Time, events: f64, seconds: f64, memory: f64) {
        let (Some(seen), Some(time)) = (self.seen.get_mut(phase), self.seconds.get_mut(phase))
        else {
            return;
        };
        let (events, seconds) = (seen.get() + events, time.get() + seconds);
        let keep = if seconds > memory {
            memory / seconds
        } else {
            1.0
        };
        *seen = S::of(events * keep, at.0);
        *time = S::of(seconds * keep, at.0);
    }

    pub(super) fn scale(&mut self, by: f64) {
        for (phase, sum) in self.seen.iter_mut().enumerate() {
            *sum = S::of(sum.get() * by, phase as u64);
        }
    }
}

/// The mean rate of phases of so many events and seconds: each that was seen weighs the same. 0 where none was.
pub(super) fn mean(phases: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for (events, seconds) in phases {
        if seconds > 0.0 {
            sum += events / seconds;
            n += 1.0;
        }
    }
    if n > 0.0 { sum / n } else { 0.0 }
}
