//! Frames: what VMs tell one another.

use crate::{framed, life};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::{Batch, Counters};
use pairwatch_engine::frame::Framed;
use pairwatch_engine::journal::{Entry, SLOTS, slot};
use pairwatch_engine::lease::{Lease, Rank, next_move};
use pairwatch_engine::limits::Limits;
use pairwatch_engine::verdicts::Rulebook;
use std::fmt::Debug;
use std::time::Duration;

/// What the bytes say as a payload. What is read is written as itself, in no more bytes; the bytes as they stand, without
/// the header that was put before them, are read or refused.
fn read<T: Framed + Debug + PartialEq>(payload: &[u8]) -> Option<T> {
    if let Err(error) = T::from_frame(payload) {
        assert!(
            error.to_string().len() <= 200,
            "a refusal is a line: {error}"
        );
    }
    let frame = framed::<T>(payload);
    let value = T::from_frame(&frame).ok()?;
    let again = value.to_frame();
    assert!(
        again.len() <= frame.len(),
        "{} bytes became {}",
        frame.len(),
        again.len()
    );
    assert_eq!(
        T::from_frame(&again).ok().as_ref(),
        Some(&value),
        "what is written is read as the same"
    );
    Some(value)
}

/// A batch off the queue goes into the engine, which then goes on counting.
pub fn batch(payload: &[u8]) {
    let Some(batch) = read::<Batch>(payload) else {
        return;
    };
    merged(batch);
}

fn merged(batch: Batch) {
    let mut engine = Aggregator::new(Config::default(), 1, life::NOW);
    let (requests, at) = (batch.requests(), batch.to);
    engine.merge(batch, life::NOW);
    assert_eq!(
        engine.totals().requests,
        requests,
        "its requests are counted"
    );
    // On the batch's own clock too, which a journal is caught up by.
    engine.advance(at.min(Time(life::NOW.0.saturating_mul(2))));
    life::drain(&mut engine);
    life::go_on(&mut engine, life::NOW);
}

/// A journal's entry is caught up with, batch by batch.
pub fn journal(payload: &[u8]) {
    let Some(entry) = read::<Entry>(payload) else {
        return;
    };
    assert!(slot(entry.number) < SLOTS, "an entry has a slot");
    let mut engine = Aggregator::new(Config::default(), 1, life::NOW);
    for batch in &entry.batches {
        // Frames with a checksum inside of one: what is no batch is tried as a batch's payload.
        let batch =
            Batch::from_frame(batch).or_else(|_| Batch::from_frame(&framed::<Batch>(batch)));
        if let Ok(batch) = batch {
            let at = batch.to.min(life::NOW);
            engine.advance(at);
            engine.merge(batch, at);
        }
    }
    life::go_on(&mut engine, life::NOW);
}

/// Limits out of shared data are applied by a filter, which goes on counting and judging.
pub fn limits(payload: &[u8]) {
    let Some(limits) = read::<Limits>(payload) else {
        return;
    };
    let mut counters = Counters::new(100, 8, 1 << 20, 1, life::NOW);
    let rules = Rulebook::default();
    // Those of pairs that are counted already, and of others.
    let known = limits
        .pairs
        .iter()
        .map(|p| (p.source.clone(), p.destination.clone()));
    let mut pairs: Vec<(String, String)> = known.take(4).collect();
    pairs.push(("shop/frontend".to_owned(), "shop/catalog".to_owned()));
    for round in 0..3u64 {
        let now = Time(limits.window.0.saturating_add(round * 1000));
        counters.tick(now);
        for (source, destination) in &pairs {
            let exchange = pairwatch_engine::exchange::Exchange {
                destination,
                ..life::request(source, b"/orders/17", 401)
            };
            assert!(counters.foresee(&exchange, &rules).score() <= 100);
            assert!(counters.judge(&exchange, &rules).score() <= 100);
        }
        counters.apply(&limits);
    }
    let batch = counters.drain(life::NOW).expect("something was counted");
    let asked = 3 * u64::try_from(pairs.len()).unwrap();
    assert_eq!(batch.requests() + batch.dropped, asked, "nothing is lost");
}

/// A lease out of shared data: whoever sees it makes a move, and takes or renews it.
pub fn lease(payload: &[u8]) {
    let (ranks, payload) = payload.split_at(payload.len().min(1));
    let Some(lease) = read::<Lease>(payload) else {
        return;
    };
    let rank = match ranks.first().map(|r| r % 3) {
        Some(0) => Rank::Busy,
        Some(1) => Rank::Idle,
        _ => Rank::Singleton,
    };
    for now in [life::NOW, lease.heartbeat, Time(0), Time(u64::MAX)] {
        for me in [lease.holder, lease.holder.wrapping_add(1)] {
            let waited = Duration::from_secs(60);
            let _any = next_move(Some(&lease), me, rank, now, waited);
            let taken = Lease::taken(Some(&lease), me, rank, now);
            assert!(taken.is_fresh(now), "who takes it holds it");
            let renewed = taken.renewed(rank, now, lease.limits);
            assert_eq!(Lease::from_frame(&renewed.to_frame()).ok(), Some(renewed));
        }
    }
}
