//! The built no-op module: what any plugin of the SDK costs, and that this host leads it as Envoy does.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests may panic, their helpers too"
)]

use std::path::PathBuf;

use pairwatch_wasm_host::{Exchange, Host, Module, Plugin};

fn noop(host: &Host) -> Module {
    let built = std::env::var_os("PAIRWATCH_NOOP").map(PathBuf::from);
    let path = built.unwrap_or_else(|| {
        PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/noop.wasm"
        ))
    });
    host.load(path)
        .expect("`make noop` builds target/noop.wasm; PAIRWATCH_NOOP names another")
}

#[test]
fn a_stream_costs_no_host_call() {
    let host = Host::new();
    let mut vm = noop(&host).vm().unwrap();
    let root = vm.root(&Plugin::default()).unwrap();
    let before = host.counts();
    for _ in 0..10 {
        vm.exchange(root, &Exchange::new("GET", "/items", 200))
            .unwrap();
    }
    let spent = host.counts().since(&before);
    assert_eq!(spent.host_calls_total(), 0, "{spent:?}");
    assert_eq!((spent.bytes_in, spent.bytes_out), (0, 0));
    assert_eq!(
        spent.guest_calls_total(),
        6 * 10,
        "create, two headers, log, done, delete: {spent:?}"
    );
    assert_eq!(vm.contexts(), 1, "only the root is left");
}

#[test]
fn every_callback_it_exports_is_called_where_its_turn_comes() {
    let host = Host::new();
    let mut vm = noop(&host).vm().unwrap();
    let root = vm.root(&Plugin::default()).unwrap();
    let before = host.counts();
    let mut whole = Exchange::new("POST", "/items", 201).response_trailer("grpc-status", "0");
    whole.request_body = b"body".to_vec();
    whole.response_body = b"body".to_vec();
    vm.exchange(root, &whole).unwrap();
    let spent = host.counts().since(&before);
    let called: Vec<&str> = spent.guest_calls.keys().map(String::as_str).collect();
    let turns = [
        "proxy_on_context_create",
        "proxy_on_delete",
        "proxy_on_done",
        "proxy_on_log",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_response_body",
        "proxy_on_response_headers",
        "proxy_on_response_trailers",
    ];
    assert_eq!(called, turns);
}

#[test]
fn the_same_calls_burn_the_same_fuel() {
    let fuel = || {
        let host = Host::new();
        let mut vm = noop(&host).vm().unwrap();
        let root = vm.root(&Plugin::default()).unwrap();
        vm.exchange(root, &Exchange::new("GET", "/", 200)).unwrap();
        host.counts()
    };
    let first = fuel();
    assert!(first.fuel > 0);
    assert_eq!(first, fuel());
}

#[test]
fn it_asks_for_no_ticks() {
    let host = Host::new();
    let mut vm = noop(&host).vm().unwrap();
    let root = vm.root(&Plugin::default()).unwrap();
    assert!(!vm.tick(root).unwrap());
    assert_eq!(host.counts().guest_call("proxy_on_tick"), 0);
}

#[test]
fn its_memory_is_counted_until_it_is_gone() {
    let host = Host::new();
    let mut vm = noop(&host).vm().unwrap();
    vm.root(&Plugin::default()).unwrap();
    let pages = vm.linear_memory() / 65_536;
    assert!((17..64).contains(&pages), "{pages} pages");
    assert_eq!(host.counts().linear_memory, vm.linear_memory());
    drop(vm);
    assert_eq!(host.counts().linear_memory, 0);
}
