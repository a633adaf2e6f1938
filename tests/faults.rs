//! Faults on a real Envoy under load, and what each costs: requests sent against those in windows, counted as dropped, or answered
//! 5xx. What may be lost is in docs/operations.md. Faults that need a trap use the module's other form, which makes them on request
//! (src/fault.rs).
//!
//! Elsewhere: a quiet proxy's trapped leader or worker, and one update (spine.rs); stores that are silent or answer garbage (warm.rs);
//! sinks in the counting host, tries, pauses and bounds included (sinks.rs); verdicts once nobody aggregates (verdicts.rs).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::service::reply;
use pairwatch_testbed::stats::{
    COUNTED, DROPPED, ELECTIONS, FAILED, HEARTBEAT, MERGED, RECEIVED, SNAPSHOTS,
};
use pairwatch_testbed::tokio::io::{AsyncReadExt, AsyncWriteExt};
use pairwatch_testbed::tokio::net::TcpStream;
use pairwatch_testbed::{
    Backend, Bootstrap, Client, Context, DEADLINE, Envoy, Error, Load, Result, Service, Update,
    anyhow, bail, ensure, paths, run, usage, wait_until,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn quick() -> Value {
    json!({
        "windows": ["1s", "4s"],
        "learning": {"warmup": "5s", "snapshot_every": "2s"},
        "names": {"trusted_source_header": "x-source"}
    })
}

fn faulty() -> PathBuf {
    paths::workspace().join("target/pairwatch-faults.wasm")
}

/// A proxy of either form that makes faults on request: the aggregator elected, or a service of the bootstrap.
fn faulty_proxy(form: &str, backend: &Backend) -> Result<Bootstrap> {
    let open = Bootstrap::open(form)?
        .backend(backend.address())
        .plugin_config(quick())
        .module(faulty());
    if form == ELECTED {
        return Ok(open);
    }
    let mut config = quick();
    config["role"] = json!("aggregator");
    Ok(open.aggregator_config(config))
}

const ELECTED: &str = "proxy.yaml";
const SINGLETON: &str = "proxy-singleton.yaml";

/// A connection of one worker's, on which one request follows another.
struct Line {
    stream: TcpStream,
    worker: usize,
}

impl Line {
    /// One to each worker of two: which takes a connection is the kernel's choice, and Envoy tells which did.
    async fn to_each_worker(envoy: &Envoy) -> Result<(Self, Self)> {
        let mut lines: [Option<Self>; 2] = [None, None];
        wait_until("a connection to each worker", DEADLINE, async || {
            let before = connections(envoy).await?;
            let stream = TcpStream::connect(envoy.listener_address()).await?;
            stream.set_nodelay(true)?;
            let worker = wait_until("the connection", DEADLINE, async || {
                let now = connections(envoy).await?;
                Ok((0..2).find(|worker| now[*worker] > before[*worker]))
            });
            let worker = worker.await?;
            lines[worker].get_or_insert(Self { stream, worker });
            Ok(lines.iter().all(Option::is_some).then_some(()))
        })
        .await?;
        let [first, second] = lines;
        Ok((first.unwrap(), second.unwrap()))
    }

    async fn send(&mut self, path: &str, fault: &str) -> Result<()> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nx-source: frontend\r\nx-pairwatch-fault: {fault}\r\n\r\n"
        );
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// The status of the next answer; nothing when the connection ends without one.
    async fn answer(&mut self) -> Result<Option<u16>> {
        let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
        let read = async {
            loop {
                if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                    let size = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: "));
                    let size: usize = size.context("an answer without a length")?.parse()?;
                    if bytes.len() >= end + 4 + size {
                        let status = head.split(' ').nth(1).context("no status")?;
                        return Ok(Some(status.parse()?));
                    }
                }
                match self.stream.read(&mut some).await {
                    Ok(0) | Err(_) => return Ok(None),
                    Ok(size) => bytes.extend_from_slice(&some[..size]),
                }
            }
        };
        pairwatch_testbed::tokio::time::timeout(DEADLINE, read).await?
    }

    async fn ask(&mut self, path: &str, fault: &str) -> Result<Option<u16>> {
        self.send(path, fault).await?;
        self.answer().await
    }
}

