//! Writes what a real engine says as seeds of the targets whose formats have versions:
//! `cargo run -p pairwatch-fuzzing --example seeds`, after one of them was raised.

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::journal::Entry;
use pairwatch_engine::lease::{Lease, Rank};
use std::path::Path;

/// Bytes of a frame before its payload.
const HEADER: usize = 14;
/// The targets' clock, an hour before.
const START: Time = Time(1_793_487_600_100);

fn main() -> std::io::Result<()> {
    let mut counters = Counters::new(100, 8, 1 << 20, 1, START);
    let config = br#"{"identity":{"claim":"sub","addresses":true}}"#;
    let config = Config::from_json(config).map_err(std::io::Error::other)?;
    let mut engine = Aggregator::new(config, 1, START);
    let mut last = Vec::new();
    for second in 1..=3600u64 {
        let now = Time(START.0.saturating_add(second.saturating_mul(1000)));
        let refused = second > 3500;
        for (source, path, status) in [
            ("shop/frontend", "/items/7", 200),
            ("shop/frontend", "/orders", if refused { 401 } else { 200 }),
            ("external", "/made/up", 404),
        ] {
            counters.observe(&Exchange {
                source,
                destination: "shop/catalog",
                identity: (source != "external").then_some("user-0123456789abcdef"),
                address: Some([203, 0, 113, 7].into()),
                method: b"GET",
                path: path.as_bytes(),
                status,
                grpc_status: None,
                request_bytes: 100,
                response_bytes: 2000,
                duration_us: 12_000,
            });
        }
        if let Some(batch) = counters.drain(now) {
            last = batch.to_frame();
            engine.merge(batch, now);
        }
        engine.advance(now);
    }
    let now = Time(START.0.saturating_add(3_600_000));
    let entry = Entry {
        number: 9,
        batches: vec![last.clone()],
    };
    let limits = engine.limits(now).to_frame();
    let lease = Lease::taken(None, 1, Rank::Idle, now).to_frame();
    let snapshot = engine.snapshot(9);
    // These targets' first byte is a choice.
    let chosen = [&[0][..], payload(&snapshot)].concat();
    for (target, bytes) in [
        ("batch", payload(&last)),
        ("journal", payload(&entry.to_frame())),
        ("limits", payload(&limits)),
        ("lease", &[&[0], payload(&lease)].concat()),
        ("snapshot", &chosen),
        ("warm_start", &chosen),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fuzz/corpus")
            .join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("seed"), bytes)?;
        println!("{target}: {} bytes", bytes.len());
    }
    Ok(())
}

fn payload(frame: &[u8]) -> &[u8] {
    frame.get(HEADER..).unwrap_or_default()
}
