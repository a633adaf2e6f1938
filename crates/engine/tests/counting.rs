//! What is counted is delivered, or counted as dropped.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn observe(counters: &mut Counters, source: &str, path: &str, status: u16) -> u8 {
    counters
        .observe(&Exchange {
            source,
            destination: "shop",
            identity: None,
            address: None,
            method: b"GET",
            path: path.as_bytes(),
            status,
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 100,
            duration_us: 10_000,
        })
        .score()
}

proptest! {
    #[test]
    fn in_equals_out_plus_dropped(
        requests in prop::collection::vec((0u16..400, 0u16..50, any::<bool>()), 1..800),
        pairs in 10u32..50, bytes in 2_000u32..100_000,
    ) {
        let mut counters = Counters::new(pairs, 8, bytes, 3, Time(0));
        let (mut out, mut dropped) = (0, 0);
        for (i, (source, path, drain)) in requests.iter().enumerate() {
            observe(&mut counters, &format!("s{source}"), &format!("/r{path}x"), 200);
            if *drain && let Some(batch) = counters.drain(Time(i as u64)) {
                out += batch.requests();
                dropped += batch.dropped;
            }
        }
        if let Some(batch) = counters.drain(Time(9_999)) {
            out += batch.requests();
            dropped += batch.dropped;
        }
        prop_assert_eq!(out + dropped, requests.len() as u64);
    }
}

#[test]
fn a_million_made_up_pairs_and_paths_stay_within_the_cap() {
    let mut counters = Counters::new(500, 16, 256 << 10, 3, Time(0));
    let mut aggregator = Aggregator::new(
        Config::from_json(br#"{"limits":{"pairs":300}}"#).unwrap(),
        5,
        Time(0),
    );
    let mut requests = 0;
    for second in 0..100u64 {
        for i in 0..1_000u64 {
            let n = second * 1_000 + i;
            observe(
                &mut counters,
                &format!("made-up-{n}"),
                &format!("/made/up/w{n}w"),
                200,
            );
        }
        let (pairs, bytes, _) = counters.size();
        assert!(
            pairs <= 500 && bytes <= 300 << 10,
            "{pairs} pairs, {bytes} bytes"
        );
        let batch = counters.drain(Time(second * 1000)).unwrap();
        requests += batch.requests() + batch.dropped;
        aggregator.merge(batch, Time(second * 1000));
        aggregator.advance(Time(second * 1000));
    }
    assert_eq!(requests, 100_000);
    let totals = aggregator.totals();
    assert!(totals.pairs <= 300 && totals.evicted > 0, "{totals:?}");
}

#[test]
fn a_pair_that_is_idle_makes_room_where_bytes_are_short() {
    let mut counters = Counters::new(1000, 16, 20_000, 3, Time(0));
    for second in 1..50u64 {
        for i in 0..20 {
            observe(&mut counters, &format!("tenant-{second}-{i}"), "/", 200);
        }
        let batch = counters.drain(Time(second * 1000)).unwrap();
        assert_eq!((batch.requests(), batch.dropped), (20, 0), "at {second} s");
    }
}

#[test]
fn made_up_pairs_do_not_push_out_the_one_that_is_known() {
    let mut aggregator = Aggregator::new(
        Config::from_json(br#"{"limits":{"pairs":20}}"#).unwrap(),
        5,
        Time(0),
    );
    let mut counters = Counters::new(1000, 16, 1 << 20, 3, Time(0));
    for second in 1..400u64 {
        observe(&mut counters, "known", "/", 200);
        for i in 0..20 {
            observe(&mut counters, &format!("made-up-{second}-{i}"), "/", 200);
        }
        let batch = counters.drain(Time(second * 1000)).unwrap();
        aggregator.merge(batch, Time(second * 1000));
        aggregator.advance(Time(second * 1000));
    }
    let limits = aggregator.limits(Time(400_000));
    assert!(
        limits.pairs.iter().any(|p| p.source == "known"),
        "the known pair was pushed out"
    );
}

#[test]
fn the_inline_verdict_flags_what_the_aggregator_would() {
    let config =
        Config::from_json(br#"{"windows":["2s","10s"],"learning":{"warmup":"60s"}}"#).unwrap();
    let mut aggregator = Aggregator::new(config, 5, Time(0));
    let mut counters = Counters::new(100, 16, 1 << 20, 3, Time(0));
    for second in 1..200u64 {
        for i in 0..10 {
            let score = observe(&mut counters, "frontend", &format!("/p/{i}"), 200);
            assert_eq!(score, 0, "usual traffic was flagged at {second} s");
        }
        let now = Time(second * 1000);
        if let Some(batch) = counters.drain(now) {
            aggregator.merge(batch, now);
        }
        aggregator.advance(now);
        counters.apply(&aggregator.limits(now));
    }
    assert!(
        observe(&mut counters, "frontend", "/admin/delete", 200) > 0,
        "a new route, on its first request"
    );
    assert!(
        observe(&mut counters, "stranger", "/p/1", 200) > 0,
        "a new pair, on its first request"
    );
    let flagged = (0..400).position(|_| observe(&mut counters, "frontend", "/p/1", 200) > 0);
    let flagged = flagged.expect("a burst is flagged while it goes on");
    assert!(
        (20..200).contains(&flagged),
        "after {flagged} requests in a window that usually has 20"
    );
    let refused = (0..100).position(|_| observe(&mut counters, "frontend", "/p/1", 401) > 0);
    assert!(refused.is_some(), "refused credentials are flagged");
    // The aggregator agrees when the window is over.
    let now = Time(200_000);
    aggregator.merge(counters.drain(now).unwrap(), now);
    aggregator.advance(Time(206_000));
    let kinds: Vec<String> = aggregator
        .drain_alerts()
        .iter()
        .map(|a| a.kind.to_string())
        .collect();
    assert!(!kinds.is_empty(), "the aggregator says so too");
}
