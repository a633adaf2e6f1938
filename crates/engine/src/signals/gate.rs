//! What stands between rarity and an alert.
//!
//! The gates are why rarity alone wakes nobody: an alert needs volume (two errors are no burst) and practical effect
//! (a rate 3 % above a very steady one is rare and does not matter). They are applied to what was seen over the whole
//! run of evidence, not to its last window.

use super::{Direction, Effect, Measure, Side, Signal};

/// Smallest volume and effect that matter.
pub struct Gate {
    /// Events, requests too many or too few, or exchanges times octaves off.
    pub volume: f64,
    /// Actual against typical: at least this when high, at most this when low.
    pub ratio: f64,
    /// When high, in the signal's unit: a share of at least this, a size or duration so much above the usual.
    pub amount: f64,
}

/// A value, what it has to come to, and whether it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passed {
    /// The value.
    pub value: f64,
    /// What it is held against.
    pub least: f64,
    /// Whether it is enough.
    pub passed: bool,
}

impl Passed {
    fn new(value: f64, least: f64, passed: bool) -> Self {
        Self {
            value,
            least,
            passed,
        }
    }
}

/// What stands between rarity and an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gates {
    /// Events, requests too many or too few, or exchanges times octaves off.
    pub volume: Passed,
    /// Actual against typical: not below the gate's when high, not above it when low.
    pub ratio: Passed,
    /// The share itself, or by how much a size or duration is above the usual, when high.
    pub amount: Passed,
    /// How well the usual is known, 0 to 1; gross failure needs no more than to be seen.
    pub maturity: Passed,
    /// Requests fewer than the time lets expect, where they are too few.
    pub by_time: Passed,
    /// Whether only time is missing: of what would be gross failure too little was seen yet.
    pub pending: bool,
}

impl Gates {
    /// Whether all are passed.
    pub fn pass(&self) -> bool {
        self.maturity.passed && self.but_for_maturity()
    }

    /// Whether all are, however well the usual is known.
    pub fn but_for_maturity(&self) -> bool {
        let Self {
            volume,
            ratio,
            amount,
            maturity: _,
            by_time,
            pending: _,
        } = self;
        [volume, ratio, amount, by_time]
            .iter()
            .all(|gate| gate.passed)
    }
}

/// Share of its volume that a gate lets pass where a rate is not mere traffic: it does not follow from what its source was asked,
/// or leaves the pace of a clock.
const NO_TRAFFIC: f64 = 0.5;
/// Calls that fail to come, whatever lets expect them, are fewer than the time does, too: by so many standard deviations of a Poisson
/// variable, …
const CHANCE: f64 = 2.0;
/// … and by a fifth. Otherwise they are as they always are, and odd are the requests that bring none.
const FEWER_BY_TIME: f64 = 0.2;
/// Exchanges below which no size or duration is worth an alert: one or two are an accident.
const SCALE_VOLUME_MIN: f64 = 3.0;
/// While a share is not mature only this much of it counts, …
const GROSS_SHARE: f64 = 0.5;
/// … over at least so many events: what no service does when it is well.
const GROSS_EVENTS: f64 = 20.0;

impl Gate {
    /// The volume that matters. `surprising` says whether it is more than the ups and downs of traffic.
    pub(crate) fn least(&self, surprising: bool) -> f64 {
        self.volume * if surprising { NO_TRAFFIC } else { 1.0 }
    }
}

