//! The built module in the counting host: what a verdict does to a request, and what tagging and refusing cost.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Counts, Exchange, Host, Outcome, Plugin, Root, Vm};
use std::collections::BTreeMap;
use std::time::Duration;

/// 2026-11-20 10:00:00 UTC, a Friday.
const START: Duration = Duration::from_secs(1_795_168_800);

/// What is broken by a request for `/admin`, and by one that is too large.
const RULES: &str = r#"[{"type":"routes","name":"no admin","allow":["* /products*"],"severity":"high"},
    {"type":"size","name":"small answers","max_response_bytes":5000}]"#;
const REFUSE: &str =
    r#""deny":[{"kinds":["new_route"],"shadow":false}],"min_requests":0,"max_denied_percent":100"#;

struct Worker {
    host: Host,
    vm: Vm,
    root: Root,
}

impl Worker {
    fn new(mode: &str, verdicts: &str) -> Self {
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        host.set_now(START);
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let mut vm = module.vm().unwrap();
        let config = format!(
            r#"{{"mode":"{mode}","rules":{RULES},"verdicts":{{{verdicts}}},"names":{{"trusted_source_header":"x-source"}}}}"#
        );
        let root = vm.root(&Plugin::configured(&config)).unwrap();
        let mut worker = Self { host, vm, root };
        // The connection is known from here on.
        worker.send(&get("/products/1"));
        worker
    }

    fn send(&mut self, exchange: &Exchange) -> Outcome {
        self.vm.exchange(self.root, exchange).unwrap()
    }

    fn tick(&mut self) {
        self.host.advance(Duration::from_secs(1));
        self.vm.tick(self.root).unwrap();
    }

    /// What one more request costs.
    fn cost(&mut self, exchange: &Exchange) -> Counts {
        let before = self.vm.counts();
        self.send(exchange);
        self.vm.counts().since(&before)
    }

    fn counted(&self, kind: &str, state: &str) -> u64 {
        let name = format!("pairwatch_verdicts_totalkind=.={kind};.;state=.={state};.;");
        self.host.counter(&name).unwrap_or(0)
    }

    fn lines(&self) -> Vec<String> {
        let lines = self.host.logs().into_iter().map(|l| l.message);
        lines
            .filter(|m| m.starts_with(r#"{"pairwatch":"verdict""#))
            .collect()
    }
}

fn get(path: &str) -> Exchange {
    Exchange::new("GET", path, 200)
        .request_header("x-source", "shop/web")
        .property(["connection", "id"], 1u64)
        .property(["response", "size"], 100i64)
        .property(["xds", "cluster_name"], "catalog")
}

fn text<'a>(outcome: &'a Outcome, key: &str) -> Option<&'a str> {
    let value = outcome.set_property([key])?;
    std::str::from_utf8(value).ok()
}

fn header<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a [u8]> {
    let mut all = outcome.request_headers.iter();
    all.find(|(n, _)| n == name.as_bytes()).map(|(_, v)| &**v)
}

/// What each row of the table in docs/policy.md stands for: configuration and request.
fn rows() -> BTreeMap<&'static str, (String, Exchange)> {
    let tag = r#""action":"tag""#.to_owned();
    let with_header = format!(r#"{tag},"header":true"#);
    let enforce = format!(r#""action":"enforce",{REFUSE}"#);
    let grpc = get("/shop.Cart/Add").request_header("content-type", "application/grpc");
    BTreeMap::from([
        ("`observe`", (String::new(), get("/products/1"))),
        ("`observe`, flagged", (String::new(), get("/admin"))),
        ("`tag`", (tag.clone(), get("/products/1"))),
        (
            "`tag`, the client sent the header",
            (
                tag.clone(),
                get("/products/1").request_header("x-pairwatch-score", "0"),
            ),
        ),
        ("`tag`, flagged", (tag, get("/admin"))),
        ("`tag` with `header`, flagged", (with_header, get("/admin"))),
        ("`enforce`", (enforce.clone(), get("/products/1"))),
        ("`enforce`, refused", (enforce.clone(), get("/admin"))),
        ("`enforce`, refused, gRPC", (enforce, grpc)),
    ])
}

#[test]
fn the_table_of_costs_is_what_this_host_counts() {
    let text = std::fs::read_to_string(paths::workspace().join("docs/policy.md")).unwrap();
    let mut missing = Vec::new();
    for (name, (verdicts, exchange)) in rows() {
        let mut worker = Worker::new("stateful", &verdicts);
        worker.send(&exchange);
        let spent = worker.cost(&exchange);
        // A verdict line is written for the first ten between two ticks; they are no steady state.
        let lines = spent.host_call("proxy_log");
        let (host, guest) = (spent.host_calls_total() - lines, spent.guest_calls_total());
        println!("| {name} | {host} | {guest} | fuel {}", spent.fuel);
        let row = format!("| {name} | {host} | {guest} |");
        if !text.contains(&row) {
            missing.push(row);
        }
    }
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "docs/policy.md should have these"
    );
}

