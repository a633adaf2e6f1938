//! Why a pair alarmed or did not: what the judge saw of each signal in each window, as it judged.
//!
//! Nothing is computed for it that is not computed anyway: a look is the judge's own numbers, taken down. One pair is watched
//! at a time, and whoever watches takes the looks away as time passes; what nobody takes is bounded by [`KEPT`].

use super::Aggregator;
use crate::Time;
use crate::alerts::Kind;
use crate::signals::{Effect, Gates, Side};
use std::time::Duration;

/// Looks kept until they are taken: those of some hundred windows, which is more than close in one second.
const KEPT: usize = 4096;

/// What one signal said of one side of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Start of the window.
    pub start: Time,
    /// Its length.
    pub length: Duration,
    /// The signal.
    pub signal: &'static str,
    /// Unit of the effect.
    pub unit: &'static str,
    /// Which side of usual.
    pub side: Side,
    /// The kind of alert it would be.
    pub kind: Kind,
    /// Requests in the window.
    pub requests: u32,
    /// Tail probability of the window, 0 to 1.
    pub p: f64,
    /// Start of the run of windows that the evidence is of.
    pub since: Time,
    /// What the run shows.
    pub effect: Effect,
    /// Where 98 of 100 usual windows lie, in the same unit.
    pub band: Option<[f64; 2]>,
    /// Evidence of the recursion for spikes and of the one for drifts, corrected by their own tails.
    pub parts: [f64; 2],
    /// Their mean.
    pub evidence: f64,
    /// The evidence from which on it alarms.
    pub threshold: f64,
    /// What else has to be passed.
    pub gates: Gates,
    /// Whether it alarmed.
    pub alarmed: bool,
    /// Whether an incident of the pair was open.
    pub incident: bool,
    /// Whether what the incident shows is believed to be the new usual.
    pub believed: bool,
    /// Whether the pair was under maintenance.
    pub maintained: bool,
}

/// A pair that is watched, and what was seen.
#[derive(Debug)]
pub(super) struct Watch {
    source: Box<str>,
    destination: Box<str>,
    looks: Vec<Look>,
}

impl Watch {
    pub(super) fn is_of(&self, source: &str, destination: &str) -> bool {
        *self.source == *source && *self.destination == *destination
    }

    pub(super) fn add(&mut self, look: Look) {
        if self.looks.len() < KEPT {
            self.looks.push(look);
        }
    }
}

impl Aggregator {
    /// Takes down, from now on, what is made of each window of this pair.
    pub fn watch(&mut self, source: &str, destination: &str) {
        self.watch = Some(Watch {
            source: source.into(),
            destination: destination.into(),
            looks: Vec::new(),
        });
    }

    /// What was taken down since the last call.
    pub fn drain_looks(&mut self) -> Vec<Look> {
        self.watch
            .as_mut()
            .map_or_else(Vec::new, |watch| std::mem::take(&mut watch.looks))
    }
}
