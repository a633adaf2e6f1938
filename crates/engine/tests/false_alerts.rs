//! The one number a user sets is what the user gets: on long made-up normal traffic of seven kinds there are no more false
//! alerts than are tolerated.
//!
//! Two pairs of each kind, one thin and one busy, are watched for weeks after a week of learning: once each of a source of its own,
//! and once all of one source, whose calls say nothing about one another.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Millions of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::alerts::Kind;
use simulation::{ARRIVALS, Arrivals, Simulation, Traffic, WEEK, opened, told};

/// False alerts in so many weeks, at the given setting, where pairs are between `between` of a name.
fn false_alerts(
    per_week: f64,
    weeks: u64,
    seed: u64,
    between: impl Fn(&str) -> (String, String),
) -> Vec<String> {
    let traffic = ARRIVALS
        .iter()
        .enumerate()
        .flat_map(|(i, arrivals)| {
            let seed = seed * 1000 + i as u64 * 10;
            [("thin", 0.05, seed), ("busy", 5.0, seed + 1)].map(|(name, rate, seed)| {
                let (from, to) = between(&format!("{arrivals:?}-{name}"));
                Traffic::new(&from, &to, *arrivals, rate, seed)
            })
        })
        .collect();
    let config = format!(r#"{{"false_alerts_per_week":{per_week}}}"#);
    let mut simulation = Simulation::new(&config, traffic);
    simulation.run(WEEK);
    let alerts = simulation.run(weeks * WEEK);
    let opened = opened(&alerts);
    opened
        .iter()
        .map(|a| format!("{} {}", a.time, a.message))
        .collect()
}

/// The most that a Poisson count of this mean exceeds once in a thousand runs.
fn at_most(mean: f64) -> usize {
    (mean + 3.1 * mean.sqrt() + 1.0) as usize
}

macro_rules! setting {
    ($name:ident, $per_week:expr, $between:expr) => {
        #[test]
        fn $name() {
            let weeks = 2;
            let alerts = false_alerts($per_week, weeks, 1, $between);
            let tolerated = at_most($per_week * weeks as f64);
            assert!(
                alerts.len() <= tolerated,
                "{} false alerts in {weeks} weeks, tolerated are {tolerated}:\n{}",
                alerts.len(),
                alerts.join("\n")
            );
        }
    };
}

fn of_many(name: &str) -> (String, String) {
    (name.to_owned(), "shop".to_owned())
}

fn of_one(name: &str) -> (String, String) {
    ("web".to_owned(), name.to_owned())
}

setting!(one_a_week_is_kept, 1.0, of_many);
setting!(one_a_day_is_kept, 7.0, of_many);
setting!(three_a_day_are_kept, 21.0, of_many);
setting!(one_a_week_is_kept_by_one_source_of_many, 1.0, of_one);
setting!(one_a_day_is_kept_by_one_source_of_many, 7.0, of_one);

#[test]
fn who_works_in_office_hours_is_not_missed_in_the_evening_and_at_weekends() {
    let traffic = [("thin", 0.3, 1), ("busy", 3.0, 2)]
        .map(|(name, rate, seed)| Traffic::new("web", name, Arrivals::OfficeHours, rate, seed));
    let mut simulation = Simulation::new("{}", traffic.into());
    simulation.run(2 * WEEK);
    let drops = told(&mut simulation, 2 * WEEK, &[Kind::RateDrop]);
    assert!(drops.is_empty(), "{drops:#?}");
}
