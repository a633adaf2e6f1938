//! Windows, second by second: a request is counted in its own, and wherever in one an attack begins it is told of, for as long as
//! it lasts.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod proxy;

use pairwatch_engine::Time;
use pairwatch_engine::alerts::{Kind, State};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Batch;
use proxy::Proxy;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A whole hour.
const START: u64 = 1_795_168_800_000;

fn begun(config: &str) -> Proxy {
    Proxy::new(Config::from_json(config.as_bytes()).unwrap(), START)
}

#[test]
fn a_request_is_counted_in_the_window_of_its_second_however_short_windows_are() {
    for length in [1, 2, 5] {
        let mut proxy = begun(&format!(r#"{{"windows":["{length}s"]}}"#));
        proxy.second(&[("web", 1, 200)]);
        proxy.engine.watch("web", "shop");
        for second in 1..40 {
            proxy.second(&[("web", second, 200)]);
        }
        let counted: Vec<_> = proxy
            .engine
            .drain_looks()
            .iter()
            .filter(|look| look.signal == "request_rate" && look.kind == Kind::RateSpike)
            .map(|look| (look.start.0, u64::from(look.requests)))
            .collect();
        let want = counted.iter().map(|&(start, _)| {
            let first = (start - START) / 1000;
            // The first second had one request.
            (start, (first..first + length).map(|n| n.max(1)).sum())
        });
        assert_eq!(counted, want.collect::<Vec<(u64, u64)>>(), "{length} s");
        assert!(counted.len() >= 5, "{length} s: {counted:?}");
    }
}

#[test]
fn a_batch_out_of_the_future_keeps_no_silence_from_being_told() {
    let mut proxy = begun("{}");
    let usual = [("web", 20, 200), ("cart", 20, 200)];
    for _ in 0..3600 {
        proxy.second(&usual);
    }
    let future = Batch {
        to: Time(u64::MAX),
        ..Batch::default()
    };
    proxy.engine.merge(future, Time(proxy.now));
    for _ in 0..3600 {
        proxy.second(&usual);
    }
    let alerts = (0..120).flat_map(|_| proxy.second(&usual[1..]));
    let told: Vec<_> = alerts.map(|a| (a.source, a.kind)).collect();
    assert_eq!(told, [("web".to_owned(), Kind::RateDrop)]);
}

/// How many were refused in the seconds of an attack of 240 requests: three at least in the first, as fewer are an accident.
fn seconds(first: u64, rate: u64) -> Vec<u64> {
    let mut left = 240 - first;
    let next = std::iter::from_fn(|| {
        let now = rate.min(left);
        left -= now;
        (now > 0).then_some(now)
    });
    std::iter::once(first).chain(next).collect()
}

#[test]
fn an_attack_from_a_pairs_first_request_on_is_told_of_and_teaches_the_next_pair_nothing() {
    let config = r#"{"windows":["1s","4s"],"learning":{"warmup":"2s"}}"#;
    let mut missed = Vec::new();
    for pause in 0..4 {
        for (rate, part) in [20, 40, 80, 160]
            .into_iter()
            .flat_map(|r| (2..=10).map(move |p| (r, p)))
        {
            let attack = seconds(rate * part / 10, rate);
            let mut proxy = begun(config);
            for source in ["web", "stranger"] {
                let pauses = std::iter::repeat_n(0, pause);
                let alerts: Vec<_> = pauses
                    .chain(attack.iter().copied())
                    .chain([0; 8])
                    .flat_map(|refused| proxy.second(&[(source, refused, 401)]))
                    .filter(|a| a.source == source && a.kind == Kind::AuthFailures)
                    .collect();
                if alerts.is_empty() {
                    missed.push(format!("{source} after {pause} s: {attack:?}"));
                }
            }
        }
    }
    assert_eq!(missed, Vec::<String>::new());
}

/// What is told of a caller in 25 minutes of 50 refusals a second, less than makes them the new usual and long enough for silence
/// to be the end. They begin so many seconds into an hour in which another, or the same, is served.
fn states(source: &str, begins: usize) -> Vec<State> {
    let mut proxy = begun("{}");
    for _ in 0..3600 + begins {
        proxy.second(&[("web", 2, 200)]);
    }
    let attack = [("web", 2, 200), (source, 50, 401)];
    let lines = (0..1500).flat_map(|_| proxy.second(&attack));
    let of_source = lines.filter(|a| a.source == source);
    of_source.map(|a| a.state).collect()
}

#[test]
fn an_attack_that_several_window_lengths_see_at_once_is_told_of_until_it_is_over() {
    // Its first window is the last of ten minutes, the last of one, or the first.
    for begins in [590, 530, 540] {
        let states = states("web", begins);
        assert_eq!(states.first(), Some(&State::Open), "{begins} s: {states:?}");
        assert!(!states.contains(&State::Resolved), "{begins} s: {states:?}");
    }
}

#[test]
fn a_strangers_attack_is_told_of_until_it_is_over() {
    let states = states("stranger", 0);
    assert_eq!(states.first(), Some(&State::Open), "{states:?}");
    assert!(!states.contains(&State::Resolved), "{states:?}");
}
