//! What a new version of the called explains, and what it does not.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Weeks of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Kind;
use pairwatch_engine::config::Config;
use pairwatch_engine::exchange::version::Version;
use simulation::{Arrivals, DAY, HOUR, STEADY, Simulation, Traffic, told};

const LEVELS: [Kind; 4] = [
    Kind::RateSpike,
    Kind::RateDrop,
    Kind::Latency,
    Kind::Exfiltration,
];

/// Four pairs that are known since ten days, the destination of all at its first version.
fn known(arrivals: Arrivals, seed: u64) -> Simulation {
    let traffic =
        (0..3).map(|i| Traffic::new(&format!("other{i}"), "shop", arrivals, 2.0, seed + 10 + i));
    let mut all: Vec<_> = traffic.collect();
    all.push(Traffic::new("web", "shop", arrivals, 5.0, seed));
    for traffic in &mut all {
        traffic.version = Version::of("v1");
    }
    let mut simulation = Simulation::new(r#"{"false_alerts_per_week":1}"#, all);
    simulation.run(10 * DAY + 11 * HOUR);
    simulation
}

fn release(simulation: &mut Simulation, label: &str) {
    for traffic in &mut simulation.traffic {
        traffic.version = Version::of(label);
    }
}

/// Requests a second that the pair is taken to have usually.
fn usual(simulation: &Simulation) -> f64 {
    let mut usual = simulation.aggregator.usual(0);
    usual.find(|u| u.source == "web").unwrap().rate
}

/// Changes the pair together with a release, and asks for silence in the day after. Where ten minutes differ from the next by a half
/// there may be a false alert in a day, so that there only the hours are watched in which a change would be told of.
#[track_caller]
fn is_explained(change: impl Fn(&mut Traffic)) {
    for (i, arrivals) in STEADY.into_iter().enumerate() {
        let mut simulation = known(arrivals, 100 * (i as u64 + 1));
        release(&mut simulation, "v2");
        change(simulation.pair("web"));
        let watched = match arrivals {
            Arrivals::Overdispersed => 6 * HOUR,
            _ => DAY,
        };
        let told = told(&mut simulation, watched, &LEVELS);
        assert!(told.is_empty(), "{arrivals:?}:\n{}", told.join("\n"));
    }
}

#[test]
fn twice_the_traffic_with_a_new_version_is_not_told() {
    is_explained(|t| t.rate *= 2.0);
}

#[test]
fn half_the_traffic_with_a_new_version_is_not_told() {
    is_explained(|t| t.rate *= 0.5);
}

#[test]
fn a_new_version_three_times_as_slow_is_not_told() {
    is_explained(|t| t.millis *= 3.0);
}

#[test]
fn a_new_version_that_answers_with_three_times_the_bytes_is_not_told() {
    is_explained(|t| t.bytes *= 3.0);
}

/// Minutes until the pair is taken to have within a quarter of twice the traffic, that it has from now on.
fn relearned(simulation: &mut Simulation) -> u64 {
    let before = usual(simulation);
    simulation.pair("web").rate *= 2.0;
    let minutes = (0..24 * 60).take_while(|_| {
        simulation.run(60);
        usual(simulation) < 1.5 * before
    });
    minutes.count() as u64
}

#[test]
fn a_level_is_learned_in_minutes_with_a_new_version_and_not_in_half_an_hour_without() {
    let mut without = known(Arrivals::Poisson, 7);
    let without = relearned(&mut without);
    let mut with = known(Arrivals::Poisson, 7);
    release(&mut with, "v2");
    let with = relearned(&mut with);
    assert!(with <= 5, "{with} minutes");
    assert!(without >= 30, "{without} minutes");
}

#[test]
fn ten_times_the_bytes_with_a_new_version_are_told() {
    let mut simulation = known(Arrivals::Poisson, 7);
    release(&mut simulation, "v2");
    simulation.pair("web").bytes *= 10.0;
    assert!(!told(&mut simulation, HOUR, &[Kind::Exfiltration]).is_empty());
}

#[test]
fn silence_after_a_new_version_is_told() {
    let mut simulation = known(Arrivals::Poisson, 7);
    release(&mut simulation, "v2");
    simulation.run(60);
    simulation.pair("web").rate = 0.0;
    assert!(!told(&mut simulation, HOUR, &[Kind::RateDrop]).is_empty());
}

#[test]
fn a_new_version_that_fails_is_told() {
    let mut simulation = known(Arrivals::Poisson, 7);
    release(&mut simulation, "v2");
    simulation.pair("web").errors = [0.1, 0.005, 0.005];
    assert!(!told(&mut simulation, HOUR, &[Kind::ServerErrors]).is_empty());
    simulation.pair("web").errors = [0.002, 0.2, 0.005];
    let refused = [Kind::AuthFailures, Kind::CredentialStuffing];
    assert!(!told(&mut simulation, HOUR, &refused).is_empty());
}

#[test]
fn what_begins_long_after_a_new_version_is_told_though_the_old_one_still_answers() {
    let mut simulation = known(Arrivals::Poisson, 7);
    for minute in 0..180 {
        release(&mut simulation, if minute % 2 == 0 { "v2" } else { "v1" });
        simulation.run(60);
    }
    simulation.pair("web").rate *= 3.0;
    let mut all = Vec::new();
    for minute in 0..30 {
        release(&mut simulation, if minute % 2 == 0 { "v2" } else { "v1" });
        all.extend(told(&mut simulation, 60, &[Kind::RateSpike]));
    }
    assert_eq!(all.len(), 1, "{all:?}");
}

/// A proxy that begins with what the one before had learned, its workload at this version.
fn restarted(simulation: &Simulation, label: &str) -> Simulation {
    let snapshot = simulation.aggregator.snapshot(0);
    let config = Config::from_json(br#"{"false_alerts_per_week":1}"#).unwrap();
    let now = Time(simulation.now * 1000);
    let mut aggregator = Aggregator::new(config, 8, now);
    aggregator.warm_start(&snapshot, now).unwrap();
    let mut restarted = Simulation {
        aggregator,
        traffic: simulation.traffic.clone(),
        now: simulation.now,
    };
    release(&mut restarted, label);
    restarted
}

#[test]
fn a_proxy_that_starts_warm_knows_that_its_workload_is_a_new_version() {
    let first = known(Arrivals::Poisson, 7);
    for (label, alerts) in [("v1", 1), ("v2", 0)] {
        let mut second = restarted(&first, label);
        second.pair("web").millis *= 3.0;
        let told = told(&mut second, DAY, &LEVELS);
        assert_eq!(told.len(), alerts, "{label}:\n{}", told.join("\n"));
    }
}
