//! Snapshots: what was learned, by this module or by whoever says so.

use crate::{framed, life};
use pairwatch_cli::baseline;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Snapshot};
use pairwatch_engine::base64;
use pairwatch_engine::config::Config;

/// The configurations a snapshot may come to: what it was taken with, and others it does not fit.
const CONFIGS: [&str; 3] = [
    "{}",
    r#"{"windows":["1s"],"limits":{"pairs":10,"routes_per_pair":4,"identities":10}}"#,
    r#"{"windows":["10s","1m","10m"],"identity":{"claim":"sub","addresses":true,"privacy":"drop"},
        "alerts":{"show_suppressed":true},"maintenance":[{"from":"2026-10-01T00:00:00Z","until":"2026-12-01T00:00:00Z","reason":"r"}]}"#,
];

fn config(choice: u8) -> Config {
    let choice = usize::from(choice) % CONFIGS.len();
    Config::from_json(CONFIGS[choice].as_bytes()).expect("these are accepted")
}

/// A leader takes over from what shared data holds, whatever that is: then it knows no more pairs than it may, tells what is
/// usual, explains itself, counts what follows, and leaves a snapshot as good as any. The first byte chooses the
/// configuration, the rest is the payload.
pub fn snapshot(bytes: &[u8]) {
    let (choice, payload) = bytes.split_at(bytes.len().min(1));
    let config = config(choice.first().copied().unwrap_or(0));
    let levels = config.windows.len();
    let frame = framed::<Snapshot>(payload);
    let _told = Aggregator::other_windows(&config, &frame);
    let Ok((mut engine, _)) = Aggregator::restore(config, 1, &frame, life::NOW) else {
        return;
    };
    engine.watch("shop/frontend", "shop/catalog");
    for level in 0..=levels {
        let _usual: Vec<_> = engine.usual(level).collect();
    }
    let _known = engine.knows_a_pair();
    let _hidden = engine.hidden(life::NOW);
    engine.advance(life::NOW);
    life::drain(&mut engine);
    life::go_on(&mut engine, life::NOW);
    let _looks = engine.drain_looks();
    // A clock that is set back, and one that jumps.
    engine.advance(Time(0));
    engine.advance(Time(life::NOW.0.saturating_mul(2)));
    life::drain(&mut engine);
}

/// A proxy starts with what a file or a store holds: taken in whole or refused whole.
pub fn warm_start(bytes: &[u8]) {
    let (choice, payload) = bytes.split_at(bytes.len().min(1));
    let config = config(choice.first().copied().unwrap_or(0));
    let frame = framed::<Snapshot>(payload);
    assert_eq!(
        baseline::decoded(base64::encode(&frame).into_bytes()),
        frame,
        "a snapshot may stand in a file as base64"
    );
    let _any = baseline::decoded(payload.to_vec());
    let mut engine = Aggregator::new(config, 1, life::NOW);
    // Some is known by now.
    life::go_on(&mut engine, life::NOW);
    let before = engine.snapshot(0);
    let now = Time(life::NOW.0 + 3_600_000);
    match engine.warm_start(&frame, now) {
        Err(error) => {
            assert!(error.to_string().len() <= 500, "{error}");
            assert_eq!(engine.snapshot(0), before, "refused whole");
        }
        Ok(_) => life::outlives(&engine, now),
    }
    life::go_on(&mut engine, now);
}
