//! The one number a user sets is what the user gets: on long made-up normal traffic of five kinds there are no more false
//! alerts than are tolerated.
//!
//! Two pairs of each kind, one thin and one busy, are watched for weeks after a week of learning.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Millions of windows: natively they take seconds.

mod simulation;

use simulation::{ARRIVALS, Simulation, Traffic, WEEK, opened};

/// False alerts in so many weeks, at the given setting.
fn false_alerts(per_week: f64, weeks: u64, seed: u64) -> Vec<String> {
    let traffic = ARRIVALS
        .iter()
        .enumerate()
        .flat_map(|(i, arrivals)| {
            let seed = seed * 1000 + i as u64 * 10;
            let name = format!("{arrivals:?}");
            [
                Traffic::new(&format!("{name}-thin"), "shop", *arrivals, 0.05, seed),
                Traffic::new(&format!("{name}-busy"), "shop", *arrivals, 5.0, seed + 1),
            ]
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
    ($name:ident, $per_week:expr) => {
        #[test]
        fn $name() {
            let weeks = 2;
            let alerts = false_alerts($per_week, weeks, 1);
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

setting!(one_a_week_is_kept, 1.0);
setting!(one_a_day_is_kept, 7.0);
setting!(three_a_day_are_kept, 21.0);
