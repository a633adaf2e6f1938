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

use pairwatch_testbed::Value;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::stats::{
    COUNTED, DROPPED, IDENTITIES, MERGED, PAIRS, PAIRS_EVICTED, RECEIVED, UNREAD,
};
use pairwatch_testbed::wire::{self, Exchange, Recording, Stage};
use pairwatch_testbed::{
    Admin, Backend, Bootstrap, Client, Context, DEADLINE, Envoy, Prng, Result, anyhow, ensure,
    json, paths, raw, run, tokio, usage, wait_until,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Requests that passed all filters.
const REACHED: &str = "cluster.backend.upstream_rq_total";

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
    /// Streams that Envoy counted, without those it gave up before it made their filters.
    streams: u64,
    counted: u64,
    unread: u64,
    dropped: u64,
    /// What is still open of requests and connections, towards clients and backends.
    open: Vec<String>,
    trouble: Vec<String>,
}

/// The script played through all four proxies, once for all tests.
fn played() -> Result<&'static [Played]> {
    static PLAYED: OnceLock<std::result::Result<Vec<Played>, String>> = OnceLock::new();
    let played = PLAYED.get_or_init(|| {
        let outcome = run(async {
            let script = script()?;
            let one = |action| play(&script, action);
            let (plain, observe, tag, enforce) = tokio::try_join!(
                one(None),
                one(Some(ACTIONS[0])),
                one(Some(ACTIONS[1])),
                one(Some(ACTIONS[2])),
            )?;
            Ok(vec![plain, observe, tag, enforce])
        });
        outcome.map_err(|error| format!("{error:?}"))
    });
    played
        .as_deref()
        .map_err(|error| anyhow::anyhow!("{error}"))
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
    let unfiltered: u64 = script.iter().map(|exchange| exchange.unfiltered).sum();
    let streams = envoy.admin().stat(RECEIVED).await?.unwrap_or(0) - unfiltered;
    if action.is_some() {
        // All that will be told is told once a second; what is missing after the deadline is the test's to say.
        let settled = wait_until(
            "all streams to be counted",
            Duration::from_secs(15),
            async || Ok((counted(&envoy).await? >= streams).then_some(())),
        );
        let _told_below = settled.await;
    }
    let stat = async |name| anyhow::Ok(envoy.admin().stat(name).await?.unwrap_or(0));
    Ok(Played {
        action,
        recordings,
        streams,
        counted: stat(COUNTED).await?,
        unread: stat(UNREAD).await?,
        dropped: stat(DROPPED).await?,
        open,
        trouble: trouble(&envoy).await?,
    })
}

/// Streams that the plugin counted, or counted as unreadable.
async fn counted(envoy: &Envoy) -> Result<u64> {
    let (requests, unread) = (
        envoy.admin().stat(COUNTED).await?,
        envoy.admin().stat(UNREAD).await?,
    );
    Ok(requests.unwrap_or(0) + unread.unwrap_or(0))
}

/// What stays open of requests and of clients' connections. (Envoy keeps a connection to a backend whose client left before it
/// stood.)
async fn still_open(envoy: &Envoy) -> Result<Vec<String>> {
    let is_active = |line: &&str| {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        let of_clients = name.starts_with("http.proxy.") && name.ends_with("_active");
        let of_backends = name.starts_with("cluster.backend") && name.ends_with("_rq_active");
        (of_clients || of_backends) && value != "0"
    };
    let mut last = Vec::new();
    let closed = wait_until("all to be closed", DEADLINE, async || {
        let stats = envoy.admin().get("/stats").await?;
        last = stats.lines().filter(is_active).map(str::to_owned).collect();
        Ok(last.is_empty().then_some(()))
    });
    // What is still there is the caller's to tell.
    let _told = closed.await;
    Ok(last)
}

/// Signs of a trap: a VM that was loaded again, a stream that a broken VM refused, what Envoy's log says of Wasm.
async fn trouble(envoy: &Envoy) -> Result<Vec<String>> {
    let stats = envoy.admin().get("/stats").await?;
    let signs = stats.lines().filter(|line| {
        let bad = [
            "vm_reload",
            "missing_vm",
            "vm_failed",
            "runtime_error",
            "fail",
        ]
        .iter()
        .any(|b| line.contains(b));
        line.starts_with("wasm.") && bad && !line.ends_with(": 0")
    });
    let said = envoy
        .log()
        .since(Default::default())
        .into_iter()
        .filter(|line| {
            let bad = ["error", "critical"].contains(&line.level.as_str()) && line.logger == "wasm";
            bad || line.message.contains("panicked") || line.message.contains("Function:")
        });
    Ok(signs
        .map(str::to_owned)
        .chain(said.map(|l| l.message))
        .collect())
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
        assert_eq!(
            with.streams, played[0].streams,
            "as many streams as without the plugin"
        );
        assert_eq!(
            (with.counted + with.unread, with.dropped),
            (with.streams, 0),
            "{:?}: {} streams, {} read, {} not",
            with.action,
            with.streams,
            with.counted,
            with.unread
        );
        assert_eq!(with.unread, 0, "{:?}: each can be read", with.action);
    }
    Ok(())
}

