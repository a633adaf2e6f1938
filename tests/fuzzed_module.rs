//! What fuzzing kept (see crates/fuzzing), through the built module: each input where it would come from, and after each the
//! plugin must still count the requests that follow. What the module has no decoder for (logs, YAML) is left out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

#[path = "common/claim.rs"]
mod claim;
mod common;

use claim::CLAIM;
use common::evaluate;
use pairwatch_engine::aggregator::Snapshot;
use pairwatch_engine::base64;
use pairwatch_engine::counters::Batch;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::journal::Entry;
use pairwatch_engine::lease::Lease;
use pairwatch_engine::limits::Limits;
use pairwatch_fuzzing::{framed, kept};
use pairwatch_testbed::paths;
use pairwatch_wasm_host::{Error, Exchange, Host, HttpAnswer, Module, Plugin, Root, Value, Vm};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Short windows, so that limits are published each second; everything that clients can name is trusted and read.
const EVERYTHING: &str = r#"{"windows":["1s"],"learning":{"snapshot_every":"1s"},
    "names":{"trusted_source_header":"x-source","trusted_xfcc":true,
             "addresses":[{"network":"10.0.0.0/8","name":"inside"}]},
    "identity":{"claim":"sub","addresses":true},
    "rules":[{"type":"routes","name":"r","source":"shop/*","allow":["GET /a*"]}],
    "verdicts":{"action":"tag"}}"#;

/// A host whose lists of attributes can be replaced by any bytes. Compiled once: what differs is put aside between inputs.
struct Bench {
    host: Host,
    module: Module,
    /// Handed in for the next request, in place of what its attributes are.
    list: Rc<RefCell<Option<Vec<u8>>>>,
}

/// A worker's VM, and the main thread's clone, which leads.
struct Proxy<'a> {
    bench: &'a Bench,
    vms: Vec<(Vm, Root)>,
}

impl Bench {
    fn new() -> Self {
        let host = Host::new();
        let list = Rc::new(RefCell::new(None::<Vec<u8>>));
        let replaced = Rc::clone(&list);
        host.evaluate_expressions(move |expression, exchange| {
            let own = replaced
                .borrow_mut()
                .take_if(|_| expression.starts_with("[connection.id"));
            own.or_else(|| evaluate(expression, exchange))
        });
        host.add_cluster("c");
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        Self { host, module, list }
    }

    /// Empties what outlives a VM. (A key can't be deleted; one that is empty holds nothing.)
    fn clear(&self) {
        for key in self.host.shared_keys("") {
            self.host.set_shared_data("", &key, b"");
        }
        self.host.delete_queue("", "pairwatch.deltas");
        let _told = self.host.take_logs();
        let _made = self.host.take_http_calls();
        *self.list.borrow_mut() = None;
    }

    fn start(&self, config: &str) -> Result<Proxy<'_>, Error> {
        let vm = || {
            let mut vm = self.module.vm()?;
            let root = vm.root(&Plugin::configured(config))?;
            Ok((vm, root))
        };
        let vms = vec![vm()?, vm()?];
        let mut proxy = Proxy { bench: self, vms };
        // The clone is elected: it claims at its first tick and leads from the second on.
        let (vm, root) = &mut proxy.vms[1];
        vm.tick(*root)?;
        Ok(proxy)
    }

    fn counter(&self, name: &str) -> u64 {
        self.host.counter(name).unwrap_or(0)
    }
}

fn plain() -> Exchange {
    Exchange::new("GET", "/a", 200)
        .property(["connection", "id"], 9u64)
        .property(["xds", "cluster_name"], "outbound|80||catalog.shop")
        .request_header("x-source", "shop/frontend")
}

