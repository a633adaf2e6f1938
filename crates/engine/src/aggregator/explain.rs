//! What the judge made of one pair's windows, for whoever asks why it did or did not alert.
//!
//! Nothing is judged twice: the judge itself says what it went by, while it does, for a pair that is watched. Nobody is
//! watched inside a proxy.

use super::Aggregator;
use crate::Time;
use crate::alerts::Kind;
use crate::signals::{Direction, Effect, Gates, Side};
use std::time::Duration;

/// A closed window of the watched pair.
#[derive(Clone, Debug)]
pub struct Explained {
    /// When it began.
    pub start: Time,
    /// How long it was.
    pub length: Duration,
    /// Requests in it.
    pub requests: u32,
    /// Whether it was watched from start to end: one that was not says nothing about rates.
    pub whole: bool,
    /// Whether the pair had an incident already: what goes on is then learned slowly, or believed.
    pub incident: bool,
    /// Whether its source acted oddly elsewhere, which lowers the evidence needed.
    pub odd_elsewhere: bool,
    /// Whether it was under maintenance.
    pub maintained: bool,
    /// What each signal said that had something to say, in the order of [`SIGNALS`](crate::signals::SIGNALS).
    pub heard: Vec<Heard>,
}

/// One direction of one signal.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The signal's name.
    pub signal: &'static str,
    /// Unit of actual, typical and band.
    pub unit: &'static str,
    /// Which side of usual.
    pub side: Side,
    /// The kind of alert it would be.
    pub kind: Kind,
    /// How likely a usual window is to be as extreme, 0 to 1.
    pub p: f64,
    /// When the run of evidence began that this window goes on with.
    pub since: Time,
    /// Actual and typical over the run, and its volume.
    pub effect: Effect,
    /// Where 98 of 100 usual windows lie; `None` where nobody knows.
    pub band: Option<[f64; 2]>,
    /// Evidence of the recursion that sees spikes, corrected by the stream's own tail.
    pub spike: f64,
    /// The same of the one that sees drifts.
    pub drift: f64,
    /// Their mean, which is what counts.
    pub evidence: f64,
    /// The evidence at which it alarms.
    pub threshold: f64,
    /// How well the signal is known, 0 to 1.
    pub maturity: f64,
    /// Which gates it passes.
    pub gates: Gates,
    /// Volume, ratio and share that the gates ask for.
    pub needs: [f64; 3],
    /// Whether it goes on for so long that it is taken for the new normal.
    pub believed: bool,
}

impl Heard {
    /// Whether it alarmed.
    pub fn alarmed(&self) -> bool {
        self.evidence >= self.threshold && self.gates.passed()
    }

    /// How near the evidence came to what is needed, on the scale on which it adds up: 1 and more is enough.
    pub fn nearness(&self) -> f64 {
        self.evidence.max(1.0).ln() / self.threshold.max(2.0).ln()
    }
}

/// What a direction's gates ask for.
pub(super) fn needs(direction: &Direction) -> [f64; 3] {
    let gate = &direction.gate;
    [gate.volume, gate.ratio, gate.share]
}

/// The pair that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    source: Box<str>,
    destination: Box<str>,
    closed: Vec<Explained>,
}

impl Watch {
    pub(super) fn is_on(&self, source: &str, destination: &str) -> bool {
        *self.source == *source && *self.destination == *destination
    }

    pub(super) fn note(&mut self, explained: Explained) {
        self.closed.push(explained);
    }
}

impl Aggregator {
    /// Watches a pair from now on. What is noted waits in memory for [`Aggregator::drain_explained`].
    pub fn watch(&mut self, source: &str, destination: &str) {
        self.watch = Some(Watch {
            source: source.into(),
            destination: destination.into(),
            closed: Vec::new(),
        });
    }

    /// The watched pair's windows that were closed since the last call, in the order they were.
    pub fn drain_explained(&mut self) -> Vec<Explained> {
        let closed = self.watch.as_mut().map(|w| &mut w.closed);
        closed.map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::counters::Counters;
    use crate::exchange::Exchange;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// An hour in which all is well, and a minute in which nothing is.
    fn trouble(watched: Option<(&str, &str)>) -> (Vec<Explained>, Vec<String>) {
        let mut counters = Counters::new(10, 8, 1 << 20, 1, Time(0));
        let mut engine = Aggregator::new(Config::default(), 1, Time(0));
        if let Some((source, destination)) = watched {
            engine.watch(source, destination);
        }
        let (mut explained, mut alerts) = (Vec::new(), Vec::new());
        for second in 1..=3660u64 {
            let now = Time(second * 1000);
            for _ in 0..5 {
                counters.observe(&Exchange {
                    source: "a",
                    destination: "b",
                    identity: None,
                    address: None,
                    method: b"GET",
                    path: b"/",
                    status: if second > 3600 { 500 } else { 200 },
                    grpc_status: None,
                    request_bytes: 0,
                    response_bytes: 0,
                    duration_us: 20_000,
                });
            }
            engine.merge(counters.drain(now).unwrap(), now);
            engine.advance(now);
            explained.extend(engine.drain_explained());
            alerts.extend(engine.drain_alerts().iter().map(|a| a.to_line()));
        }
        (explained, alerts)
    }

    #[test]
    fn the_windows_of_the_watched_pair_tell_what_alarmed() {
        let (explained, alerts) = trouble(Some(("a", "b")));
        let heard = explained.iter().flat_map(|w| &w.heard);
        let alarmed: Vec<_> = heard.filter(|h| h.alarmed()).collect();
        assert!(!alerts.is_empty() && !alarmed.is_empty());
        let others = alarmed.iter().find(|h| h.signal != "server_errors");
        assert!(others.is_none(), "{others:?}");
        assert!(alarmed.iter().all(|h| h.nearness() >= 1.0));
        let well = |w: &&Explained| w.start.plus(w.length) <= Time(3_600_000);
        let mut calm = explained.iter().filter(well).flat_map(|w| &w.heard);
        let early = calm.find(|h| h.alarmed());
        assert!(early.is_none(), "while all was well: {early:?}");
    }

    #[test]
    fn to_be_watched_changes_nothing() {
        let (explained, alerts) = trouble(None);
        assert!(explained.is_empty());
        assert_eq!(alerts, trouble(Some(("a", "b"))).1);
        assert!(trouble(Some(("a", "c"))).0.is_empty(), "another pair's");
    }
}
