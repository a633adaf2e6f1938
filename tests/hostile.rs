//! Hostile traffic on real Envoys: what the built module does to traffic (nothing), and what traffic does to the module
//! (nothing either).
//!
//! [`tests/exchanges/http.yaml`](exchanges/http.yaml) is played through an Envoy without the plugin, and through one for each
//! of the plugin's actions; each property is then a test of its own on the same run.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::wire::{self, Exchange, Recording, Stage};
use pairwatch_testbed::{
    Bootstrap, Context, Envoy, Result, anyhow, ensure, json, paths, run, wait_until,
};
use pairwatch_testbed::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// Long enough for a machine that builds something else meanwhile.
const DEADLINE: Duration = Duration::from_secs(60);

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const REQUESTS: &str = "wasmcustom.pairwatch_requests_total";
const UNREAD: &str = "wasmcustom.pairwatch_unread_total";
const MERGED: &str = "wasmcustom.pairwatch_requests_merged_total";
const DROPPED: &str = "wasmcustom.pairwatch_dropped_total";
/// Streams that Envoy began on the listener, whatever became of them.
const STREAMS: &str = "http.proxy.downstream_rq_total";

/// The plugin's actions: where requests are only observed, the callback for their headers returns at once.
const ACTIONS: [&str; 3] = ["observe", "tag", "enforce"];

/// A proxy that lets through what Envoy can be made to let through.
fn open(action: Option<&str>) -> Result<Bootstrap> {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let rbac = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
    // Each request on a connection of its own, and as large an answer as may come.
    let options = |protocol: Value| {
        json!({ OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "common_http_protocol_options": {"max_requests_per_connection": 1},
            "explicit_http_config": protocol,
        }})
    };
    let bootstrap = Bootstrap::open("proxy.yaml")?.patch(|tree| {
        let clusters = &mut tree["static_resources"]["clusters"];
        let mut second = clusters[0].clone();
        clusters[0]["typed_extension_protocol_options"] =
            options(json!({"http_protocol_options": {"enable_trailers": true}}));
        second["name"] = json!("backend_h2");
        second["load_assignment"]["cluster_name"] = json!("backend_h2");
        second["typed_extension_protocol_options"] =
            options(json!({"http2_protocol_options": {}}));
        let nobody = json!({
            "name": "nobody",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "nobody", "endpoints": []},
        });
        clusters.as_array_mut().into_iter().for_each(|all| all.extend([second.clone(), nobody.clone()]));

        let manager = tree.pointer_mut(MANAGER);
        let Some(Value::Object(manager)) = manager else { return };
        let settings = json!({
            // What each proxy makes up by chance, or by its own speed.
            "generate_request_id": false,
            // Who is behind it is believed: addresses can be made up.
            "use_remote_address": false,
            "skip_xff_append": true,
            // The most Envoy allows; its own limits would keep most of what is hostile from the plugin.
            "max_request_headers_kb": 8192,
            "common_http_protocol_options": {"max_headers_count": 20_000},
            "http_protocol_options": {"accept_http_10": true, "default_host_for_http_10": "old", "enable_trailers": true},
            "upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "CONNECT"}],
            "proxy_100_continue": true,
            // Short for who sends nothing, long for a busy machine's client.
            "request_headers_timeout": "3s",
        });
        for (key, value) in settings.as_object().into_iter().flatten() {
            manager.insert(key.clone(), value.clone());
        }
        manager.insert("route_config".into(), json!({"name": "proxy", "virtual_hosts": [
            {"name": "nowhere", "domains": ["nowhere"]},
            {"name": "everywhere", "domains": ["*"], "routes": [
                {"match": {"connect_matcher": {}}, "route": {
                    "cluster": "backend", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}},
                {"match": {"path": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "direct\n"}}},
                {"match": {"prefix": "/moved"}, "redirect": {"path_redirect": "/elsewhere"}},
                {"match": {"prefix": "/h2/"}, "route": {"cluster": "backend_h2"}},
                {"match": {"prefix": "/impatient"}, "route": {"cluster": "backend", "timeout": "0.3s"}},
                {"match": {"prefix": "/nobody"}, "route": {"cluster": "nobody"}},
                {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "60s"}},
            ]},
        ]}));
        let filters = manager.get_mut("http_filters").and_then(Value::as_array_mut);
        let Some(filters) = filters else { return };
        if action.is_none() {
            filters.retain(|filter| filter["name"] != "pairwatch");
        }
        for filter in filters.iter_mut().filter(|f| f["name"] == "envoy.filters.http.router") {
            // Says how long the backend took.
            filter["typed_config"]["suppress_envoy_headers"] = json!(true);
        }
        filters.insert(0, json!({"name": "refusal", "typed_config": {"@type": rbac, "rules": {
            "action": "DENY",
            "policies": {"refused": {
                "permissions": [{"header": {"name": "x-refused", "present_match": true}}],
                "principals": [{"any": true}]}},
        }}}));
    });
    Ok(match action {
        Some(action) => bootstrap.plugin_config(config(action)),
        None => bootstrap,
    })
}

