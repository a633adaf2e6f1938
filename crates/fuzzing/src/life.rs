//! What an engine goes through after somebody's bytes were taken in, whatever they were.

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::limits::Limits;
use pairwatch_engine::verdicts::{Gate, Line, Rulebook};

/// Sunday 2026-11-01, a moment after midnight UTC: all windows begin.
pub(crate) const NOW: Time = Time(1_793_491_200_100);

/// A request like any other.
pub(crate) fn request<'a>(source: &'a str, path: &'a [u8], status: u16) -> Exchange<'a> {
    Exchange {
        source,
        destination: "shop/catalog",
        identity: Some("user-0123456789abcdef"),
        address: Some([203, 0, 113, 7].into()),
        method: b"GET",
        path,
        status,
        grpc_status: None,
        request_bytes: 100,
        response_bytes: 2000,
        duration_us: 12_000,
    }
}

/// A line of JSON that can be cut out of a log.
pub(crate) fn check_line(line: &str, begins: &str) {
    assert!(
        line.starts_with(begins),
        "{line:?} does not begin with {begins}"
    );
    assert!(!line.contains(['\n', '\r']), "{line:?} is several lines");
    serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON");
}

/// Takes an engine's alerts, each of which must be a line.
pub(crate) fn drain(engine: &mut Aggregator) -> Vec<Alert> {
    let alerts = engine.drain_alerts();
    for alert in &alerts {
        assert!(alert.score <= 100, "a score of {}", alert.score);
        check_line(&alert.to_line(), r#"{"pairwatch":"alert""#);
    }
    for notice in engine.drain_notices() {
        assert!(!notice.is_empty(), "a notice says something");
    }
    alerts
}

/// Counts some requests in a filter of the engine's configuration, through the limits the engine publishes, and lets the
/// engine close its windows over them: it must have counted them, and what it knows must outlive it.
pub(crate) fn go_on(engine: &mut Aggregator, now: Time) {
    let config = engine.config().clone();
    let caps = config.limits;
    let mut counters = Counters::new(caps.pairs, caps.routes_per_pair, caps.hold_bytes, 1, now);
    let frame = engine.limits(now).to_frame();
    let limits = Limits::from_frame(&frame).expect("what was published is read");
    assert_eq!(
        limits.to_frame(),
        frame,
        "limits are written as they were read"
    );
    counters.apply(&limits);
    let rules = Rulebook::new(&config.rules);
    let mut gate = Gate::default();
    let asked: [(&[u8], u16); 4] = [(b"/a", 200), (b"/a", 503), (b"/b/42", 401), (b"/../x", 404)];
    for (path, status) in asked {
        let exchange = request("shop/frontend", path, status);
        let foreseen = counters.foresee(&exchange, &rules);
        assert!(foreseen.score() <= 100, "scores end at 100");
        let judgement = counters.judge(&exchange, &rules);
        if let Some(ruling) = gate.pass(&config.verdicts, &exchange, &judgement, now) {
            let line = Line::new(&ruling, &exchange, "GET /a", &rules, now);
            check_line(&line.to_line(), r#"{"pairwatch":"verdict""#);
        }
    }
    let before = engine.totals();
    let at = Time(now.0.saturating_add(1000));
    let batch = counters.drain(at).expect("something was counted");
    assert_eq!(
        batch.requests() + batch.dropped,
        4,
        "each request is counted or dropped"
    );
    let counted = batch.requests();
    engine.merge(batch, at);
    // Two lengths' windows one by one, beyond the engine's grace; the longer ones at once, as after a night without a line.
    let lengths = config.window_lengths().take(2);
    let day = std::time::Duration::from_secs(86_400);
    for length in lengths.map(|l| l.min(day)).chain([day]) {
        engine.advance(at.plus(length).plus(std::time::Duration::from_secs(3)));
        drain(engine);
    }
    let after = engine.totals();
    assert_eq!(
        after.requests,
        before.requests.saturating_add(counted),
        "the requests that follow are counted"
    );
    let cap = usize::try_from(caps.pairs).unwrap();
    assert!(after.pairs <= cap, "{} pairs, {cap} allowed", after.pairs);
    outlives(engine, at);
}

/// What an engine knows comes back out of its snapshot.
pub(crate) fn outlives(engine: &Aggregator, now: Time) {
    let config = engine.config().clone();
    let snapshot = engine.snapshot(7);
    let (restored, journaled) = Aggregator::restore(config.clone(), 1, &snapshot, now)
        .expect("a snapshot that was just taken is restored");
    assert_eq!(journaled, 7, "the journal's number comes back");
    assert_eq!(
        restored.totals().pairs,
        engine.totals().pairs,
        "all pairs come back"
    );
    assert_eq!(
        Aggregator::other_windows(&config, &snapshot),
        None,
        "its own windows are its own"
    );
}
