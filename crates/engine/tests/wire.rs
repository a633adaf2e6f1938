//! Everything that leaves a VM as bytes comes back the same, and nothing else is taken for it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Snapshot};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::journal::Entry;
use pairwatch_engine::lease::Lease;
use pairwatch_engine::limits::Limits;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn exchange<'a>(source: &'a str, path: &'a str, status: u16) -> Exchange<'a> {
    Exchange {
        source,
        destination: "d",
        identity: None,
        address: None,
        method: b"GET",
        path: path.as_bytes(),
        status,
        grpc_status: None,
        request_bytes: 1,
        response_bytes: 2,
        duration_us: 3,
    }
}

fn batch() -> Batch {
    let mut counters = Counters::new(100, 8, 1 << 20, 1, Time(0));
    for i in 0..50u16 {
        counters.observe(&exchange(
            &format!("s{}", i % 7),
            &format!("/p{}", i % 3),
            200,
        ));
    }
    counters.drain(Time(1000)).unwrap()
}

#[test]
fn a_batch_comes_back_the_same() {
    let batch = batch();
    assert_eq!(batch.requests(), 50);
    assert_eq!(Batch::from_frame(&batch.to_frame()).unwrap(), batch);
}

#[test]
fn a_batch_says_who_called_which_route_how_often_and_whom_it_left_out() {
    let mut counters = Counters::new(100, 8, 1 << 20, 1, Time(0));
    let address = Some("203.0.113.7".parse().unwrap());
    let call = |path, status| Exchange {
        identity: Some("u7"),
        address,
        ..exchange("s", path, status)
    };
    counters.observe(&call("/a", 200));
    counters.drain(Time(500)).unwrap();
    for _ in 0..3 {
        counters.observe(&call("/b", 200));
        counters.observe(&call("/b", 401));
    }
    let batch = counters.drain(Time(1000)).unwrap();
    let [pair] = &batch.pairs[..] else {
        panic!("{batch:?}")
    };
    let [sighting] = &pair.sightings[..] else {
        panic!("{pair:?}")
    };
    assert_eq!(
        (sighting.identity.as_deref(), sighting.address),
        (Some("u7"), address)
    );
    assert_eq!((sighting.requests, sighting.refused), (6, 3));
    assert_eq!(pair.routes[usize::from(sighting.route)].route, "GET /b");

    let names: Vec<String> = (0..1000).map(|i| format!("made-up-{i}")).collect();
    for name in &names {
        counters.observe(&Exchange {
            identity: Some(name),
            ..call("/b", 200)
        });
    }
    counters.observe(&Exchange {
        identity: Some("guessed"),
        ..call("/b", 401)
    });
    let batch = counters.drain(Time(2000)).unwrap();
    let pair = &batch.pairs[0];
    let seen = u32::try_from(pair.sightings.len()).unwrap();
    assert_eq!(seen + pair.unsighted, 1001, "kept or counted");
    assert!(
        pair.sightings.iter().any(|s| s.refused > 0),
        "a flood hides no refusal"
    );
}

#[test]
fn every_damaged_byte_of_a_frame_is_noticed() {
    let frame = batch().to_frame();
    for at in 0..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 1;
        assert!(Batch::from_frame(&damaged).is_err(), "byte {at}");
    }
    for length in 0..frame.len() {
        assert!(
            Batch::from_frame(&frame[..length]).is_err(),
            "cut at {length}"
        );
    }
}

#[test]
fn a_frame_of_another_version_is_refused_by_its_number() {
    let mut frame = batch().to_frame();
    frame[4] = 99;
    let error = Batch::from_frame(&frame).unwrap_err().to_string();
    assert!(
        error.contains("99") && error.contains(&Batch::VERSION.to_string()),
        "{error}"
    );
}

#[test]
fn a_frame_of_another_kind_is_refused() {
    assert!(Limits::from_frame(&batch().to_frame()).is_err());
}

#[test]
fn a_snapshot_comes_back_the_same() {
    let mut aggregator = Aggregator::new(Config::default(), 1, Time(0));
    aggregator.merge(batch(), Time(1000));
    aggregator.advance(Time(60_000));
    let bytes = aggregator.snapshot(17);
    let (restored, journaled) =
        Aggregator::restore(Config::default(), 2, &bytes, Time(60_000)).unwrap();
    assert_eq!(journaled, 17);
    assert_eq!(restored.totals(), aggregator.totals());
    assert_eq!(restored.snapshot(17).len(), bytes.len());
}

#[test]
fn a_batch_that_waits_for_its_window_is_in_the_snapshot() {
    let mut aggregator = Aggregator::new(Config::default(), 1, Time(0));
    let mut next = batch();
    (next.from, next.to) = (Time(10_000), Time(11_000));
    aggregator.merge(next, Time(11_000));
    assert_eq!(aggregator.totals().pairs, 0, "its window has not begun");
    let bytes = aggregator.snapshot(0);
    let (mut restored, _) =
        Aggregator::restore(Config::default(), 2, &bytes, Time(11_000)).unwrap();
    restored.advance(Time(12_000));
    assert_eq!(restored.totals().pairs, 7);
}

#[test]
fn a_snapshot_survives_other_window_lengths_with_its_pairs() {
    let mut aggregator = Aggregator::new(Config::default(), 1, Time(0));
    aggregator.merge(batch(), Time(1000));
    let bytes = aggregator.snapshot(0);
    let other = Config::from_json(br#"{"windows":["5s"]}"#).unwrap();
    let (mut restored, _) = Aggregator::restore(other, 1, &bytes, Time(2000)).unwrap();
    assert_eq!(restored.totals().pairs, 7);
    restored.advance(Time(100_000));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Behind a true header, so that the payload is reached.
        let framed = |tag: &[u8; 2], version: u16| {
            let mut out = b"PW".to_vec();
            out.extend(tag);
            out.extend(version.to_le_bytes());
            out.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            out.extend(crc32fast::hash(&bytes).to_le_bytes());
            out.extend(&bytes);
            out
        };
        let _ = Batch::from_frame(&framed(&Batch::TAG, Batch::VERSION));
        let _ = Limits::from_frame(&framed(&Limits::TAG, Limits::VERSION));
        let _ = Lease::from_frame(&framed(&Lease::TAG, Lease::VERSION));
        let _ = Entry::from_frame(&framed(&Entry::TAG, Entry::VERSION));
        let _ = Snapshot::from_frame(&framed(&Snapshot::TAG, Snapshot::VERSION));
        if let Ok((mut aggregator, _)) = Aggregator::restore(Config::default(), 1, &framed(&Snapshot::TAG, Snapshot::VERSION), Time(5)) {
            aggregator.advance(Time(100_000));
        }
        let _ = Config::from_json(&bytes);
    }
}
