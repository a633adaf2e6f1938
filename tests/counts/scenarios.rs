//! What is counted: requests of each kind, and ticks.

use crate::claim::CLAIM;
use crate::ledger::Figures;
use crate::proxy::{Proxy, get};
use pairwatch_wasm_host::Exchange;
use serde_json::json;
use std::collections::BTreeMap;

/// A request on a connection that was met before.
pub(crate) const STEADY: &str = "steady";
/// A connection's first request.
pub(crate) const FIRST: &str = "first of its connection";

/// The connection that a request comes on, by its number.
type Connection = fn(usize) -> u64;

const WHEN: [(&str, Connection); 2] = [(STEADY, |_| 1), (FIRST, |i| 1_000 + i as u64)];

/// Requests that a scenario is counted over. Each must cost the same in calls and bytes; fuel, which differs by where in a
/// table a pair stands, is their mean.
const REQUESTS: usize = 100;

/// Windows that pass before anything is counted: limits are out, tables have grown.
const WINDOWS: usize = 3;
const WINDOW_SECONDS: usize = 10;

/// Ticks that are looked at for each kind of work: a snapshot is due in them.
const TICKS: usize = 40;

type Scenario = (String, Figures);

/// Requests by what is done about them, and by how many pairs there are.
pub(crate) fn requests() -> Vec<Scenario> {
    let mut found = Vec::new();
    for action in ["observe", "tag", "enforce"] {
        for pairs in [1, 100, 5_000] {
            let mut proxy = Proxy::start(&configuration(action, pairs));
            settle(&mut proxy, pairs);
            for (when, connection) in WHEN {
                let exchanges = (0..REQUESTS).map(|i| get(i % pairs, i, connection(i)));
                let name = format!("request, {action}, {}, {when}", plural(pairs));
                let figures = each(&name, &mut proxy, exchanges);
                found.push((name, figures));
            }
        }
    }
    found
}

/// Sources are told apart by a header; caps have room for all of them.
fn configuration(action: &str, pairs: usize) -> String {
    let mut config = json!({
        "names": {"trusted_source_header": "x-source"},
        "verdicts": {"action": action},
        "limits": {"pairs": (pairs + 100).max(2_000), "hold_bytes": (pairs * 1024).max(1 << 20)},
    });
    if action == "enforce" {
        config["verdicts"]["deny"] = json!([{"kinds": ["auth_failures"], "shadow": false}]);
    }
    config.to_string()
}

/// Each pair has a request a window, on the same connection, until all is as it stays.
fn settle(proxy: &mut Proxy, pairs: usize) {
    for _ in 0..WINDOWS {
        proxy.second((0..pairs).map(|i| get(i, i % 1_000, 1)));
        for _ in 1..WINDOW_SECONDS {
            proxy.second([]);
        }
    }
}

/// What one of these requests costs the worker.
fn each(name: &str, proxy: &mut Proxy, exchanges: impl IntoIterator<Item = Exchange>) -> Figures {
    let mut all: Vec<Figures> = Vec::new();
    for exchange in exchanges {
        let figures = Figures::from(proxy.worker.exchange(&exchange));
        if let Some(first) = all.first() {
            assert!(
                figures.same_counts(first),
                "{name}: no request is like another: {first:?}, then {figures:?}"
            );
        }
        all.push(figures);
    }
    let fuel = all.iter().map(|figures| figures.fuel).sum::<u64>() / all.len() as u64;
    Figures {
        fuel,
        ..all.swap_remove(0)
    }
}