impl Proxy<'_> {
    fn second(&mut self, exchange: Option<&Exchange>) {
        if let Some(exchange) = exchange {
            let (vm, root) = &mut self.vms[0];
            vm.exchange(*root, exchange).unwrap();
        }
        self.bench.host.advance(Duration::from_secs(1));
        for (vm, root) in &mut self.vms {
            vm.tick(*root).unwrap();
        }
    }

    /// Sees requests until one is counted by the leader: at most for as long as a lease that nobody holds is waited out.
    fn still_counts(&mut self, after: &str) {
        let seen = self.bench.counter("pairwatch_requests_total");
        // What the input itself was worth is counted by now.
        self.second(None);
        let merged = self.bench.counter("pairwatch_requests_merged_total");
        for _ in 0..20 {
            self.second(Some(&plain()));
            if self.bench.counter("pairwatch_requests_merged_total") > merged {
                assert!(
                    self.bench.counter("pairwatch_requests_total") > seen,
                    "{after}"
                );
                return;
            }
        }
        let logs = self.bench.host.logs();
        panic!("after {after} nothing is counted any more: {logs:?}");
    }
}

/// Starts a proxy for each input, with what `before` puts into its host, gives it the input, and has it count on. Returns
/// what was logged meanwhile: that the inputs arrive where they should is told there.
fn each(
    target: &str,
    config: &str,
    before: impl Fn(&Host, &[u8]),
    give: impl Fn(&mut Proxy<'_>, &[u8]),
) -> Vec<String> {
    let mut told = Vec::new();
    let bench = Bench::new();
    let inputs = kept(target);
    assert!(!inputs.is_empty(), "{target} has a corpus");
    for (name, bytes) in inputs {
        bench.clear();
        before(&bench.host, &bytes);
        let mut proxy = bench.start(config).unwrap();
        proxy.second(None);
        give(&mut proxy, &bytes);
        proxy.still_counts(&name);
        told.extend(bench.host.logs().into_iter().map(|line| line.message));
    }
    told
}

/// Whether some input of a target came through: the corpus has more than what is refused.
fn assert_told(told: &[String], what: &str) {
    assert!(
        told.iter().any(|line| line.contains(what)),
        "no line says {what:?}"
    );
}

fn nothing(_: &Host, _: &[u8]) {}
fn no_more(_: &mut Proxy<'_>, _: &[u8]) {}

/// What the targets of names take apart: what stands before the first zero byte, and behind it.
fn split(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut parts = bytes.splitn(2, |b| *b == 0).map(<[u8]>::to_vec);
    let mut next = || parts.next().unwrap_or_default();
    (next(), next())
}

#[test]
fn configurations_are_refused_or_run() {
    let bench = Bench::new();
    for (name, bytes) in kept("config") {
        let text = String::from_utf8_lossy(&bytes);
        bench.clear();
        match bench.start(&text) {
            Err(error) => assert!(error.is_refusal(), "{name}: {error}"),
            Ok(mut proxy) => {
                // An aggregator counts nothing, nor does who keeps nothing: enough that they go on.
                for _ in 0..5 {
                    proxy.second(Some(&plain()));
                }
            }
        }
        bench.clear();
        bench.start("{}").unwrap().still_counts(&name);
    }
}

#[test]
fn bytes_on_the_queue_do_no_harm() {
    let told = each("batch", EVERYTHING, nothing, |proxy, bytes| {
        for item in [bytes.to_vec(), framed::<Batch>(bytes)] {
            let host = &proxy.bench.host;
            assert!(host.enqueue("", "pairwatch.deltas", &item));
        }
    });
    assert_told(&told, "batch refused");
}

#[test]
fn bytes_in_shared_data_do_no_harm_to_who_takes_over() {
    let put = |key: &'static str, frame: fn(&[u8]) -> Vec<u8>| {
        move |host: &Host, bytes: &[u8]| host.set_shared_data("", key, &frame(bytes))
    };
    let chosen = |bytes: &[u8]| framed::<Snapshot>(bytes.get(1..).unwrap_or_default());
    let put_it = put("pairwatch.snapshot", chosen);
    assert_told(
        &each("snapshot", EVERYTHING, put_it, no_more),
        "aggregates now, with what was learned",
    );
    let lease = |bytes: &[u8]| framed::<Lease>(bytes.get(1..).unwrap_or_default());
    each("lease", EVERYTHING, put("pairwatch.lease", lease), no_more);
    let journal = |bytes: &[u8]| {
        let frame = framed::<Entry>(bytes);
        // The first after no snapshot is what is looked for.
        let first = Entry::from_frame(&frame).map(|entry| Entry { number: 1, ..entry });
        first.map_or(frame, |entry| entry.to_frame())
    };
    let put_it = put("pairwatch.journal.1", journal);
    // The seed's three requests.
    assert_told(
        &each("journal", EVERYTHING, put_it, no_more),
        "with nothing learned yet, 3 requests from the journal",
    );
}

#[test]
fn bytes_in_the_place_of_limits_do_no_harm_to_filters() {
    each("limits", EVERYTHING, nothing, |proxy, bytes| {
        for _ in 0..3 {
            proxy.second(Some(&plain()));
            let host = &proxy.bench.host;
            host.set_shared_data("", "pairwatch.limits", &framed::<Limits>(bytes));
        }
    });
}

#[test]
fn baselines_in_the_configuration_are_taken_in_or_refused() {
    let bench = Bench::new();
    for (name, bytes) in kept("warm_start") {
        bench.clear();
        let frame = framed::<Snapshot>(bytes.get(1..).unwrap_or_default());
        let text = base64::encode(&frame);
        let config = format!(r#"{{"learning":{{"warm_start":{{"inline":"{text}"}}}}}}"#);
        bench.start(&config).unwrap().still_counts(&name);
    }
}

#[test]
fn whatever_a_store_answers_the_plugin_counts_on() {
    let config = r#"{"learning":{"warm_start":{"cluster":"c","path":"/b","save_every":"1s"}}}"#;
    for target in ["warm_start", "store"] {
        let told = each(target, config, nothing, |proxy, bytes| {
            proxy.second(Some(&plain()));
            let frame = framed::<Snapshot>(bytes.get(1..).unwrap_or_default());
            let strange = HttpAnswer {
                headers: vec![(b":status".to_vec(), bytes.to_vec())],
                body: bytes.to_vec(),
            };
            for answer in [
                strange,
                HttpAnswer::status(200, bytes),
                HttpAnswer::status(200, &frame),
            ] {
                for call in proxy.bench.host.take_http_calls() {
                    proxy.vms[1].0.answer(&call, &answer).unwrap();
                }
                (0..3).for_each(|_| proxy.second(None));
            }
        });
        assert_told(&told, "store c /b");
    }
}

#[test]
fn whatever_the_host_hands_over_as_attributes_the_plugin_counts_on() {
    each("attributes", EVERYTHING, nothing, |proxy, bytes| {
        // Twice: before the request goes on, and at its end.
        for _ in 0..2 {
            *proxy.bench.list.borrow_mut() = Some(bytes.to_vec());
            let (vm, root) = &mut proxy.vms[0];
            vm.exchange(*root, &plain()).unwrap();
        }
    });
}

#[test]
fn whatever_clients_call_themselves_the_plugin_counts_on() {
    let see = |proxy: &mut Proxy<'_>, exchange: Exchange| proxy.second(Some(&exchange));
    let bytes = |b: Vec<u8>| Value::Bytes(b);
    each("path", EVERYTHING, nothing, |proxy, input| {
        let (method, path) = split(input);
        let exchange = plain().property(["request", "method"], bytes(method));
        see(proxy, exchange.property(["request", "path"], bytes(path)));
    });
    each("spiffe", EVERYTHING, nothing, |proxy, input| {
        let (uri, own) = split(input);
        let exchange = plain()
            .property(
                ["connection", "uri_san_peer_certificate"],
                bytes(uri.clone()),
            )
            .property(["connection", "uri_san_local_certificate"], bytes(own))
            .property(["xds", "cluster_name"], bytes(uri));
        see(proxy, exchange);
    });
    each("xfcc", EVERYTHING, nothing, |proxy, input| {
        let header = |e: Exchange| e.request_header("x-forwarded-client-cert", input);
        see(proxy, header(plain()));
    });
    each("user", EVERYTHING, nothing, |proxy, input| {
        let exchange = plain().request_header("x-source", input);
        see(proxy, exchange.property(CLAIM, bytes(input.to_vec())));
    });
}
