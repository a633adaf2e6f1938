//! One window of one pair: judged by each signal, weighed as evidence, and only then learned.

use super::explain::{Look, Watch};
use super::pair::Pair;
use super::pool::Pool;
use super::shift::NEW_NORMAL;
use super::{SUSPECT_WEIGHT, round};
use crate::Time;
use crate::alerts::{Evidence, Kind, Severity};
use crate::baselines::rate::{Exposure, Given};
use crate::config::Config;
use crate::evidence::{Stream, Trust};
use crate::incidents::{Finding, Who};
use crate::signals::{
    Context, Effect, Gates, Known, Measure, Model, SIGNALS, Side, Signal, Usual, scanning,
};
use crate::windows::Window;
use std::time::Duration;

/// A window of an open incident's pair that is this rare and passes the gates keeps the incident open.
const STILL_ODD: f64 = 1e-3;

/// What closing a pair's window gave.
#[derive(Default)]
pub(super) struct Closed {
    pub(super) finding: Option<Finding>,
    pub(super) still_odd: bool,
    /// Requests in the window, where it was watched whole.
    pub(super) requests: Option<u32>,
    /// Signals that took over what they believe, and what they saw against what they had expected.
    pub(super) adopted: Vec<(usize, f64)>,
    /// What of routes' usual is to be learned anew.
    pub(super) doubted: Vec<Usual>,
    /// Whether the rate is under suspicion.
    pub(super) suspected: bool,
    /// Whether the rate is again what it was before a shift.
    pub(super) back: bool,
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

/// No stream alarms on less: single windows reach this by the hour.
const THRESHOLD_MIN: f64 = 1e3;

/// The evidence at which a direction of a signal alarms, where `all` is that of a stream with an even share that hears of
/// every window. One that says nothing of silent windows has fewer chances to alarm for nothing: `active` is the share of
/// windows with traffic.
/// One whose source acts oddly elsewhere needs less.
pub(super) fn threshold(
    signal: &Signal,
    share: f64,
    active: f64,
    odd_elsewhere: bool,
    all: f64,
) -> f64 {
    let heard = match signal.measure {
        Measure::Rate { .. } => 1.0,
        _ => active,
    };
    let related = if odd_elsewhere { RELATED } else { 1.0 };
    (all * heard / share / related).max(THRESHOLD_MIN)
}

/// What is known of a pair's window beside its counts.
pub(super) struct Beside<'a> {
    /// How long the pair's incident has lasted, where there is one.
    pub(super) incident: Option<Duration>,
    /// Whether the source has an incident with another destination, and none with this one.
    pub(super) odd_elsewhere: bool,
    /// Requests that the source served itself, by route; `None` where nobody is seen to call it.
    pub(super) asked: Option<&'a [u32]>,
    /// Requests that it made to others; `None` where it calls nobody at all.
    pub(super) made: Option<f64>,
    pub(super) maintained: bool,
}

/// How much less evidence is asked of a pair whose source acts oddly elsewhere. Trouble comes in company: given one
/// pair of a source, another is in trouble some ten times as often. Incidents are open some hundredth of the time, so that
/// a tenth is added to the tolerated false alerts.
const RELATED: f64 = 10.0;

/// What a rate is typical for, where not for the time.
const ASKED: &str = " for what the source is asked itself";

/// A stream that is over its threshold.
struct Alarm {
    evidence: f64,
    since: Time,
    maturity: f64,
    words: String,
    kind: Kind,
    severity: Severity,
    techniques: &'static [&'static str],
    told: Evidence,
}

impl Alarm {
    /// Refused and not-found requests as the search that they are, where they are one.
    fn search(&mut self, lately: &Window) {
        if let Some(search) = scanning::search(self.kind, lately) {
            self.kind = Kind::Scanning;
            self.severity = self.severity.max(Severity::Medium);
            self.techniques = scanning::TECHNIQUES;
            self.words = format!("{search}; {}", self.words);
        }
    }
}

