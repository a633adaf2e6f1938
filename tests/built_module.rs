//! The built module in a host that counts: the cases of `tests/cases/`, and what it keeps when traffic or its leader misbehave.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

#[path = "common/claim.rs"]
mod claim;
mod common;

use claim::CLAIM;
use common::evaluate;
use pairwatch_cases::{Case, Request};
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Exchange, Host, Module, Plugin, Root, Value, Vm};
use serde_json::json;
use std::time::Duration;

/// 2026-11-20 10:00:00.4 UTC, as for the engine natively: the same windows, the same alerts.
const START: Duration = Duration::from_millis(1_795_168_800_400);

fn load() -> (Host, Module) {
    let host = Host::new();
    host.evaluate_expressions(evaluate);
    host.set_now(START);
    let module = host.load(paths::plugin_module().unwrap()).unwrap();
    (host, module)
}

fn exchange(r: &Request, connection: u64) -> Exchange {
    let mut exchange = Exchange::new(&r.method, &r.path, r.status);
    if let Some(identity) = &r.identity {
        exchange = exchange.property(CLAIM, identity.as_str());
    }
    if let Some(address) = r.address {
        let address = std::net::SocketAddr::new(address, 40_000).to_string();
        exchange = exchange.property(["source", "address"], address);
    }
    exchange
        .request_header("x-source", &r.source)
        .property(["connection", "id"], connection)
        .property(
            ["response", "size"],
            Value::Int(i64::try_from(r.bytes).unwrap()),
        )
        .property(
            ["request", "duration"],
            Duration::from_micros(r.duration_us),
        )
        .property(["xds", "cluster_name"], r.destination.as_str())
}

/// Worker VMs, and the main thread's clone, which leads.
struct Proxy {
    host: Host,
    vms: Vec<(Vm, Root)>,
}

impl Proxy {
    fn start(workers: usize, config: &str) -> Self {
        let (host, module) = load();
        let vms = (0..=workers)
            .map(|_| {
                let mut vm = module.vm().unwrap();
                let root = vm.root(&Plugin::configured(config)).unwrap();
                (vm, root)
            })
            .collect();
        let mut proxy = Self { host, vms };
        // The clone is elected: it claims at its first tick and leads from the second on.
        proxy.clone_first_tick();
        proxy
    }

    fn clone_first_tick(&mut self) {
        let (vm, root) = self.vms.last_mut().unwrap();
        vm.tick(*root).unwrap();
    }

    fn second(&mut self, requests: &[Request]) {
        let workers = self.vms.len() - 1;
        for (i, r) in requests.iter().enumerate() {
            let (vm, root) = &mut self.vms[i % workers];
            vm.exchange(*root, &exchange(r, i as u64 % 16 + 1)).unwrap();
        }
        self.host.advance(Duration::from_secs(1));
        for (vm, root) in &mut self.vms {
            vm.tick(*root).unwrap();
        }
    }

    fn alert_lines(&self) -> Vec<String> {
        let lines = self.host.logs().into_iter().map(|l| l.message);
        lines
            .filter(|m| m.starts_with(r#"{"pairwatch":"alert""#))
            .collect()
    }
}

/// A second's grace beside the engine's: the leader ticks once a second.
fn check(name: &str) {
    let path = paths::workspace().join(format!("tests/cases/{name}.json"));
    let case = Case::from_json(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut config = case.config.clone();
    let requests = case.requests();
    if requests.iter().any(|r| r.identity.is_some()) {
        config["names"] = json!({"trusted_source_header": "x-source"});
        config["identity"] = json!({"claim": "sub", "addresses": true});
    }
    let mut proxy = Proxy::start(2, &config.to_string());
    for second in 0..case.seconds {
        let from = requests.partition_point(|r| r.at < second * 1000);
        let to = requests.partition_point(|r| r.at < (second + 1) * 1000);
        proxy.second(&requests[from..to]);
    }
    let lines = proxy.alert_lines();
    let start = u64::try_from(START.as_millis()).unwrap();
    case.judge(start, lines.iter().map(String::as_str), 1)
        .unwrap();
    let merged = proxy
        .host
        .counter("pairwatch_requests_merged_total")
        .unwrap_or(0);
    assert_eq!(
        merged,
        requests.len() as u64,
        "{}: all requests arrive",
        case.name
    );
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name));
        }
    )*};
}

mod case_is_seen_by_the_built_module {
    use super::check;
    pairwatch_cases::for_each!(cases);
    pairwatch_cases::for_each_of_identities!(cases);
}

fn requests(count: usize, pairs: usize) -> Vec<Request> {
    (0..count)
        .map(|i| Request {
            at: 0,
            source: format!("source-{}", i % pairs),
            destination: "shop".to_owned(),
            identity: None,
            address: None,
            method: "GET".to_owned(),
            path: format!("/products/{i}"),
            status: 200,
            bytes: 1000,
            duration_us: 20_000,
        })
        .collect()
}

const HEADER: &str = r#"{"names":{"trusted_source_header":"x-source"}}"#;

