//! What is known beside a pair's own counts.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Days of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::alerts::{Alert, Kind, State};
use simulation::{Arrivals, DAY, HOUR, Simulation, Traffic, told};

/// Whether half a minute of `rate` requests in ten seconds, where 2 are usual, is told of web → stock. Before it `login` has
/// had ten minutes of refusals from web. It is so short, and one false alert a week tolerated, that evidence decides and not the gates.
fn is_told(rate: f64, trouble: bool) -> bool {
    let mut traffic = vec![
        Traffic::new("web", "stock", Arrivals::Poisson, 2.0, 1),
        Traffic::new("web", "login", Arrivals::Poisson, 5.0, 2),
    ];
    traffic.push(Traffic::new("batch", "stock", Arrivals::Poisson, 2.0, 3));
    let mut simulation = Simulation::new(r#"{"false_alerts_per_week":1}"#, traffic);
    simulation.run(3 * DAY);
    if trouble {
        simulation.to("login").errors[1] = 0.5;
    }
    let opened = simulation.run(600);
    assert_eq!(
        opened.iter().any(|a| a.destination == "login"),
        trouble,
        "{opened:#?}"
    );
    simulation.to("stock").rate = rate;
    let alerts = simulation.run(30);
    alerts.iter().any(|a| {
        let others = a.pairs.iter().map(|p| &p.destination);
        a.source == "web" && others.chain([&a.destination]).any(|d| d == "stock")
    })
}

#[test]
fn a_spike_weighs_more_when_its_caller_has_just_acted_oddly_elsewhere() {
    let told = |trouble| {
        let rates = (10..30).map(|r| f64::from(r) / 2.0);
        rates.filter(|r| is_told(*r, trouble)).count()
    };
    let (alone, in_company) = (told(false), told(true));
    assert!(in_company > alone, "{in_company} against {alone} of 20");
}

/// Where web asks both of two services for each of its sessions, and `stop` stops asking some.
fn stopped(stop: impl Fn(&mut Simulation)) -> Simulation {
    // The same seed gives both the same sessions.
    let mut traffic: Vec<_> = ["stock", "price"]
        .map(|to| Traffic::new("web", to, Arrivals::Bursty, 0.5, 1))
        .into();
    traffic.push(Traffic::new("batch", "stock", Arrivals::Poisson, 2.0, 3));
    let mut simulation = Simulation::new("{}", traffic);
    simulation.run(3 * DAY);
    stop(&mut simulation);
    simulation
}

/// What is told of drops in the hour after.
fn drops(stop: impl Fn(&mut Simulation)) -> Vec<String> {
    told(&mut stopped(stop), HOUR, &[Kind::RateDrop])
}

#[test]
fn calls_that_stop_while_their_sources_other_calls_go_on_are_missed() {
    let told = drops(|s| s.to("stock").rate = 0.0);
    assert_eq!(told.len(), 1, "{told:#?}");
}

#[test]
fn calls_that_stopped_and_are_missed_no_more_are_not_said_to_be_back() {
    let mut simulation = stopped(|s| s.to("stock").rate = 0.0);
    let alerts = simulation.run(HOUR);
    let over = |a: &&Alert| a.kind == Kind::RateDrop && a.state == State::Resolved;
    let ends: Vec<_> = alerts.iter().filter(over).map(|a| &a.message).collect();
    assert!(ends.len() == 1 && !ends[0].contains("over"), "{ends:#?}");
}

#[test]
fn calls_that_stop_with_their_sources_other_calls_are_no_outage() {
    let told = drops(|s| {
        s.to("stock").rate = 0.0;
        s.to("price").rate = 0.0;
    });
    assert_eq!(told, Vec::<String>::new());
}
