//! A service's calls follow from what it is asked for: each kind of request brings calls of its own.
//!
//! A shop, seen by one proxy on both sides: each product that is shown needs its catalogue, a log-in needs nothing.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::{Kind, State};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A whole hour.
const START: u64 = 1_795_168_800_000;
/// Seconds after which it is known what requests bring.
const KNOWN: u64 = 8 * 3600;

struct Shop {
    engine: Aggregator,
    counters: Counters,
    now: u64,
    random: u64,
    /// Whether the first request was sent: for a log-in, so that in a life its route is known before the other.
    started: bool,
}

/// Of each second's requests: the share of seconds with a log-in and with a product, and of products that get their call.
#[derive(Clone, Copy)]
struct Traffic {
    logins: f64,
    products: f64,
    called: f64,
}

const USUAL: Traffic = Traffic {
    logins: 0.1,
    products: 0.1,
    called: 1.0,
};

impl Shop {
    fn new(seed: u64, now: u64) -> Self {
        Self {
            engine: Aggregator::new(Config::default(), 7, Time(now)),
            counters: Counters::new(100, 32, 1 << 20, 7, Time(now)),
            now,
            random: seed,
            started: false,
        }
    }

    fn chance(&mut self, of: f64) -> bool {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 11) as f64 / (1u64 << 53) as f64) < of
    }

    fn send(&mut self, source: &str, destination: &str, path: &[u8]) {
        self.counters.observe(&Exchange {
            source,
            destination,
            identity: None,
            address: None,
            method: b"GET",
            path,
            status: 200,
            grpc_status: None,
            request_bytes: 100,
            response_bytes: 1000,
            duration_us: 5000,
        });
    }

    /// So many seconds. Returns what is told to begin between shop and catalogue.
    fn pass(&mut self, seconds: u64, traffic: Traffic) -> Vec<(Kind, u64)> {
        let begun = self.now;
        let mut told = Vec::new();
        for _ in 0..seconds {
            if self.chance(traffic.logins) || !std::mem::replace(&mut self.started, true) {
                self.send("web", "shop", b"/login");
            }
            if self.chance(traffic.products) {
                self.send("web", "shop", b"/products/7");
                if self.chance(traffic.called) {
                    self.send("shop", "catalogue", b"/items/7");
                }
            }
            self.now += 1000;
            if let Some(batch) = self.counters.drain(Time(self.now)) {
                self.engine.merge(batch, Time(self.now));
            }
            self.engine.advance(Time(self.now));
            for alert in self.engine.drain_alerts() {
                if alert.state == State::Open && alert.destination == "catalogue" {
                    told.push((alert.kind, (self.now - begun) / 1000));
                }
            }
        }
        told
    }
}

#[test]
fn two_calls_of_three_that_fail_to_come_are_missed_though_they_are_few() {
    let thin = Traffic {
        products: 0.04,
        ..USUAL
    };
    let mut shop = Shop::new(1, START);
    assert_eq!(shop.pass(KNOWN, thin), [], "before");
    let third = Traffic {
        called: 0.33,
        ..thin
    };
    let told = shop.pass(1800, third);
    assert!(matches!(told.as_slice(), [(Kind::RateDrop, _)]), "{told:?}");
}

#[test]
fn who_asks_for_what_needs_no_call_misses_none() {
    let mut shop = Shop::new(2, START);
    assert_eq!(shop.pass(KNOWN, USUAL), [], "before");
    let logins = Traffic {
        logins: 0.5,
        products: 0.01,
        called: 1.0,
    };
    assert_eq!(shop.pass(3600, logins), []);
}

#[test]
fn a_flood_of_requests_that_bring_no_more_calls_than_ever_is_no_outage_of_the_calls() {
    let mut shop = Shop::new(5, START);
    assert_eq!(shop.pass(9 * KNOWN, USUAL), [], "in three days before");
    // Seven in eight are copies that the shop answers by itself.
    let flood = Traffic {
        products: 0.8,
        called: 0.125,
        ..USUAL
    };
    assert_eq!(shop.pass(1200, flood), []);
}

#[test]
fn who_makes_up_paths_makes_no_service_seem_to_miss_its_calls() {
    let mut shop = Shop::new(6, START);
    // So many words that no place is left for what is asked in earnest.
    for letter in b'a'..=b'z' {
        shop.send("web", "shop", &[b'/', letter]);
    }
    assert_eq!(shop.pass(KNOWN, USUAL), [], "before");
    // Fewer calls than usual, but not so few that the time alone would tell in half an hour.
    let logins = Traffic {
        logins: 0.5,
        products: 0.01,
        called: 1.0,
    };
    assert_eq!(shop.pass(1800, logins), []);
}

#[test]
fn what_requests_bring_is_known_after_a_restart_in_which_they_come_in_another_order() {
    let mut shop = Shop::new(3, START);
    assert_eq!(shop.pass(KNOWN, USUAL), [], "before");
    let learned = shop.engine.snapshot(0);
    let mut restarted = Shop::new(4, shop.now);
    // The first request of this life is for a product, of the one before it was a log-in.
    restarted.started = true;
    restarted.send("web", "shop", b"/products/7");
    restarted.send("shop", "catalogue", b"/items/7");
    restarted.pass(20, USUAL);
    let now = Time(restarted.now);
    restarted.engine.warm_start(&learned, now).unwrap();
    assert_eq!(restarted.pass(1200, USUAL), [], "after");
    let logins = Traffic {
        logins: 0.5,
        products: 0.01,
        called: 1.0,
    };
    assert_eq!(restarted.pass(3600, logins), []);
}
