//! Alerts out: what receivers get, in a host that holds the clock and answers as told, and from a real Envoy.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

mod common;

use common::evaluate;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::service::reply;
use pairwatch_testbed::{
    Backend, Bootstrap, DEADLINE, Daemon, Load, Result, Service, istio, paths, run, wait_until,
};
use pairwatch_wasm_host::{Exchange, Host, HttpAnswer, HttpCall, Plugin, Root, Vm};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// One VM that counts and leads.
struct Proxy {
    host: Host,
    vm: Vm,
    root: Root,
}

impl Proxy {
    /// With these sinks; all their clusters are there.
    fn start(sinks: &Value) -> Self {
        Self::updating(sinks, "1h")
    }

    /// Whose incidents are told of again as often as this while they go on.
    fn updating(sinks: &Value, every: &str) -> Self {
        let config = json!({
            "windows": ["1s", "4s"],
            "learning": {"warmup": "5s"},
            "alerts": {"resolve_after": "3s", "update_every": every},
            "names": {"trusted_source_header": "x-source"},
            "sinks": sinks,
        });
        let host = Host::new();
        host.evaluate_expressions(evaluate);
        for sink in sinks.as_array().unwrap() {
            host.add_cluster(sink["cluster"].as_str().unwrap());
        }
        let module = host.load(paths::plugin_module().unwrap()).unwrap();
        let mut vm = module.vm().unwrap();
        let root = vm.root(&Plugin::configured(&config.to_string())).unwrap();
        let mut proxy = Self { host, vm, root };
        // A VM that serves streams waits before it claims; this one has none yet.
        proxy.seconds(3);
        proxy
    }

    fn second(&mut self) {
        self.host.advance(SECOND);
        self.vm.tick(self.root).unwrap();
    }

    fn seconds(&mut self, count: u64) {
        (0..count).for_each(|_| self.second());
    }

    /// Refused log-ins of each of these sources within a second.
    fn refused(&mut self, sources: &[&str]) {
        for source in sources {
            for _ in 0..60 {
                let exchange = Exchange::new("POST", "/login", 401)
                    .request_header("x-source", source)
                    .property(["connection", "id"], 1u64)
                    .property(["request", "duration"], Duration::from_millis(5))
                    .property(["xds", "cluster_name"], "shop");
                self.vm.exchange(self.root, &exchange).unwrap();
            }
        }
        self.second();
    }

    /// An alert line of its own for each source, told by the log; what was sent meanwhile is handed back.
    fn alert(&mut self, source: &str) {
        let before = self.lines().len();
        for _ in 0..20 {
            self.refused(&[source]);
            if self.lines().len() > before {
                return;
            }
        }
        panic!("no alert");
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.host.logs().into_iter();
        lines
            .filter(|l| l.message.starts_with(r#"{"pairwatch":"alert""#))
            .map(|l| serde_json::from_str(&l.message).unwrap())
            .collect()
    }

    fn said(&self, words: &str) -> bool {
        self.host.logs().iter().any(|l| l.message.contains(words))
    }

    fn calls(&mut self) -> Vec<HttpCall> {
        self.host.take_http_calls()
    }

    fn answer(&mut self, call: &HttpCall, answer: &HttpAnswer) {
        self.vm.answer(call, answer).unwrap();
    }

    fn metric(&self, name: &str, sink: &str) -> u64 {
        let name = format!("pairwatch_sink_{name}_totalsink=.={sink};.;");
        self.host.counter(&name).unwrap()
    }
}

fn body(call: &HttpCall) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

fn header<'a>(call: &'a HttpCall, name: &str) -> &'a str {
    let found = call.headers.iter().find(|(n, _)| n == name.as_bytes());
    found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
}

fn ok() -> HttpAnswer {
    HttpAnswer::status(200, b"")
}

fn webhook() -> Value {
    json!([{ "type": "webhook", "cluster": "hook" }])
}

