//! One Shiryaev–Roberts recursion, watched while it runs.

use super::peaks::{Expected, Peaks};
use super::{DRIFT, Habit, IDLE, R_MAX, e_value};
use serde::{Deserialize, Serialize};

/// A calibrator, and what it makes of honest windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bet {
    /// Its power, between 0 and 1.
    pub(super) kappa: f64,
    /// The runs of windows whose p are uniform and know nothing of one another: computed by running it, as a test does.
    pub(super) runs: Expected,
}

/// R ← (R + 1)·e with one calibrator, and the correction by its own tail. 36 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Chain {
    r: f32,
    /// The highest since the run began, or since it last alarmed.
    peak: f32,
    /// Logarithm of how far it had come over the idle level each time it alarmed.
    alarmed: f32,
    peaks: Peaks,
}

/// A run of evidence, from idle up and back again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Logarithm of how far it went over the idle level. One that alarmed began again from there: the heights add up.
    pub(super) height: f64,
    /// Whether it alarmed.
    alarmed: bool,
}

/// The weights with which a window teaches how far evidence rises by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// Of a window, and of a run that ended with it.
    pub(crate) usual: f64,
    /// Of a run that alarmed.
    pub(crate) alarmed: f64,
}

impl Trust {
    /// What is done under maintenance.
    pub(crate) const NONE: Self = Self {
        usual: 0.0,
        alarmed: 0.0,
    };
    pub(crate) const FULL: Self = Self {
        usual: 1.0,
        alarmed: 1.0,
    };
}

impl Chain {
    pub(super) fn is_idle(&self) -> bool {
        f64::from(self.r) < IDLE
    }

    pub(super) fn evidence(&self) -> f64 {
        f64::from(self.r)
    }

    /// Takes in a window of tail probability `p`. Where it ends a run, the run is learned.
    pub(super) fn update(&mut self, p: f64, bet: &Bet, pool: &mut Peaks, trust: Trust) {
        let ended = self.ended();
        for peaks in [&mut self.peaks, pool] {
            peaks.window(trust.usual);
            if let Some(run) = ended {
                let weight = if run.alarmed {
                    trust.alarmed
                } else {
                    trust.usual
                };
                peaks.run(run.height, weight);
            }
        }
        self.step(p, bet);
    }

    pub(super) fn ended(&mut self) -> Option<Run> {
        if !self.is_idle() {
            return None;
        }
        let peak = f64::from(std::mem::take(&mut self.peak));
        let before = f64::from(std::mem::take(&mut self.alarmed));
        (peak >= IDLE || before > 0.0).then(|| Run {
            height: before + (peak.max(IDLE) / IDLE).ln(),
            alarmed: before > 0.0,
        })
    }

    /// Forgets the run, and that it was.
    pub(super) fn forget(&mut self) {
        (self.r, self.peak, self.alarmed) = (0.0, 0.0, 0.0);
    }

    /// The recursion alone.
    pub(super) fn step(&mut self, p: f64, bet: &Bet) {
        self.r = ((self.evidence() + 1.0) * e_value(p, bet.kappa)).min(R_MAX) as f32;
        self.peak = self.peak.max(self.r);
    }

    /// The evidence R′, corrected by how often and high it rises by itself.
    pub(super) fn corrected(&self, bet: &Bet, pool: &Peaks, habit: Habit) -> f64 {
        let expected = match habit {
            Habit::Independent => &bet.runs,
            Habit::Wandering => &DRIFT.runs,
        };
        self.peaks.correct(self.evidence(), pool, expected)
    }

    /// Starts over, because an alarm was raised. The run goes on.
    pub(super) fn alarm(&mut self) {
        let height = (self.evidence().max(IDLE) / IDLE).ln();
        *self = Self {
            peaks: self.peaks,
            alarmed: self.alarmed + height as f32,
            ..Self::default()
        };
    }
}
