//! Why a pair did or did not alert: what the engine's judge went by, noted while a log is replayed.
//!
//! With a time, the windows of all lengths that hold it. Without, for each signal and direction the window that came
//! nearest to an alarm. Memory does not grow with the log either way.

mod close;
mod json;
mod text;

use crate::record::Line;
use crate::replay::Watcher;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Explained, Heard};
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::Config;
use pairwatch_engine::signals::SIGNALS;
use std::time::Duration;

/// Incidents of one pair that are kept. More in one log are counted.
const INCIDENTS: usize = 1_000;
/// Pairs whose names are proposed for one that is not there.
const PROPOSED: usize = 5;

/// An onlooker who asks about one pair.
#[derive(Debug)]
pub struct Explain {
    source: String,
    destination: String,
    at: Option<Time>,
    windows: Vec<Explained>,
    incidents: Vec<Told>,
    /// Incidents that are not kept.
    more: u64,
    requests: u64,
    first: Option<Time>,
    disabled: Vec<&'static str>,
    warmup: Duration,
}

/// An incident, by the last line about it.
#[derive(Debug)]
struct Told {
    alert: Alert,
    /// When its first line was raised.
    raised: String,
    written: bool,
}

/// What can't be answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The log has no such pair; others have names like it.
    Pair(String),
    /// The time lies outside of the log.
    Time(String),
}

impl Explain {
    /// Asks about a pair, and a time if one is given, in a log replayed by `config`.
    pub fn new(source: &str, destination: &str, at: Option<Time>, config: &Config) -> Self {
        let off = |s: &&&pairwatch_engine::signals::Signal| !(s.enabled)(&config.signals);
        Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            at,
            windows: Vec::new(),
            incidents: Vec::new(),
            more: 0,
            requests: 0,
            first: None,
            disabled: SIGNALS.iter().filter(off).map(|s| s.name).collect(),
            warmup: config.learning.warmup.duration(),
        }
    }

    /// Whether there is an answer, once the log, which spans these times, was replayed.
    ///
    /// # Errors
    /// What was asked for is not in the log.
    pub fn answer(&self, engine: &Aggregator, first: Time, last: Time) -> Result<(), Unanswered> {
        if self.requests == 0 {
            let known: Vec<_> = engine
                .usual(0)
                .map(|u| (u.source.to_owned(), u.destination.to_owned()))
                .collect();
            let said = close::propose(&self.source, &self.destination, &known, PROPOSED);
            return Err(Unanswered::Pair(said));
        }
        match self.at {
            Some(at) if at < first || at > last => Err(Unanswered::Time(format!(
                "{} is outside of the log, which spans {} to {}",
                at.rfc3339(),
                first.rfc3339(),
                last.rfc3339()
            ))),
            _ => Ok(()),
        }
    }

    /// The incidents that the asked time lies in; all, where none was asked for.
    fn told(&self) -> impl Iterator<Item = &Told> {
        let longest = self.windows.iter().map(|w| w.length).max();
        let slack = longest.unwrap_or_default();
        self.incidents.iter().filter(move |told| {
            let Some(at) = self.at else {
                return true;
            };
            let since = Time::parse(&told.alert.since).unwrap_or_default();
            let last = Time::parse(&told.alert.time).unwrap_or_default();
            since <= at && at <= last.plus(slack)
        })
    }

    /// What was heard of each signal, with the window it was heard in: the nearest to an alarm first.
    fn heard(&self) -> Vec<(&Explained, &Heard)> {
        let mut all: Vec<_> = self
            .windows
            .iter()
            .flat_map(|w| w.heard.iter().map(move |h| (w, h)))
            .collect();
        all.sort_by(|(_, a), (_, b)| rank(b, a));
        all
    }

    /// Keeps of each signal and direction what came nearest.
    fn keep_nearest(&mut self, window: &Explained) {
        for heard in &window.heard {
            let alone = || Explained {
                heard: vec![*heard],
                ..window.clone()
            };
            let same = |kept: &Heard| kept.signal == heard.signal && kept.side == heard.side;
            let kept = self
                .windows
                .iter_mut()
                .find(|w| w.heard.first().is_some_and(same));
            match kept {
                Some(kept) => {
                    let nearer = kept.heard.first().is_some_and(|k| rank(heard, k).is_gt());
                    if nearer {
                        *kept = alone();
                    }
                }
                None => self.windows.push(alone()),
            }
        }
    }
}

/// An alarm is nearer than none; otherwise more evidence against what is needed is.
fn rank(a: &Heard, b: &Heard) -> std::cmp::Ordering {
    a.alarmed()
        .cmp(&b.alarmed())
        .then(a.nearness().total_cmp(&b.nearness()))
}

impl Watcher for Explain {
    fn line(&mut self, at: Time, line: &Line<'_>) {
        if line.source == self.source && line.destination == self.destination {
            self.requests = self.requests.saturating_add(1);
            self.first = self.first.or(Some(at));
        }
    }

    fn pair(&self) -> Option<(&str, &str)> {
        Some((&self.source, &self.destination))
    }

    fn judged(&mut self, window: &Explained) {
        match self.at {
            Some(at) => {
                if window.start <= at && at < window.start.plus(window.length) {
                    self.windows.push(window.clone());
                }
            }
            None => self.keep_nearest(window),
        }
    }

    fn alert(&mut self, alert: &Alert, written: bool) {
        let is_it = |source: &str, destination: &str| {
            source == self.source && destination == self.destination
        };
        if !is_it(&alert.source, &alert.destination)
            && !alert.pairs.iter().any(|p| is_it(&p.source, &p.destination))
        {
            return;
        }
        if let Some(told) = self.incidents.iter_mut().find(|t| t.alert.id == alert.id) {
            told.written |= written;
            told.alert = alert.clone();
        } else if self.incidents.len() < INCIDENTS {
            self.incidents.push(Told {
                alert: alert.clone(),
                raised: alert.time.clone(),
                written,
            });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}
