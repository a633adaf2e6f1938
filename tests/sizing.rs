//! The formulas of docs/operations.md, held against the built module.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_engine::aggregator::{AGGREGATOR_VM, WORKER_VM};
use pairwatch_testbed::{Backend, Bootstrap, Client, Envoy, Result, paths, run};
use pairwatch_wasm_host::{Exchange, Host, Plugin};
use std::time::Duration;

const KIB: u64 = 1024;

/// The default of `limits.hold_bytes`.
const HOLD_BYTES: u64 = 1 << 20;

/// What Envoy's process grows by: once for the compiled module, and for each VM (workers, the main thread's, the base they are
/// cloned from).
const PROCESS: (u64, u64) = (40 << 20, 8 << 20);

/// Traffic that is measured.
#[derive(Clone, Copy, Debug)]
struct Traffic {
    pairs: usize,
    routes: usize,
    /// Seconds between a pair's requests.
    every: usize,
    /// Requests of a pair that come at once, each on another route.
    at_once: usize,
}

/// A path of usual length, and of a route of its own: digits would make routes one.
fn path(route: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    format!(
        "/api/v1/catalog/items-{}{}",
        letter(route / 26),
        letter(route)
    )
}

/// Linear memory of a worker and of the aggregator once all pairs are known with all their routes.
fn measured(traffic: Traffic) -> (u64, u64) {
    let host = Host::new();
    host.evaluate_expressions(evaluate);
    let module = host.load(paths::plugin_module().unwrap()).unwrap();
    let config = r#"{"windows":["1s","4s","20s"],"names":{"trusted_source_header":"x-source"},"limits":{"pairs":5000}}"#;
    let vms = || {
        let mut vm = module.vm().unwrap();
        let root = vm.root(&Plugin::configured(config)).unwrap();
        (vm, root)
    };
    let ((mut worker, of_worker), (mut leader, of_leader)) = (vms(), vms());
    leader.tick(of_leader).unwrap();
    let Traffic {
        pairs,
        routes,
        every,
        at_once,
    } = traffic;
    for second in 0..120 {
        for i in (0..pairs).filter(|i| (i + second) % every == 0) {
            for k in 0..at_once {
                let exchange = Exchange::new("GET", &path((second / every + k) % routes), 200)
                    .request_header("x-source", format!("namespace/source-{i}"))
                    .property(["connection", "id"], i as u64 % 16 + 1)
                    .property(["request", "duration"], Duration::from_millis(20))
                    .property(["xds", "cluster_name"], "shop");
                worker.exchange(of_worker, &exchange).unwrap();
            }
        }
        host.advance(Duration::from_secs(1));
        worker.tick(of_worker).unwrap();
        leader.tick(of_leader).unwrap();
    }
    assert_eq!(host.gauge("pairwatch_pairs"), Some(pairs as u64));
    (worker.linear_memory(), leader.linear_memory())
}

#[test]
fn memory_stays_below_the_documented_formulas_and_not_far_below() {
    for (pairs, routes, every, at_once) in [
        (100, 4, 3, 1),
        (1000, 4, 3, 1),
        (100, 32, 3, 1),
        (1000, 16, 3, 1),
        (1000, 32, 3, 1),
        (100, 32, 3, 32),
        (1000, 32, 40, 32),
    ] {
        let traffic = Traffic {
            pairs,
            routes,
            every,
            at_once,
        };
        let (worker, leader) = measured(traffic);
        println!(
            "{traffic:?}: worker {} KiB, aggregator {} KiB",
            worker / KIB,
            leader / KIB
        );
        // Where all routes come at once, batches are as large as they get.
        let batches = if at_once > 1 { HOLD_BYTES } else { 0 };
        for (what, found, vm, more) in [
            ("worker", worker, WORKER_VM, batches),
            ("aggregator", leader, AGGREGATOR_VM, 0),
        ] {
            let most = vm.bytes(pairs, routes) as u64 + more;
            assert!(found <= most, "{what}, {traffic:?}: {found} of {most}");
            assert!(found >= most / 3, "{what}, {traffic:?}: {found} of {most}");
        }
    }
}

/// Resident memory of an Envoy of four workers that has answered some requests.
async fn resident(bootstrap: Bootstrap, backend: &Backend) -> Result<u64> {
    let envoy: Envoy = bootstrap
        .backend(backend.address())
        .concurrency(4)
        .start()
        .await?;
    let client = Client::new();
    for _ in 0..200 {
        client.get(&envoy.url("/products/1")).await?;
    }
    envoy.resident_bytes()
}

#[test]
fn the_process_grows_by_no_more_than_documented() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let with = resident(Bootstrap::open("proxy.yaml")?, &backend).await?;
        let plain = Bootstrap::open("proxy.yaml")?.patch(|tree| {
            let filters =
                "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
            let filters = tree.pointer_mut(filters).and_then(|f| f.as_array_mut());
            filters
                .unwrap()
                .retain(|filter| filter["name"] != "pairwatch");
        });
        let without = resident(plain, &backend).await?;
        let (grown, most) = (with.saturating_sub(without), PROCESS.0 + PROCESS.1 * 6);
        println!("four workers: {} MiB more", grown >> 20);
        assert!(grown <= most, "{grown} of {most}");
        Ok(())
    })
}
