//! The verdict on the request and the verdict on the window are one: what is published per pair is the count at which
//! the aggregator would alarm if the window ended there.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Days of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::Time;
use pairwatch_engine::counters::{Batch, Cell, PairCounts, RouteCounts, Tallies};
use simulation::{Arrivals, DAY, STEP, Simulation, Traffic};

const CONFIG: &str = r#"{"windows":["10s"]}"#;

/// A pair that is known since three days.
fn known((arrivals, rate, seed): (Arrivals, f64, u64)) -> Simulation {
    let traffic = vec![Traffic::new("web", "shop", arrivals, rate, seed)];
    let mut simulation = Simulation::new(CONFIG, traffic);
    simulation.run(3 * DAY);
    simulation
}

/// The counts that are one too many in its next window.
fn limits(of: (Arrivals, f64, u64)) -> Tallies {
    let simulation = known(of);
    let limits = simulation
        .aggregator
        .limits(Time(simulation.now * 1000 + 1600));
    limits.pairs.first().unwrap().counts
}

/// Whether a next window with such counts is told of.
fn is_told(of: (Arrivals, f64, u64), tallies: Tallies) -> bool {
    let Simulation {
        mut aggregator,
        now,
        ..
    } = known(of);
    let to = Time((now + STEP) * 1000);
    let cell = Cell {
        tallies,
        served: 0,
        ..Cell::default()
    };
    let route = "{unrouted}".to_owned();
    aggregator.merge(
        Batch {
            from: Time(to.0 - 1000),
            to,
            pairs: vec![PairCounts {
                source: "web".to_owned(),
                destination: "shop".to_owned(),
                routes: vec![RouteCounts { route, cell }],
                ..PairCounts::default()
            }],
            dropped: 0,
        },
        to,
    );
    aggregator.advance(Time(to.0 + 1600));
    !aggregator.drain_alerts().is_empty()
}

const WATCHED: [(Arrivals, f64); 4] = [
    (Arrivals::Poisson, 1.0),
    (Arrivals::Poisson, 40.0),
    (Arrivals::Bursty, 5.0),
    (Arrivals::Seasonal, 5.0),
];

#[test]
fn the_request_that_is_one_too_many_is_the_one_that_makes_the_window_odd() {
    for (seed, (arrivals, rate)) in (1..).zip(WATCHED) {
        let of = (arrivals, rate, seed);
        let limits = limits(of);
        let told = |requests| {
            is_told(
                of,
                Tallies {
                    requests,
                    ..Tallies::default()
                },
            )
        };
        let limit = limits.requests;
        assert!(
            told(limit),
            "{arrivals:?}: {limit} are flagged and not told"
        );
        assert!(
            !told(limit - 1),
            "{arrivals:?}: {limit} are flagged, one less is told"
        );
    }
}

#[test]
fn the_failure_that_is_one_too_many_in_a_usual_window_is_the_one_that_makes_it_odd() {
    for (seed, rate) in [(1, 5.0), (2, 40.0), (3, 200.0)] {
        let of = (Arrivals::Poisson, rate, seed);
        let limits = limits(of);
        let told = |server_errors| {
            let requests = rate as u32;
            is_told(
                of,
                Tallies {
                    requests,
                    server_errors,
                    ..Tallies::default()
                },
            )
        };
        let limit = limits.server_errors.min(rate as u32);
        // The usual is known to some percent only, and a whole failure is many of a few.
        let slack = 1 + limit / 20;
        assert!(
            limits.server_errors > limit || told(limit + slack),
            "{rate}: {limit} are flagged and not told"
        );
        assert!(
            !told(limit.saturating_sub(1 + slack)),
            "{rate}: {limit} are flagged, fewer are told"
        );
    }
}