async fn connections(envoy: &Envoy) -> Result<[u64; 2]> {
    let listener = envoy.listener_address().to_string().replace(':', "_");
    let mut counts = [0; 2];
    for (worker, count) in counts.iter_mut().enumerate() {
        let name = format!("listener.{listener}.worker_{worker}.downstream_cx_total");
        *count = envoy.admin().stat(&name).await?.unwrap_or(0);
    }
    Ok(counts)
}

async fn stat(envoy: &Envoy, name: &str) -> Result<u64> {
    Ok(envoy.admin().stat(name).await?.unwrap_or(0))
}

async fn merged(envoy: &Envoy, wanted: u64) -> Result<u64> {
    envoy
        .admin()
        .wait_for_stat(MERGED, DEADLINE, |n| n >= wanted)
        .await
}

/// Awaits that the aggregator has looked this many times more.
async fn ticks(envoy: &Envoy, more: u64) -> Result<()> {
    let before = stat(envoy, HEARTBEAT).await?;
    let later = envoy
        .admin()
        .wait_for_stat(HEARTBEAT, DEADLINE, |n| n >= before + more);
    later.await.map(drop)
}

#[test]
fn a_worker_that_traps_loses_its_own_counts_of_one_tick_and_nobody_elses() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = faulty_proxy(ELECTED, &backend)?.start().await?;
        let (mut mine, mut other) = Line::to_each_worker(&envoy).await?;
        for line in [&mut mine, &mut other] {
            for _ in 0..20 {
                assert_eq!(line.ask("/", "").await?, Some(200));
            }
        }
        merged(&envoy, 40).await?;
        // As fast as they go: so that few, if any, are sent by a tick before the trap.
        for _ in 0..30 {
            assert_eq!(other.ask("/", "").await?, Some(200));
            assert_eq!(mine.ask("/", "").await?, Some(200));
        }
        // The trap is after the answer: it is complete.
        assert_eq!(mine.ask("/", "worker").await?, Some(200));
        let (mut refused, mut served) = (0, 0);
        for _ in 0..50 {
            assert_eq!(
                other.ask("/", "").await?,
                Some(200),
                "the other worker goes on"
            );
        }
        // Refused until the VM is made anew, after Envoy's back-off.
        wait_until("the worker to serve again", DEADLINE, async || {
            match mine.ask("/", "").await? {
                Some(200) => served += 1,
                Some(503) => refused += 1,
                other => bail!("{other:?}"),
            }
            Ok((served == 10).then_some(()))
        })
        .await?;
        // 30 + 1 of this worker were at stake; all others are in windows.
        let sure = 40 + 30 + 50 + served;
        merged(&envoy, sure).await?;
        ticks(&envoy, 3).await?;
        let (in_windows, dropped) = (stat(&envoy, MERGED).await?, stat(&envoy, DROPPED).await?);
        println!(
            "worker trap: {} of 31 lost, {refused} answered 503",
            sure + 31 - in_windows
        );
        assert!(
            (sure..=sure + 31).contains(&in_windows),
            "{in_windows} of {sure} + 31 at most"
        );
        assert_eq!(dropped, 0);
        assert_eq!(stat(&envoy, FAILED).await?, refused);
        Ok(())
    })
}

/// What one worker answers after a trap in the path of a request, and whether it counts again.
#[derive(Debug, PartialEq)]
struct Seen {
    /// The request that trapped.
    trapping: u16,
    /// One that was under way in the same VM, its upstream yet to answer.
    under_way: u16,
    /// The first one after.
    next: u16,
    /// One a while later.
    later: u16,
    counts_again: bool,
}