#[test]
fn nothing_stays_open_once_its_client_is_gone() -> Result<()> {
    for with in played()? {
        assert_eq!(with.open, Vec::<String>::new(), "{:?}", with.action);
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

/// Connections a storm opens, and how many at once.
const STORM: u64 = 480;
/// Parts of it, between which memory is looked at.
const ROUNDS: u64 = 4;
const AT_ONCE: u64 = 8;

/// A request of which any part may be made of any bytes.
fn odd_request(dice: &mut Prng) -> Vec<u8> {
    /// What Envoy takes in a header's value; `#` apart it takes all that is ASCII in a path, too.
    fn allowed(byte: u8) -> bool {
        byte >= b' ' && byte != 0x7f
    }
    let bytes = |dice: &mut Prng, most: u64, allowed: fn(u8) -> bool| -> Vec<u8> {
        let length = dice.below(most);
        let any = std::iter::repeat_with(|| dice.below(256) as u8);
        any.filter(|b| allowed(*b)).take(length as usize).collect()
    };
    let in_paths: fn(u8) -> bool = |b| b.is_ascii_graphic() && b != b'#';
    let method = match dice.below(12) {
        0 => bytes(dice, 12, |_| true),
        1..=3 => b"POST".to_vec(),
        _ => b"GET".to_vec(),
    };
    let path = match dice.below(12) {
        0 => bytes(dice, 400, |_| true),
        1 | 2 => [b"/".to_vec(), bytes(dice, 60_000, in_paths)].concat(),
        _ => [b"/".to_vec(), bytes(dice, 300, in_paths)].concat(),
    };
    let mut request = [&method[..], b" ", &path, b" HTTP/1.1\r\nhost: a\r\n"].concat();
    for name in [
        "x-source",
        "x-user",
        "x-forwarded-for",
        "x-forwarded-client-cert",
        "x-odd",
    ] {
        let value = match dice.below(24) {
            // With what ends a line, and what ends a string.
            0 => bytes(dice, 200, |_| true),
            1..=4 => bytes(dice, 60_000, allowed),
            _ => bytes(dice, 200, allowed),
        };
        request.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
    }
    request.extend(b"connection: close\r\n\r\n");
    request
}

/// One after the other, odd requests: answered, cut short, left or reset.
async fn storm(address: SocketAddr, connections: u64, mut dice: Prng) -> Result<()> {
    for _ in 0..connections {
        let mut request = odd_request(&mut dice);
        match dice.below(3) {
            0 => {
                request.truncate(dice.below(request.len() as u64) as usize);
                raw::abandon(address, &request, dice.below(2) == 0).await?;
            }
            1 => raw::abandon(address, &request, dice.below(2) == 0).await?,
            _ => drop(raw::send(address, &request, DEADLINE).await?),
        }
    }
    Ok(())
}

/// One proxy in a storm.
async fn weather(action: &'static str) -> Result<()> {
    let backend = Backend::start().await?;
    // What Envoy refuses it closes after a while, and who sends half a request it waits for: both shorter here, where nobody minds
    // which answers arrive. Few pairs, so that the caps are reached at once.
    let mut config = config(action);
    config["limits"] = json!({"pairs": 10, "routes_per_pair": 4, "identities": 100});
    let envoy = open(Some(action))?
        .plugin_config(config)
        .set(&format!("{MANAGER}/delayed_close_timeout"), "0.02s")
        .set(&format!("{MANAGER}/request_headers_timeout"), "0.5s")
        .backend(backend.address())
        .start()
        .await?;
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        let storms = (0..AT_ONCE).map(|i| {
            let dice = Prng::new(round * AT_ONCE + i);
            let each = STORM / AT_ONCE / ROUNDS;
            tokio::spawn(storm(envoy.listener_address(), each, dice))
        });
        for storm in storms.collect::<Vec<_>>() {
            storm.await??;
        }
        let open = still_open(&envoy).await?;
        assert_eq!(open, Vec::<String>::new(), "{action}: nothing stays open");
        sizes.push(guest_memory(&envoy)?);
    }
    let get = envoy.url("/products/1");
    for _ in 0..20 {
        let status = Client::new().get(&get).await?.status;
        assert_eq!(status, 200, "{action}: it still serves");
    }
    let reached = envoy.admin().stat(REACHED).await?.unwrap_or(0);
    assert!(
        reached > STORM / 20,
        "{action}: {reached} of {STORM} passed all filters"
    );
    wait_until("what passed to be counted", DEADLINE, async || {
        Ok((counted(&envoy).await? >= reached).then_some(()))
    })
    .await?;
    // Streams that Envoy gives up before it makes their filters are no filter's to count.
    let streams = envoy.admin().stat(RECEIVED).await?.unwrap_or(0);
    let counted = counted(&envoy).await?;
    assert!(
        counted <= streams,
        "{action}: {counted} counted of {streams}"
    );
    println!(
        "{action}: {streams} streams, {counted} counted, {reached} to the backend, guest memory {sizes:?}"
    );
    assert_eq!(trouble(&envoy).await?, Vec::<String>::new(), "{action}");
    let (before, last) = (sizes[1], sizes[sizes.len() - 1]);
    assert!(last <= before + STEP, "{action}: guest memory {sizes:?}");
    Ok(())
}

#[test]
fn a_storm_of_odd_bytes_and_broken_connections_leaves_every_vm_whole_and_no_larger() -> Result<()> {
    run(async {
        let [observe, tag, enforce] = ACTIONS.map(weather);
        tokio::try_join!(observe, tag, enforce)?;
        Ok(())
    })
}

/// What an allocator may still take once everything has its size: a VM's memory grows by pages of 64 KiB, and the larger buffers
/// are found room for anew. A leak of 100 bytes a request is some times that.
const STEP: u64 = 512 * 1024;

/// All VMs' linear memory.
fn guest_memory(envoy: &Envoy) -> Result<u64> {
    let all = usage::linear_memories(envoy.id().context("Envoy doesn't run")?)?;
    ensure!(
        !all.is_empty(),
        "no VM's memory is found in the process's map"
    );
    Ok(all.iter().sum())
}

/// Requests of a flood: many times what the caps hold. `make hostile` sends a million.
fn flood_size() -> Result<u64> {
    match std::env::var("PAIRWATCH_HOSTILE_REQUESTS") {
        Ok(count) => Ok(count.parse()?),
        Err(_) => Ok(16_000),
    }
}

/// A number as a word, which no normaliser of paths takes for a number.
fn word(mut number: u64) -> String {
    let mut word = String::from("w");
    while number > 0 {
        word.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
    }
    word
}

/// The request of that number: path, authority, user and address are its own; every other source is.
fn made_up(number: u64) -> String {
    let word = word(number);
    let low = number as u32;
    let address = match number % 3 {
        0 => Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64).to_string(),
        _ => Ipv4Addr::from(0x0b00_0000 + low).to_string(),
    };
    let source = if number.is_multiple_of(2) {
        word.as_str()
    } else {
        "frontend"
    };
    format!(
        "GET /direct/{word}/of/{word} HTTP/1.1\r\nhost: {word}.example\r\nx-source: {source}\r\n\
         x-user: {word}\r\nx-forwarded-for: {address}\r\n\r\n"
    )
}

