//! Who calls, over weeks: people, telephones, machines, and those who are none of them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::{Alert, Kind, State};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, PairCounts, RouteCounts, Sighting};
use std::net::IpAddr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// A Monday, 00:00 UTC.
const START: u64 = 1_795_392_000_000;

fn mix(x: u64) -> u64 {
    // SplitMix64 (S. Vigna, <https://prng.di.unimi.it/splitmix64.c>).
    let mut z = x.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// An aggregator in front of which people come and go.
struct World {
    aggregator: Aggregator,
    alerts: Vec<Alert>,
}

impl World {
    fn new() -> Self {
        // Rates swing with the day here, which is another test's business.
        let config =
            Config::from_json(br#"{"false_alerts_per_week":1,"signals":{"request_rate":false}}"#)
                .unwrap();
        Self {
            aggregator: Aggregator::new(config, 3, Time(START)),
            alerts: Vec::new(),
        }
    }

    fn call(&mut self, at: u64, who: &str, from: &str, refused: bool) {
        self.ask(at, who, from, refused, "shop");
    }

    fn ask(&mut self, at: u64, who: &str, from: &str, refused: bool, service: &str) {
        let route = RouteCounts {
            route: "POST /login".to_owned(),
            cell: pairwatch_engine::counters::Cell::default(),
        };
        let batch = Batch {
            from: Time(at - 1000),
            to: Time(at),
            pairs: vec![PairCounts {
                source: "web".to_owned(),
                destination: service.to_owned(),
                routes: vec![route],
                sightings: vec![Sighting {
                    identity: Some(who.to_owned()),
                    address: Some(from.parse::<IpAddr>().unwrap()),
                    route: 0,
                    requests: 1,
                    refused: u32::from(refused),
                    client_errors: 0,
                }],
                unsighted: 0,
                broken: Vec::new(),
                versions: Vec::new(),
            }],
            dropped: 0,
        };
        self.aggregator.advance(Time(at));
        self.aggregator.merge(batch, Time(at));
        self.alerts.extend(self.aggregator.drain_alerts());
    }

    /// Eighty people in their office hours, each from home or the office; a telephone that roams within its network, and
    /// a machine that never sleeps.
    fn day(&mut self, day: u64) {
        let mut calls = Vec::new();
        for person in 0..80u64 {
            for hour in 8 + person % 3..16 + person % 3 {
                let dice = mix(day * 100_000 + person * 100 + hour);
                if dice.is_multiple_of(3) {
                    continue;
                }
                let from = if dice.is_multiple_of(2) {
                    "62.9.1.1".to_owned()
                } else {
                    format!("84.{person}.0.9")
                };
                for i in 0..3 {
                    let at = START + day * DAY + hour * HOUR + mix(dice + i) % HOUR;
                    calls.push((at, format!("u{person}"), from.clone()));
                }
            }
        }
        for hour in 0..24u64 {
            let dice = mix(day * 24 + hour);
            let at = START + day * DAY + hour * HOUR + dice % HOUR;
            calls.push((at, "machine".to_owned(), "10.0.0.7".to_owned()));
            if (12..20).contains(&hour) {
                let phone = format!("46.52.{}.{}", dice % 250, mix(dice) % 250);
                calls.push((at, "phone".to_owned(), phone));
            }
        }
        calls.sort();
        for (at, who, from) in calls {
            self.call(at, &who, &from, false);
        }
    }

    /// As much in a burst.
    fn visit(&mut self, at: u64, who: &str, from: &str, requests: u64) {
        for i in 0..requests {
            self.call(at + i * 17_000 + mix(i) % 9000, who, from, false);
        }
    }

    fn told(&self, kind: Kind) -> Vec<&Alert> {
        self.alerts
            .iter()
            .filter(|a| a.kind == kind && a.state == State::Open)
            .collect()
    }
}

/// Ten days on which nothing happens, which is what they are found to be.
fn ten_days() -> World {
    let mut world = World::new();
    (0..10).for_each(|day| world.day(day));
    let lines: Vec<String> = world.alerts.iter().map(Alert::to_line).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    world
}

#[test]
fn somebody_at_night_is_told_by_name_and_a_machine_that_never_sleeps_is_not() {
    let mut world = ten_days();
    world.visit(START + 10 * DAY + 3 * HOUR, "u7", "84.7.0.9", 40);
    world.visit(START + 10 * DAY + 4 * HOUR, "machine", "10.0.0.7", 40);
    let told = world.told(Kind::OffHours);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].identity.as_deref(), Some("u7"));
    assert!(
        told[0].message.contains("never before between"),
        "{}",
        told[0].message
    );
    let odd = world.aggregator.identities().oddity("u7");
    assert!(odd.is_some_and(|at| at.0 >= START + 10 * DAY));
    assert_eq!(world.aggregator.identities().oddity("machine"), None);
}