#[test]
fn observing_leaves_requests_alone() {
    let mut worker = Worker::new("stateful", "");
    let outcome = worker.send(&get("/admin").request_header("x-pairwatch-score", "7"));
    assert!(outcome.set_properties.is_empty() && outcome.local_response.is_none());
    assert_eq!(header(&outcome, "x-pairwatch-score"), Some(&b"7"[..]));
    worker.tick();
    assert_eq!(worker.counted("new_route", "flagged"), 1);
    assert!(worker.lines()[0].contains(r#""rule":"no admin""#));
}

#[test]
fn a_flagged_request_is_tagged_and_another_is_not() {
    let mut worker = Worker::new("stateful", r#""action":"tag""#);
    let flagged = worker.send(&get("/admin"));
    for (key, value) in [
        ("pairwatch.score", "80"),
        ("pairwatch.kind", "new_route"),
        ("pairwatch.severity", "high"),
        ("pairwatch.verdict", "flagged"),
    ] {
        assert_eq!(text(&flagged, key), Some(value), "{key}");
    }
    assert_eq!(header(&flagged, "x-pairwatch-score"), None);
    assert!(worker.send(&get("/products/1")).set_properties.is_empty());
}

#[test]
fn what_only_the_answer_shows_is_tagged_for_the_access_log() {
    let mut worker = Worker::new("stateful", r#""action":"tag""#);
    let large = get("/products/1").property(["response", "size"], 6000i64);
    let outcome = worker.send(&large);
    assert_eq!(text(&outcome, "pairwatch.kind"), Some("request_size"));
    worker.tick();
    assert_eq!(worker.counted("request_size", "flagged"), 1);
}

#[test]
fn a_score_that_a_client_sends_never_reaches_the_upstream() {
    for (action, is_flagged, wanted) in [
        (r#""action":"tag""#, false, None),
        (r#""action":"tag""#, true, None),
        (r#""action":"tag","header":true"#, false, None),
        (r#""action":"tag","header":true"#, true, Some(&b"80"[..])),
        (r#""action":"enforce""#, false, None),
    ] {
        let mut worker = Worker::new("stateful", action);
        let path = if is_flagged { "/admin" } else { "/products/1" };
        // Some upstreams take underscores for dashes.
        let spellings = [
            "x-pairwatch-score",
            "x_pairwatch_score",
            "x-pairwatch_score",
            "x_pairwatch-score",
        ];
        for spelling in spellings {
            let outcome = worker.send(&get(path).request_header(spelling, "0"));
            for name in spellings {
                let wanted = wanted.filter(|_| name == "x-pairwatch-score");
                assert_eq!(header(&outcome, name), wanted, "{action} {path} {spelling}");
            }
            assert!(outcome.local_response.is_none(), "{action}");
        }
    }
}

#[test]
fn a_rule_in_shadow_refuses_nothing_and_tells_what_it_would_have() {
    let shadow = REFUSE.replace("false", "true");
    let mut worker = Worker::new("stateful", &format!(r#""action":"enforce",{shadow}"#));
    let outcome = worker.send(&get("/admin"));
    assert!(outcome.local_response.is_none());
    assert_eq!(text(&outcome, "pairwatch.verdict"), Some("shadow"));
    worker.tick();
    assert_eq!(worker.counted("new_route", "shadow"), 1);
    let line = &worker.lines()[0];
    for part in [
        r#""state":"shadow""#,
        r#""deny":0"#,
        r#""route":"GET /admin""#,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn a_refusal_is_what_its_rule_says() {
    let grpc = || get("/shop.Cart/Add").request_header("content-type", "application/grpc+proto");
    let web = || get("/shop.Cart/Add").request_header("content-type", "application/grpc-web");
    for (answer, exchange, status, grpc_status, headers) in [
        ("", get("/admin"), 403, -1, vec![]),
        (
            r#","status":429"#,
            get("/admin"),
            429,
            -1,
            vec![("retry-after", "30")],
        ),
        (
            r#","status":429,"retry_after":"90s""#,
            get("/admin"),
            429,
            -1,
            vec![("retry-after", "90")],
        ),
        ("", grpc(), 200, 7, vec![]),
        (
            r#","status":429"#,
            grpc(),
            200,
            8,
            vec![("grpc-retry-pushback-ms", "30000")],
        ),
        ("", web(), 403, -1, vec![]),
    ] {
        let deny = REFUSE.replace("}]", &format!("{answer}}}]"));
        let mut worker = Worker::new("stateful", &format!(r#""action":"enforce",{deny}"#));
        let outcome = worker.send(&exchange);
        let local = outcome.local_response.as_ref().unwrap();
        assert_eq!(
            (local.status, local.grpc_status),
            (status, grpc_status),
            "{deny}"
        );
        let wanted: Vec<_> = headers
            .iter()
            .map(|(n, v): &(&str, &str)| (n.as_bytes().to_vec(), v.as_bytes().to_vec()))
            .collect();
        assert_eq!(local.headers, wanted, "{deny}");
        assert_eq!(text(&outcome, "pairwatch.verdict"), Some("denied"));
    }
}

#[test]
fn verdict_lines_are_capped_and_the_rest_is_counted() {
    let mut worker = Worker::new("stateful", "");
    for _ in 0..50 {
        worker.send(&get("/admin"));
    }
    worker.tick();
    assert_eq!(worker.lines().len(), 10);
    assert_eq!(worker.counted("new_route", "flagged"), 50);
    let unlogged = worker.host.counter("pairwatch_verdicts_unlogged_total");
    assert_eq!(unlogged, Some(40));
}

#[test]
fn stateless_keeps_nothing_and_shares_nothing() {
    let verdicts = format!(r#""action":"enforce",{REFUSE}"#);
    let mut worker = Worker::new("stateless", &verdicts);
    worker.tick();
    let memory = worker.vm.linear_memory();
    let before = worker.vm.counts();
    for i in 0..20_000 {
        let exchange =
            get(&format!("/products/{i}-{i}")).request_header("x-source", format!("made-up-{i}"));
        worker.send(&exchange);
    }
    assert!(worker.send(&get("/admin")).local_response.is_some());
    worker.tick();
    assert_eq!(worker.vm.linear_memory(), memory, "20,000 pairs and routes");
    let spent = worker.vm.counts().since(&before);
    for call in [
        "proxy_set_shared_data",
        "proxy_enqueue_shared_queue",
        "proxy_register_shared_queue",
    ] {
        assert_eq!(spent.host_call(call), 0, "{call}");
    }
    assert_eq!(worker.counted("new_route", "denied"), 1);
}

/// A worker, and the main thread's clone, which leads.
struct Proxy {
    worker: Worker,
    leader: (Vm, Root),
}

impl Proxy {
    fn new(verdicts: &str) -> Self {
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        host.set_now(START);
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let config = format!(
            r#"{{"windows":["1s","4s"],"learning":{{"warmup":"5s"}},"verdicts":{{{verdicts}}},"names":{{"trusted_source_header":"x-source"}}}}"#
        );
        let vm = || {
            let mut vm = module.vm().unwrap();
            let root = vm.root(&Plugin::configured(&config)).unwrap();
            (vm, root)
        };
        let (vm, root) = vm();
        let mut leader = {
            let mut leader = module.vm().unwrap();
            let root = leader.root(&Plugin::configured(&config)).unwrap();
            (leader, root)
        };
        leader.0.tick(leader.1).unwrap();
        Self {
            worker: Worker { host, vm, root },
            leader,
        }
    }

    fn second(&mut self, requests: &[Exchange]) -> Vec<Outcome> {
        let outcomes = requests.iter().map(|r| self.worker.send(r)).collect();
        self.worker.tick();
        self.leader.0.tick(self.leader.1).unwrap();
        outcomes
    }

    fn alerts(&self) -> Vec<String> {
        let lines = self.worker.host.logs().into_iter().map(|l| l.message);
        lines
            .filter(|m| m.starts_with(r#"{"pairwatch":"alert""#))
            .collect()
    }
}

fn login(status: u16) -> Exchange {
    Exchange::new("POST", "/login", status)
        .request_header("x-source", "shop/web")
        .property(["connection", "id"], 1u64)
        .property(["request", "duration"], Duration::from_millis(20))
        .property(["xds", "cluster_name"], "accounts")
}

/// Learns for a minute, then sees refused log-ins until the incident is open.
fn attacked(verdicts: &str) -> Proxy {
    let mut proxy = Proxy::new(verdicts);
    let usual: Vec<Exchange> = (0..20).map(|_| login(200)).collect();
    for _ in 0..60 {
        proxy.second(&usual);
    }
    assert_eq!(proxy.alerts(), Vec::<String>::new());
    let bad: Vec<Exchange> = (0..20).map(|_| login(401)).collect();
    for _ in 0..5 {
        proxy.second(&bad);
    }
    assert!(!proxy.alerts().is_empty(), "20 refused log-ins a second");
    proxy
}

const INCIDENT: &str = r#""action":"enforce","min_requests":0,"max_denied_percent":100,
    "deny":[{"kinds":["auth_failures","credential_stuffing"],"min_severity":"medium","shadow":false,"for":"30s"}]"#;

#[test]
fn what_is_told_of_the_moment_is_taken_back_where_nobody_aggregates_any_more() {
    let mut proxy = attacked("");
    let gauges = [
        "pairwatch_incidents_open",
        "pairwatch_pairs",
        "pairwatch_source_scoresource=.=shop/web;.;",
    ];
    let Proxy { worker, leader } = &mut proxy;
    let host = &worker.host;
    let told = || gauges.map(|name| host.gauge(name).unwrap());
    assert!(told().iter().all(|value| *value > 0), "{:?}", told());
    // As Envoy takes a change of the configuration: a new root in the same VM, and then the end of the old one.
    let (vm, root) = leader;
    let stateless = vm
        .root(&Plugin::configured(r#"{"mode":"stateless"}"#))
        .unwrap();
    vm.end(*root).unwrap();
    let later = START + Duration::from_secs(3_600);
    host.set_now(later);
    vm.tick(stateless).unwrap();
    assert_eq!(told(), [0; 3]);
    let heartbeat = host.gauge("pairwatch_aggregator_heartbeat_seconds");
    assert_eq!(heartbeat, Some(later.as_secs()));
}

#[test]
fn an_open_incident_refuses_for_as_long_as_its_rule_says_and_is_not_fed_by_it() {
    let mut proxy = attacked(INCIDENT);
    let bad: Vec<Exchange> = (0..20).map(|_| login(401)).collect();
    let mut refused = Vec::new();
    for _ in 0..60 {
        let outcomes = proxy.second(&bad);
        refused.push(
            outcomes
                .iter()
                .filter(|o| o.local_response.is_some())
                .count(),
        );
    }
    assert_eq!(refused[0], 20, "{refused:?}");
    assert_eq!(
        refused[59], 0,
        "thirty seconds later they pass: {refused:?}"
    );
    let states: u64 = proxy.worker.counted("auth_failures", "expired");
    assert!(states > 0, "and are counted as what they are");
}

#[test]
fn when_nobody_aggregates_any_more_what_was_learned_is_held_against_nobody() {
    let mut proxy = attacked(INCIDENT);
    assert!(proxy.worker.send(&login(200)).local_response.is_some());
    // The leader's VM stops ticking; the worker takes over a moment later, and goes on where it stood.
    let mut passed = Vec::new();
    for _ in 0..8 {
        proxy.worker.host.advance(Duration::from_secs(1));
        proxy.worker.vm.tick(proxy.worker.root).unwrap();
        passed.push(proxy.worker.send(&login(200)).local_response.is_none());
    }
    assert!(!passed[0], "what is a second old holds: {passed:?}");
    assert!(passed.contains(&true), "what is stale does not: {passed:?}");
}
