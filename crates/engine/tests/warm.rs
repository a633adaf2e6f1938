//! What one engine learned is where another begins.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod proxy;
mod simulation;

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Snapshot};
use pairwatch_engine::config::Config;
use pairwatch_engine::frame::Framed;
use proptest::prelude::*;
use proxy::Proxy;
use simulation::{Arrivals, HOUR, Simulation, Traffic, WEEK};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const START: u64 = 1_795_168_800_000;
/// Half a year on: another life.
const LATER: u64 = START + 180 * 86_400_000;

fn config(windows: &str) -> Config {
    let text = format!(r#"{{"windows": {windows}, "learning": {{"warmup": "20s"}}}}"#);
    Config::from_json(text.as_bytes()).unwrap()
}

fn begun(now: u64) -> Proxy {
    Proxy::new(config(r#"["1s","4s"]"#), now)
}

/// Five minutes of two sources.
fn trained() -> Vec<u8> {
    let mut proxy = begun(START);
    proxy.seconds(300, &["cart", "web"], 10, 200);
    assert!(proxy.alerts.is_empty(), "{:?}", proxy.alerts);
    proxy.engine.snapshot(9)
}

fn warm() -> Proxy {
    let mut proxy = begun(LATER);
    let known = proxy.engine.warm_start(&trained(), Time(LATER)).unwrap();
    assert_eq!(known, 2);
    proxy
}

#[test]
fn the_first_windows_after_a_warm_start_are_judged_by_a_mature_baseline() {
    let mut proxy = warm();
    proxy.seconds(6, &["cart"], 10, 200);
    assert!(proxy.alerts.is_empty(), "{:?}", proxy.alerts);
    proxy.seconds(6, &["cart"], 10, 401);
    let alert = &proxy.alerts[0];
    assert_eq!(alert.source, "cart");
    assert!(alert.maturity >= 0.99, "{alert:?}");
    let mut cold = begun(LATER);
    cold.seconds(6, &["cart"], 10, 200);
    cold.seconds(6, &["cart"], 10, 401);
    let young = cold.alerts.first().map(|a| a.maturity);
    assert!(young.is_none_or(|m| m < 0.9), "without it: {young:?}");
}

#[test]
fn a_pair_that_is_known_is_no_news_and_a_stranger_is() {
    let mut proxy = warm();
    proxy.seconds(5, &["cart", "eve"], 10, 200);
    let kinds: Vec<_> = proxy
        .alerts
        .iter()
        .map(|a| (&*a.source, a.kind.name()))
        .collect();
    assert_eq!(kinds, [("eve", "new_pair")]);
}

/// Two weeks and three hours of a pair with a daily curve: it is night.
fn by_night() -> Simulation {
    let pair = Traffic::new("web", "shop", Arrivals::Seasonal, 20.0, 3);
    let mut world = Simulation::new("{}", vec![pair]);
    world.run(2 * WEEK + 3 * HOUR);
    world
}

/// Begins anew in the afternoon, and has what was learned to the night after so many seconds.
fn by_day(late: u64) -> Simulation {
    let mut world = by_night();
    let learned = world.aggregator.snapshot(0);
    world.now += 12 * HOUR;
    world.aggregator = Aggregator::new(Config::default(), 7, Time(world.now * 1000));
    world.run(late);
    let now = Time(world.now * 1000);
    world.aggregator.warm_start(&learned, now).unwrap();
    world
}

#[test]
fn who_begins_by_day_with_what_was_learned_to_the_night_expects_the_day() {
    assert_eq!(by_day(0).run(HOUR), []);
}

#[test]
fn a_snapshot_of_the_night_that_comes_late_by_day_lets_expect_the_day() {
    assert_eq!(by_day(60).run(HOUR), []);
}

#[test]
fn a_clock_that_jumps_from_night_to_day_lets_expect_the_day() {
    let mut world = by_night();
    world.now += 12 * HOUR;
    assert_eq!(world.run(HOUR), []);
}

#[test]
fn a_pair_that_does_not_come_back_is_not_told_to_be_silent() {
    let mut proxy = warm();
    proxy.seconds(120, &["cart"], 10, 200);
    assert!(proxy.alerts.is_empty(), "{:?}", proxy.alerts);
    assert_eq!(proxy.engine.totals().pairs, 1, "and counts for nothing");
}

#[test]
fn a_pair_that_was_not_seen_since_is_in_the_next_snapshot_all_the_same() {
    let mut proxy = warm();
    proxy.seconds(60, &["cart"], 10, 200);
    let bytes = proxy.engine.snapshot(0);
    let mut next = begun(proxy.now);
    assert_eq!(next.engine.warm_start(&bytes, Time(proxy.now)).unwrap(), 2);
    let (mut led, _) =
        Aggregator::restore(config(r#"["1s","4s"]"#), 7, &bytes, Time(proxy.now)).unwrap();
    std::mem::swap(&mut next.engine, &mut led);
    next.seconds(3, &["cart", "web"], 10, 200);
    assert!(
        next.alerts.is_empty(),
        "a new leader knows it too: {:?}",
        next.alerts
    );
}

#[test]
fn a_snapshot_that_comes_late_replaces_what_is_known_less_and_loses_no_count() {
    let mut proxy = begun(LATER);
    proxy.seconds(10, &["cart", "new"], 10, 200);
    let requests = proxy.engine.totals().requests;
    proxy
        .engine
        .warm_start(&trained(), Time(proxy.now))
        .unwrap();
    assert_eq!(proxy.engine.totals().requests, requests);
    assert_eq!(proxy.engine.totals().pairs, 2, "cart and new");
    proxy.seconds(4, &["cart", "new"], 10, 200);
    assert!(proxy.alerts.is_empty(), "{:?}", proxy.alerts);
    proxy.seconds(6, &["cart"], 10, 401);
    assert!(proxy.alerts[0].maturity >= 0.99, "{:?}", proxy.alerts);
}

#[test]
fn a_snapshot_that_knows_less_changes_nothing_of_a_pair() {
    let mut little = begun(START);
    little.seconds(10, &["cart", "batch"], 10, 401);
    let mut proxy = begun(LATER);
    proxy.seconds(100, &["cart"], 10, 200);
    let bytes = little.engine.snapshot(0);
    proxy.engine.warm_start(&bytes, Time(proxy.now)).unwrap();
    proxy.seconds(6, &["cart"], 10, 401);
    assert!(!proxy.alerts.is_empty(), "401s are still odd for cart");
}

#[test]
fn what_can_not_be_used_is_refused_with_what_was_found_and_changes_nothing() {
    let good = trained();
    let mut version = good.clone();
    version[4] ^= 0x80;
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let known = format!("version {}", Snapshot::VERSION);
    let cases = [
        (Vec::new(), "too few"),
        (b"<html>404 not found</html>".to_vec(), "magic"),
        (good[..good.len() - 1].to_vec(), "payload bytes, found"),
        (version, &*known),
        (flipped, "checksum"),
    ];
    for (bytes, words) in cases {
        let mut proxy = begun(LATER);
        let error = proxy.engine.warm_start(&bytes, Time(LATER)).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!proxy.engine.knows_a_pair());
    }
    let mut other = Aggregator::new(config(r#"["10s","1m"]"#), 7, Time(LATER));
    let error = other
        .warm_start(&good, Time(LATER))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1s, 4s") && error.contains("10s, 1m"),
        "{error}"
    );
    assert!(!other.knows_a_pair());
}

#[test]
fn a_snapshot_out_of_the_future_is_taken_as_of_now() {
    let mut early = begun(START - 86_400_000);
    early
        .engine
        .warm_start(&trained(), Time(early.now))
        .unwrap();
    early.seconds(6, &["cart"], 10, 200);
    early.seconds(6, &["cart"], 10, 401);
    assert!(early.alerts[0].maturity >= 0.99, "{:?}", early.alerts);
}

#[test]
fn more_pairs_than_the_cap_are_forgotten() {
    let mut proxy = begun(START);
    let names: Vec<String> = (0..60).map(|i| format!("source-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    proxy.seconds(5, &names, 10, 200);
    let mut config = config(r#"["1s","4s"]"#);
    config.limits.pairs = 10;
    let mut small = Aggregator::new(config.clone(), 7, Time(LATER));
    small
        .warm_start(&proxy.engine.snapshot(0), Time(LATER))
        .unwrap();
    let mut next = Aggregator::new(config, 7, Time(LATER));
    assert_eq!(
        next.warm_start(&small.snapshot(0), Time(LATER)).unwrap(),
        10
    );
}

/// A frame around a payload, as whoever can write to a store can make one.
fn forged(payload: &[u8]) -> Vec<u8> {
    let mut bytes = trained_once()[..6].to_vec();
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&crc(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn trained_once() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(trained)
}

/// Any byte, or a number that arithmetic stumbles over.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let single = prop::sample::select(vec![
        f32::NAN,
        f32::INFINITY,
        f32::MIN,
        f32::MAX,
        -1.0,
        0.0,
        1e-40,
    ]);
    let double = prop::sample::select(vec![f64::NAN, f64::NEG_INFINITY, f64::MAX, -1.0, 1e-310]);
    prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        single.prop_map(|number| number.to_le_bytes().to_vec()),
        double.prop_map(|number| number.to_le_bytes().to_vec()),
    ]
}

/// CRC-32 (IEEE), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_forged_snapshot_may_teach_nonsense_but_stops_nothing(
        changes in prop::collection::vec((0usize..1 << 16, hostile()), 1..20),
        cut in prop::option::weighted(0.1, 0usize..1 << 16),
    ) {
        let mut payload = trained_once()[14..].to_vec();
        for (at, bytes) in changes {
            let at = at % payload.len();
            let room = &mut payload[at..];
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
        }
        if let Some(cut) = cut {
            payload.truncate(cut % payload.len());
        }
        let mut proxy = begun(LATER);
        let _may_be_refused = proxy.engine.warm_start(&forged(&payload), Time(LATER));
        proxy.seconds(9, &["cart", "web"], 10, 401);
        let bytes = proxy.engine.snapshot(0);
        let _limits = proxy.engine.limits(Time(proxy.now)).to_frame();
        prop_assert!(Snapshot::from_frame(&bytes).is_ok());
    }
}