/// Traps one worker of two in the path of a request, while another is under way in it.
async fn trap_in_the_path(policy: &str) -> Result<Seen> {
    let backend = Backend::start().await?;
    let envoy = faulty_proxy(ELECTED, &backend)?
        .patch(|tree| set_policy(tree, policy))
        .start()
        .await?;
    let (mut mine, mut other) = Line::to_each_worker(&envoy).await?;
    let (a, b) = Line::to_each_worker(&envoy).await?;
    let mut slow = if a.worker == mine.worker { a } else { b };
    for line in [&mut mine, &mut other, &mut slow] {
        ensure!(line.ask("/", "").await? == Some(200));
    }
    let at_backend = backend.requests();
    slow.send("/delay/1500", "").await?;
    wait_until("the slow request at its upstream", DEADLINE, async || {
        Ok((backend.requests() > at_backend).then_some(()))
    })
    .await?;
    let trapping = mine.ask("/", "request").await?.unwrap_or(0);
    let next = mine.ask("/", "").await?.unwrap_or(0);
    let under_way = slow.answer().await?.unwrap_or(0);
    // Longer than Envoy's back-off, a second, before it makes a VM anew.
    ticks(&envoy, 3).await?;
    let mut later = 0;
    for _ in 0..10 {
        later = mine.ask("/", "").await?.unwrap_or(0);
        ensure!(
            other.ask("/", "").await? == Some(200),
            "the other worker goes on"
        );
    }
    ticks(&envoy, 3).await?;
    let before = stat(&envoy, COUNTED).await?;
    for _ in 0..10 {
        mine.ask("/", "").await?;
    }
    ticks(&envoy, 3).await?;
    Ok(Seen {
        trapping,
        under_way,
        next,
        later,
        counts_again: stat(&envoy, COUNTED).await? >= before + 10,
    })
}

#[test]
fn what_a_trap_costs_users_is_what_the_failure_policy_says() -> Result<()> {
    run(async {
        // All at once: each waits most of the time.
        let (closed, open, reload, legacy) = pairwatch_testbed::tokio::try_join!(
            trap_in_the_path("FAIL_CLOSED"),
            trap_in_the_path("FAIL_OPEN"),
            trap_in_the_path("FAIL_RELOAD"),
            trap_in_the_path("fail_open"),
        )?;
        println!("FAIL_CLOSED: {closed:?}\nFAIL_OPEN: {open:?}");
        println!("FAIL_RELOAD: {reload:?}\nfail_open: true: {legacy:?}");
        let refused = || Seen {
            trapping: 503,
            under_way: 503,
            next: 503,
            later: 503,
            counts_again: false,
        };
        assert_eq!(closed, refused());
        let then_passed = Seen {
            next: 200,
            later: 200,
            ..refused()
        };
        assert_eq!(open, then_passed);
        let then_watched = Seen {
            later: 200,
            counts_again: true,
            ..refused()
        };
        assert_eq!(reload, then_watched);
        let passed = Seen {
            trapping: 200,
            under_way: 200,
            next: 200,
            later: 200,
            counts_again: false,
        };
        assert_eq!(legacy, passed);
        Ok(())
    })
}

/// Sets the failure policy of every plugin; `fail_open` is the field of that name, which came before policies.
fn set_policy(tree: &mut Value, policy: &str) {
    match tree {
        Value::Object(fields) => {
            if fields.remove("failure_policy").is_some() {
                match policy {
                    "fail_open" => fields.insert(policy.into(), json!(true)),
                    _ => fields.insert("failure_policy".into(), json!(policy)),
                };
            }
            fields.values_mut().for_each(|v| set_policy(v, policy));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| set_policy(v, policy)),
        _ => {}
    }
}

/// GETs of `sources` callers in turn, at `rate` a second.
fn crowd(envoy: &Envoy, rate: f64, sources: u64) -> Load {
    crowd_by(envoy, rate, sources, "keep-alive")
}

/// The same with connections kept alive, or closed.
fn crowd_by(envoy: &Envoy, rate: f64, sources: u64, connection: &'static str) -> Load {
    let url = envoy.url("/products/1");
    Load::start(rate, 7, move |mut visitor| {
        let source = format!("source-{}", visitor.random.below(sources));
        let headers = [("x-source", source.as_str()), ("connection", connection)];
        let get = request(Method::GET, &url, &headers, "");
        async move {
            visitor.send(get).await;
        }
    })
}

/// One request, answered 200, that asks for a fault.
async fn fault(envoy: &Envoy, name: &str) -> Result<()> {
    let headers = [("x-source", "source-0"), ("x-pairwatch-fault", name)];
    let get = request(Method::GET, &envoy.url("/"), &headers, "")?;
    let reply = Client::new().send(get).await?;
    ensure!(reply.status == 200, "answered {}", reply.status);
    Ok(())
}

