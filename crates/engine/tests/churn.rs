//! Callers come and go for longer than a cap can remember.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Cell, PairCounts, RouteCounts, Tallies};
use std::collections::BTreeSet;

const SECOND: u64 = 1000;

struct Proxy {
    aggregator: Aggregator,
    now: Time,
}

impl Proxy {
    fn of(pairs: u64) -> Self {
        let config = format!(r#"{{"windows":["10s"],"limits":{{"pairs":{pairs}}}}}"#);
        let now = Time(1_795_168_800_000);
        Self {
            aggregator: Aggregator::new(Config::from_json(config.as_bytes()).unwrap(), 1, now),
            now,
        }
    }

    /// Time passes, at the end of which each of these callers is counted five times.
    fn after(&mut self, seconds: u64, callers: impl Iterator<Item = String>) {
        let from = self.now;
        self.now = Time(self.now.0 + seconds * SECOND);
        let pairs = callers.map(|source| PairCounts {
            source,
            destination: "shop".into(),
            routes: vec![RouteCounts {
                route: "GET /".into(),
                cell: Cell {
                    tallies: Tallies {
                        requests: 5,
                        ..Tallies::default()
                    },
                    served: 5,
                    ..Cell::default()
                },
            }],
            ..PairCounts::default()
        });
        let batch = Batch {
            from,
            to: self.now,
            pairs: pairs.collect(),
            dropped: 0,
        };
        self.aggregator.merge(batch, self.now);
        self.aggregator.advance(self.now);
    }

    fn known(&self) -> BTreeSet<String> {
        let usual = self.aggregator.usual(0);
        usual.map(|u| u.source.to_owned()).collect()
    }
}

#[test]
fn callers_that_are_gone_make_room_for_those_that_came() {
    let mut proxy = Proxy::of(100);
    // Fifty at a time, each there for five minutes: after an hour seven hundred have been there.
    let alive = |second: u64| (second / 6..second / 6 + 50).map(|i| format!("caller-{i}"));
    for second in 0..3600 {
        proxy.after(1, alive(second));
    }
    let known = proxy.known();
    let unknown: Vec<String> = alive(3599).filter(|c| !known.contains(c)).collect();
    assert!(unknown.len() <= 2, "not known: {unknown:?}");
    let evicted = proxy.aggregator.totals().evicted;
    assert!(evicted < 1000, "550 had to make room, not {evicted}");
}

#[test]
fn a_caller_that_pauses_for_a_night_outlasts_a_flood_of_made_up_names() {
    let mut proxy = Proxy::of(100);
    for _ in 0..6 * 60 * 12 {
        proxy.after(10, std::iter::once("job".into()));
    }
    // Four hours of silence, then a thousand names a second for ten minutes.
    proxy.after(4 * 3600, std::iter::empty());
    for second in 0..600 {
        proxy.after(1, (0..1000).map(|i| format!("made-up-{second}-{i}")));
    }
    assert!(proxy.known().contains("job"));
}