#[test]
fn counts_are_held_while_nobody_leads_and_delivered_to_the_next() {
    let mut proxy = Proxy::start(2, HEADER);
    for _ in 0..3 {
        proxy.second(&requests(50, 5));
    }
    // The leader's VM stops ticking: a stalled or dead main thread.
    let dead = proxy.vms.pop().unwrap();
    let queued = |host: &Host| host.queue("", "pairwatch.deltas").map_or(0, |q| q.len());
    let mut longest = 0;
    for _ in 0..12 {
        let (host, vms) = (&proxy.host, &mut proxy.vms);
        for (i, r) in requests(50, 5).iter().enumerate() {
            let (vm, root) = &mut vms[i % 2];
            vm.exchange(*root, &exchange(r, 1)).unwrap();
        }
        host.advance(Duration::from_secs(1));
        for (vm, root) in vms {
            vm.tick(*root).unwrap();
        }
        longest = longest.max(queued(host));
    }
    // What the other worker sent after the leader had looked.
    proxy.second(&[]);
    drop(dead);
    assert!(
        longest <= 12,
        "{longest} batches were queued for a leader that was gone"
    );
    assert_eq!(
        proxy.host.counter("pairwatch_elections_total"),
        Some(2),
        "a worker took over"
    );
    let merged = proxy
        .host
        .counter("pairwatch_requests_merged_total")
        .unwrap_or(0);
    let dropped = proxy.host.counter("pairwatch_dropped_total").unwrap_or(0);
    assert_eq!(
        (merged, dropped),
        (15 * 50, 0),
        "nothing lost, nothing twice"
    );
}

/// As [`evaluate`], of the one list the next test's requests are read by: it is evaluated a million times.
fn evaluate_quickly(expression: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    if !expression.starts_with("[connection.id,") {
        return evaluate(expression, exchange);
    }
    let source = exchange
        .request_headers
        .iter()
        .rfind(|h| h.0 == b"x-source");
    let list = [
        exchange.get(["connection", "id"]),
        exchange.get(["request", "method"]),
        exchange.get(["request", "path"]),
        exchange.get(["response", "code"]),
        exchange.get(["request", "size"]),
        exchange.get(["response", "size"]),
        exchange.get(["request", "duration"]),
        exchange.get(["xds", "cluster_name"]),
        source.map(|h| h.1.as_slice()),
        exchange.get(["source", "address"]),
        exchange.get(CLAIM),
    ];
    let list = list.map(|v| Value::Bytes(v.unwrap_or_default().to_vec()));
    Some(Value::List(list.to_vec()).encode())
}

#[test]
fn a_million_made_up_identities_leave_those_who_are_known_and_memory_as_it_was() {
    let config = r#"{"names":{"trusted_source_header":"x-source"},
        "identity":{"claim":"sub","addresses":true,"privacy":"plain"},
        "learning":{"snapshot_every":"5s"},"limits":{"identities":1000,"hold_bytes":16777216}}"#;
    let mut proxy = Proxy::start(1, config);
    proxy.host.evaluate_expressions(evaluate_quickly);
    let request = |identity: String, pair: u64| Request {
        at: 0,
        source: format!("gateway-{pair}"),
        destination: "shop".to_owned(),
        identity: Some(identity),
        address: Some("203.0.113.5".parse().unwrap()),
        method: "GET".to_owned(),
        path: "/".to_owned(),
        status: 200,
        bytes: 1000,
        duration_us: 20_000,
    };
    // Two hundred people who were about for six hours are known.
    for _ in 0..7 {
        let people = (0..200).map(|i| request(format!("person-{i}"), i % 20));
        proxy.second(&people.collect::<Vec<_>>());
        proxy.host.advance(Duration::from_secs(3600));
        // An hour without a tick is a leader that was gone: another takes office within seconds.
        (0..15).for_each(|_| proxy.second(&[]));
    }
    let known = proxy.host.gauge("pairwatch_identities");
    assert_eq!(known, Some(200));
    // Forty names on each of five hundred pairs, fifty times.
    let mut after_ten = (0, 0);
    let mut memory = (0, 0);
    for round in 0..50u64 {
        let flood = (0..20_000u64).map(|i| request(format!("made-up-{round}-{i}"), i % 500));
        proxy.second(&flood.collect::<Vec<_>>());
        let linear = |at: usize, p: &mut Proxy| p.vms[at].0.linear_memory();
        memory = (linear(0, &mut proxy), linear(1, &mut proxy));
        if round == 9 {
            after_ten = memory;
        }
    }
    proxy.second(&[]);
    // Five hundred pairs are learned meanwhile: at most another 4 KiB each.
    assert_eq!(memory.0, after_ten.0, "the worker's");
    assert!(
        memory.1 <= after_ten.1 + (2 << 20),
        "{after_ten:?} became {memory:?}"
    );
    let counter = |name: &str| proxy.host.counter(name).unwrap_or(0);
    let evicted = counter("pairwatch_identities_evicted_total");
    assert_eq!(proxy.host.gauge("pairwatch_identities"), Some(1000));
    assert_eq!(counter("pairwatch_unsighted_total"), 0);
    assert_eq!(evicted, 1_000_200 - 1000, "all others made room");
    println!(
        "worker {} KiB, leader {} KiB",
        memory.0 / 1024,
        memory.1 / 1024
    );
    // Whoever is still known needs no place.
    let people = (0..200).map(|i| request(format!("person-{i}"), i % 20));
    proxy.second(&people.collect::<Vec<_>>());
    proxy.second(&[]);
    let now = proxy.host.counter("pairwatch_identities_evicted_total");
    assert_eq!(now, Some(evicted), "all two hundred are still known");
}
