//! What suppressions and maintenance hide: their scope and no more, for their time and no longer, counted.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_cases::Case;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::{Alert, Kind};
use pairwatch_engine::config::{About, Config};
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 2026-11-20 10:00:00 UTC.
const START: u64 = 1_795_168_800_000;

fn config(text: &str) -> Config {
    Config::from_json(text.as_bytes()).unwrap()
}

/// What is hidden of frontend's refused log-ins at accounts, which alice's requests show and which began at 09:59.
fn is_hidden(config: &Config, at: &str) -> bool {
    let about = About {
        source: "shop/frontend",
        destination: "accounts.shop.svc.cluster.local",
        kind: Kind::AuthFailures,
        identity: Some("alice"),
        since: Time::parse("2026-11-20T09:59:00Z").unwrap(),
    };
    config.hidden_by(&about, Time::parse(at).unwrap()).is_some()
}

#[test]
fn a_suppression_hides_what_all_of_its_scope_fits_until_it_ends() {
    for (scope, hides) in [
        (r#""source":"shop/frontend""#, true),
        (r#""source":"shop/*""#, true),
        (r#""source":"*front*""#, true),
        (r#""source":"frontend""#, false),
        (r#""destination":"accounts.*","kind":"auth_failures""#, true),
        (r#""destination":"accounts.*","kind":"rate_spike""#, false),
        (r#""source":"*","identity":"al*e""#, true),
        (r#""identity":"bob""#, false),
    ] {
        let config = config(&format!(
            r#"{{"suppressions":[{{{scope},"reason":"known","until":"2026-11-20T11:00:00Z"}}]}}"#
        ));
        assert_eq!(is_hidden(&config, "2026-11-20T10:59:59Z"), hides, "{scope}");
        assert!(
            !is_hidden(&config, "2026-11-20T11:00:00Z"),
            "{scope}, ended"
        );
    }
}

#[test]
fn maintenance_hides_what_began_in_it() {
    for (from, until, hides) in [
        ("2026-11-20T09:00:00Z", "2026-11-20T11:00:00Z", true),
        // Its last window ends a little later.
        ("2026-11-20T09:00:00Z", "2026-11-20T09:59:30Z", true),
        ("2026-11-20T09:00:00Z", "2026-11-20T09:59:00Z", false),
        ("2026-11-20T10:00:01Z", "2026-11-20T11:00:00Z", false),
    ] {
        let config = config(&format!(
            r#"{{"maintenance":[{{"source":"shop/*","reason":"upgrade","from":"{from}","until":"{until}"}}]}}"#
        ));
        assert_eq!(
            is_hidden(&config, "2026-11-20T10:00:00Z"),
            hides,
            "{from} to {until}"
        );
    }
}

/// The requests of a case into a worker and an aggregator.
struct Run {
    counters: Counters,
    aggregator: Aggregator,
    alerts: Vec<Alert>,
    notices: Vec<String>,
}

impl Run {
    fn new(case: &Case, rules: &str) -> (Self, Config) {
        let mut json = case.config.clone();
        let rules: serde_json::Value = serde_json::from_str(rules).unwrap();
        for (key, value) in rules.as_object().unwrap() {
            match (json.get_mut(key), value.as_object()) {
                (Some(fields), Some(more)) => {
                    let fields = fields.as_object_mut().unwrap();
                    fields.extend(more.clone());
                }
                _ => json[key] = value.clone(),
            }
        }
        let config = config(&json.to_string());
        let run = Self {
            counters: Counters::new(100, 32, 1 << 20, 1, Time(START)),
            aggregator: Aggregator::new(config.clone(), 1, Time(START)),
            alerts: Vec::new(),
            notices: Vec::new(),
        };
        (run, config)
    }

    fn of(case: &str, rules: &str) -> Self {
        let case = Case::from_json(case).unwrap();
        let (mut run, config) = Self::new(&case, rules);
        let requests = case.requests();
        let mut next = requests.iter().peekable();
        for second in 0..case.seconds {
            while let Some(r) = next.next_if(|r| r.at < (second + 1) * 1000) {
                run.counters.observe(&Exchange {
                    source: &r.source,
                    destination: &r.destination,
                    method: r.method.as_bytes(),
                    path: r.path.as_bytes(),
                    status: r.status,
                    grpc_status: None,
                    request_bytes: 0,
                    response_bytes: r.bytes,
                    duration_us: r.duration_us,
                    identity: None,
                    address: None,
                });
            }
            let now = Time(START + (second + 1) * 1000);
            if let Some(batch) = run.counters.drain(now) {
                run.aggregator.merge(batch, now);
            }
            run.aggregator.advance(now);
            run.alerts.extend(run.aggregator.drain_alerts());
            run.notices.extend(run.aggregator.drain_notices());
            if second % 60 == 59 {
                // Its books outlive it.
                let bytes = run.aggregator.snapshot(0);
                let (restored, _) = Aggregator::restore(config.clone(), 1, &bytes, now).unwrap();
                run.aggregator = restored;
            }
        }
        run
    }
}

const STUFFING: &str = include_str!("../../../tests/cases/stuffing.json");
const QUIET: &str = include_str!("../../../tests/cases/quiet.json");
const RULE: &str = r#"{"suppressions":[
    {"source":"nobody","reason":"never fits","until":"2030-01-01T00:00:00Z"},
    {"kind":"auth_failures","reason":"a test of ours","until":"2030-01-01T00:00:00Z"}]}"#;

#[test]
fn what_is_hidden_is_not_told_but_counted_and_listed() {
    let run = Run::of(STUFFING, RULE);
    assert!(run.alerts.iter().all(|a| a.kind != Kind::AuthFailures));
    let hidden = run.aggregator.hidden(Time(START));
    assert_eq!((hidden[0].count, hidden[0].last.as_ref()), (0, None));
    assert_eq!(hidden[1].reason, "a test of ours");
    assert!(hidden[1].count >= 2, "opened and resolved");
    let last = hidden[1].last.as_ref().unwrap();
    assert!(last.contains(r#""suppressed":"a test of ours""#), "{last}");
    assert_eq!(run.aggregator.totals().suppressed, hidden[1].count);
    assert!(run.notices.is_empty());
}

#[test]
fn what_is_hidden_can_be_shown_with_its_reason_and_is_what_would_have_been_told() {
    let shown = RULE.replacen('{', r#"{"alerts":{"show_suppressed":true},"#, 1);
    let shown = Run::of(STUFFING, &shown);
    let plain = Run::of(STUFFING, "{}");
    assert!(!plain.alerts.is_empty());
    let told = |alerts: &[Alert]| -> Vec<String> {
        let bare = alerts.iter().map(|a| Alert {
            suppressed: None,
            ..a.clone()
        });
        bare.map(|a| a.to_line()).collect()
    };
    assert_eq!(told(&shown.alerts), told(&plain.alerts));
    assert!(shown.alerts.iter().any(|a| a.suppressed.is_some()));
}

#[test]
fn a_rule_that_has_ended_does_nothing_and_is_told_of_once() {
    let ended = RULE.replace("2030-01-01T00:00:00Z", "2026-11-20T10:01:30Z");
    let run = Run::of(STUFFING, &ended);
    let plain = Run::of(STUFFING, "{}");
    assert_eq!(run.alerts, plain.alerts);
    assert_eq!(run.notices.len(), 2, "one each: {:?}", run.notices);
    assert!(
        run.notices[1].contains("a test of ours"),
        "{:?}",
        run.notices
    );
}

#[test]
fn what_maintenance_shows_is_not_learned_as_usual() {
    // Four times the traffic for five minutes, and again when its incident is over: were it learned, it would be usual.
    let traffic = r#""source":"frontend","destination":"shop","path":"/products/1""#;
    let mut case: serde_json::Value = serde_json::from_str(QUIET).unwrap();
    case["seconds"] = 720.into();
    case["traffic"] = serde_json::from_str(&format!(
        r#"[{{{traffic},"rate":10}},{{{traffic},"rate":30,"from":300,"to":600}},{{{traffic},"rate":30,"from":640}}]"#
    ))
    .unwrap();
    case["config"]["learning"]["memory"] = "60s".into();
    let maintenance = r#"{"maintenance":[{"destination":"shop","reason":"load test","from":"2026-11-20T10:05:00Z","until":"2026-11-20T10:10:10Z"}]}"#;
    let run = Run::of(&case.to_string(), maintenance);
    assert!(!run.alerts.is_empty(), "the traffic after it is told");
    let after = Time(START + 640_000).rfc3339();
    assert!(
        run.alerts.iter().all(|a| a.since >= after),
        "and nothing of it: {:#?}",
        run.alerts
    );
}
