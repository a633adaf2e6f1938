//! One window of one pair: judged by each signal, weighed as evidence, and only then learned.

use super::pair::Pair;
use super::{SUSPECT_WEIGHT, round};
use crate::Time;
use crate::alerts::{Evidence, Kind, Severity};
use crate::config::Config;
use crate::incidents::{Finding, Who};
use crate::signals::{Measure, SIGNALS, Side};
use std::time::Duration;

/// An incident that goes on for this part of the memory is the new normal.
const NEW_NORMAL: f64 = 0.25;
/// A window of an open incident's pair that is this rare and passes the gates keeps the incident open.
const STILL_ODD: f64 = 1e-3;

/// What closing a pair's window gave.
#[derive(Default)]
pub(super) struct Closed {
    pub(super) finding: Option<Finding>,
    pub(super) still_odd: bool,
}

/// What all pairs' windows of one length and time have in common.
pub(super) struct Judge<'a> {
    pub(super) config: &'a Config,
    pub(super) length: Duration,
    pub(super) threshold: f64,
    pub(super) start: Time,
    pub(super) whole: bool,
    pub(super) now: Time,
}

/// A stream that is over its threshold.
struct Alarm {
    signal: usize,
    side: Side,
    evidence: f64,
    since: Time,
    maturity: f64,
    words: String,
    kind: Kind,
    severity: Severity,
    techniques: &'static [&'static str],
    told: Evidence,
}

impl Judge<'_> {
    pub(super) fn pair(&self, pair: &mut Pair, index: usize, incident: Option<Duration>) -> Closed {
        let Some(window) = pair.close(index) else {
            return Closed::default();
        };
        let Some(level) = pair.level_mut(index) else {
            return Closed::default();
        };
        let memory = self.config.learning.memory.duration();
        let believed = incident.is_some_and(|lasted| lasted >= memory.mul_f64(NEW_NORMAL));
        let windows = memory.as_secs_f64() / self.length.as_secs_f64().max(1e-3);
        let start = u32::try_from(self.start.0 / 1000).unwrap_or(u32::MAX);
        let (mut alarms, mut still_odd) = (Vec::new(), false);
        for (s, signal) in SIGNALS.iter().enumerate() {
            if !(signal.enabled)(&self.config.signals) {
                continue;
            }
            let Some((model, streams)) = level.signal_mut(s) else {
                continue;
            };
            let maturity = signal.maturity(model);
            let mut weight = if incident.is_some() && !believed {
                SUSPECT_WEIGHT
            } else {
                1.0
            };
            if let Some(judged) = signal.judge(model, &window, self.whole) {
                for (side, p, stream) in [
                    (Side::Up, judged.tail.up, &mut streams.up),
                    (Side::Down, judged.tail.down, &mut streams.down),
                ] {
                    let Some(direction) = signal.direction(side) else {
                        continue;
                    };
                    stream.update(p, start, judged.seen);
                    let since = Time(u64::from(stream.since()).saturating_mul(1000));
                    let lasted = self.start.plus(self.length).since(since);
                    let effect = signal.effect(&stream.seen, self.length, lasted);
                    if incident.is_some() && p <= STILL_ODD && !believed {
                        let now = signal.effect(&judged.seen, self.length, self.length);
                        still_odd |= signal.passes(side, &now, maturity);
                    }
                    if stream.evidence() >= self.threshold.sqrt() && !believed {
                        weight = SUSPECT_WEIGHT;
                    }
                    if stream.evidence() >= self.threshold && signal.passes(side, &effect, maturity)
                    {
                        alarms.push(Alarm {
                            signal: s,
                            side,
                            evidence: stream.evidence(),
                            since,
                            maturity,
                            words: (direction.words)(&effect),
                            kind: direction.kind,
                            severity: (direction.severity)(&effect),
                            techniques: direction.techniques,
                            told: Evidence {
                                signal: signal.name.to_owned(),
                                unit: signal.unit().to_owned(),
                                actual: Some(round(effect.actual)),
                                typical: Some(round(effect.typical)),
                                band: signal
                                    .band(model, &window, effect.typical, self.length)
                                    .map(|b| b.map(round)),
                                contribution: 0.0,
                            },
                        });
                    }
                }
            }
            if self.whole || !matches!(signal.measure, Measure::Rate { .. }) {
                signal.learn(model, &window, self.whole, weight, windows);
            }
        }
        for alarm in &alarms {
            level.reset(alarm.signal, alarm.side);
        }
        Closed {
            finding: self.finding(pair, alarms),
            still_odd,
        }
    }

    /// One finding out of all the streams of a window that are over their threshold.
    fn finding(&self, pair: &Pair, mut alarms: Vec<Alarm>) -> Option<Finding> {
        alarms.sort_by(|a, b| b.kind.cmp(&a.kind).then(b.evidence.total_cmp(&a.evidence)));
        let total: f64 = alarms.iter().map(|a| a.evidence.ln()).sum();
        let age = self.now.since(pair.first_seen()).as_secs_f64();
        let warmup = self
            .config
            .learning
            .warmup
            .duration()
            .as_secs_f64()
            .max(1e-3);
        let strongest = alarms.iter().map(|a| a.evidence).fold(1.0, f64::max);
        let lead = alarms.first()?;
        Some(Finding {
            kind: lead.kind,
            severity: alarms.iter().map(|a| a.severity).max().unwrap_or_default(),
            score: (50.0 * strongest.ln() / self.threshold.ln()).clamp(50.0, 100.0) as u8,
            since: alarms.iter().map(|a| a.since).min().unwrap_or(self.start),
            maturity: round(lead.maturity.min(age / warmup).min(1.0)),
            techniques: lead.techniques,
            words: lead.words.clone(),
            who: Who::default(),
            evidence: alarms
                .iter()
                .map(|a| Evidence {
                    contribution: round(a.evidence.ln() / total.max(1e-9)),
                    ..a.told.clone()
                })
                .collect(),
        })
    }
}
