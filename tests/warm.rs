//! What is learned outlives Envoy: baselines out of the configuration and out of a store, in a host that holds the clock and
//! answers as told, and on a real Envoy that is restarted.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Snapshot};
use pairwatch_engine::base64;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange as Seen;
use pairwatch_engine::frame::Framed;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::service::reply;
use pairwatch_testbed::{
    Backend, Bootstrap, DEADLINE, Envoy, Load, Result, Service, ensure, paths, run, wait_until,
};
use pairwatch_wasm_host::{Exchange, Host, HttpAnswer, HttpCall, Module, Plugin, Root, Vm};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const REFUSED: &str = "pairwatch_snapshots_refused_total";
/// Bytes: beyond the megabyte at which buffers of Envoy begin, by default, to push back.
const MANY: usize = 4 << 20;

fn windows() -> Value {
    json!(["1s", "4s"])
}

/// A baseline as `pairwatch train` writes it: so many seconds with these windows, in each of which these sources call these
/// destinations.
fn learned(
    windows: &Value,
    seconds: u64,
    calls: impl Fn(u64) -> Vec<(String, &'static str)>,
) -> Vec<u8> {
    let text = json!({ "windows": windows, "learning": {"warmup": "20s"} }).to_string();
    let config = Config::from_json(text.as_bytes()).unwrap();
    let mut now = Time(1_700_000_000_000);
    let mut engine = Aggregator::new(config, 3, now);
    let mut counters = Counters::new(2000, 10, 64 << 20, 3, now);
    for second in 0..seconds {
        for (source, destination) in calls(second) {
            counters.observe(&Seen {
                source: &source,
                destination,
                identity: None,
                address: None,
                method: b"GET",
                path: b"/login",
                status: 200,
                grpc_status: None,
                request_bytes: 0,
                response_bytes: 0,
                duration_us: 5000,
            });
        }
        now = now.plus(SECOND);
        engine.merge(counters.drain(now).unwrap(), now);
        engine.advance(now);
    }
    engine.snapshot(12)
}

/// Five minutes of `cart` at a destination.
fn trained(windows: &Value, destination: &'static str) -> Vec<u8> {
    learned(windows, 300, |second| {
        let calls = usize::try_from(8 + (second * 7) % 5).unwrap();
        vec![("cart".to_owned(), destination); calls]
    })
}

fn shop() -> Vec<u8> {
    trained(&windows(), "shop")
}

fn store(save_every: &str) -> Value {
    json!({ "cluster": "outbound|80||store.example", "path": "/baselines/{node.cluster}", "save_every": save_every })
}

/// One VM that counts and leads.
struct Proxy {
    host: Host,
    module: Module,
    plugin: Plugin,
    vm: Vm,
    root: Root,
}

impl Proxy {
    fn start(warm_start: &Value) -> Self {
        Self::with(
            json!({ "learning": {"warmup": "20s", "snapshot_every": "2s", "warm_start": warm_start} }),
        )
    }

    fn with(mut config: Value) -> Self {
        config["windows"] = windows();
        config["names"] = json!({ "trusted_source_header": "x-source" });
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        host.add_cluster("outbound|80||store.example");
        host.add_cluster("hook");
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let plugin = Plugin::configured(&config.to_string())
            .property(["xds", "node", "id"], "sidecar~1")
            .property(["xds", "node", "cluster"], "cart/shop");
        let mut vm = module.vm().unwrap();
        let root = vm.root(&plugin).unwrap();
        let mut proxy = Self {
            host,
            module,
            plugin,
            vm,
            root,
        };
        proxy.seconds(3);
        proxy
    }

    /// The VM is gone; another takes over.
    fn replaced(&mut self) {
        self.vm = self.module.vm().unwrap();
        self.root = self.vm.root(&self.plugin).unwrap();
        self.traffic(8, 10, 200);
    }

    fn second(&mut self) {
        self.host.advance(SECOND);
        self.vm.tick(self.root).unwrap();
    }

    fn seconds(&mut self, count: u64) {
        (0..count).for_each(|_| self.second());
    }

    /// So many requests a second, answered so.
    fn traffic(&mut self, seconds: u64, rate: u64, status: u16) {
        for second in 0..seconds {
            for _ in 0..rate - 2 + (second * 7) % 5 {
                let exchange = Exchange::new("GET", "/login", status)
                    .request_header("x-source", "cart")
                    .property(["connection", "id"], 1u64)
                    .property(["request", "duration"], Duration::from_millis(5))
                    .property(["xds", "cluster_name"], "shop");
                self.vm.exchange(self.root, &exchange).unwrap();
            }
            self.second();
        }
    }

    /// The first alert, within seconds of the first refused log-ins.
    fn alert(&mut self) -> Value {
        self.traffic(4, 10, 200);
        self.traffic(8, 10, 401);
        self.lines().into_iter().next().expect("an alert")
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.host.logs().into_iter();
        lines
            .filter(|l| l.message.starts_with(r#"{"pairwatch":"alert""#))
            .map(|l| serde_json::from_str(&l.message).unwrap())
            .collect()
    }

    fn said(&self, words: &str) -> usize {
        let logs = self.host.logs();
        logs.iter().filter(|l| l.message.contains(words)).count()
    }

    fn call(&mut self) -> HttpCall {
        let mut calls = self.host.take_http_calls();
        assert_eq!(calls.len(), 1);
        calls.remove(0)
    }

    /// The next one, under ordinary traffic.
    fn next_call(&mut self) -> HttpCall {
        for _ in 0..120 {
            self.traffic(1, 10, 200);
            if let Some(call) = self.host.take_http_calls().pop() {
                return call;
            }
        }
        panic!("no call");
    }

    fn answer(&mut self, call: &HttpCall, status: u16, body: &[u8]) {
        self.vm
            .answer(call, &HttpAnswer::status(status, body))
            .unwrap();
    }

    fn counter(&self, name: &str) -> u64 {
        self.host.counter(name).unwrap()
    }
}

fn header<'a>(call: &'a HttpCall, name: &str) -> &'a str {
    let found = call.headers.iter().find(|(n, _)| n == name.as_bytes());
    found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
}

fn is_mature(alert: &Value) -> bool {
    alert["maturity"].as_f64().unwrap() > 0.99 && alert["kind"] == "auth_failures"
}

/// Bytes that are no snapshot of this module and configuration, and what is said of them.
fn unusable() -> Vec<(&'static str, Vec<u8>, String)> {
    let good = shop();
    let mut other_version = good.clone();
    other_version[4] ^= 0x40;
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let cut = good[..good.len() / 2].to_vec();
    let version = format!(
        "version {}, this module knows version {}",
        Snapshot::VERSION ^ 0x40,
        Snapshot::VERSION
    );
    vec![
        ("version", other_version, version),
        ("checksum", damaged, "checksum differs".into()),
        (
            "truncated",
            cut.clone(),
            format!("found {}", cut.len() - 14),
        ),
        ("short", b"PW".to_vec(), "2 bytes are too few".into()),
        ("garbage", vec![b'<'; 4096], "magic differs".into()),
        (
            "windows",
            trained(&json!(["10s", "1m"]), "shop"),
            "windows of 10s, 1m, the configuration has 1s, 4s".into(),
        ),
    ]
}

#[test]
fn a_snapshot_in_the_configuration_makes_the_first_windows_mature() {
    let mut proxy = Proxy::start(&json!({ "inline": base64::encode(&shop()) }));
    assert_eq!(
        proxy.said("warm start: 1 pairs known by the snapshot in the configuration"),
        1
    );
    assert_eq!(proxy.counter("pairwatch_warm_starts_total"), 1);
    let alert = proxy.alert();
    assert!(is_mature(&alert), "{alert}");
    let alert = Proxy::with(json!({ "learning": {"warmup": "20s"} })).alert();
    assert!(!is_mature(&alert), "without it: {alert}");
}

#[test]
fn a_snapshot_from_a_store_makes_the_first_windows_mature() {
    let mut proxy = Proxy::start(&store("0s"));
    let call = proxy.call();
    assert_eq!(header(&call, ":method"), "GET");
    assert_eq!(header(&call, ":path"), "/baselines/cart%2Fshop");
    assert_eq!(header(&call, ":authority"), "store.example");
    assert!(call.body.is_empty());
    proxy.answer(&call, 200, &shop());
    assert_eq!(proxy.counter("pairwatch_warm_starts_total"), 1);
    let alert = proxy.alert();
    assert!(is_mature(&alert), "{alert}");
    proxy.seconds(2000);
    assert_eq!(
        proxy.host.take_http_calls().len(),
        0,
        "read once, never saved to"
    );
}

#[test]
fn what_can_not_be_used_is_refused_with_a_metric_and_a_line_that_says_why() {
    for (what, bytes, why) in unusable() {
        let mut inline = Proxy::start(&json!({ "inline": base64::encode(&bytes) }));
        let mut stored = Proxy::start(&store("10m"));
        let call = stored.call();
        stored.answer(&call, 200, &bytes);
        for (place, proxy) in [("configuration", &mut inline), ("store", &mut stored)] {
            assert_eq!(proxy.counter(REFUSED), 1, "{what} in the {place}");
            assert_eq!(proxy.said("refused: "), 1, "{what} in the {place}");
            let logs = proxy.host.logs();
            assert_eq!(
                proxy.said(&why),
                1,
                "{what} in the {place}: {why}: {logs:?}"
            );
            assert_eq!(proxy.counter("pairwatch_warm_starts_total"), 0);
            proxy.traffic(5, 10, 200);
            assert_eq!(proxy.host.gauge("pairwatch_pairs"), Some(1), "it learns");
        }
    }
}

#[test]
fn a_snapshot_in_shared_data_is_refused_likewise() {
    for (what, bytes, why) in unusable() {
        if what == "windows" {
            continue;
        }
        let mut proxy = Proxy::with(json!({}));
        proxy.traffic(5, 10, 200);
        proxy.host.set_shared_data("", "pairwatch.snapshot", &bytes);
        proxy.replaced();
        assert_eq!(proxy.counter(REFUSED), 1, "{what}");
        assert_eq!(proxy.said("in shared data refused: "), 1, "{what}");
        assert_eq!(proxy.said(&why), 1, "{what}: {:?}", proxy.host.logs());
    }
}

#[test]
fn what_was_taken_in_and_then_lost_from_shared_data_is_fetched_again() {
    let mut proxy = Proxy::start(&store("0s"));
    let call = proxy.call();
    proxy.answer(&call, 200, &shop());
    proxy.host.set_shared_data(
        "",
        "pairwatch.snapshot",
        b"overwritten by a plugin that shares the data",
    );
    proxy.replaced();
    let call = proxy.call();
    proxy.answer(&call, 200, &shop());
    let alert = proxy.alert();
    assert!(is_mature(&alert), "{alert}");
}

#[test]
fn rates_of_other_windows_in_shared_data_are_refused_and_the_pairs_are_kept() {
    let mut proxy = Proxy::with(json!({ "learning": {"snapshot_every": "2s"} }));
    proxy.traffic(5, 10, 200);
    let other = json!({ "windows": ["2s", "4s"], "names": {"trusted_source_header": "x-source"} });
    proxy.plugin = Plugin::configured(&other.to_string());
    proxy.replaced();
    assert_eq!(proxy.counter(REFUSED), 1);
    assert_eq!(proxy.said("learned with windows of 1s, 4s"), 1);
    assert_eq!(proxy.host.gauge("pairwatch_pairs"), Some(1));
}

/// What it is, the status and body of the answer, whether more is asked, and how many snapshots are refused.
type Case<'a> = (&'a str, Option<(u16, &'a [u8])>, bool, u64);

#[test]
fn no_answer_stops_the_proxy_from_learning_and_tries_go_on_where_one_may_come() {
    let huge = vec![0; (16 << 20) + 1];
    let cases: [Case<'_>; 8] = [
        ("no answer", None, true, 0),
        ("an error", Some((500, b"sorry")), true, 0),
        ("forbidden", Some((403, b"")), true, 0),
        ("a redirect", Some((302, b"")), true, 0),
        ("nothing there", Some((404, b"<html>")), false, 0),
        ("no content", Some((204, b"")), false, 0),
        ("an empty file", Some((200, b"")), false, 0),
        ("far too much", Some((200, &huge)), false, 1),
    ];
    for (what, answer, again, refused) in cases {
        let mut proxy = Proxy::start(&store("0s"));
        let call = proxy.call();
        match answer {
            None => proxy.vm.answer(&call, &HttpAnswer::default()).unwrap(),
            Some((status, body)) => proxy.answer(&call, status, body),
        }
        proxy.traffic(5, 10, 200);
        proxy.seconds(310);
        let calls = proxy.host.take_http_calls();
        assert_eq!(!calls.is_empty(), again, "{what}");
        assert!(
            calls.iter().all(|c| header(c, ":method") == "GET"),
            "{what}"
        );
        assert_eq!(proxy.counter(REFUSED), refused, "{what}");
        assert_eq!(
            proxy.counter("pairwatch_store_failed_total") > 0,
            again,
            "{what}"
        );
        assert_eq!(
            proxy.host.gauge("pairwatch_pairs"),
            Some(1),
            "{what}: it learns"
        );
    }
}

#[test]
fn a_store_that_is_not_there_is_said_once_and_costs_no_more_than_a_try_in_minutes() {
    let mut proxy = Proxy::start(&json!({ "cluster": "nowhere", "path": "/" }));
    proxy.seconds(3000);
    assert_eq!(proxy.said("no answer"), 1);
    let tries = proxy.counter("pairwatch_store_failed_total");
    assert!((10..40).contains(&tries), "{tries} tries");
}

#[test]
fn what_was_learned_is_put_back_and_the_next_process_begins_with_it() {
    let mut proxy = Proxy::start(&store("20s"));
    let fetch = proxy.call();
    proxy.answer(&fetch, 404, b"");
    proxy.traffic(10, 10, 200);
    assert_eq!(
        proxy.host.take_http_calls().len(),
        0,
        "nothing is known yet"
    );
    let save = proxy.next_call();
    assert_eq!(header(&save, ":method"), "PUT");
    assert_eq!(header(&save, ":path"), header(&fetch, ":path"));
    proxy.answer(&save, 201, b"");
    assert_eq!(proxy.counter("pairwatch_store_saved_total"), 1);
    proxy.traffic(100, 10, 200);
    let save = proxy.next_call();
    assert_eq!(header(&save, ":method"), "PUT", "and again");

    let mut next = Proxy::start(&store("20s"));
    let fetch = next.call();
    next.answer(&fetch, 200, &save.body);
    assert_eq!(next.counter("pairwatch_warm_starts_total"), 1);
    let alert = next.alert();
    assert!(is_mature(&alert), "{alert}");
}

#[test]
fn a_store_that_was_not_read_is_never_written_to() {
    let mut proxy = Proxy::start(&store("1s"));
    for _ in 0..600 {
        for call in proxy.host.take_http_calls() {
            assert_eq!(header(&call, ":method"), "GET");
            proxy.answer(&call, 503, b"");
        }
        proxy.traffic(1, 10, 200);
    }
}

#[test]
fn a_snapshot_that_comes_late_is_merged_with_what_was_learned_meanwhile() {
    let mut proxy = Proxy::start(&store("0s"));
    proxy.traffic(4, 10, 200);
    let call = proxy.call();
    let merged = proxy.counter("pairwatch_requests_merged_total");
    proxy.answer(&call, 200, &shop());
    proxy.traffic(8, 10, 401);
    let alert = proxy.lines().remove(0);
    assert!(is_mature(&alert), "{alert}");
    let now = proxy.counter("pairwatch_requests_merged_total");
    assert!(now >= merged + 70 && now <= merged + 100, "{merged}, {now}");
}

#[test]
fn a_new_leader_goes_on_with_what_the_last_one_fetched_and_asks_no_more() {
    let mut proxy = Proxy::start(&store("0s"));
    let call = proxy.call();
    proxy.answer(&call, 200, &shop());
    proxy.replaced();
    assert_eq!(proxy.host.take_http_calls().len(), 0);
    let alert = proxy.alert();
    assert!(is_mature(&alert), "{alert}");
    let mut inline = Proxy::start(&json!({ "inline": base64::encode(&shop()) }));
    inline.replaced();
    assert_eq!(inline.counter("pairwatch_warm_starts_total"), 1);
}

#[test]
fn a_leader_that_dies_before_its_store_answers_leaves_the_asking_to_the_next() {
    let mut proxy = Proxy::start(&store("0s"));
    let _unanswered = proxy.call();
    proxy.traffic(5, 10, 200);
    proxy.replaced();
    let call = proxy.call();
    proxy.answer(&call, 200, &shop());
    let alert = proxy.alert();
    assert!(is_mature(&alert), "{alert}");
}

#[test]
fn the_answers_of_a_store_and_of_a_sink_are_told_apart() {
    let mut proxy = Proxy::with(json!({
        "learning": {"warmup": "20s", "warm_start": { "cluster": "outbound|80||store.example", "path": "/", "timeout": "60s" }},
        "sinks": [{ "type": "webhook", "cluster": "hook" }],
    }));
    let fetch = proxy.call();
    let _alert = proxy.alert();
    let sent = proxy.call();
    assert_eq!(sent.cluster, "hook");
    // A sink's answer with a snapshot in it is a sink's answer.
    proxy.answer(&sent, 200, &shop());
    assert_eq!(proxy.counter("pairwatch_warm_starts_total"), 0);
    proxy.answer(&fetch, 200, &shop());
    assert_eq!(proxy.counter("pairwatch_warm_starts_total"), 1);
    proxy.second();
    assert_eq!(
        proxy.counter("pairwatch_sink_sent_totalsink=.=webhook;.;"),
        1
    );
}

#[test]
fn another_source_in_an_update_is_read_and_the_same_one_is_not_read_again() {
    let mut proxy = Proxy::start(&json!({ "inline": base64::encode(&shop()) }));
    let mut update = |warm_start: Value, false_alerts: u64| {
        let config = json!({
            "windows": windows(), "false_alerts_per_week": false_alerts,
            "learning": {"warmup": "20s", "warm_start": warm_start},
        });
        proxy.root = proxy
            .vm
            .root(&Plugin::configured(&config.to_string()))
            .unwrap();
        proxy.seconds(2);
        proxy.counter("pairwatch_warm_starts_total")
    };
    let same = json!({ "inline": base64::encode(&shop()) });
    assert_eq!(update(same, 3), 1);
    let other = json!({ "inline": base64::encode(&trained(&windows(), "other")) });
    assert_eq!(update(other, 3), 2);
}

/// What was PUT last, by path.
type Held = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

async fn http_store() -> Result<(Service, Held)> {
    let held = Held::default();
    let keep = Arc::clone(&held);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(address, move |request| {
        let mut held = keep.lock().unwrap();
        let path = request.uri().path().to_owned();
        let answer = match (request.method(), held.get(&path)) {
            (&Method::PUT, _) => {
                held.insert(path, request.body().to_vec());
                reply(204, "")
            }
            (&Method::GET, Some(bytes)) => reply(200, bytes.clone()),
            _ => reply(404, "nothing"),
        };
        async move { answer }
    });
    Ok((service.await?, held))
}

async fn envoy(backend: &Backend, store: SocketAddr, warm_start: Value) -> Result<Envoy> {
    let config = json!({
        "windows": windows(),
        "learning": {"warmup": "5s", "snapshot_every": "2s", "warm_start": warm_start},
        // Not what a busy test machine really does to durations, and to a load's pace.
        "signals": {"latency": false, "request_rate": false},
        "names": {"trusted_source_header": "x-source"},
    });
    let cluster = json!({
        "name": "store", "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "store", "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": store.port() } },
        }}]}]},
    });
    Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .plugin_config(config)
        .patch(move |tree| {
            let clusters = tree["static_resources"]["clusters"].as_array_mut();
            clusters.unwrap().push(cluster);
            tree["node"] = json!({ "id": "proxy", "cluster": "cart.shop" });
        })
        .fixed_port(store.port())
        .start()
        .await
}