impl Judge<'_> {
    pub(super) fn pair(
        &self,
        pair: &mut Pair,
        index: usize,
        beside: &Beside<'_>,
        pools: &mut [Pool],
        mut watch: Option<&mut Watch>,
    ) -> Closed {
        let &Beside {
            incident,
            odd_elsewhere,
            asked,
            made,
            maintained,
        } = beside;
        let Some(window) = pair.close(index) else {
            return Closed::default();
        };
        let context = Context {
            whole: self.whole,
            exposure: Exposure {
                time: pair.season_factor(),
                given: [
                    asked.map(|asked| pair.calls.given(asked)),
                    made.map(Given::of),
                ],
                before: pair.shift.before(self.now),
                recurring: pair.recurring(self.start),
            },
            long_run: pair.long_run(self.length),
            length: self.length,
            memory: self.config.learning.memory.duration(),
        };
        let lately = pair.lately(index, &window);
        // Once a close: of what a shorter window has just told there is no incident yet.
        if incident.is_none() && index == 0 {
            pair.shift.over();
        }
        let mut shift = pair.shift;
        let releases = pair.releases;
        let period = context.memory.mul_f64(NEW_NORMAL);
        let Some(level) = pair.level_mut(index) else {
            return Closed::default();
        };
        let start = u32::try_from(self.start.0 / 1000).unwrap_or(u32::MAX);
        level.occupy(window.tallies.requests > 0);
        let mut closed = Closed {
            requests: self.whole.then_some(window.tallies.requests),
            ..Closed::default()
        };
        level.maintain(maintained);
        let active = level.active();
        let mut alarms = Vec::new();
        let mut adopted = level.adopted;
        let mut followed = None;
        for (s, signal) in SIGNALS.iter().enumerate() {
            if !(signal.enabled)(&self.config.signals) {
                continue;
            }
            let (Some((model, streams)), Some(pool)) = (level.signal_mut(s), pools.get_mut(s))
            else {
                continue;
            };
            let known = signal.known(&pool.model, context.long_run);
            let maturity = signal.maturity(model);
            let believed = incident.is_some_and(|lasted| shift.believes(s, lasted, context.memory));
            let suspected = incident.is_some() && !believed;
            // What is done to a pair under maintenance does not become its usual, however long it takes.
            let slow = suspected || maintained;
            let mut weight = if slow { SUSPECT_WEIGHT } else { 1.0 };
            let judged = signal.judge(model, &known, &window, &context);
            if let Some(judged) = &judged {
                let by_time = signal.by_time(model, &known, &context);
                for (side, p, seen, peaks) in [
                    (Side::Up, judged.tail.up, judged.high, &mut pool.up),
                    (Side::Down, judged.tail.down, judged.low, &mut pool.down),
                ] {
                    let Some(direction) = signal.direction(side) else {
                        continue;
                    };
                    let stream = streams.side(side);
                    let share = if judged.explained {
                        1.0
                    } else {
                        direction.share
                    };
                    let threshold = threshold(signal, share, active, odd_elsewhere, self.threshold);
                    // Volume is mostly just traffic: how high it rises is learned in full, whatever is suspected. Of the
                    // others, and of what the source was asked for, what alarmed was most likely no usual run.
                    let trust = match signal.measure {
                        _ if maintained => Trust::NONE,
                        Measure::Rate { .. } if !judged.asked => Trust::FULL,
                        _ => Trust {
                            usual: weight,
                            alarmed: SUSPECT_WEIGHT,
                        },
                    };
                    stream.seen.fade(signal.keeps(self.length, context.memory));
                    let outweighs = stream.update(p, start, seen, peaks, trust);
                    let evidence = stream.corrected(peaks, signal.habit());
                    let is_asked = judged.asked;
                    let gates = |run: &Effect| {
                        signal.gates(side, run, maturity, judged.surprising, by_time)
                    };
                    let passes = |effect: &Effect| gates(effect).is_some_and(|gates| gates.pass());
                    let alone = signal.effect(&seen, self.length, self.length);
                    if outweighs && !passes(&self.run(signal, stream).1) && passes(&alone) {
                        stream.begin(start, seen);
                    }
                    let (since, effect) = self.run(signal, stream);
                    // What was told of needs to be known no better by longer windows to go on.
                    let goes_on = |gates: Gates| {
                        gates.pass() || (shift.has_alarmed(s) && gates.but_for_maturity())
                    };
                    closed.still_odd |=
                        suspected && p <= STILL_ODD && gates(&alone).is_some_and(goes_on);
                    let gates = gates(&effect);
                    let matters = gates.is_some_and(|gates| gates.pass());
                    // Not what stays below the gates: it will never alarm, and would never be learned. Sooner what is gross
                    // failure if it goes on: the little that was seen of it is most of what a young pair knows.
                    let doubtful = match gates {
                        _ if believed => false,
                        Some(gates) if gates.pending => evidence >= threshold.sqrt().sqrt(),
                        _ => matters && evidence >= threshold.sqrt(),
                    };
                    let ratio = effect.ratio;
                    let released = signal.is_level()
                        && !maintained
                        && releases.explains(since, self.length, ratio, period, self.now);
                    let band = || {
                        signal
                            .band(model, &known, &window, effect.typical, &context)
                            .map(|b| b.map(round))
                    };
                    if let (Some(watch), Some(gates)) = (watch.as_deref_mut(), gates) {
                        watch.add(Look {
                            start: self.start,
                            length: self.length,
                            signal: signal.name,
                            unit: signal.unit(),
                            side,
                            kind: direction.kind,
                            requests: window.tallies.requests,
                            p,
                            since,
                            effect,
                            band: band(),
                            parts: stream.parts(peaks, signal.habit()),
                            evidence,
                            threshold,
                            gates,
                            alarmed: evidence >= threshold && matters && !released,
                            incident: incident.is_some(),
                            believed: believed || released,
                            maintained,
                        });
                    }
                    // What would be doubted is believed, whether it matters or not.
                    if released && evidence >= threshold.sqrt() {
                        let seen = stream.seen;
                        stream.forget();
                        signal.adopt(model, seen);
                        if let Measure::Scale { usual, .. } = signal.measure {
                            closed.doubted.push(usual);
                        }
                        closed.adopted.push((s, seen.ratio()));
                        // The level is another than the window was judged by.
                        weight = 0.0;
                        continue;
                    }
                    if doubtful {
                        weight = SUSPECT_WEIGHT;
                    }
                    if evidence >= threshold && matters {
                        alarms.push(Alarm {
                            evidence,
                            since,
                            maturity,
                            words: (direction.words)(&effect) + if is_asked { ASKED } else { "" },
                            kind: direction.kind,
                            severity: (direction.severity)(&effect),
                            techniques: direction.techniques,
                            told: Evidence {
                                signal: signal.name.to_owned(),
                                unit: signal.unit().to_owned(),
                                actual: Some(round(effect.actual)),
                                typical: Some(round(effect.typical)),
                                band: band(),
                                contribution: 0.0,
                            },
                        });
                        stream.alarm();
                        if !maintained {
                            shift.alarm(s, self.now);
                        }
                    }
                }
            }
            closed.suspected |= weight < 1.0 && matches!(signal.measure, Measure::Rate { .. });
            // Nothing follows from windows under maintenance.
            if let (Model::Rate(rate), Some(judged), Known::Rate(prior), false) =
                (&mut *model, &judged, &known, maintained)
            {
                rate.follow(judged.alone, weight);
                let expected = rate.follow_from(prior, &context.exposure);
                followed = expected.map(|expected| (expected, weight));
            }
            signal.learn(model, &mut pool.model, &known, &window, &context, weight);
            if index.saturating_add(1) == self.config.windows.len() {
                let favours = signal.favours_before(model, &known, &window, &context);
                closed.back |= favours != 0.0 && shift.is_back(favours);
            }
            let seen = streams.stronger();
            let goes_on = signal.goes_on(&seen, judged.as_ref());
            if (goes_on || !believed) && adopted.due(s, believed) {
                signal.adopt(model, seen);
                streams.end();
                closed.adopted.push((s, seen.ratio()));
            }
        }
        level.adopted = adopted;
        pair.shift = shift;
        if let (0, Some(asked), Some((expected, weight))) = (index, asked, followed) {
            let requests = u64::from(window.tallies.requests);
            pair.calls.learn(asked, requests, expected, weight);
        }
        for alarm in &mut alarms {
            alarm.search(&lately);
        }
        closed.finding = self.finding(pair, alarms);
        closed
    }

    /// When the run that a stream's evidence is of began, and how large its deviation is.
    fn run(&self, signal: &Signal, stream: &Stream) -> (Time, Effect) {
        let since = Time(u64::from(stream.since()).saturating_mul(1000));
        let lasted = self.start.plus(self.length).since(since);
        (since, signal.effect(&stream.seen, self.length, lasted))
    }

    /// One finding out of all the streams of a window that are over their threshold.
    fn finding(&self, pair: &Pair, mut alarms: Vec<Alarm>) -> Option<Finding> {
        let weight = |a: &Alarm| a.kind.weight();
        alarms.sort_by(|a, b| {
            weight(b)
                .cmp(&weight(a))
                .then(b.evidence.total_cmp(&a.evidence))
        });
        let total: f64 = alarms.iter().map(|a| a.evidence.ln()).sum();
        let warmup = self.config.learning.warmup.duration();
        let strongest = alarms.iter().map(|a| a.evidence).fold(1.0, f64::max);
        let lead = alarms.first()?;
        Some(Finding {
            kind: lead.kind,
            severity: alarms.iter().map(|a| a.severity).max().unwrap_or_default(),
            score: (50.0 * strongest.ln() / self.threshold.ln()).clamp(50.0, 100.0) as u8,
            since: alarms.iter().map(|a| a.since).min().unwrap_or(self.start),
            until: self.start.plus(self.length),
            maturity: round(lead.maturity.min(pair.watched(self.now, warmup))),
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