#[test]
fn a_network_nobody_uses_is_told_and_roaming_or_the_office_is_not() {
    let mut world = ten_days();
    world.visit(START + 10 * DAY + 12 * HOUR, "phone", "46.52.3.4", 10);
    world.visit(START + 10 * DAY + 13 * HOUR, "phone", "62.9.1.1", 10);
    world.visit(START + 10 * DAY + 14 * HOUR, "u7", "203.0.113.9", 10);
    let told = world.told(Kind::NewAddress);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].identity.as_deref(), Some("u7"));
    assert_eq!(told[0].addresses, ["203.0.113.9"]);
}

#[test]
fn who_is_let_in_from_where_many_were_refused_is_told_as_stolen() {
    let mut world = ten_days();
    let at = START + 10 * DAY + 11 * HOUR;
    for i in 0..6 {
        world.call(at + i * 5000, &format!("leaked-{i}"), "203.0.113.9", true);
    }
    world.call(at + 60_000, "u9", "203.0.113.9", false);
    let told = world.told(Kind::CredentialStuffing);
    let stolen = told.iter().find(|a| a.identity.as_deref() == Some("u9"));
    assert!(stolen.is_some(), "{told:#?}");
}

#[test]
fn guessing_passwords_teaches_nothing_about_their_owners() {
    let mut world = ten_days();
    for i in 0..200 {
        world.call(
            START + 10 * DAY + 11 * HOUR + i * 1000,
            "u9",
            "203.0.113.9",
            true,
        );
    }
    world.visit(START + 10 * DAY + 15 * HOUR, "u9", "203.0.113.9", 10);
    assert_eq!(
        world.told(Kind::NewAddress).len(),
        1,
        "still a network it never used"
    );
}

/// Ten days in which all ask for the shop and most for the cart; each back office is a few people's.
fn ten_days_of_services() -> World {
    let mut world = World::new();
    for day in 0..10 {
        let mut calls = Vec::new();
        for person in 0..80u64 {
            for hour in (8 + person % 3..16 + person % 3).step_by(2) {
                let at =
                    START + day * DAY + hour * HOUR + mix(day * 8000 + person * 100 + hour) % HOUR;
                calls.push((at, person, "shop".to_owned()));
                // Some come to the cart late: each has a first time.
                if day >= person % 6 {
                    calls.push((at, person, "cart".to_owned()));
                }
                if person < 12 {
                    calls.push((at, person, format!("office-{}", person % 4)));
                }
            }
        }
        calls.sort();
        for (at, person, service) in calls {
            world.ask(at, &format!("u{person}"), "62.9.1.1", false, &service);
        }
    }
    let lines: Vec<String> = world
        .told(Kind::LateralMovement)
        .iter()
        .map(|a| a.to_line())
        .collect();
    assert!(lines.is_empty(), "{lines:#?}");
    world
}

#[test]
fn an_identity_at_doors_that_few_go_through_is_told_with_their_names() {
    let mut world = ten_days_of_services();
    let at = START + 10 * DAY + 11 * HOUR;
    for office in 0..4 {
        world.ask(
            at + office * 5000,
            "u40",
            "62.9.1.1",
            false,
            &format!("office-{office}"),
        );
    }
    let told = world.told(Kind::LateralMovement);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].identity.as_deref(), Some("u40"));
    let words = "3 services it never asked for in";
    assert!(told[0].message.contains(words), "{}", told[0].message);
    assert!(
        told[0].message.contains("office-0, office-1, office-2"),
        "{}",
        told[0].message
    );
}

