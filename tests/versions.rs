//! The version of what is called, as the built module reads it and sends it on: in a host that counts.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_engine::counters::Batch;
use pairwatch_engine::exchange::version::Version;
use pairwatch_engine::frame::Framed;
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Exchange, Host, Plugin};
use std::time::Duration;

const INBOUND: i64 = 1;
const OUTBOUND: i64 = 2;

/// The versions that a worker's batches tell of a request that went this way, by a plugin with this configuration on a pod
/// with these labels.
fn told(config: &str, labels: &[(&str, &str)], direction: i64, upstream: &str) -> Vec<Version> {
    let host = Host::new();
    host.evaluate_expressions(evaluate);
    host.set_now(Duration::from_secs(1_795_168_800));
    let module = host.load(paths::plugin_module().unwrap()).unwrap();
    let mut vms: Vec<_> = (0..2)
        .map(|_| {
            let mut vm = module.vm().unwrap();
            let root = vm.root(&Plugin::configured(config)).unwrap();
            (vm, root)
        })
        .collect();
    let mut exchange = Exchange::new("GET", "/items", 200)
        .property(["connection", "id"], 1u64)
        .property(["xds", "cluster_name"], "catalog")
        .property(["xds", "listener_direction"], direction)
        .property(["filter_state", "upstream_peer", "revision"], upstream);
    for (label, value) in labels {
        exchange = exchange.property(["xds", "node", "metadata", "LABELS", label], *value);
    }
    let [(worker, serving), (leader, leading)] = &mut vms[..] else {
        panic!("two VMs");
    };
    // Within some ticks the leader is known, and batches are sent.
    for _ in 0..10 {
        leader.tick(*leading).unwrap();
        worker.exchange(*serving, &exchange).unwrap();
        worker.tick(*serving).unwrap();
        let frames = host.queue("", "pairwatch.deltas").unwrap_or_default();
        let batches = frames.iter().map(|f| Batch::from_frame(f).unwrap());
        let pairs: Vec<_> = batches.flat_map(|b| b.pairs).collect();
        if let Some(pair) = pairs.into_iter().next() {
            return pair.versions;
        }
        host.advance(Duration::from_secs(1));
    }
    panic!("no batch was sent");
}

const LABELS: [(&str, &str); 2] = [("app", "shop"), ("version", "1.4")];

#[test]
fn on_the_way_in_the_version_is_that_of_the_pods_labels() {
    assert_eq!(told("{}", &LABELS, INBOUND, ""), [Version::of("1.4")]);
    assert_eq!(told("{}", &[], INBOUND, ""), []);
}

#[test]
fn istios_own_label_comes_first() {
    let labels = [
        ("version", "1"),
        ("service.istio.io/canonical-revision", "2"),
        ("app.kubernetes.io/version", "3"),
    ];
    assert_eq!(told("{}", &labels, INBOUND, ""), [Version::of("2")]);
}

#[test]
fn the_configuration_has_the_last_word() {
    let config = r#"{"names":{"version":"2.0"}}"#;
    assert_eq!(told(config, &LABELS, INBOUND, ""), [Version::of("2.0")]);
}

#[test]
fn on_the_way_out_the_upstreams_version_is_told_where_its_metadata_is_trusted_and_only_there() {
    let trusting = r#"{"names":{"trusted_peer_metadata":true}}"#;
    assert_eq!(told(trusting, &LABELS, OUTBOUND, "7"), [Version::of("7")]);
    assert_eq!(told("{}", &LABELS, OUTBOUND, "7"), []);
}

#[test]
fn on_the_way_in_nobody_elses_metadata_counts() {
    let trusting = r#"{"names":{"trusted_peer_metadata":true}}"#;
    assert_eq!(told(trusting, &LABELS, INBOUND, "7"), [Version::of("1.4")]);
}