#[test]
fn an_alert_is_posted_with_the_configured_path_authority_and_headers() {
    let mut proxy = Proxy::start(&json!([{
        "type": "webhook", "cluster": "outbound|443||hooks.example.com", "path": "/in?team=a",
        "headers": { "authorization": "Bearer x" }, "timeout": "2s",
    }]));
    proxy.alert("eve");
    let calls = proxy.calls();
    let call = calls.first().unwrap();
    assert_eq!(header(call, ":method"), "POST");
    assert_eq!(header(call, ":path"), "/in?team=a");
    assert_eq!(header(call, ":authority"), "hooks.example.com");
    assert_eq!(header(call, "authorization"), "Bearer x");
    assert_eq!(call.timeout, Duration::from_secs(2));
    let sent = body(call);
    let line = proxy.lines().remove(0);
    assert_eq!(
        sent["alerts"],
        json!([line]),
        "the fields of the log's line"
    );
}

#[test]
fn one_request_is_under_way_at_a_time_and_what_comes_meanwhile_goes_into_the_next() {
    let mut proxy = Proxy::start(&webhook());
    proxy.alert("a");
    let first = proxy.calls();
    assert_eq!(first.len(), 1);
    proxy.alert("b");
    proxy.second();
    assert_eq!(proxy.calls().len(), 0, "the first is not answered");
    proxy.answer(&first[0], &ok());
    proxy.second();
    let second = proxy.calls();
    assert_eq!(second.len(), 1);
    assert!(!body(&second[0])["alerts"].as_array().unwrap().is_empty());
    proxy.answer(&second[0], &ok());
    proxy.second();
    let sent = proxy.metric("sent", "webhook");
    assert!(sent >= 2, "{sent}");
}

/// Seconds between tries, as long as each fails with this.
fn pauses(proxy: &mut Proxy, answer: Option<&HttpAnswer>, tries: usize) -> Vec<u64> {
    let (mut pauses, mut waited) = (Vec::new(), 0);
    while pauses.len() < tries && waited < 2000 {
        for call in proxy.calls() {
            pauses.push(std::mem::take(&mut waited));
            let failed = HttpAnswer::default();
            proxy.answer(&call, answer.unwrap_or(&failed));
        }
        proxy.second();
        waited += 1;
    }
    pauses
}

#[test]
fn tries_go_on_at_growing_pauses_until_the_receiver_is_back_and_nothing_is_lost() {
    let mut proxy = Proxy::start(&webhook());
    proxy.alert("eve");
    let busy = HttpAnswer::status(503, b"");
    let pauses = pauses(&mut proxy, Some(&busy), 7);
    for (i, pause) in pauses.iter().enumerate().skip(1) {
        let longest = 1u64 << (i - 1);
        assert!(
            *pause >= longest / 2 && *pause <= longest + 1,
            "pause {i} is {pause} s: {pauses:?}"
        );
    }
    assert!(proxy.said("sink webhook: answered 503"));
    for _ in 0..120 {
        proxy.second();
        if let Some(call) = proxy.calls().first() {
            proxy.answer(call, &ok());
            break;
        }
    }
    proxy.second();
    assert_eq!(proxy.metric("lost", "webhook"), 0);
    assert!(proxy.metric("sent", "webhook") >= 1);
    assert!(proxy.said("sink webhook: delivers again"));
}

#[test]
fn a_receiver_that_stays_away_is_given_up_for_a_batch_and_costs_no_more_than_a_try_in_minutes() {
    let mut proxy = Proxy::start(&webhook());
    proxy.alert("eve");
    let pauses = pauses(&mut proxy, None, 11);
    assert_eq!(pauses.len(), 11, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 301), "{pauses:?}");
    proxy.second();
    assert!(proxy.metric("lost", "webhook") >= 1);
    assert_eq!(proxy.metric("failed", "webhook"), 11);
}

#[test]
fn a_refusal_is_the_last_word_on_a_batch() {
    let mut proxy = Proxy::start(&webhook());
    proxy.alert("eve");
    let call = proxy.calls().remove(0);
    proxy.answer(&call, &HttpAnswer::status(400, b"no"));
    proxy.second();
    assert_eq!(proxy.metric("lost", "webhook"), 1);
    assert!(proxy.said("sink webhook: refused 1 alerts, answered 400"));
    let again = proxy.calls();
    assert!(
        again.iter().all(|call| body(call)["alerts"] != json!([])),
        "nothing is sent for its own sake"
    );
}

#[test]
fn a_request_that_is_never_answered_is_tried_again_after_its_time_out() {
    let mut proxy = Proxy::start(&webhook());
    proxy.alert("eve");
    assert_eq!(proxy.calls().len(), 1);
    proxy.seconds(9);
    assert_eq!(proxy.calls().len(), 0);
    proxy.seconds(4);
    assert_eq!(proxy.calls().len(), 1);
}