fn load(envoy: &Envoy, path: &str, seed: u64) -> Load {
    let url = envoy.url(path);
    Load::start(20.0, seed, move |visitor| {
        let get = request(Method::GET, &url, &[("x-source", "cart")], "");
        async move {
            visitor.send(get).await;
        }
    })
}

/// Refused log-ins right after the start are told of by a baseline that is mature.
async fn is_warm(envoy: &Envoy) -> Result<()> {
    envoy
        .wait_for_log(DEADLINE, |line| {
            line.message.contains("warm start: 1 pairs")
        })
        .await?;
    let load = load(envoy, "/status/401", 1);
    let alert = envoy
        .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
        .await?;
    load.stop().await;
    let maturity = alert.maturity.as_ref().and_then(Value::as_f64);
    ensure!(maturity.is_some_and(|m| m > 0.99), "{alert:?}");
    ensure!(!envoy.log().tail().contains("panicked"), "a VM trapped");
    Ok(())
}

#[test]
fn a_real_envoy_begins_with_a_trained_baseline_in_its_configuration() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let (service, _) = http_store().await?;
        let trained = base64::encode(&trained(&windows(), "backend"));
        let envoy = envoy(&backend, service.address(), json!({ "inline": trained })).await?;
        is_warm(&envoy).await
    })
}