/// Awaits that every request that was answered is in a window, once; nothing was dropped, and none was answered but with 200.
async fn all_counted(envoy: &Envoy, load: Load, further: u64) -> Result<u64> {
    let counts = load.stop().await;
    let total = counts.responses() + further;
    ensure!(
        counts.errors == 0 && counts.dropped == 0 && counts.status(200) == counts.responses(),
        "{counts:?}"
    );
    merged(envoy, total).await?;
    ticks(envoy, 3).await?;
    let now = [MERGED, COUNTED, RECEIVED, DROPPED];
    let mut found = [0; 4];
    for (name, found) in now.iter().zip(&mut found) {
        *found = stat(envoy, name).await?;
    }
    ensure!(
        found == [total, total, total, 0],
        "of {total} sent: merged, counted, received and dropped are {found:?}"
    );
    Ok(total)
}

#[test]
fn a_leader_that_traps_under_load_costs_no_answer_and_no_count_in_either_form() -> Result<()> {
    async fn case(form: &'static str, name: &'static str) -> Result<()> {
        let backend = Backend::start().await?;
        let envoy = faulty_proxy(form, &backend)?.start().await?;
        let load = crowd(&envoy, 40.0, 3);
        merged(&envoy, 80).await?;
        fault(&envoy, name).await?;
        let led = envoy.admin().wait_for_stat(ELECTIONS, DEADLINE, |n| n == 2);
        led.await?;
        let before = stat(&envoy, MERGED).await?;
        merged(&envoy, before + 80).await?;
        let total = all_counted(&envoy, load, 1)
            .await
            .with_context(|| format!("{form}, {name}"))?;
        println!("{form}, trap of the {name}: 0 of {total} lost");
        // The main thread's VM serves no stream that would have it made anew, nor is a singleton's: the lease stays where it went.
        ensure!(
            stat(&envoy, ELECTIONS).await? == 2,
            "another took over again"
        );
        Ok(())
    }
    run(async {
        // All at once: each waits most of the time.
        pairwatch_testbed::tokio::try_join!(
            case(ELECTED, "leader"),
            case(ELECTED, "leading"),
            case(SINGLETON, "leader"),
            case(SINGLETON, "leading"),
        )?;
        Ok(())
    })
}

#[test]
fn a_worker_that_leads_and_traps_in_the_middle_of_it_loses_nothing_that_was_counted() -> Result<()>
{
    run(async {
        let backend = Backend::start().await?;
        let envoy = faulty_proxy(ELECTED, &backend)?.start().await?;
        let (mut a, mut b) = Line::to_each_worker(&envoy).await?;
        let mut sent = 0;
        // First the main thread's VM, then the worker's that took over.
        for (name, elections) in [("leader", 2), ("leading", 3)] {
            merged(&envoy, sent).await?;
            for _ in 0..20 {
                for line in [&mut a, &mut b] {
                    assert_eq!(line.ask("/", "").await?, Some(200));
                    sent += 1;
                }
            }
            assert_eq!(a.ask("/", name).await?, Some(200));
            sent += 1;
            let led = envoy
                .admin()
                .wait_for_stat(ELECTIONS, DEADLINE, |n| n == elections);
            led.await?;
        }
        // Whichever of the two it was: its VM is made anew, and both count.
        let mut refused = 0;
        for line in [&mut a, &mut b] {
            let mut served = 0;
            wait_until("the worker to serve again", DEADLINE, async || {
                match line.ask("/", "").await? {
                    Some(200) => served += 1,
                    Some(503) => refused += 1,
                    other => bail!("{other:?}"),
                }
                Ok((served == 10).then_some(()))
            })
            .await?;
            sent += served;
        }
        merged(&envoy, sent).await?;
        ticks(&envoy, 3).await?;
        println!("a leading worker: 0 of {sent} lost, {refused} answered 503");
        assert_eq!(stat(&envoy, MERGED).await?, sent);
        assert_eq!(stat(&envoy, COUNTED).await?, sent);
        assert_eq!(stat(&envoy, DROPPED).await?, 0);
        assert_eq!(stat(&envoy, FAILED).await?, refused);
        Ok(())
    })
}

/// How long an aggregator is stalled: `PAIRWATCH_STALL` seconds, so that a minute can be had. Another leads after seven, on a machine
/// that does nothing else.
fn stall() -> u64 {
    let seconds = std::env::var("PAIRWATCH_STALL").ok();
    seconds.and_then(|s| s.parse().ok()).unwrap_or(15)
}

/// Batches on the queue that nobody took off.
async fn waiting(envoy: &Envoy) -> Result<u64> {
    let sent = stat(envoy, "wasmcustom.pairwatch_batches_sent_total").await?;
    let taken = stat(envoy, "wasmcustom.pairwatch_batches_merged_total").await?;
    Ok(sent.saturating_sub(taken))
}

