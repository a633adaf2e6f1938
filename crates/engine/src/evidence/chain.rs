//! One Shiryaev–Roberts recursion, watched while it runs.

use super::peaks::{Correction, Expected, Peaks};
use super::{DRIFT, Habit, IDLE, R_MAX};
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

    /// Takes in a window's e-value. Where it ends a run, the run is learned.
    pub(super) fn update(&mut self, e: f64, pool: &mut Peaks, trust: Trust) {
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
        self.step(e);
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

    /// Ends the run, which the next window learns as one that faded.
    pub(super) fn end(&mut self) {
        self.r = 0.0;
    }

    /// Forgets the run, and that it was.
    pub(super) fn forget(&mut self) {
        (self.r, self.peak, self.alarmed) = (0.0, 0.0, 0.0);
    }

    /// The recursion alone.
    pub(super) fn step(&mut self, e: f64) {
        self.r = self.after(e);
        self.peak = self.peak.max(self.r);
    }

    /// The evidence R after a window of this e-value.
    pub(super) fn after(&self, e: f64) -> f32 {
        ((self.evidence() + 1.0) * e).min(R_MAX) as f32
    }

    /// The evidence R′.
    pub(super) fn corrected(&self, bet: &Bet, pool: &Peaks, habit: Habit) -> f64 {
        // Most streams are idle, which nothing corrects.
        if self.evidence() <= IDLE {
            return self.evidence();
        }
        self.correction(bet, pool, habit).of(self.evidence())
    }

    /// What its evidence comes to, by how often and high it rises by itself.
    pub(super) fn correction(&self, bet: &Bet, pool: &Peaks, habit: Habit) -> Correction {
        let expected = match habit {
            Habit::Independent => &bet.runs,
            Habit::Wandering => &DRIFT.runs,
        };
        self.peaks.correction(pool, expected)
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