#[test]
fn services_that_are_new_to_everybody_are_nobodys_movement() {
    let mut world = ten_days_of_services();
    let at = START + 10 * DAY + 11 * HOUR;
    for person in 0..80 {
        for service in ["search", "maps", "mail", "chat"] {
            world.ask(
                at + person * 1000,
                &format!("u{person}"),
                "62.9.1.1",
                false,
                service,
            );
        }
    }
    assert!(world.told(Kind::LateralMovement).is_empty());
}

#[test]
fn what_an_identity_asks_for_is_learned_and_told_once() {
    let mut world = ten_days_of_services();
    for day in 10..13 {
        for office in 0..4 {
            let at = START + day * DAY + 11 * HOUR + office * 5000;
            world.ask(at, "u40", "62.9.1.1", false, &format!("office-{office}"));
        }
    }
    assert_eq!(world.told(Kind::LateralMovement).len(), 1);
}

#[test]
fn what_is_known_of_identities_outlives_the_aggregator() {
    let mut world = ten_days();
    let bytes = world.aggregator.snapshot(0);
    let config = world.aggregator.config().clone();
    let now = Time(START + 10 * DAY);
    world.aggregator = Aggregator::restore(config, 99, &bytes, now).unwrap().0;
    assert_eq!(world.aggregator.totals().identities, 82);
    world.visit(START + 10 * DAY + 3 * HOUR, "u7", "84.7.0.9", 40);
    world.visit(START + 10 * DAY + 14 * HOUR, "u9", "203.0.113.9", 10);
    assert_eq!(world.told(Kind::OffHours).len(), 1);
    assert_eq!(world.told(Kind::NewAddress).len(), 1);
}

#[test]
fn nothing_is_told_of_identities_before_the_warm_up_is_over() {
    let mut world = World::new();
    world.day(0);
    world.visit(START + 20 * HOUR, "u7", "203.0.113.9", 40);
    assert!(world.alerts.is_empty());
}

#[test]
fn a_million_made_up_identities_stay_within_the_cap() {
    let config = br#"{"limits":{"identities":100}}"#;
    let mut aggregator = Aggregator::new(Config::from_json(config).unwrap(), 3, Time(START));
    let mut at = START;
    let sight = |aggregator: &mut Aggregator, at: u64, names: &[String]| {
        let sightings = names.iter().map(|name| Sighting {
            identity: Some(name.clone()),
            address: Some("203.0.113.9".parse().unwrap()),
            route: 0,
            requests: 1,
            refused: 0,
            client_errors: 0,
        });
        let pair = PairCounts {
            source: "web".to_owned(),
            destination: "shop".to_owned(),
            routes: Vec::new(),
            sightings: sightings.collect(),
            unsighted: 0,
            broken: Vec::new(),
            versions: Vec::new(),
        };
        let batch = Batch {
            from: Time(at - 1000),
            to: Time(at),
            pairs: vec![pair],
            dropped: 0,
        };
        aggregator.merge(batch, Time(at));
        aggregator.advance(Time(at));
    };
    sight(&mut aggregator, at, &["known".to_owned()]);
    let before = aggregator.snapshot(0).len();
    for batch in 0..1000u64 {
        at += 1000;
        let names: Vec<String> = (0..1000).map(|i| format!("made-up-{batch}-{i}")).collect();
        sight(&mut aggregator, at, &names);
    }
    let totals = aggregator.totals();
    assert_eq!(totals.identities, 100);
    assert!(totals.identities_evicted > 990_000, "{totals:?}");
    let after = aggregator.snapshot(0).len();
    assert!(after < before + 100_000, "{before} bytes became {after}");
    let bytes = aggregator.snapshot(0);
    let (restored, _) = Aggregator::restore(
        Config::from_json(br#"{"limits":{"identities":10}}"#).unwrap(),
        1,
        &bytes,
        Time(at),
    )
    .unwrap();
    assert_eq!(
        restored.totals().identities,
        10,
        "a smaller cap takes effect"
    );
}