/// Sends the requests of these numbers, one after the other on one connection.
async fn flood(address: SocketAddr, numbers: impl Iterator<Item = u64>) -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::new();
    for number in numbers {
        stream.write_all(made_up(number).as_bytes()).await?;
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            let read = tokio::time::timeout(DEADLINE, stream.read_buf(&mut answer)).await??;
            ensure!(read > 0, "{number}: closed after {}", answer.escape_ascii());
        }
        ensure!(
            answer.starts_with(b"HTTP/1.1 204 "),
            "{number}: {}",
            answer.escape_ascii()
        );
    }
    Ok(())
}

async fn sum(admin: &Admin, names: &[&str]) -> Result<u64> {
    let mut sum = 0;
    for name in names {
        sum += admin.stat(name).await?.unwrap_or(0);
    }
    Ok(sum)
}

#[test]
fn made_up_paths_authorities_users_and_addresses_take_no_memory_beyond_the_caps() -> Result<()> {
    run(async {
        let total = flood_size()?;
        for action in ["observe", "enforce"] {
            let envoy = open(Some(action))?
                .patch(|tree| {
                    let routes = tree.pointer_mut(&format!("{MANAGER}/route_config/virtual_hosts/1/routes"));
                    let answered = json!({"match": {"prefix": "/direct/"}, "direct_response": {"status": 204}});
                    if let Some(Value::Array(routes)) = routes {
                        routes.insert(0, answered);
                    }
                })
                .start()
                .await?;
            let admin = envoy.admin();
            let mut sizes = Vec::new();
            const PARTS: u64 = 4;
            for part in 0..PARTS {
                let (from, to) = (total * part / PARTS, total * (part + 1) / PARTS);
                let floods = (0..AT_ONCE).map(|i| {
                    let numbers = (from + i..to).step_by(AT_ONCE as usize);
                    tokio::spawn(flood(envoy.listener_address(), numbers))
                });
                for flood in floods.collect::<Vec<_>>() {
                    flood.await?.with_context(|| {
                        format!("{action}, part {part}: {}", envoy.log().tail())
                    })?;
                }
                wait_until(
                    "all to be merged or counted as dropped",
                    DEADLINE,
                    async || {
                        let told = sum(admin, &[MERGED, DROPPED]).await?;
                        ensure!(told <= to, "{told} of {to}");
                        Ok((told == to).then_some(()))
                    },
                )
                .await?;
                sizes.push((guest_memory(&envoy)?, envoy.resident_bytes()?));
            }
            assert_eq!(
                sum(admin, &[COUNTED]).await?,
                total,
                "{action}: each is counted"
            );
            assert_eq!(sum(admin, &[UNREAD]).await?, 0, "{action}: each is read");
            let pairs = sum(admin, &[PAIRS]).await?;
            let identities = sum(admin, &[IDENTITIES]).await?;
            let evicted = sum(
                admin,
                &[PAIRS_EVICTED, "wasmcustom.pairwatch_counters_evicted_total"],
            )
            .await?;
            let forgotten = sum(
                admin,
                &[
                    "wasmcustom.pairwatch_identities_evicted_total",
                    "wasmcustom.pairwatch_unsighted_total",
                ],
            )
            .await?;
            println!(
                "{action}: {total} requests, {pairs} pairs, {evicted} evicted, {} dropped, {identities} identities, {forgotten} \
                 evicted or left out; guest memory and RSS in KiB: {:?}",
                sum(admin, &[DROPPED]).await?,
                sizes
                    .iter()
                    .map(|(g, r)| (g / 1024, r / 1024))
                    .collect::<Vec<_>>()
            );
            assert!(
                pairs <= 100 && identities <= 1000,
                "{action}: {pairs} pairs, {identities} identities"
            );
            assert!(
                evicted > 0 && forgotten > 0,
                "{action}: {evicted} and {forgotten} made room"
            );
            let (half, whole) = (sizes[1], sizes[3]);
            assert!(whole.0 <= half.0 + STEP, "{action}: guest memory {sizes:?}");
            assert!(
                whole.1 <= half.1 + RESIDENT_STEP,
                "{action}: resident memory {sizes:?}"
            );
            assert_eq!(trouble(&envoy).await?, Vec::<String>::new(), "{action}");
        }
        Ok(())
    })
}

/// What Envoy's process may still take: V8's own heap and compiled code come and go by megabytes.
const RESIDENT_STEP: u64 = 16 << 20;

#[test]
fn no_spelling_of_the_score_that_a_client_sends_reaches_the_upstream() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let spellings = [
            "x-pairwatch-score",
            "x_pairwatch_score",
            "X-Pairwatch_Score",
            "x_pairwatch-score",
        ];
        for action in ACTIONS {
            let envoy = open(Some(action))?
                .backend(backend.address())
                .start()
                .await?;
            for name in spellings {
                let get = request(
                    Method::GET,
                    &envoy.url("/headers"),
                    &[(name, "1"), ("x-other_score", "2")],
                    "",
                )?;
                let told: Value = json_of(&Client::new().send(get).await?.text())?;
                let heard = told.get(name.to_ascii_lowercase()).is_some();
                assert_eq!(heard, action == "observe", "{action}, {name}: {told}");
                assert_eq!(told["x-other_score"], "2", "{action}: others stay");
            }
        }
        Ok(())
    })
}

fn json_of(text: &str) -> Result<Value> {
    Ok(pairwatch_testbed::serde_json::from_str(text)?)
}