/// What each row of the table of costs in docs/identity.md stands for: configuration, and a request.
pub(crate) fn rows() -> Vec<(&'static str, &'static str, Exchange)> {
    let get = || {
        get(1, 1, 1)
            .property(CLAIM, "alice")
            .property(["request", "id"], "0b6a7a1e")
            .request_header("x-user", "alice")
            .request_header("x-forwarded-client-cert", "URI=spiffe://d/ns/a/sa/b")
    };
    let outbound = || get().property(["xds", "listener_direction"], 2i64);
    let own = "spiffe://d/ns/shop/sa/web";
    vec![
        ("nothing", "{}", get()),
        ("`identity.claim`", r#"{"identity":{"claim":"sub"}}"#, get()),
        (
            "`identity.trusted_user_header`",
            r#"{"identity":{"trusted_user_header":"x-user"}}"#,
            get(),
        ),
        (
            "`identity.addresses`",
            r#"{"identity":{"addresses":true}}"#,
            get(),
        ),
        (
            "`names.trusted_xfcc`",
            r#"{"names":{"trusted_xfcc":true}}"#,
            get(),
        ),
        (
            "`names.trusted_peer_metadata`",
            r#"{"names":{"trusted_peer_metadata":true}}"#,
            get(),
        ),
        (
            "`names.addresses`",
            r#"{"names":{"addresses":[{"network":"203.0.113.0/24","name":"office"}]}}"#,
            get(),
        ),
        (
            "all of them",
            r#"{"identity":{"claim":"sub","trusted_user_header":"x-user","addresses":true},
                "names":{"trusted_source_header":"x-source","trusted_xfcc":true,"trusted_peer_metadata":true,
                         "addresses":[{"network":"203.0.113.0/24","name":"office"}]}}"#,
            get(),
        ),
        ("nothing, on the way out", "{}", outbound()),
        (
            "nothing, on the way out, own certificate known",
            "{}",
            outbound().property(["upstream", "uri_san_local_certificate"], own),
        ),
        (
            "nothing, on the way out to where the cluster names no service",
            "{}",
            outbound().property(["xds", "cluster_name"], "PassthroughCluster"),
        ),
    ]
}

/// The scenario behind a row.
pub(crate) fn name_of_row(row: &str, when: &str) -> String {
    format!("identity, {}, {when}", row.replace('`', ""))
}

/// Requests by what names their source and their user.
pub(crate) fn named() -> Vec<Scenario> {
    let mut found = Vec::new();
    for (row, config, exchange) in rows() {
        let mut proxy = Proxy::start(config);
        // What is asked once in a VM's life: counters, key, node.
        proxy.worker.exchange(&exchange);
        for (when, connection) in WHEN {
            let on = |i| {
                let connection = connection(i);
                exchange.clone().property(["connection", "id"], connection)
            };
            let name = name_of_row(row, when);
            let figures = each(&name, &mut proxy, (0..REQUESTS).map(on));
            found.push((name, figures));
        }
    }
    found
}

/// The once-a-second work, of the worker and of the leader. What a tick did shows in what it left behind, so that each kind of
/// work is counted where it was done alone.
pub(crate) fn ticks() -> Vec<Scenario> {
    let mut found = BTreeMap::new();
    for pairs in [100, 5_000] {
        let mut proxy = Proxy::start(&configuration("observe", pairs));
        settle(&mut proxy, pairs);
        let left = |proxy: &Proxy| {
            let limits = proxy.host.shared_data("", "pairwatch.limits");
            (limits, proxy.host.counter("pairwatch_snapshots_total"))
        };
        let (mut before, mut published_before) = (left(&proxy), false);
        for second in 0..TICKS {
            // Not the second in which the window before is closed.
            let sends = second % WINDOW_SECONDS == 4;
            let sources = if sends { 0..pairs } else { 0..0 };
            let ticks = proxy.second(sources.map(|i| get(i, i % 1_000, 1)));
            let after = left(&proxy);
            let (published, saved) = (before.0 != after.0, before.1 != after.1);
            let leader = match (sends, published, saved) {
                (false, false, false) => Some("idle with"),
                (true, false, false) => Some("merging"),
                (false, true, false) => Some("closing a window of"),
                (false, false, true) => Some("saving"),
                _ => None,
            };
            // It ticks before the leader does.
            let worker = match (sends, published_before) {
                (false, false) => Some("idle with"),
                (true, false) => Some("sending"),
                (false, true) => Some("applying the limits of"),
                (true, true) => None,
            };
            for (who, did, counts) in [
                ("leader", leader, ticks.leader),
                ("worker", worker, ticks.worker),
            ] {
                if let Some(did) = did {
                    let name = format!("tick, {who}, {did} {}", plural(pairs));
                    found.entry(name).or_insert(Figures::from(counts));
                }
            }
            (before, published_before) = (after, published);
        }
    }
    assert_eq!(found.len(), 2 * (4 + 3), "of {:?}", found.keys());
    found.into_iter().collect()
}

fn plural(pairs: usize) -> String {
    match pairs {
        1 => "1 pair".to_owned(),
        pairs => format!("{pairs} pairs"),
    }
}