#[test]
fn a_real_envoy_that_is_restarted_begins_with_what_it_put_back() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let (service, held) = http_store().await?;
        let warm_start =
            json!({ "cluster": "store", "path": "/baselines/{node.cluster}", "save_every": "4s" });
        let mut envoy = envoy(&backend, service.address(), warm_start).await?;
        let load = load(&envoy, "/products/1", 2);
        wait_until("a baseline in the store", DEADLINE * 2, async || {
            let held = held.lock().unwrap();
            Ok(held.contains_key("/baselines/cart.shop").then_some(()))
        })
        .await?;
        load.stop().await;
        let before = envoy.alerts()?;
        ensure!(before.is_empty(), "{before:?}");
        envoy.restart().await?;
        is_warm(&envoy).await
    })
}

#[test]
fn a_real_envoy_carries_a_baseline_of_many_megabytes_both_ways() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let (service, held) = http_store().await?;
        let large = many(2000);
        ensure!(large.len() > MANY, "{} bytes", large.len());
        held.lock().unwrap().insert("/b".into(), large.clone());
        let warm_start = json!({ "cluster": "store", "path": "/b", "save_every": "2s" });
        let envoy = envoy(&backend, service.address(), warm_start).await?;
        envoy
            .wait_for_log(DEADLINE, |l| l.message.contains("warm start: 2000 pairs"))
            .await?;
        wait_until("it to be put back", DEADLINE, async || {
            let held = held.lock().unwrap();
            let now = &held["/b"];
            Ok((*now != large && now.len() > MANY).then_some(()))
        })
        .await?;
        Ok(())
    })
}

/// Half a minute of so many pairs.
fn many(pairs: u64) -> Vec<u8> {
    let source = |pair| (format!("source-{pair}"), "backend");
    learned(&windows(), 30, |_| (0..pairs).map(source).collect())
}
