//! What the engine costs natively: `cargo run --release -p pairwatch-engine --example costs`.
//!
//! Medians of many rounds on one thread; compare figures of one run.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measurement, not shipped: it needs a clock and may panic"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use std::time::Instant;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn exchange<'a>(source: &'a str, path: &'a str) -> Exchange<'a> {
    Exchange {
        source,
        destination: "demo/catalog",
        identity: None,
        address: None,
        method: b"GET",
        path: path.as_bytes(),
        status: 200,
        grpc_status: None,
        request_bytes: 120,
        response_bytes: 5_000,
        duration_us: 12_000,
    }
}

fn main() {
    let sources: Vec<String> = (0..100).map(|i| format!("demo/source-{i}")).collect();
    let paths: Vec<String> = (0..1000)
        .map(|i| format!("/products/{i}/reviews?page={i}"))
        .collect();
    let mut counters = Counters::new(2000, 32, 1 << 20, 1, Time(0));
    let rounds = (0..200).map(|_| {
        let began = Instant::now();
        for i in 0..1000 {
            counters.observe(&exchange(&sources[i % 100], &paths[i]));
        }
        began.elapsed().as_nanos() as f64 / 1000.0
    });
    println!(
        "one exchange counted and judged: {:.0} ns",
        median(rounds.collect())
    );
    let users: Vec<String> = (0..1000).map(|i| format!("user-{i}@example.com")).collect();
    let address = Some(std::net::IpAddr::from([203, 0, 113, 7]));
    let rounds = (0..200u64).map(|round| {
        let began = Instant::now();
        for i in 0..1000 {
            counters.observe(&Exchange {
                identity: Some(&users[i]),
                address,
                ..exchange(&sources[i % 100], &paths[i])
            });
        }
        let spent = began.elapsed().as_nanos() as f64 / 1000.0;
        counters.drain(Time(round * 1000));
        spent
    });
    println!(
        "the same, of ten identities a pair between two batches: {:.0} ns",
        median(rounds.collect())
    );

    for pairs in [100u64, 2_000, 10_000] {
        let text = format!(r#"{{"limits":{{"pairs":{pairs},"hold_bytes":67108864}}}}"#);
        let config = Config::from_json(text.as_bytes()).unwrap();
        let caps = config.limits;
        let mut counters = Counters::new(caps.pairs, 32, caps.hold_bytes, 1, Time(0));
        let mut aggregator = Aggregator::new(config, 1, Time(0));
        let names: Vec<String> = (0..pairs).map(|i| format!("demo/source-{i}")).collect();
        let (mut closes, mut limits, mut merges, mut frame) =
            (Vec::new(), Vec::new(), Vec::new(), 0);
        for window in 1..60u64 {
            let now = Time(window * 10_000);
            for (i, name) in names.iter().enumerate() {
                for path in &paths[..=i % 4] {
                    counters.observe(&exchange(name, path));
                }
            }
            let batch = counters.drain(now).unwrap();
            let began = Instant::now();
            aggregator.merge(batch, now);
            merges.push(began.elapsed().as_secs_f64() * 1e3);
            let began = Instant::now();
            aggregator.advance(Time(now.0 + 1_600));
            closes.push(began.elapsed().as_secs_f64() * 1e3);
            let began = Instant::now();
            frame = aggregator.limits(now).pairs.len();
            limits.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let state = aggregator.snapshot(0).len() as u64 / pairs;
        println!(
            "{pairs} pairs, all active: merge {:.1} ms, close {:.1} ms, limits {:.1} ms ({frame} pairs), snapshot {state} bytes a pair",
            median(merges),
            median(closes),
            median(limits)
        );
    }
}
