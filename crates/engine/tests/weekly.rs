//! What comes back at the same hour of each week is told twice, and then it is usual at that hour and at no other.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Weeks of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::alerts::Kind;
use simulation::{Arrivals, DAY, HOUR, Simulation, Traffic, WEEK, told};

const KINDS: [Kind; 2] = [Kind::RateSpike, Kind::RateDrop];
/// Wednesday at two.
const HOUR_OF_WEEK: u64 = 2 * DAY + 14 * HOUR;

fn weekly(arrivals: Arrivals) -> Simulation {
    let traffic = [
        ("web", arrivals, 5.0, 1),
        ("users", Arrivals::Seasonal, 2.0, 2),
    ];
    let traffic = traffic
        .map(|(name, arrivals, rate, seed)| Traffic::new(name, "stock", arrivals, rate, seed));
    Simulation::new("{}", traffic.into())
}

/// Lets time pass until so long after the next Monday's midnight, then multiplies the rate for an hour. Says whether that was told.
fn is_told(simulation: &mut Simulation, after: u64, by: f64) -> bool {
    let week = simulation.now - (simulation.now - simulation::START) % WEEK;
    let week = if week < simulation.now {
        week + WEEK
    } else {
        week
    };
    simulation.run(week + after - simulation.now);
    let rate = simulation.pair("web").rate;
    simulation.pair("web").rate = rate * by;
    let told = told(simulation, HOUR, &KINDS);
    simulation.pair("web").rate = rate;
    !told.is_empty()
}

#[test]
fn a_weekly_hour_is_told_twice_and_then_usual() {
    for arrivals in [Arrivals::Poisson, Arrivals::Seasonal] {
        for by in [8.0, 0.0] {
            let mut simulation = weekly(arrivals);
            let weeks = [(); 5].map(|()| is_told(&mut simulation, HOUR_OF_WEEK, by));
            assert_eq!(
                weeks,
                [true, true, false, false, false],
                "{arrivals:?} × {by}"
            );
        }
    }
}

#[test]
fn what_is_usual_at_an_hour_of_the_week_is_told_at_any_other() {
    for after in [HOUR_OF_WEEK + 3 * HOUR, HOUR_OF_WEEK + DAY, 3 * HOUR] {
        let mut simulation = weekly(Arrivals::Poisson);
        for _ in 0..3 {
            is_told(&mut simulation, HOUR_OF_WEEK, 8.0);
        }
        assert!(is_told(&mut simulation, after, 8.0), "{after} s");
    }
}

#[test]
fn several_times_as_much_as_at_that_hour_of_the_last_weeks_is_told() {
    let mut simulation = weekly(Arrivals::Poisson);
    for _ in 0..3 {
        is_told(&mut simulation, HOUR_OF_WEEK, 8.0);
    }
    assert!(is_told(&mut simulation, HOUR_OF_WEEK, 40.0));
}

/// In its first week it is told of six times, in its second three; then once in two.
#[test]
fn a_week_like_no_others_is_hardly_told_of_from_the_third_on() {
    let rates = [0.5, 1.0, 2.0, 5.0, 20.0].into_iter();
    let offices: Vec<_> = rates
        .zip(1..)
        .flat_map(|(rate, i)| [(rate, i), (rate, 10 + i)])
        .collect();
    let told = offices.iter().map(|&(rate, seed)| {
        let office = Traffic::new("web", "stock", Arrivals::OfficeHours, rate, seed);
        let mut simulation = Simulation::new("{}", vec![office]);
        simulation.run(2 * WEEK);
        told(&mut simulation, 2 * WEEK, &KINDS)
    });
    let all: Vec<String> = told.flatten().collect();
    assert!(2 * all.len() <= 3 * offices.len(), "{all:#?}");
}

/// Its office hours are no level: the evening after is as quiet as it was, and what comes in it is told.
#[test]
fn a_flood_in_the_evening_of_a_day_like_no_others_is_told() {
    for evening in [20 * HOUR, 22 * HOUR] {
        let office = Traffic::new("web", "stock", Arrivals::OfficeHours, 5.0, 1);
        let mut simulation = Simulation::new("{}", vec![office]);
        simulation.run(2 * WEEK);
        assert!(is_told(&mut simulation, evening, 8.0), "{evening} s");
    }
}