#[test]
fn while_nobody_aggregates_workers_hold_their_counts_and_the_queue_stays_short() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = faulty_proxy(ELECTED, &backend)?.start().await?;
        let load = crowd(&envoy, 100.0, 20);
        merged(&envoy, 300).await?;
        let before = envoy.resident_bytes()?;
        fault(&envoy, "nobody").await?;
        let since = std::time::Instant::now();
        let (mut longest, mut largest) = (0, 0);
        while since.elapsed() < Duration::from_secs(stall()) {
            longest = longest.max(waiting(&envoy).await?);
            largest = largest.max(envoy.resident_bytes()?);
            pairwatch_testbed::tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let stalled = stat(&envoy, COUNTED).await? - stat(&envoy, MERGED).await?;
        fault(&envoy, "heal").await?;
        let total = all_counted(&envoy, load, 2).await?;
        println!(
            "nobody aggregates for {} s: {stalled} requests held, at most {longest} batches on the queue, {} KiB more resident; 0 of {total} lost",
            stall(),
            largest.saturating_sub(before) >> 10
        );
        ensure!(stalled > 100, "{stalled} held is no stall");
        // Each of two workers sends while the last heartbeat is fresh: three seconds, and a tick on either side.
        ensure!(longest <= 2 * 5, "{longest} batches waited");
        // What workers may hold, and what the process does anyway.
        ensure!(largest < before + (8 << 20), "{before} grew to {largest}");
        Ok(())
    })
}

#[test]
fn a_leader_whose_thread_stalls_loses_the_lease_and_no_count() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = faulty_proxy(ELECTED, &backend)?.start().await?;
        // A connection a request, so that both workers serve: one that does not would lead as well as the one that stalls.
        let load = crowd_by(&envoy, 60.0, 3, "close");
        merged(&envoy, 120).await?;
        // What was learned has to be somewhere, or who leads next begins with nothing.
        let saved = envoy.admin().wait_for_stat(SNAPSHOTS, DEADLINE, |n| n > 0);
        saved.await?;
        let before = envoy.resident_bytes()?;
        let mark = envoy.log().mark();
        fault(&envoy, &format!("stall={}", stall())).await?;
        // Nothing can be asked of Envoy meanwhile: its main thread is the one that stalls. The log is.
        let office = "this VM aggregates now, with what was learned";
        envoy
            .log()
            .find(mark, DEADLINE, |l| l.message.contains(office).then_some(()))
            .await?;
        let largest = envoy.resident_bytes()?;
        // It comes to itself, and sees that another leads; being idle, it takes the lease back.
        let within = DEADLINE + Duration::from_secs(stall());
        let led = envoy.admin().wait_for_stat(ELECTIONS, within, |n| n == 3);
        led.await?;
        let total = all_counted(&envoy, load, 1).await?;
        println!(
            "a leader's thread stalls {} s: 0 of {total} lost, {} KiB more resident",
            stall(),
            largest.saturating_sub(before) >> 10
        );
        ensure!(largest < before + (8 << 20), "{before} grew to {largest}");
        Ok(())
    })
}

#[test]
fn a_clock_that_jumps_an_hour_either_way_costs_no_count_and_raises_no_alert() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        // Not what a busy test machine really does to durations, and to a load's pace.
        let mut config = quick();
        config["signals"] = json!({"latency": false, "request_rate": false});
        let envoy = Bootstrap::open(ELECTED)?
            .backend(backend.address())
            .plugin_config(&config)
            .module(faulty())
            .start()
            .await?;
        let load = crowd(&envoy, 60.0, 3);
        merged(&envoy, 60 * 6).await?;
        for jump in ["clock=3600", "clock=0", "clock=-3600", "clock=0"] {
            fault(&envoy, jump).await?;
            let before = stat(&envoy, MERGED).await?;
            // Some seconds, in which everybody must have found together again.
            merged(&envoy, before + 60 * 3).await?;
        }
        let up = stat(&envoy, "wasmcustom.pairwatch_aggregator_up").await?;
        ensure!(up == 1, "somebody aggregates");
        let alerts: Vec<String> = envoy.alerts()?.into_iter().map(|a| a.message).collect();
        ensure!(alerts.is_empty(), "{alerts:?}");
        let total = all_counted(&envoy, load, 4).await?;
        println!("clock an hour forth and back, and back and forth: 0 of {total} lost, no alert");
        // What is odd is told of all the same.
        let odd = Load::get(Load::ATTACK, 1, envoy.url("/status/401"));
        envoy
            .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
            .await?;
        odd.stop().await;
        Ok(())
    })
}

