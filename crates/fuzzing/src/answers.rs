//! What HTTP stores and sinks answer, when they do, on a clock that may jump.

use crate::life;
use arbitrary::{Result, Unstructured};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::{Alert, State};
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::sinks::Delivery;
use pairwatch_engine::store::{Ask, MAX_BYTES, Outcome, Store};
use std::sync::OnceLock;

/// What happens next.
#[derive(Debug)]
enum Step {
    /// Time passes.
    Wait { millis: u32 },
    /// The clock is set to anything.
    Clock(u64),
    /// There is something to send.
    Offer { state: u8, id: u8 },
    /// The host asks what is due, and sends it.
    Ask,
    /// An answer, or that there was none; also one that nobody asked for.
    Answer { status: Option<u16>, size: u32 },
    /// There is nothing worth saving.
    Postpone,
}

impl Step {
    fn draw(choices: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match choices.int_in_range(0..=7u8)? {
            0 => Self::Clock(choices.arbitrary()?),
            1 => Self::Postpone,
            2 | 3 => Self::Offer {
                state: choices.arbitrary()?,
                id: choices.arbitrary()?,
            },
            4 => Self::Ask,
            5 => Self::Answer {
                status: choices.arbitrary()?,
                size: choices.arbitrary()?,
            },
            // As most sinks and stores do.
            6 => Self::Answer {
                status: Some(*choices.choose(&[200, 204, 404, 429, 503])?),
                size: 100,
            },
            _ => Self::Wait {
                millis: choices.arbitrary()?,
            },
        })
    }
}

fn steps(bytes: &[u8]) -> impl Iterator<Item = Step> {
    let mut choices = Unstructured::new(bytes);
    std::iter::from_fn(move || {
        if choices.is_empty() {
            return None;
        }
        Step::draw(&mut choices).ok()
    })
}

/// A store is never written to before it was read, and one request is under way at a time, whatever it answers.
pub fn store(bytes: &[u8]) {
    let config =
        br#"{"learning":{"warm_start":{"cluster":"c","path":"/b/{node.id}/{node.cluster}"}}}"#;
    let config = Config::from_json(config).expect("it is accepted");
    let node = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned();
    let source = config.learning.warm_start.expect("there is one");
    let mut now = life::NOW;
    let mut store = Store::new(source, (&node, &node), 1, false, now);
    let mut under_way = None;
    let mut is_read = false;
    for step in steps(bytes) {
        match step {
            Step::Wait { millis } => now = Time(now.0.saturating_add(u64::from(millis))),
            Step::Clock(to) => now = Time(to),
            Step::Offer { .. } => {}
            Step::Postpone => store.postpone(now),
            Step::Ask => {
                let Some(ask) = store.due(now) else { continue };
                assert!(
                    is_read || ask == Ask::Fetch,
                    "nothing is lost that was not read"
                );
                let request = store.ask(ask, now);
                let path = request.headers.iter().find(|h| h.0 == ":path");
                let path = path.expect("a request has a path").1;
                assert!(
                    path.starts_with("/b/") && path.split('/').count() == 4,
                    "{path}"
                );
                assert!(path.bytes().all(|b| b.is_ascii_graphic()), "{path}");
                under_way = Some(ask);
            }
            Step::Answer { status, size } => {
                let size = usize::try_from(size).unwrap();
                let outcome = store.answered(status, size, now);
                match (&outcome, under_way.take()) {
                    (Outcome::Fetched, Some(Ask::Fetch)) => {
                        assert!((1..=MAX_BYTES).contains(&size), "{size} bytes are read");
                    }
                    (Outcome::Refused(_) | Outcome::Empty(_), Some(Ask::Fetch)) => {}
                    (Outcome::Saved(_), Some(Ask::Save)) => {}
                    (Outcome::Failed(_), Some(_)) => continue,
                    // What a request came to that was given up meanwhile.
                    (Outcome::Stray, _) => continue,
                    (outcome, asked) => panic!("{outcome:?} came of {asked:?}"),
                }
                is_read = true;
            }
        }
    }
}

/// Alerts of a real engine, to be sent: made once.
fn alerts() -> &'static [Alert] {
    static ALERTS: OnceLock<Vec<Alert>> = OnceLock::new();
    ALERTS.get_or_init(|| {
        let config = br#"{"windows":["1s"],"alerts":{"resolve_after":"5s","update_every":"1s"}}"#;
        let config = Config::from_json(config).expect("it is accepted");
        let mut engine = Aggregator::new(config, 1, life::NOW);
        let mut counters = Counters::new(10, 8, 1 << 20, 1, life::NOW);
        let mut alerts = Vec::new();
        for second in 1..=60u64 {
            let now = Time(life::NOW.0 + second * 1000);
            for i in 0..40 {
                let refused = (20..30).contains(&second) && i % 2 == 0;
                let status = if refused { 401 } else { 200 };
                counters.observe(&life::request("shop/\"frontend\"", b"/a", status));
            }
            engine.merge(counters.drain(now).expect("something was counted"), now);
            engine.advance(now);
            alerts.extend(life::drain(&mut engine));
        }
        let has = |state| alerts.iter().any(|a| a.state == state);
        assert!(has(State::Open) && has(State::Resolved), "{alerts:?}");
        alerts
    })
}

/// A sink of each kind: bodies are JSON, queues bounded, and all alerts accounted for, whatever is answered and when.
pub fn sink(bytes: &[u8]) {
    let (choice, rest) = bytes.split_at(bytes.len().min(1));
    let kind = [
        r#""type":"alertmanager""#,
        r#""type":"otlp""#,
        r#""type":"webhook""#,
        r#""type":"webhook","format":"ocsf""#,
    ][usize::from(choice.first().copied().unwrap_or(0) % 4)];
    let config =
        format!(r#"{{"sinks":[{{{kind},"cluster":"c","min_severity":"low","per_minute":5}}]}}"#);
    let config = Config::from_json(config.as_bytes()).expect("it is accepted");
    let mut now = life::NOW;
    let mut sink = Delivery::new(config.sinks[0].clone(), &config.alerts, 1, now);
    for step in steps(rest) {
        match step {
            Step::Wait { millis } => now = Time(now.0.saturating_add(u64::from(millis))),
            Step::Clock(to) => now = Time(to),
            Step::Offer { state, id } => {
                let alerts = alerts();
                let mut alert = alerts[usize::from(state) % alerts.len()].clone();
                alert.id = format!("{id:016x}");
                sink.offer(&alert, now);
            }
            Step::Ask => {
                if let Some(request) = sink.next(now) {
                    serde_json::from_str::<serde_json::Value>(&request.body)
                        .expect("a body is JSON");
                }
            }
            Step::Answer { status, .. } => {
                let _said = sink.answered(status, now);
            }
            Step::Postpone => {}
        }
    }
}
