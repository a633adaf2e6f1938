//! What goes on for long enough is the new normal: one alert, then the new level is learned openly.
//!
//! A signal that alarmed in a pair's incident is doubted while the incident is young, and believed once it has lasted: a
//! release that doubles the traffic or the size of answers is no attack that can be waited out, and a week of repeats
//! helps nobody. Believing means to take over what was seen since, at once: the level, under the same daily curve. It is
//! decided for each signal by itself, so that a flood of small requests, once it is believed to be traffic, does not also
//! make small requests the usual size, nor small answers where it was the requests that were told of.
//!
//! Errors that callers make are believed at once when they alarm again within a day: told twice is enough
//! ([`Signal::tires`](crate::signals::Signal::tires)). Nothing else is, or who strikes twice would have the day to himself.
//!
//! An incident lasts for some minutes longer than what it tells of. So a rate is taken over with a window that is nearer to the new
//! level than to the old one: of a rush that has just passed there is none.
//!
//! What was believed may have been passing. So for a day the old level is as usual as the new one, whatever is learned of that
//! meanwhile, and going back to it is neither drop nor burst. Once that is where it has gone, the shift is taken back whole: what is left of it in the season would be missed
//! at the same hours of the next day. Which of the two levels it is, is weighed window by window as a change to the old one would
//! be (E. Page, "Continuous inspection schemes", Biometrika 41, 1954): the logarithms of how much likelier the old one makes the
//! window are summed, not below 0.

use crate::Time;
use crate::signals::{SIGNALS, Usual};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An incident that goes on for this part of the memory is the new normal.
pub(super) const NEW_NORMAL: f64 = 0.25;
/// How long an alarm and the level before are remembered: a whole daily curve.
const REMEMBERED: Duration = Duration::from_secs(86_400);
/// The logarithm of how much likelier the old level has to be: a hundred thousand times, so that of a thousand shifts, with the 144
/// longest windows of a day each, hardly one is taken back for nothing.
const BACK: f64 = 11.5;
/// A level moves by this factor at most: more is not a shift but another thing.
pub(super) const MOST: f64 = 100.0;

/// What a pair's incident has changed. 40 bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Shift {
    /// Signals that alarmed in the open incident, one bit each.
    alarmed: u16,
    /// Signals that tire and alarmed in an earlier one, within a day of `alarm`.
    earlier: u16,
    /// Those of the open incident that had.
    again: u16,
    /// What of routes' usual is learned anew, one bit each.
    relearns: u8,
    /// The last alarm of a signal that tires.
    alarm: Time,
    /// The rate before the shifts of the day, against that since.
    before: f32,
    /// Until when it is remembered.
    until: Time,
    /// How much likelier than the new one it is to be the rate again: a logarithm, 0 at least.
    back: f32,
}

impl Default for Shift {
    fn default() -> Self {
        Self {
            alarmed: 0,
            earlier: 0,
            again: 0,
            relearns: 0,
            alarm: Time::default(),
            before: 1.0,
            until: Time::default(),
            back: 0.0,
        }
    }
}

fn bit(signal: usize) -> u16 {
    1u16.checked_shl(u32::try_from(signal).unwrap_or(u32::MAX))
        .unwrap_or(0)
}

/// The signals that tire.
fn tiring() -> u16 {
    let tiring = SIGNALS.iter().enumerate().filter(|(_, s)| s.tires);
    tiring.fold(0, |bits, (s, _)| bits | bit(s))
}

impl Shift {
    /// Says that a signal alarmed.
    pub(super) fn alarm(&mut self, signal: usize, now: Time) {
        self.alarmed |= bit(signal);
        if bit(signal) & tiring() == 0 {
            return;
        }
        if now.since(self.alarm) > REMEMBERED {
            self.earlier = 0;
        }
        self.alarm = now;
        self.again |= bit(signal) & self.earlier;
    }

    /// Whether a signal did in the open incident.
    pub(super) fn has_alarmed(&self, signal: usize) -> bool {
        self.alarmed & bit(signal) != 0
    }

    /// Says that there is no incident.
    pub(super) fn over(&mut self) {
        self.earlier |= self.alarmed & tiring();
        self.alarmed = 0;
        self.again = 0;
        self.relearns = 0;
    }

    /// Says that this of what routes usually take is to be learned anew, until the incident is over.
    pub(super) fn relearn(&mut self, usual: Usual) {
        self.relearns |= 1 << usual as u8;
    }

    /// What is.
    pub(super) fn relearned(&self) -> [bool; 3] {
        Usual::ALL.map(|usual| self.relearns & (1 << usual as u8) != 0)
    }

    /// Whether what a signal shows is believed, in an incident that has lasted so long.
    pub(super) fn believes(&self, signal: usize, lasted: Duration, memory: Duration) -> bool {
        let lasted = lasted >= memory.mul_f64(NEW_NORMAL);
        self.again & bit(signal) != 0 || (self.alarmed & bit(signal) != 0 && lasted)
    }

    /// Takes note of a rate that is `by` times what it was. Returns the factor that holds.
    pub(super) fn moved(&mut self, by: f64, now: Time) -> f64 {
        let by = by.clamp(1.0 / MOST, MOST);
        // Of several shifts within a day the first one's level counts: the others were steps on the way.
        let before = self.before(now).unwrap_or(1.0) / by;
        self.before = before.clamp(1.0 / MOST, MOST) as f32;
        self.until = now.plus(REMEMBERED);
        self.back = 0.0;
        by
    }

    /// Takes note that the rate since is learned to be `by` times what it was: the one before is what it was.
    pub(super) fn learned(&mut self, by: f64) {
        let before = f64::from(self.before) / by;
        if before.is_finite() {
            self.before = before.clamp(MOST.powi(-2), MOST.powi(2)) as f32;
        }
    }

    /// Takes in a window which the level before makes so much likelier, as a logarithm. Returns whether that is the level again.
    pub(super) fn is_back(&mut self, favours_before: f64) -> bool {
        self.back = (f64::from(self.back) + favours_before).max(0.0) as f32;
        f64::from(self.back) >= BACK
    }

    /// Forgets the shift. Returns the factor that leads back.
    pub(super) fn take_back(&mut self) -> f64 {
        self.until = Time::default();
        self.back = 0.0;
        f64::from(self.before)
    }

    /// The rate before the shifts of the day against that since, while it is remembered.
    pub(super) fn before(&self, now: Time) -> Option<f64> {
        (now < self.until).then(|| f64::from(self.before))
    }
}

/// The signals of a window length that took over what is believed, one bit each.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Adopted(u16);

impl Adopted {
    /// Whether a signal did.
    pub(super) fn has(&self, signal: usize) -> bool {
        self.0 & bit(signal) != 0
    }

    /// Whether a signal has still to take over what it believes: true once, until it does not believe any more.
    pub(super) fn due(&mut self, signal: usize, believes: bool) -> bool {
        let due = believes && !self.has(signal);
        if believes {
            self.0 |= bit(signal);
        } else {
            self.0 &= !bit(signal);
        }
        due
    }
}