#[test]
fn a_cluster_that_does_not_exist_is_said_once_and_traps_nothing() {
    let mut proxy = Proxy::start(&json!([]));
    let config = json!({
        "windows": ["1s", "4s"], "names": {"trusted_source_header": "x-source"},
        "sinks": [{ "type": "webhook", "cluster": "nowhere" }],
    });
    proxy.root = proxy
        .vm
        .root(&Plugin::configured(&config.to_string()))
        .unwrap();
    proxy.seconds(2);
    proxy.alert("eve");
    proxy.seconds(30);
    let logs = proxy.host.logs();
    let said = logs.iter().filter(|l| l.message.contains("no answer"));
    assert_eq!(said.count(), 1);
    assert!(proxy.metric("failed", "webhook") >= 3);
}

#[test]
fn more_than_a_sink_may_be_sent_is_told_as_a_number() {
    let few_and_all = json!([
        { "type": "webhook", "cluster": "few", "name": "few", "per_minute": 1 },
        { "type": "webhook", "cluster": "all", "name": "all", "per_minute": 600 },
    ]);
    let mut proxy = Proxy::updating(&few_and_all, "1s");
    let (mut few, mut held_back, mut all) = (0, 0, 0);
    for i in 0..200 {
        if i < 60 {
            proxy.refused(&["eve"]);
        } else {
            proxy.second();
        }
        for call in proxy.calls() {
            let sent = body(&call);
            let alerts = sent["alerts"].as_array().unwrap().len() as u64;
            match call.cluster.as_str() {
                "few" => {
                    few += alerts;
                    held_back += sent["held_back"].as_u64().unwrap();
                }
                _ => all += alerts,
            }
            proxy.answer(&call, &ok());
        }
    }
    assert!(few < all, "{few} of {all}");
    assert!(held_back > 0, "{few} sent, {all} in all");
    assert_eq!(held_back, proxy.metric("held_back", "few"));
}

#[test]
fn only_what_is_severe_enough_is_sent() {
    let mut proxy = Proxy::start(&json!([
        { "type": "webhook", "cluster": "grave", "name": "grave", "min_severity": "critical" },
        { "type": "webhook", "cluster": "all", "name": "all", "min_severity": "info" },
    ]));
    proxy.alert("eve");
    let graver = |line: &Value| line["severity"] == "critical";
    let wanted = proxy.lines().iter().filter(|line| graver(line)).count();
    let calls = proxy.calls();
    assert!(calls.iter().any(|call| call.cluster == "all"));
    let grave = calls.iter().filter(|call| call.cluster == "grave");
    assert_eq!(grave.count(), wanted.min(1), "{:?}", proxy.lines());
}

/// Runs an incident from its beginning to its end; returns all that was sent.
fn whole_incident(sink: Value, source: &str) -> (Proxy, Vec<Value>) {
    let mut proxy = Proxy::start(&json!([sink]));
    let mut sent = Vec::new();
    let collect = |proxy: &mut Proxy, sent: &mut Vec<Value>| {
        for call in proxy.calls() {
            sent.push(body(&call));
            proxy.answer(&call, &ok());
        }
    };
    for _ in 0..20 {
        proxy.refused(&[source]);
        collect(&mut proxy, &mut sent);
    }
    for _ in 0..120 {
        proxy.second();
        collect(&mut proxy, &mut sent);
    }
    let last = proxy.lines().pop().unwrap();
    assert_eq!(last["state"], "resolved", "{last}");
    (proxy, sent)
}