impl Signal {
    /// What an effect is held against, given how mature the model is; `None` where this side means nothing. `surprising` says
    /// whether it is more than the ups and downs of traffic, `by_time` what the time lets expect of a rate, a second.
    pub fn gates(
        &self,
        side: Side,
        effect: &Effect,
        maturity: f64,
        surprising: bool,
        by_time: Option<f64>,
    ) -> Option<Gates> {
        let Direction { gate, .. } = self.direction(side)?;
        let least = gate.least(surprising);
        let by_time = match (side, by_time) {
            (Side::Down, Some(rate)) => {
                let expected = rate * effect.exposure;
                let missed = expected - effect.actual * effect.exposure;
                let matters = (CHANCE * expected.sqrt()).max(expected * FEWER_BY_TIME);
                Passed::new(missed, matters, missed >= matters)
            }
            _ => Passed::new(0.0, 0.0, true),
        };
        let ratio = effect.ratio;
        let amount = match self.measure {
            Measure::Scale { .. } => effect.actual - effect.typical,
            _ => effect.actual,
        };
        // Sizes and durations: what is far off needs fewer exchanges to matter than what is a little off.
        let volume = match self.measure {
            Measure::Scale { .. } if effect.volume >= SCALE_VOLUME_MIN => {
                effect.volume * ratio.max(1e-9).log2().abs()
            }
            Measure::Scale { .. } => 0.0,
            _ => effect.volume,
        };
        let failing = matches!(self.measure, Measure::Share { .. }) && effect.actual >= GROSS_SHARE;
        let gross = failing && effect.volume >= GROSS_EVENTS;
        let mut gates = Gates {
            volume: Passed::new(volume, least, volume >= least),
            ratio: Passed::new(
                ratio,
                gate.ratio,
                match side {
                    Side::Up => ratio >= gate.ratio,
                    Side::Down => ratio <= gate.ratio,
                },
            ),
            amount: Passed::new(
                amount,
                gate.amount,
                side == Side::Down || amount >= gate.amount,
            ),
            maturity: Passed::new(maturity, 1.0, maturity >= 1.0 || gross),
            by_time,
            pending: false,
        };
        gates.pending = failing
            && [gates.volume, gates.ratio].iter().all(|g| g.passed)
            && !gates.maturity.passed;
        Some(gates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::rate::Exposure;
    use crate::signals::{Context, Known, Seen, request_bytes};
    use crate::windows::{Totals, Window};
    use std::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const CONTEXT: Context = Context {
        whole: true,
        exposure: Exposure {
            time: 1.0,
            given: [None; 2],
            before: None,
            recurring: None,
        },
        long_run: (0.0, 0.0),
        length: Duration::from_secs(10),
        memory: Duration::from_secs(7_200),
    };

    /// What request bytes say of windows of so many bytes each, twenty requests in all of them, where `usual` is usual.
    fn request_bytes(windows: &[f64], usual: f64) -> (Effect, Gates) {
        let signal = &request_bytes::SIGNAL;
        let mut run = Seen::default();
        for bytes in windows {
            let window = Window {
                request_bytes: Totals {
                    n: 20,
                    bytes: 20.0 * bytes,
                    usual: 20.0 * usual,
                },
                ..Window::default()
            };
            let judged = signal.judge(&signal.fresh(), &Known::Scale, &window, &CONTEXT);
            run.add(&judged.unwrap().high);
        }
        let effect = signal.effect(&run, CONTEXT.length, CONTEXT.length);
        (
            effect,
            signal.gates(Side::Up, &effect, 1.0, false, None).unwrap(),
        )
    }

    fn words(effect: &Effect) -> String {
        (request_bytes::SIGNAL.direction(Side::Up).unwrap().words)(effect)
    }

    #[test]
    fn a_size_is_told_beside_what_it_usually_is() {
        let (effect, gates) = request_bytes(&[3_000.0, 3_000.0], 1_000.0);
        assert!(gates.pass(), "{gates:?}");
        assert_eq!(
            words(&effect),
            "requests carry 3000 bytes on average, 3 × the typical 1000"
        );
    }

    #[test]
    fn what_nobody_would_notice_is_no_growth() {
        let (effect, gates) = request_bytes(&[33.0, 33.0], 0.0);
        assert!(!gates.amount.passed, "{gates:?}");
        assert_eq!(
            words(&effect),
            "requests carry 33 bytes on average, typical are 0"
        );
    }

    #[test]
    fn a_window_without_bodies_hides_no_growth_in_the_others() {
        let (effect, gates) = request_bytes(&[9_000.0, 0.0, 9_000.0, 9_000.0], 1_000.0);
        assert!(gates.pass(), "{effect:?}: {gates:?}");
    }
}