/// How many updates: `PAIRWATCH_UPDATES`.
fn updates() -> u64 {
    let count = std::env::var("PAIRWATCH_UPDATES").ok();
    count.and_then(|s| s.parse().ok()).unwrap_or(100)
}

/// The slope of the line that fits values at even distances best, by least squares.
fn slope(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (x, y) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        over += (i as f64 - x) * (value - y);
        under += (i as f64 - x).powi(2);
    }
    over / under
}

const FILTERS: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

/// The plugin's filter as an extension of its own, which Envoy reads from a file: Istio's way, by which connections live through an
/// update.
struct Discovered {
    folder: tempfile::TempDir,
    filter: Value,
    version: u64,
}

impl Discovered {
    fn take(tree: &mut Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let filters = tree.pointer_mut(FILTERS).context("no filters")?;
        let mut filter = filters[0]["typed_config"].take();
        pairwatch_testbed::bootstrap::set_module(&mut filter, &faulty());
        filters[0] = json!({
            "name": "pairwatch",
            "config_discovery": {
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": {
                        "path": folder.path().join("filter.json"),
                        "watched_directory": { "path": folder.path() },
                    },
                },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        });
        let discovered = Self {
            folder,
            filter,
            version: 0,
        };
        Ok(discovered)
    }

    fn publish(&mut self, config: &Value) -> Result<()> {
        self.version += 1;
        let configured =
            pairwatch_testbed::bootstrap::set_filter_config(&mut self.filter, &config.to_string());
        ensure!(configured, "no filter to configure");
        let response = json!({
            "version_info": self.version.to_string(),
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": "pairwatch",
                "typed_config": self.filter,
            }],
        });
        let new = self.folder.path().join("filter.new");
        std::fs::write(&new, response.to_string())?;
        Ok(std::fs::rename(
            new,
            self.folder.path().join("filter.json"),
        )?)
    }
}

/// A configuration that differs from the one before.
fn config_of(update: u64) -> Value {
    let mut config = quick();
    config["false_alerts_per_week"] = json!(1 + update % 20);
    config
}

/// Updates a configuration again and again under load, and holds what was lost and what it grew by against what is documented.
async fn update_again_and_again(
    mut envoy: Envoy,
    load: Load,
    what: &str,
    mut update: impl AsyncFnMut(&mut Envoy, u64) -> Result<()>,
) -> Result<()> {
    let id = envoy.id().context("Envoy doesn't run")?;
    merged(&envoy, 120).await?;
    let (mut host, mut guest, mut vms) = (Vec::new(), Vec::new(), 0);
    for number in 1..=updates() {
        update(&mut envoy, number).await?;
        if number == 1 {
            vms = usage::linear_memories(id)?.len();
        }
        if number > updates() / 2 {
            host.push(envoy.resident_bytes()? as f64);
            guest.push(usage::linear_memories(id)?.iter().sum::<u64>() as f64);
        }
    }
    let total = all_counted(&envoy, load, 0).await?;
    // VMs number themselves from 1 on: each but the base tells how many roots it holds.
    let mut roots = Vec::new();
    for vm in 1..=8 {
        let name = format!("wasmcustom.pairwatch_fault_roots_{vm}");
        if envoy.admin().stat(&name).await?.is_some() {
            envoy
                .admin()
                .wait_for_stat(&name, DEADLINE, |n| n == 1)
                .await?;
            roots.push(vm);
        }
    }
    println!(
        "{} updates {what}: 0 of {total} lost; an update of the latter half adds {:.1} KiB to Envoy and {:.1} KiB to its {} VMs; one root is left in each",
        updates(),
        slope(&host) / 1024.0,
        slope(&guest) / 1024.0,
        guest.len().min(1) * usage::linear_memories(id)?.len()
    );
    ensure!(roots.len() >= 2, "{roots:?} tell of their roots");
    ensure!(
        usage::linear_memories(id)?.len() <= vms,
        "more VMs than before"
    );
    ensure!(stat(&envoy, ELECTIONS).await? == 1, "the aggregator stayed");
    // Memory grows by pages: one in each VM, wherever it falls, tilts the line by this much. That no root stays is told above.
    let page = 1.5 * 65536.0 / guest.len() as f64;
    ensure!(
        slope(&guest) <= page * vms as f64,
        "guests grow by {} bytes an update",
        slope(&guest)
    );
    ensure!(
        slope(&host) < 64.0 * 1024.0,
        "Envoy grows by {} bytes an update",
        slope(&host)
    );
    Ok(())
}