#[test]
fn alertmanagers_alerts_end_under_every_label_they_were_begun_with() {
    let sink = json!({ "type": "alertmanager", "cluster": "am" });
    let (proxy, sent) = whole_incident(sink, "eve;\"\u{e9}");
    let posted: Vec<&Value> = sent.iter().flat_map(|b| b.as_array().unwrap()).collect();
    assert!(posted.len() >= 2);
    let mut last = std::collections::BTreeMap::new();
    for alert in &posted {
        let fields: BTreeSet<_> = alert.as_object().unwrap().keys().cloned().collect();
        let allowed = ["labels", "annotations", "startsAt", "endsAt"];
        assert_eq!(fields, allowed.map(String::from).into());
        for group in ["labels", "annotations"] {
            for value in alert[group].as_object().unwrap().values() {
                assert!(value.is_string(), "{group} are texts: {alert}");
            }
        }
        assert_eq!(alert["labels"]["alertname"], "Pairwatch");
        assert!(alert["startsAt"].as_str() <= alert["endsAt"].as_str());
        last.insert(alert["labels"].to_string(), alert["endsAt"].as_str());
    }
    let now = pairwatch_engine::Time(u64::try_from(proxy.host.now().as_millis()).unwrap());
    let now = now.rfc3339();
    for (labels, end) in last {
        assert!(end < Some(&now), "{labels} goes on until {end:?}");
    }
}