/// All that clients can make up is believed, and read.
fn config(action: &str) -> Value {
    json!({
        "windows": ["1s", "4s"],
        "names": {"trusted_source_header": "x-source", "trusted_xfcc": true},
        "identity": {"trusted_user_header": "x-user", "claim": "sub", "addresses": true},
        "limits": {"pairs": 100, "routes_per_pair": 8, "identities": 1000},
        "verdicts": {"action": action, "header": action != "observe"},
    })
}

/// What the script came to with one proxy.
#[derive(Debug)]
struct Played {
    /// `None`: without the plugin.
    action: Option<&'static str>,
    recordings: Vec<Recording>,
    streams: u64,
    counted: u64,
    unread: u64,
    dropped: u64,
    /// Requests and connections, towards clients and backends, that are still open.
    open: u64,
    trouble: Vec<String>,
}

/// The script played through all four proxies, once for all tests.
fn played() -> Result<&'static [Played]> {
    static PLAYED: OnceLock<std::result::Result<Vec<Played>, String>> = OnceLock::new();
    let played = PLAYED.get_or_init(|| {
        let outcome = run(async {
            let script = script()?;
            let one = |action| play(&script, action);
            let (plain, observe, tag, enforce) = pairwatch_testbed::tokio::try_join!(
                one(None),
                one(Some(ACTIONS[0])),
                one(Some(ACTIONS[1])),
                one(Some(ACTIONS[2])),
            )?;
            Ok(vec![plain, observe, tag, enforce])
        });
        outcome.map_err(|error| format!("{error:?}"))
    });
    played.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

fn script() -> Result<Vec<Exchange>> {
    let file = paths::workspace().join("tests/exchanges/http.yaml");
    wire::read(&std::fs::read_to_string(file)?)
}