#[test]
fn a_hundred_updates_of_the_extension_under_load_lose_nothing_and_leave_nothing_behind()
-> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut discovered = Err(Error::msg("not patched"));
        let bootstrap = Bootstrap::open(ELECTED)?
            .backend(backend.address())
            .plugin_config(quick())
            .patch(|tree| discovered = Discovered::take(tree));
        let mut discovered = discovered?;
        discovered.publish(&config_of(0))?;
        let envoy = bootstrap.start().await?;
        let load = crowd(&envoy, 60.0, 3);
        update_again_and_again(envoy, load, "of the extension", async |envoy, number| {
            const RELOADS: &str = "extension_config_discovery.http_filter.pairwatch.config_reload";
            let before = stat(envoy, RELOADS).await?;
            discovered.publish(&config_of(number))?;
            let taken = envoy
                .admin()
                .wait_for_stat(RELOADS, DEADLINE, |n| n > before);
            taken.await.map(drop)
        })
        .await
    })
}

#[test]
fn a_hundred_updates_of_the_listener_under_load_lose_nothing_and_leave_nothing_behind() -> Result<()>
{
    run(async {
        let backend = Backend::start().await?;
        let envoy = Bootstrap::open(ELECTED)?
            .backend(backend.address())
            .plugin_config(config_of(0))
            .module(faulty())
            .listener_from_file()
            .start()
            .await?;
        // A listener that is replaced closes its connections, with or without a plugin: a request that was on its way then is
        // nobody's.
        let load = crowd_by(&envoy, 60.0, 3, "close");
        update_again_and_again(envoy, load, "of the listener", async |envoy, number| {
            let update = envoy.update_plugin_config(config_of(number)).await?;
            ensure!(update == Update::Accepted, "{update:?}");
            Ok(())
        })
        .await
    })
}

/// An HTTP store: what was PUT there last.
async fn store() -> Result<(Service, Arc<Mutex<Option<Vec<u8>>>>)> {
    let held = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&held);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let service = Service::start(address, move |asked| {
        let mut held = keep.lock().unwrap();
        let answer = match (asked.method(), &*held) {
            (&Method::PUT, _) => {
                *held = Some(asked.body().to_vec());
                reply(204, "")
            }
            (_, Some(bytes)) => reply(200, bytes.clone()),
            _ => reply(404, "nothing"),
        };
        async move { answer }
    });
    Ok((service.await?, held))
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name, "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        }}]}]},
    })
}

#[test]
fn an_envoy_killed_under_load_begins_again_with_what_it_last_put_back() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let (service, held) = store().await?;
        let port = service.address().port();
        let mut config = quick();
        config["learning"]["warm_start"] =
            json!({"cluster": "store", "path": "/baseline", "save_every": "2s"});
        // Not what a busy test machine really does to durations, and to a load's pace.
        config["signals"] = json!({"latency": false, "request_rate": false});
        let mut envoy = Bootstrap::open(ELECTED)?
            .backend(backend.address())
            .plugin_config(&config)
            .patch(move |tree| {
                let clusters = tree["static_resources"]["clusters"].as_array_mut();
                clusters.unwrap().push(cluster("store", port));
            })
            .fixed_port(port)
            .start()
            .await?;
        let load = crowd(&envoy, 60.0, 1);
        wait_until("a baseline in the store", DEADLINE * 2, async || {
            Ok(held.lock().unwrap().is_some().then_some(()))
        })
        .await?;
        envoy.restart().await?;
        envoy
            .wait_for_log(DEADLINE, |l| l.message.contains("warm start: 1 pairs"))
            .await?;
        // The new process has counted from nothing on, and knows what is usual.
        merged(&envoy, 120).await?;
        let counts = load.stop().await;
        ensure!(
            counts.status(200) == counts.responses(),
            "who was not refused a connection was served: {counts:?}"
        );
        let received = stat(&envoy, RECEIVED).await?;
        merged(&envoy, received).await?;
        let alerts: Vec<String> = envoy.alerts()?.into_iter().map(|a| a.message).collect();
        ensure!(alerts.is_empty(), "{alerts:?}");
        let odd = Load::start(20.0, 3, {
            let url = envoy.url("/status/401");
            move |visitor| {
                let get = request(Method::GET, &url, &[("x-source", "source-0")], "");
                async move {
                    visitor.send(get).await;
                }
            }
        });
        let alert = envoy
            .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
            .await?;
        odd.stop().await;
        let maturity = alert.maturity.as_ref().and_then(Value::as_f64);
        ensure!(maturity.is_some_and(|m| m > 0.99), "{alert:?}");
        println!(
            "killed: {} of {} visits found nobody, no 5xx, the new process counted all of its {received}",
            counts.errors,
            counts.errors + counts.responses()
        );
        Ok(())
    })
}