mod otlp {
    //! OTLP's logs as the protocol's JSON has them; an unknown field is an error.
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct Request {
        pub(super) resource_logs: Vec<ResourceLogs>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct ResourceLogs {
        pub(super) resource: Resource,
        pub(super) scope_logs: Vec<ScopeLogs>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Resource {
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct ScopeLogs {
        pub(super) scope: Scope,
        pub(super) log_records: Vec<LogRecord>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Scope {
        pub(super) name: String,
        pub(super) version: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct LogRecord {
        pub(super) time_unix_nano: String,
        pub(super) observed_time_unix_nano: String,
        pub(super) severity_number: u32,
        pub(super) severity_text: String,
        pub(super) body: AnyValue,
        pub(super) attributes: Vec<KeyValue>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct KeyValue {
        pub(super) key: String,
        pub(super) value: AnyValue,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(clippy::enum_variant_names, reason = "the names are the protocol's")]
    pub(super) enum AnyValue {
        StringValue(String),
        BoolValue(bool),
        IntValue(String),
        DoubleValue(f64),
        ArrayValue(ArrayValue),
        KvlistValue(KeyValueList),
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct ArrayValue {
        pub(super) values: Vec<AnyValue>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct KeyValueList {
        pub(super) values: Vec<KeyValue>,
    }

    impl AnyValue {
        /// Numbers that are text hold numbers.
        pub(super) fn check(&self) {
            match self {
                Self::IntValue(text) => drop(text.parse::<i64>().unwrap()),
                Self::DoubleValue(value) => assert!(value.is_finite()),
                Self::ArrayValue(list) => list.values.iter().for_each(Self::check),
                Self::KvlistValue(list) => list.values.iter().for_each(|kv| kv.value.check()),
                Self::BoolValue(value) => assert!(*value, "false is told by absence"),
                Self::StringValue(_) => {}
            }
        }
    }
}

/// Reads one OTLP body strictly; returns the severities and sentences in it.
fn read_otlp(body: &Value) -> Vec<(u32, String)> {
    let request: otlp::Request = serde_json::from_value(body.clone()).unwrap();
    let mut read = Vec::new();
    for logs in request.resource_logs {
        assert_eq!(logs.resource.attributes[0].key, "service.name");
        for scope in logs.scope_logs {
            assert_eq!(scope.scope.name, "pairwatch");
            assert!(!scope.scope.version.is_empty());
            for record in scope.log_records {
                let at: u64 = record.time_unix_nano.parse().unwrap();
                let seen: u64 = record.observed_time_unix_nano.parse().unwrap();
                assert!(at > 1_700_000_000_000_000_000 && at <= seen + 3_600_000_000_000);
                assert!(!record.severity_text.is_empty());
                for attribute in &record.attributes {
                    assert!(attribute.key.starts_with("pairwatch."));
                    attribute.value.check();
                }
                let otlp::AnyValue::StringValue(sentence) = record.body else {
                    panic!("a body that is no text")
                };
                read.push((record.severity_number, sentence));
            }
        }
    }
    read
}

#[test]
fn otlp_logs_are_what_the_protocols_json_allows() {
    let sink = json!({ "type": "otlp", "cluster": "collector" });
    let (proxy, sent) = whole_incident(sink, "eve\u{1F600}\"");
    let read: Vec<_> = sent.iter().flat_map(read_otlp).collect();
    let lines = proxy.lines();
    assert_eq!(read.len(), lines.len());
    for ((number, sentence), line) in read.iter().zip(&lines) {
        assert_eq!(*sentence, line["message"].as_str().unwrap());
        let wanted = match line["severity"].as_str().unwrap() {
            "info" => 9,
            "low" => 10,
            "medium" => 13,
            "high" => 17,
            _ => 21,
        };
        assert_eq!(*number, wanted, "{line}");
    }
}

/// Attributes of the Detection Finding and the objects in it, out of the published OCSF schema 1.3.0, as far as a finding of
/// ours may have them: `path` is an object's place in the event, `*` an element of a list.
const OCSF: [(&str, &[&str]); 9] = [
    (
        "",
        &[
            "activity_id",
            "activity_name",
            "category_name",
            "category_uid",
            "class_name",
            "class_uid",
            "confidence_score",
            "evidences",
            "finding_info",
            "message",
            "metadata",
            "severity",
            "severity_id",
            "status",
            "status_id",
            "time",
            "type_name",
            "type_uid",
            "unmapped",
        ],
    ),
    ("/metadata", &["product", "version"]),
    ("/metadata/product", &["name", "vendor_name", "version"]),
    (
        "/finding_info",
        &[
            "analytic",
            "attacks",
            "desc",
            "first_seen_time",
            "last_seen_time",
            "title",
            "types",
            "uid",
        ],
    ),
    ("/finding_info/analytic", &["name", "type", "type_id"]),
    ("/finding_info/attacks/*", &["technique"]),
    ("/finding_info/attacks/*/technique", &["uid"]),
    (
        "/evidences/*",
        &["actor", "data", "dst_endpoint", "src_endpoint"],
    ),
    ("/evidences/*/src_endpoint", &["name", "svc_name"]),
];
/// What the schema requires of every Detection Finding.
const OCSF_REQUIRED: [&str; 8] = [
    "/activity_id",
    "/category_uid",
    "/class_uid",
    "/finding_info/uid",
    "/metadata/product",
    "/metadata/version",
    "/severity_id",
    "/type_uid",
];

fn check_ocsf(event: &Value) {
    for pointer in OCSF_REQUIRED {
        assert!(event.pointer(pointer).is_some(), "{pointer}: {event}");
    }
    for (path, allowed) in OCSF {
        let mut at = vec![event];
        for step in path.split('/').skip(1) {
            at = match step {
                "*" => at.iter().filter_map(|v| v.as_array()).flatten().collect(),
                name => at.iter().filter_map(|v| v.get(name)).collect(),
            };
        }
        for object in at {
            for name in object.as_object().unwrap().keys() {
                assert!(allowed.contains(&name.as_str()), "{path}/{name}");
            }
        }
    }
    assert_eq!(
        (&event["category_uid"], &event["class_uid"]),
        (&json!(2), &json!(2004))
    );
    let activity = event["activity_id"].as_u64().unwrap();
    assert_eq!(event["type_uid"], 2004 * 100 + activity);
    assert!((1..=3).contains(&activity) && event["time"].is_u64());
    assert!((1..=5).contains(&event["severity_id"].as_u64().unwrap()));
    assert!([1, 2, 4].contains(&event["status_id"].as_u64().unwrap()));
}

#[test]
fn ocsf_findings_have_the_published_schemas_fields() {
    let sink = json!({ "type": "webhook", "cluster": "siem", "format": "ocsf" });
    let (proxy, sent) = whole_incident(sink, "eve");
    let events: Vec<&Value> = sent.iter().flat_map(|b| b.as_array().unwrap()).collect();
    events.iter().for_each(|event| check_ocsf(event));
    let lines = proxy.lines();
    assert_eq!(events.len(), lines.len());
    for (event, line) in events.iter().zip(&lines) {
        assert_eq!(event["finding_info"]["uid"], line["id"]);
        assert_eq!(event["confidence_score"], line["score"]);
        assert_eq!(event["evidences"][0]["src_endpoint"]["name"], "eve");
    }
    assert_eq!(events[0]["activity_name"], "Create");
    assert_eq!(events[events.len() - 1]["activity_name"], "Close");
}

/// Keeps the bodies of the requests to each path.
async fn receiver() -> Result<(Service, Arc<Mutex<Vec<(String, Value)>>>)> {
    let got = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&got);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(address, move |request| {
        let json = request.headers()["content-type"] == "application/json";
        let body = serde_json::from_slice(request.body());
        let status = match (json, body) {
            (true, Ok(body)) => {
                keep.lock()
                    .unwrap()
                    .push((request.uri().path().to_owned(), body));
                200
            }
            _ => 400,
        };
        async move { reply(status, "{}") }
    });
    Ok((service.await?, got))
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name, "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": address.port() } },
        }}]}]},
    })
}

