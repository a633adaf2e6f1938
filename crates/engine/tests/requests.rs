//! Rules that requests must keep to: what breaks each, what does not, and that adaptive ones follow what is learned.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Kind;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;
use pairwatch_engine::verdicts::{Judgement, Phase, Rulebook};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// 2026-11-20 10:00:00 UTC, a Friday.
const FRIDAY: Time = Time(1_795_168_800_000);

fn rules(text: &str) -> Rulebook {
    let config = format!(r#"{{"rules":[{text}]}}"#);
    Rulebook::new(&Config::from_json(config.as_bytes()).unwrap().rules)
}

fn call<'a>(method: &'a str, path: &'a str) -> Exchange<'a> {
    Exchange {
        source: "shop/web",
        destination: "orders.shop",
        identity: Some("alice@shop.example"),
        address: Some("10.1.2.3".parse().unwrap()),
        method: method.as_bytes(),
        path: path.as_bytes(),
        status: 200,
        grpc_status: None,
        request_bytes: 500,
        response_bytes: 2000,
        duration_us: 1000,
    }
}

fn broken(rule: &str, exchange: &Exchange<'_>) -> bool {
    rules(rule).alone(exchange, Phase::Whole, FRIDAY).score() > 0
}

#[test]
fn a_pair_that_is_not_listed_breaks_the_rule_in_its_scope() {
    let pairs = r#""pairs":[{"source":"shop/*","destination":"orders.*"}]"#;
    for (scope, source, destination, breaks) in [
        ("", "shop/web", "orders.shop", false),
        ("", "bank/web", "orders.shop", true),
        ("", "shop/web", "payments.shop", true),
        (
            r#","destination":"orders.*""#,
            "shop/web",
            "payments.shop",
            false,
        ),
        (
            r#","destination":"orders.*""#,
            "bank/web",
            "orders.shop",
            true,
        ),
        (r#","identity":"bob*""#, "bank/web", "orders.shop", false),
    ] {
        let rule = format!(r#"{{"type":"pairs","name":"x",{pairs}{scope}}}"#);
        let exchange = Exchange {
            source,
            destination,
            ..call("GET", "/")
        };
        assert_eq!(
            broken(&rule, &exchange),
            breaks,
            "{source} → {destination} {scope}"
        );
    }
}

#[test]
fn what_is_not_allowed_to_be_asked_for_breaks_the_rule_whatever_became_of_it() {
    let rule =
        r#"{"type":"routes","name":"x","allow":["GET /orders/{id}","POST /orders","* /health*"]}"#;
    for (method, path, breaks) in [
        ("GET", "/orders/4711?full=1", false),
        ("DELETE", "/orders/4711", true),
        ("POST", "/orders", false),
        ("POST", "/orders/4711", true),
        ("HEAD", "/healthz", false),
        ("GET", "/healthz/../admin", true),
        ("GET", "/healthz/%2e%2e/admin", true),
        ("GET", "/health%2f..%2fadmin", true),
    ] {
        assert_eq!(broken(rule, &call(method, path)), breaks, "{method} {path}");
    }
}

#[test]
fn a_scope_of_routes_leaves_all_others_alone() {
    let rule = r#"{"type":"identity","name":"x","routes":["* /admin*"],"identities":["root"]}"#;
    assert!(broken(rule, &call("GET", "/admin/users")));
    assert!(!broken(rule, &call("GET", "/orders")));
}

#[test]
fn a_scope_of_routes_is_not_left_by_writing_the_path_another_way() {
    let rule = r#"{"type":"identity","name":"x","identities":["bob"],"routes":["* /admin*"]}"#;
    for path in [
        "/admin/x",
        "//admin/x",
        "/./admin/x",
        "/a/../admin/x",
        "/%61dmin/x",
        "/x/..%2fadmin",
    ] {
        assert!(broken(rule, &call("GET", path)), "{path}");
    }
    for path in ["/x/%2e/y", "/projects/group%2Fname", "/admin/../x/y%2e"] {
        assert_eq!(
            broken(rule, &call("GET", path)),
            path.starts_with("/admin"),
            "{path}"
        );
    }
}

#[test]
fn a_scope_of_routes_is_not_left_by_escaping_what_a_path_may_have_as_it_is() {
    let scoped =
        r#"{"type":"identity","name":"x","identities":["bob"],"routes":["* /v1/*:purge"]}"#;
    for path in ["/v1/a:purge", "/v1/a%3Apurge", "/v1/a%253apurge"] {
        assert!(broken(scoped, &call("GET", path)), "{path}");
    }
    // It is how honest clients write, and allowed where it is written so.
    let allow = r#"{"type":"routes","name":"x","allow":["* /users/*"]}"#;
    assert!(!broken(allow, &call("GET", "/users/eve%40shop.example")));
}

#[test]
fn a_path_that_climbs_where_servers_disagree_how_far_is_in_every_scope_and_allowed_by_none() {
    let scoped = r#"{"type":"identity","name":"x","identities":["bob"],"routes":["* /admin*"]}"#;
    let allow = r#"{"type":"routes","name":"x","allow":["* /open*"]}"#;
    for path in [
        "/open/b%2fc/../../admin",
        "/open/..;/admin",
        "/open/..;x=1/admin",
        "/open/%252e%252e/admin",
        "/open//../../admin",
        "/open/;/../admin",
    ] {
        assert!(broken(scoped, &call("GET", path)), "{path}");
        assert!(broken(allow, &call("GET", path)), "{path}");
    }
    for path in ["/open/b;x=1/c", "/open/../b", "/open/100%25"] {
        assert!(!broken(scoped, &call("GET", path)), "{path}");
    }
}

#[test]
fn a_body_breaks_a_rule_when_it_is_larger() {
    for (sizes, breaks) in [
        (r#""max_request_bytes":500"#, false),
        (r#""max_request_bytes":499"#, true),
        (r#""max_response_bytes":2000"#, false),
        (r#""max_response_bytes":1999"#, true),
        (r#""max_request_bytes":0,"max_response_bytes":9999"#, true),
    ] {
        let rule = format!(r#"{{"type":"size","name":"x",{sizes}}}"#);
        assert_eq!(broken(&rule, &call("POST", "/")), breaks, "{sizes}");
    }
}

#[test]
fn an_answer_is_held_against_a_request_only_once_it_is_there() {
    let book = rules(r#"{"type":"size","name":"x","max_response_bytes":10}"#);
    let exchange = call("GET", "/");
    assert_eq!(book.alone(&exchange, Phase::Request, FRIDAY).score(), 0);
    assert!(book.alone(&exchange, Phase::Whole, FRIDAY).score() > 0);
}

#[test]
fn a_request_at_another_time_breaks_a_schedule() {
    for (schedule, breaks) in [
        (
            r#""days":["mon","tue","wed","thu","fri"],"from":"08:00","until":"18:00","utc_offset":"+01:00""#,
            false,
        ),
        (r#""days":["sat","sun"]"#, true),
        (
            r#""from":"08:00","until":"11:00","utc_offset":"+01:00""#,
            true,
        ),
        (r#""from":"08:00","until":"11:00""#, false),
    ] {
        let rule = format!(r#"{{"type":"schedule","name":"x",{schedule}}}"#);
        assert_eq!(broken(&rule, &call("GET", "/")), breaks, "{schedule}");
    }
}

#[test]
fn a_client_from_elsewhere_breaks_the_rule_and_an_unknown_one_does_not() {
    let rule = r#"{"type":"networks","name":"x","networks":["10.0.0.0/8","fd00::/8"]}"#;
    for (address, breaks) in [
        (Some("10.1.2.3"), false),
        (Some("::ffff:10.1.2.3"), false),
        (Some("fd12::9"), false),
        (Some("203.0.113.7"), true),
        (None, false),
    ] {
        let address = address.map(|a| a.parse().unwrap());
        let exchange = Exchange {
            address,
            ..call("GET", "/")
        };
        assert_eq!(broken(rule, &exchange), breaks, "{address:?}");
    }
}

#[test]
fn a_request_that_speaks_for_nobody_or_the_wrong_one_breaks_the_rule() {
    let anyone = r#"{"type":"identity","name":"x"}"#;
    let ours = r#"{"type":"identity","name":"x","identities":["*@shop.example"]}"#;
    for (identity, of_anyone, of_ours) in [
        (Some("alice@shop.example"), false, false),
        (Some("mallory@evil.example"), false, true),
        (Some(""), true, true),
        (None, true, true),
    ] {
        let exchange = Exchange {
            identity,
            ..call("GET", "/")
        };
        assert_eq!(broken(anyone, &exchange), of_anyone, "{identity:?}");
        assert_eq!(broken(ours, &exchange), of_ours, "{identity:?}");
    }
}

#[test]
fn the_most_urgent_broken_rule_is_the_verdict() {
    let book = rules(
        r#"{"type":"routes","name":"a","allow":["POST *"],"severity":"low"},
           {"type":"identity","name":"b","identities":["root"],"severity":"critical"}"#,
    );
    let judgement = book.alone(&call("GET", "/"), Phase::Whole, FRIDAY);
    let worst = judgement.worst().unwrap();
    assert_eq!(
        (worst.score, worst.kind, worst.rule),
        (100, Kind::AuthFailures, Some(1))
    );
    assert_eq!(judgement.iter().count(), 2);
}

/// A worker and an aggregator, second by second.
struct Run {
    counters: Counters,
    aggregator: Aggregator,
    book: Rulebook,
    now: Time,
}

impl Run {
    fn new(rules: &str) -> Self {
        let config = format!(
            r#"{{"windows":["2s","10s"],"learning":{{"warmup":"60s","memory":"60s"}},"signals":{{"new_route":false,"new_pair":false}},"rules":[{rules}]}}"#
        );
        let config = Config::from_json(config.as_bytes()).unwrap();
        Self {
            counters: Counters::new(100, 16, 1 << 20, 3, FRIDAY),
            book: Rulebook::new(&config.rules),
            aggregator: Aggregator::new(config, 5, FRIDAY),
            now: FRIDAY,
        }
    }

    fn send(&mut self, source: &str, path: &str) -> Judgement {
        let exchange = Exchange {
            source,
            ..call("GET", path)
        };
        let early = self.counters.foresee(&exchange, &self.book);
        let whole = self.counters.judge(&exchange, &self.book);
        let rules = |j: &Judgement| j.iter().filter_map(|v| v.rule).collect::<Vec<_>>();
        assert_eq!(
            rules(&early),
            rules(&whole),
            "judged alike before and after"
        );
        whole
    }

    /// Rules broken in a second of so many requests.
    fn second(&mut self, count: usize) -> usize {
        let broken =
            (0..count).filter(|_| self.send("shop/web", "/a").iter().any(|v| v.rule.is_some()));
        let broken = broken.count();
        self.pass(1);
        broken
    }

    fn pass(&mut self, seconds: u64) {
        self.now = Time(self.now.0 + seconds * 1000);
        if let Some(batch) = self.counters.drain(self.now) {
            self.aggregator.merge(batch, self.now);
        }
        self.aggregator.advance(self.now);
        self.counters.tick(self.now);
        self.counters.apply(&self.aggregator.limits(self.now));
    }
}

#[test]
fn three_times_the_typical_breaks_the_rule_and_follows_what_becomes_typical() {
    let mut run = Run::new(
        r#"{"type":"typical","name":"x","signal":"request_rate","times":3,"source":"shop/*"}"#,
    );
    for second in 0..120 {
        assert_eq!(run.second(10), 0, "usual, at {second} s");
    }
    // Two seconds a window: 20 are typical, 60 are three times that.
    let broken = run.second(100);
    assert!(
        (25..=60).contains(&broken),
        "{broken} of 100 are past three times the typical"
    );
    for _ in 0..600 {
        run.second(40);
    }
    assert_eq!(run.second(60), 0, "what is usual now breaks nothing");
    assert!(run.second(300) > 0);
}

#[test]
fn nothing_is_untypical_of_a_pair_of_which_little_is_known() {
    let mut run = Run::new(r#"{"type":"typical","name":"x","signal":"request_rate","times":2}"#);
    assert_eq!(run.second(1000), 0);
}

#[test]
fn what_was_never_seen_breaks_the_rule_until_it_was() {
    let mut run =
        Run::new(r#"{"type":"known_route","name":"route"},{"type":"known_pair","name":"pair"}"#);
    for _ in 0..120 {
        run.second(5);
    }
    let kinds = |j: &Judgement| {
        j.iter()
            .filter(|v| v.rule.is_some())
            .map(|v| v.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&run.send("shop/web", "/b")), [Kind::NewRoute]);
    assert_eq!(kinds(&run.send("shop/stranger", "/a")), [Kind::NewPair]);
    for _ in 0..4 {
        run.pass(1);
    }
    assert_eq!(kinds(&run.send("shop/web", "/b")), []);
    assert_eq!(kinds(&run.send("shop/stranger", "/a")), []);
}

#[test]
fn an_hour_that_was_never_kept_breaks_the_rule_until_it_is() {
    let mut run = Run::new(r#"{"type":"learned_hours","name":"x"}"#);
    // Ten to twelve, for three days.
    for _ in 0..3 {
        for _ in 0..2 {
            run.second(5);
            run.pass(3599);
        }
        run.pass(22 * 3600);
    }
    assert_eq!(run.second(5), 0, "ten in the morning");
    run.pass(10 * 3600);
    assert_eq!(run.second(5), 5, "eight in the evening, the first time");
    run.pass(24 * 3600);
    assert_eq!(run.second(5), 5, "the second time");
    run.pass(24 * 3600);
    assert_eq!(run.second(5), 0, "by now that is their hour");
}

#[test]
fn what_nobody_keeps_up_to_date_breaks_no_adaptive_rule() {
    let mut run = Run::new(r#"{"type":"known_route","name":"x"}"#);
    for _ in 0..120 {
        run.second(5);
    }
    run.counters.tick(Time(run.now.0 + 60_000));
    assert_eq!(run.send("shop/web", "/b").score(), 0);
}

#[test]
fn a_broken_rule_is_told_as_an_incident_of_its_pair_and_held_against_no_other_request() {
    let mut run =
        Run::new(r#"{"type":"routes","name":"no admin","allow":["GET /a"],"severity":"high"}"#);
    for _ in 0..10 {
        run.second(5);
    }
    for _ in 0..3 {
        run.send("shop/web", "/admin");
    }
    // A batch of the next window waits for this one to be closed.
    for _ in 0..3 {
        run.pass(1);
    }
    let alerts = run.aggregator.drain_alerts();
    let alert = &alerts[0];
    assert_eq!(
        (alert.kind, alert.source.as_str()),
        (Kind::NewRoute, "shop/web")
    );
    assert!(
        alert
            .message
            .contains("requests break the rule «no admin», 3 in the latest count"),
        "{}",
        alert.message
    );
    assert_eq!(
        run.send("shop/web", "/a").score(),
        0,
        "its other requests are their own"
    );
}