/// Accepts connections and does as told with each.
fn receiver<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> Result<u16>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let listener = pairwatch_testbed::tokio::net::TcpListener::from_std(listener)?;
    pairwatch_testbed::tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            pairwatch_testbed::tokio::spawn(then(stream));
        }
    });
    Ok(port)
}

#[test]
fn sinks_that_refuse_hang_or_answer_garbage_cost_tries_and_no_alert_in_the_log() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let refusing = receiver(|mut stream| async move {
            let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
        })?;
        let hanging = receiver(|stream| async move {
            let _held = stream;
            std::future::pending().await
        })?;
        let garbage = receiver(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(&[0xff, 0, b'{', 0x80, b'\r', b'\n', 7])
                .await;
        })?;
        // An answer that is well-formed and says nothing of use.
        let nonsense = receiver(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = "x".repeat(100_000);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
        })?;
        let ports = [
            ("refusing", refusing),
            ("hanging", hanging),
            ("garbage", garbage),
            ("nonsense", nonsense),
        ];
        let mut config = quick();
        config["sinks"] = ports
            .iter()
            .map(|(name, _)| {
                json!({"type": "webhook", "name": name, "cluster": name, "timeout": "1s"})
            })
            .collect();
        let mut bootstrap = Bootstrap::open(ELECTED)?
            .backend(backend.address())
            .plugin_config(&config)
            .patch(|tree| {
                let clusters = tree["static_resources"]["clusters"].as_array_mut();
                let more = ports.iter().map(|(name, port)| cluster(name, *port));
                clusters.unwrap().extend(more);
            });
        for (_, port) in ports {
            bootstrap = bootstrap.fixed_port(port);
        }
        let envoy = bootstrap.start().await?;
        let odd = Load::get(Load::ATTACK, 1, envoy.url("/status/401"));
        envoy
            .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
            .await?;
        let failed = async |sink: &str| {
            let metrics = envoy.admin().metrics().await?;
            anyhow::Ok(metrics.sum("pairwatch_sink_failed_total", &[("sink", sink)]))
        };
        for sink in ["refusing", "hanging", "garbage"] {
            wait_until(&format!("a failed try of {sink}"), DEADLINE, async || {
                Ok(failed(sink).await?.filter(|n| *n >= 2.0))
            })
            .await?;
        }
        // What a receiver answers beside its status is not looked at.
        let metrics = envoy.admin().metrics().await?;
        let taken = metrics.sum("pairwatch_sink_sent_total", &[("sink", "nonsense")]);
        ensure!(taken.is_some_and(|n| n >= 1.0), "{taken:?}");
        let counts = odd.stop().await;
        ensure!(
            counts.errors == 0 && counts.status(401) == counts.responses(),
            "{counts:?}"
        );
        merged(&envoy, counts.responses()).await?;
        ensure!(
            stat(&envoy, MERGED).await? == counts.responses(),
            "counts go on"
        );
        ensure!(
            stat(&envoy, ELECTIONS).await? == 1,
            "and so does the aggregator"
        );
        let mut tries = Vec::new();
        for sink in ["refusing", "hanging", "garbage"] {
            tries.push(failed(sink).await?.unwrap_or(0.0));
        }
        println!(
            "sinks: {tries:?} failed tries, {} lines in the log",
            envoy.alerts()?.len()
        );
        Ok(())
    })
}
