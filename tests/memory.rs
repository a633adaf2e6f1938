//! Linear memory over time: an hour of traffic, a hundred changes of configuration.
//!
//! A VM's linear memory never shrinks, so whatever is needed only for a moment stays; and what grows a little each second fills a
//! proxy in a month. The counting host has its own clock, so that an hour takes seconds, and its figures are exact.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use pairwatch_wasm_host::{Exchange, Plugin};
use proxy::{Proxy, Running, get};
use serde_json::{Value, json};

const KIB: u64 = 1024;
const MINUTE: u64 = 60;

/// Linear memory of the worker and of the leader, in bytes.
fn memory(proxy: &mut Proxy) -> (u64, u64) {
    (
        proxy.worker.vm.linear_memory(),
        proxy.leader.vm.linear_memory(),
    )
}

/// An hour in which every pair has a request each ten minutes, all within one second, so that batches are as large as they get,
/// and a few have more. Returns memory after each ten minutes.
fn an_hour(pairs: usize, windows: Value, snapshot_every: &str) -> Vec<(u64, u64)> {
    let config = json!({
        "learning": {"snapshot_every": snapshot_every},
        "names": {"trusted_source_header": "x-source"},
        "windows": windows,
        "limits": {"pairs": pairs.max(2_000), "hold_bytes": (pairs as u64 * KIB).max(1 << 20)},
    });
    let mut proxy = Proxy::start(&config.to_string());
    let mut after = Vec::new();
    for second in 0..60 * MINUTE {
        // The last second of a window, which is closed with all of them in it.
        let all = second % (10 * MINUTE) == MINUTE - 5;
        let some = (second as usize * 7) % pairs;
        let sources = if all { 0..pairs } else { some..some + 1 };
        // Some routes each, on connections that come and go.
        let exchange = |source| request(source, second);
        proxy.second(sources.map(exchange));
        if second % (10 * MINUTE) == 10 * MINUTE - 1 {
            after.push(memory(&mut proxy));
        }
    }
    assert_eq!(proxy.host.gauge("pairwatch_pairs"), Some(pairs as u64));
    assert_eq!(
        proxy.host.counter("pairwatch_dropped_total").unwrap_or(0),
        0
    );
    for (minutes, (worker, leader)) in (1..).map(|i| i * 10).zip(&after) {
        println!(
            "{pairs} pairs, after {minutes} minutes: worker {} KiB, leader {} KiB",
            worker / KIB,
            leader / KIB
        );
    }
    after
}

fn request(source: usize, second: u64) -> Exchange {
    let item = second as usize % 1_000;
    get(source, item, second)
}

/// Flat from the middle on: by then windows of each length were closed, and snapshots taken and made larger.
fn assert_flat(after: &[(u64, u64)]) {
    let (half, whole) = (after.get(2).unwrap(), after.last().unwrap());
    assert_eq!(whole, half, "of {after:?}");
}

#[test]
fn an_hour_of_a_hundred_pairs_leaves_memory_flat() {
    let after = an_hour(100, json!(["10s", "1m", "10m"]), "30s");
    assert_flat(&after);
    let (worker, _) = after.last().unwrap();
    assert!(*worker <= 4 << 20, "a worker's VM: {worker} bytes");
}

#[test]
fn an_hour_of_five_thousand_pairs_leaves_memory_flat() {
    // To close a window of five thousand pairs, and to save them, takes a second each here: both are rarer than the default.
    assert_flat(&an_hour(5_000, json!(["1m", "10m"]), "2m"));
}

#[test]
#[ignore = "three minutes: what the test above shows, with the windows of the default"]
fn an_hour_of_five_thousand_pairs_in_short_windows_leaves_memory_flat() {
    assert_flat(&an_hour(5_000, json!(["10s", "1m", "10m"]), "30s"));
}

/// As Envoy takes a change of the configuration: a new root in the same VM, and then the end of the old one.
fn update(running: &mut Running, config: &str) {
    let old = running.root;
    running.root = running.vm.root(&Plugin::configured(config)).unwrap();
    running.vm.end(old).unwrap();
}

#[test]
fn a_hundred_changes_of_the_configuration_leave_memory_flat() {
    let config = |number: u64| {
        // Each differs from the one before, in what the leader does and in what the filter reads.
        let config = json!({
            "names": {"trusted_source_header": "x-source", "unknown_source": format!("unknown-{}", number % 10)},
            "identity": {"addresses": number.is_multiple_of(2)},
            "false_alerts_per_week": 1 + number % 20,
        });
        config.to_string()
    };
    let mut proxy = Proxy::start(&config(0));
    let mut after = Vec::new();
    // Ten minutes of changes first, so that a window of each length was closed; then a hundred more.
    for number in 1..=300 {
        update(&mut proxy.worker, &config(number));
        update(&mut proxy.leader, &config(number));
        for second in 0..3 {
            proxy.second((0..100).map(|source| request(source, number * 3 + second)));
        }
        if number % 50 == 0 {
            after.push(memory(&mut proxy));
        }
    }
    assert_eq!(proxy.worker.vm.contexts(), 1, "only the last root is left");
    println!("after each fifty changes: {after:?}");
    let [.., before, _, end] = after.as_slice() else {
        panic!("too few: {after:?}");
    };
    assert_eq!(end, before, "of {after:?}");
}