async fn play(script: &[Exchange], action: Option<&'static str>) -> Result<Played> {
    let stage = Stage::start().await?;
    let envoy = open(action)?.backend(stage.address()).start().await?;
    let (mut recordings, mut failed) = (Vec::new(), Vec::new());
    for exchange in script {
        match stage.play(envoy.listener_address(), exchange).await {
            Ok(recording) => recordings.push(recording),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    ensure!(
        failed.is_empty(),
        "with {action:?}: {}\nEnvoy's log: {}",
        failed.join("\n"),
        envoy.log().tail()
    );
    let open = still_open(&envoy).await?;
    let streams = envoy.admin().stat(STREAMS).await?.unwrap_or(0);
    if action.is_some() {
        // All that will be told is told once a second; what is missing after the deadline is the test's to say.
        let settled = wait_until("all streams to be counted", Duration::from_secs(15), async || {
            Ok((counted(&envoy).await? >= streams).then_some(()))
        });
        let _told_below = settled.await;
    }
    let stat = async |name| anyhow::Ok(envoy.admin().stat(name).await?.unwrap_or(0));
    Ok(Played {
        action,
        recordings,
        streams,
        counted: stat(REQUESTS).await?,
        unread: stat(UNREAD).await?,
        dropped: stat(DROPPED).await?,
        open,
        trouble: trouble(&envoy).await?,
    })
}

/// Streams that the plugin counted, or counted as unreadable.
async fn counted(envoy: &Envoy) -> Result<u64> {
    let (requests, unread) = (envoy.admin().stat(REQUESTS).await?, envoy.admin().stat(UNREAD).await?);
    Ok(requests.unwrap_or(0) + unread.unwrap_or(0))
}

/// Requests and connections that stay open.
async fn still_open(envoy: &Envoy) -> Result<u64> {
    let mut last = 0;
    let closed = wait_until("all to be closed", Duration::from_secs(20), async || {
        last = 0;
        for name in [
            "http.proxy.downstream_rq_active",
            "http.proxy.downstream_cx_active",
            "cluster.backend.upstream_rq_active",
            "cluster.backend.upstream_cx_active",
            "cluster.backend_h2.upstream_rq_active",
            "cluster.backend_h2.upstream_cx_active",
        ] {
            last += envoy.admin().stat(name).await?.unwrap_or(0);
        }
        Ok((last == 0).then_some(()))
    });
    let _told = closed.await;
    Ok(last)
}

/// Signs of a trap: a VM that was loaded again, a stream that a broken VM refused, what Envoy's log says of Wasm.
async fn trouble(envoy: &Envoy) -> Result<Vec<String>> {
    let stats = envoy.admin().get("/stats").await?;
    let signs = stats.lines().filter(|line| {
        let bad = ["vm_reload", "missing_vm", "vm_failed", "runtime_error", "fail"].iter().any(|b| line.contains(b));
        line.starts_with("wasm.") && bad && !line.ends_with(": 0")
    });
    let said = envoy.log().since(Default::default()).into_iter().filter(|line| {
        let bad = ["error", "critical"].contains(&line.level.as_str()) && line.logger == "wasm";
        bad || line.message.contains("panicked") || line.message.contains("Function:")
    });
    Ok(signs.map(str::to_owned).chain(said.map(|l| l.message)).collect())
}

#[test]
fn every_exchange_has_the_same_bytes_with_the_plugin_as_without() -> Result<()> {
    let played = played()?;
    let plain = &played[0];
    for with in &played[1..] {
        for (with_plugin, without) in with.recordings.iter().zip(&plain.recordings) {
            let name = &without.name;
            assert!(
                with_plugin == without,
                "«{name}», {:?}:\n--- without\n{without:#?}\n--- with\n{with_plugin:#?}",
                with.action
            );
        }
        assert_eq!(with.recordings.len(), plain.recordings.len());
    }
    Ok(())
}

#[test]
fn every_stream_is_counted_once_however_it_ended() -> Result<()> {
    let played = played()?;
    for with in &played[1..] {
        assert_eq!(with.streams, played[0].streams, "as many streams as without the plugin");
        assert_eq!(
            (with.counted + with.unread, with.dropped),
            (with.streams, 0),
            "{:?}: {} streams, {} read, {} not",
            with.action, with.streams, with.counted, with.unread
        );
        assert_eq!(with.unread, 0, "{:?}: each can be read", with.action);
    }
    Ok(())
}

#[test]
fn nothing_stays_open_once_its_client_is_gone() -> Result<()> {
    for with in played()? {
        assert_eq!(with.open, 0, "{:?}", with.action);
    }
    Ok(())
}

#[test]
fn no_exchange_traps_a_vm() -> Result<()> {
    for with in played()? {
        assert_eq!(with.trouble, Vec::<String>::new(), "{:?}", with.action);
    }
    Ok(())
}
