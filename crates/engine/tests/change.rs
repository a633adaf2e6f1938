//! What changes for good is told once and learned; what is changed step by step, so that it would be learned, is seen.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]
#![cfg(not(target_arch = "wasm32"))] // Weeks of windows: natively they take seconds.

mod simulation;

use pairwatch_engine::alerts::{Kind, State};
use simulation::{Arrivals, DAY, HOUR, STEADY, Simulation, Traffic, WEEK, told};

/// A pair that is known since ten days, among others.
fn known(config: &str, arrivals: Arrivals, rate: f64, seed: u64) -> Simulation {
    let traffic =
        (0..4).map(|i| Traffic::new(&format!("other{i}"), "shop", arrivals, 2.0, seed + 10 + i));
    let mut all: Vec<_> = traffic.collect();
    all.push(Traffic::new("web", "shop", arrivals, rate, seed));
    let mut simulation = Simulation::new(config, all);
    simulation.run(10 * DAY);
    simulation
}

/// Lets a pair change at once, and asks for at most one alert in the week after.
#[track_caller]
fn is_told_once(kinds: &[Kind], change: impl Fn(&mut Traffic)) {
    let after = |arrivals, seed| {
        let mut simulation = known(r#"{"false_alerts_per_week":1}"#, arrivals, 5.0, seed);
        simulation.run(11 * HOUR);
        change(simulation.pair("web"));
        told(&mut simulation, WEEK, kinds)
    };
    for (seed, arrivals) in [(100, Arrivals::Poisson), (300, Arrivals::Seasonal)] {
        let told = after(arrivals, seed);
        assert!(told.len() <= 1, "{arrivals:?}:\n{}", told.join("\n"));
    }
    // Where ten minutes differ from the next by a half there may be the false alert of the week, too: that many in three weeks.
    let uneven = [200, 400, 500].map(|seed| after(Arrivals::Overdispersed, seed));
    let all = uneven.concat();
    assert!(all.len() <= 3 * 2, "uneven:\n{}", all.join("\n"));
}

/// A pair of which nothing comes any more after three days.
fn out(arrivals: Arrivals) -> Simulation {
    let web = Traffic::new("web", "stock", arrivals, 3.0, 1);
    let batch = Traffic::new("batch", "stock", Arrivals::Poisson, 2.0, 9);
    let mut simulation = Simulation::new("{}", vec![web, batch]);
    simulation.run(3 * DAY + 9 * HOUR);
    simulation.to("stock").rate = 0.0;
    simulation
}

/// An outage lasts for longer than it takes to be believed. What was learned of it says nothing of the traffic that comes back.
#[test]
fn traffic_that_comes_back_after_an_outage_is_no_drop() {
    for arrivals in [
        Arrivals::Poisson,
        Arrivals::Seasonal,
        Arrivals::Autocorrelated,
    ] {
        for hours in [1, 4] {
            let mut simulation = out(arrivals);
            let missed = told(&mut simulation, hours * HOUR, &[Kind::RateDrop]);
            assert!(!missed.is_empty(), "{arrivals:?}");
            simulation.to("stock").rate = 3.0;
            let told = told(&mut simulation, 6 * HOUR, &[Kind::RateDrop]);
            assert!(told.is_empty(), "{arrivals:?}, {hours} h: {told:#?}");
        }
    }
}

/// Nor is it a burst over what was learned of the silence.
#[test]
fn traffic_that_comes_back_after_half_a_day_is_no_burst() {
    for arrivals in [Arrivals::Poisson, Arrivals::Regular] {
        for hours in [4, 12] {
            let mut simulation = out(arrivals);
            simulation.run(hours * HOUR);
            simulation.to("stock").rate = 3.0;
            let told = told(&mut simulation, 6 * HOUR, &[Kind::RateSpike]);
            assert!(told.is_empty(), "{arrivals:?}, {hours} h: {told:#?}");
        }
    }
}

/// Longer windows know a young pair last: what shorter ones told of, and took as usual, is no news to them hours later.
#[test]
fn what_stops_for_good_is_told_once_however_young_it_is() {
    for arrivals in [Arrivals::Poisson, Arrivals::Regular] {
        for (minutes, rate) in [(50, 10.0), (50, 2.0), (85, 10.0), (85, 2.0), (200, 2.0)] {
            let web = Traffic::new("web", "stock", arrivals, rate, minutes);
            let batch = Traffic::new("batch", "stock", Arrivals::Poisson, 2.0, 9);
            let mut simulation = Simulation::new("{}", vec![web, batch]);
            simulation.run(minutes * 60);
            simulation.pair("web").rate = 0.0;
            let told = told(&mut simulation, 12 * HOUR, &[Kind::RateDrop]);
            assert_eq!(
                told.len(),
                1,
                "{arrivals:?}, {rate} for {minutes} min: {told:#?}"
            );
        }
    }
}

/// What the last lines say of the incidents of an outage of so many minutes, in these and the hour after.
fn ends(arrivals: Arrivals, minutes: u64) -> Vec<String> {
    let mut simulation = out(arrivals);
    let mut alerts = simulation.run(minutes * 60);
    simulation.to("stock").rate = 3.0;
    alerts.extend(simulation.run(HOUR));
    let over = alerts.into_iter().filter(|a| a.state == State::Resolved);
    over.map(|a| a.message).collect()
}

#[test]
fn an_outage_that_goes_on_and_is_believed_is_not_said_to_be_over() {
    for arrivals in [Arrivals::Poisson, Arrivals::Regular] {
        let ends = ends(arrivals, 120);
        assert!(ends[0].contains("taken as usual since"), "{ends:#?}");
    }
}

#[test]
fn an_outage_that_ends_is_over() {
    for arrivals in [Arrivals::Poisson, Arrivals::Regular] {
        let ends = ends(arrivals, 15);
        assert!(
            ends.len() == 1 && ends[0].contains("over since"),
            "{ends:#?}"
        );
    }
}

#[test]
fn twice_the_traffic_after_a_release_is_told_once() {
    is_told_once(&[Kind::RateSpike, Kind::RateDrop], |t| t.rate *= 2.0);
}

#[test]
fn half_the_traffic_after_a_release_is_told_once() {
    is_told_once(&[Kind::RateSpike, Kind::RateDrop], |t| t.rate *= 0.5);
}

#[test]
fn a_release_three_times_as_slow_is_told_once() {
    is_told_once(&[Kind::Latency], |t| t.millis *= 3.0);
}

#[test]
fn a_release_that_answers_with_four_times_the_bytes_is_told_once() {
    is_told_once(&[Kind::Exfiltration], |t| t.bytes *= 4.0);
}

#[test]
fn what_was_believed_and_has_passed_is_not_missed_at_the_same_hours_of_the_next_days() {
    for (i, arrivals) in STEADY.into_iter().enumerate() {
        let quiet = r#"{"false_alerts_per_week":1}"#;
        let mut simulation = known(quiet, arrivals, 1.0, 100 * (i as u64 + 1));
        simulation.run(11 * HOUR);
        simulation.pair("web").rate *= 20.0;
        let kinds = [Kind::RateSpike, Kind::RateDrop];
        let during = told(&mut simulation, 3 * HOUR, &kinds);
        assert_eq!(during.len(), 1, "{arrivals:?}: {during:#?}");
        simulation.pair("web").rate /= 20.0;
        let after = told(&mut simulation, 3 * DAY, &kinds);
        assert_eq!(after, Vec::<String>::new(), "{arrivals:?}");
    }
}

#[test]
fn a_rush_that_is_over_before_it_would_be_believed_is_not_taken_for_the_usual() {
    for minutes in [16, 20, 24, 28] {
        let web = Traffic::new("web", "api", Arrivals::Poisson, 50.0, 1);
        let mut simulation = Simulation::new("{}", vec![web]);
        simulation.run(9 * DAY + 11 * HOUR);
        simulation.pair("web").rate *= 4.0;
        let mut alerts = simulation.run(60 * minutes);
        simulation.pair("web").rate /= 4.0;
        alerts.extend(simulation.run(3 * HOUR));
        let missed = alerts.iter().map(|a| &a.message);
        let missed: Vec<_> = missed.filter(|m| m.contains("only")).collect();
        assert!(missed.is_empty(), "{minutes} min: {missed:#?}");
    }
}

#[test]
fn a_rush_on_a_young_pair_is_not_missed_at_the_same_hour_of_the_next_days() {
    for (learned, seed) in [(11 * HOUR, 1), (DAY + 11 * HOUR, 2), (2 * DAY, 3)] {
        let web = Traffic::new("web", "api", Arrivals::Poisson, 50.0, seed);
        let mut simulation = Simulation::new("{}", vec![web]);
        simulation.run(learned);
        simulation.to("api").rate *= 8.0;
        simulation.run(10 * 60);
        simulation.to("api").rate /= 8.0;
        let missed = told(&mut simulation, WEEK, &[Kind::RateDrop]);
        assert_eq!(missed, Vec::<String>::new(), "after {learned} s");
    }
}

/// Ten minutes of failure at each of these hours, and whether it was told.
fn waves(kinds: &[Kind], hours: &[u64], change: impl Fn(&mut Traffic, bool)) -> Vec<bool> {
    let mut simulation = known("{}", Arrivals::Poisson, 5.0, 100);
    let start = simulation.now;
    let each = hours.iter().map(|hour| {
        let until = start + hour * HOUR;
        simulation.run(until - simulation.now);
        change(simulation.pair("web"), true);
        let told = told(&mut simulation, 600, kinds);
        change(simulation.pair("web"), false);
        !told.is_empty()
    });
    each.collect()
}

#[test]
fn failures_that_come_again_are_told_each_time() {
    let told = waves(
        &[Kind::ServerErrors],
        &[10, 13, 16, 19, 30, 40, 60],
        |t, on| t.errors = [if on { 0.4 } else { 0.001 }, 0.0, 0.0],
    );
    assert_eq!(told, [true; 7]);
}

#[test]
fn log_ins_that_are_tried_again_are_told_each_time() {
    let told = waves(
        &[Kind::AuthFailures],
        &[10, 13, 16, 19, 30, 40, 60],
        |t, on| {
            t.errors = [0.0, if on { 0.4 } else { 0.01 }, 0.0];
        },
    );
    assert_eq!(told, [true; 7]);
}

#[test]
fn a_failure_that_went_on_long_enough_to_be_believed_hides_no_other() {
    let mut simulation = known("{}", Arrivals::Poisson, 5.0, 100);
    simulation.run(9 * HOUR);
    for (pause, lasts) in [(0, 45 * 60), (6 * HOUR, 600), (12 * HOUR, 600)] {
        simulation.run(pause);
        simulation.pair("web").errors = [0.5, 0.0, 0.0];
        let told = told(&mut simulation, lasts, &[Kind::ServerErrors]);
        assert_eq!(told.len(), 1, "{told:#?}");
        simulation.pair("web").errors = [0.001, 0.0, 0.0];
    }
}

#[test]
fn durations_that_are_believed_do_not_make_the_size_of_their_answers_usual() {
    for (i, arrivals) in STEADY.into_iter().enumerate() {
        let quiet = r#"{"false_alerts_per_week":1}"#;
        let mut simulation = known(quiet, arrivals, 5.0, 100 * (i as u64 + 1));
        let pair = simulation.pair("web");
        (pair.millis, pair.bytes) = (pair.millis * 10.0, pair.bytes / 3.0);
        let during = told(&mut simulation, 45 * 60, &[Kind::Latency]);
        assert_eq!(during.len(), 1, "{arrivals:?}: {during:#?}");
        let pair = simulation.pair("web");
        (pair.millis, pair.bytes) = (pair.millis / 10.0, pair.bytes * 3.0);
        let after = told(&mut simulation, DAY, &[Kind::Exfiltration]);
        assert_eq!(after, Vec::<String>::new(), "{arrivals:?}");
    }
}

#[test]
fn durations_are_watched_where_there_are_more_routes_than_are_kept() {
    let mut simulation = known("{}", Arrivals::Poisson, 5.0, 100);
    simulation.pair("web").route = |step| format!("GET /posts/{}", step % 500);
    simulation.run(DAY);
    simulation.pair("web").millis *= 10.0;
    let told = told(&mut simulation, HOUR, &[Kind::Latency]);
    assert_eq!(told.len(), 1, "{told:#?}");
}

/// Lets a pair change a little every ten minutes of a day, and asks for an alert.
#[track_caller]
fn is_seen_within_the_day(kinds: &[Kind], change: impl Fn(&mut Traffic, f64)) {
    for (i, arrivals) in STEADY.into_iter().enumerate() {
        let mut simulation = known("{}", arrivals, 5.0, 100 * (i as u64 + 1));
        let mut seen = Vec::new();
        for step in 1..=144 {
            change(simulation.pair("web"), f64::from(step) / 144.0);
            seen.extend(told(&mut simulation, 600, kinds));
        }
        assert!(!seen.is_empty(), "{arrivals:?}: nothing was said");
    }
}

#[test]
fn requests_that_grow_to_ten_times_over_a_day_are_seen() {
    is_seen_within_the_day(&[Kind::RateSpike], |t, day| t.rate = 5.0 * 10f64.powf(day));
}

#[test]
fn answers_that_grow_to_eight_times_over_a_day_are_seen() {
    is_seen_within_the_day(&[Kind::Exfiltration], |t, day| {
        t.bytes = 2_000.0 * 8f64.powf(day);
    });
}

#[test]
fn refused_credentials_that_grow_from_one_in_two_hundred_to_one_in_ten_over_a_day_are_seen() {
    is_seen_within_the_day(&[Kind::AuthFailures, Kind::CredentialStuffing], |t, day| {
        t.errors[1] = 0.005 * 20f64.powf(day);
    });
}

#[test]
fn durations_that_grow_to_eight_times_over_a_day_are_seen() {
    is_seen_within_the_day(&[Kind::Latency], |t, day| {
        t.millis = 30.0 * 8f64.powf(day);
    });
}

/// In a mesh of scrapes and checks at any pace, from one in 200 s to two a second, beside what users ask: ten are due after
/// 17 minutes, and the ten minutes end after 20.
#[test]
fn a_scrape_every_hundred_seconds_is_missed_within_half_an_hour() {
    for seed in [100, 200, 300] {
        let paces = [0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0].iter().enumerate();
        let mut all: Vec<_> = paces
            .map(|(i, rate)| (format!("check{i}"), *rate, seed + i as u64))
            .map(|(name, rate, seed)| Traffic::new(&name, "shop", Arrivals::Regular, rate, seed))
            .collect();
        let users = Traffic::new("users", "shop", Arrivals::Seasonal, 5.0, seed + 50);
        all.push(users);
        all.push(Traffic::new(
            "web",
            "shop",
            Arrivals::Regular,
            0.1,
            seed + 51,
        ));
        let mut simulation = Simulation::new("{}", all);
        simulation.run(2 * WEEK);
        simulation.pair("web").rate = 0.0;
        let told = told(&mut simulation, 25 * 60, &[Kind::RateDrop]);
        assert_eq!(told.len(), 1, "seed {seed}: {told:?}");
    }
}