#[test]
fn a_real_envoy_tells_a_real_alertmanager_a_collector_and_webhooks() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let routes = paths::workspace().join("observability/alertmanager/alertmanager.yaml");
        let routes = istio::read_yaml(&std::fs::read_to_string(routes)?)?.remove(0);
        let alertmanager = Daemon::alertmanager(&routes).await?;
        let (service, got) = receiver().await?;
        let config = json!({
            "windows": ["1s", "4s"],
            "learning": {"warmup": "5s"},
            "alerts": {"resolve_after": "3s"},
            "names": {"trusted_source_header": "x-source"},
            "sinks": [
                { "type": "alertmanager", "cluster": "alertmanager" },
                { "type": "otlp", "cluster": "receiver" },
                { "type": "webhook", "cluster": "receiver", "path": "/hook" },
                { "type": "webhook", "name": "siem", "cluster": "receiver", "path": "/siem", "format": "ocsf" },
                { "type": "webhook", "name": "gone", "cluster": "no-such-cluster" },
            ],
        });
        let (to_alertmanager, to_receiver) = (alertmanager.address(), service.address());
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config)
            .patch(move |tree| {
                // Held ports stand for documented ones; these servers are where they are.
                let clusters = tree["static_resources"]["clusters"].as_array_mut();
                clusters.unwrap().extend([
                    cluster("alertmanager", to_alertmanager),
                    cluster("receiver", to_receiver),
                ]);
            })
            .fixed_port(to_alertmanager.port())
            .fixed_port(to_receiver.port())
            .start()
            .await?;
        let url = envoy.url("/status/401");
        let load = Load::start(Load::ATTACK, 1, move |visitor| {
            let get = request(Method::GET, &url, &[("x-source", "shop/cart")], "");
            async move {
                visitor.send(get).await;
            }
        });
        let query = "/api/v2/alerts?filter=source%3D%22shop%2Fcart%22&active=true";
        let alert = wait_until("the alert in Alertmanager", DEADLINE, async || {
            let found = alertmanager.get(query).await?;
            Ok(found.as_array().and_then(|all| all.first().cloned()))
        })
        .await?;
        assert_eq!(alert["labels"]["alertname"], "Pairwatch", "{alert}");
        let receivers = alert["receivers"].as_array().unwrap();
        assert!(
            receivers
                .iter()
                .all(|r| r["name"].as_str().unwrap().starts_with("pairwatch")),
            "routed by observability/alertmanager: {alert}"
        );
        load.stop().await;
        envoy
            .wait_for_alert(DEADLINE, |a| a.state == "resolved")
            .await?;
        wait_until("Alertmanager to see its end", DEADLINE, async || {
            let found = alertmanager.get(query).await?;
            Ok(found.as_array().is_some_and(Vec::is_empty).then_some(()))
        })
        .await?;
        let lines = envoy.alerts()?.len();
        for path in ["/v1/logs", "/hook", "/siem"] {
            wait_until(&format!("all alerts at {path}"), DEADLINE, async || {
                let got = got.lock().unwrap();
                let bodies = got
                    .iter()
                    .filter(|(to, _)| to == path)
                    .map(|(_, body)| body);
                let count: usize = bodies
                    .map(|body| match path {
                        "/v1/logs" => read_otlp(body).len(),
                        "/hook" => body["alerts"].as_array().unwrap().len(),
                        _ => {
                            let events = body.as_array().unwrap();
                            events.iter().for_each(check_ocsf);
                            events.len()
                        }
                    })
                    .sum();
                Ok((count == lines).then_some(()))
            })
            .await?;
        }
        let failed = envoy.admin().metrics().await?;
        let failed = failed.sum("pairwatch_sink_failed_total", &[("sink", "gone")]);
        assert!(failed.is_some_and(|n| n >= 1.0), "{failed:?}");
        assert!(!envoy.log().tail().contains("panicked"));
        Ok(())
    })
}
