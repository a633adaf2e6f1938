//! A soak: mixed traffic for a long time through one real Envoy, and what must hold at its end.
//!
//! **Traffic** comes open-loop ([`Load`]): several methods, statuses, sizes and durations, gRPC, callers and users by header. Callers
//! and users live for a while and make way for new ones, so that the plugin's caps are reached early and it evicts from then on.
//! Connections are kept alive, opened for one request, or reset while the answer is under way.
//!
//! **What must hold** at its end:
//!
//! | Property | How it is told |
//! |---|---|
//! | counts in = counts out | Envoy's own count of the listener's requests = the plugin's, and those = merged + dropped, to the request, after the last tick |
//! | traffic is left alone | every complete answer has the status that was asked for |
//! | no VM trapped | Envoy's log, and its count of VMs |
//! | caps hold | pairs known are within `limits.pairs` |
//! | those who are gone make room for those who came | evictions are not many more than callers that came |
//! | guest memory is flat | sum of the VMs' linear memories, last third against middle third |
//! | host memory is flat | the same of Envoy's resident memory: its medians |
//! | cost is flat | the same of CPU time a request |
//!
//! The first third is left out: caches and compilers warm up, and the caps are reached in it. The last three need time to mean
//! anything and are judged from [`JUDGED_FROM`] on.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::http::{Method, request};
use crate::prng::Prng;
use crate::stats::{COUNTED, DROPPED, MERGED, PAIRS, PAIRS_EVICTED, RECEIVED, UNREAD};
use crate::{Backend, Bootstrap, Envoy, Load, Visitor, raw, usage, wait_until};

/// From this length on memory and cost are judged: V8 optimises, and the allocator fills its caches, in the first minutes.
pub const JUDGED_FROM: Duration = Duration::from_secs(300);
/// Linear memory may grow between the thirds by so much of itself: it never shrinks, so it follows the busiest moment so far,
/// and that of the last third may be somewhat busier than that of the middle.
const GUEST_TOLERANCE: f64 = 0.05;
/// Resident memory likewise: the allocator keeps what threads gave back in caches of a MiB or two a thread.
const HOST_TOLERANCE: f64 = 0.05;
/// CPU time a request: what shares the machine with us moves it by this much.
const COST_TOLERANCE: f64 = 0.25;
/// A soak has so many samples, none shorter than half a second.
const SAMPLES: u32 = 180;
const SHORTEST_SAMPLE: Duration = Duration::from_millis(500);
/// The plugin's counts are complete some ticks after the last request; the rest is for a busy machine.
const DRAIN: Duration = Duration::from_secs(60);
/// Nobody waits longer for an answer, or for its beginning: a busy proxy may answer with less than was asked for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Users that live at a time, for each caller that does.
const USERS: u64 = 5;

const VMS: &str = "wasm.envoy.wasm.runtime.v8.created";

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long.
    pub length: Duration,
    /// Envoy's worker threads.
    pub workers: u32,
    /// Requests a second.
    pub rate: f64,
    /// Callers that live at a time.
    pub callers: u64,
    /// How long a caller lives.
    pub lifetime: Duration,
    /// Of all dice.
    pub seed: u64,
}

/// One look at Envoy.
#[derive(Debug, Clone, Default)]
struct Sample {
    resident: u64,
    /// Of all VMs.
    linear: u64,
    cpu: Duration,
    received: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    options: Option<Options>,
    samples: Vec<Sample>,
    replies: u64,
    unlike_asked: u64,
    unanswered: u64,
    cut: u64,
    received: u64,
    counted: u64,
    unread: u64,
    merged: u64,
    dropped: u64,
    pairs: u64,
    cap: u64,
    /// Callers that came, in all.
    callers: u64,
    evicted: u64,
    vms: (u64, u64),
    panics: usize,
    alerts: usize,
}

/// What the visits found.
#[derive(Debug, Default)]
struct Tally {
    replies: AtomicU64,
    unlike_asked: AtomicU64,
    unanswered: AtomicU64,
    cut: AtomicU64,
}

/// Who is calling now.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    began: Instant,
    callers: u64,
    lifetime: Duration,
}

impl Crowd {
    /// One of `callers × each` that live now: some call far more than others.
    fn draw(self, each: u64, random: &mut Prng) -> u64 {
        let alive = (self.callers * each) as f64;
        let gone = self.began.elapsed().as_secs_f64() / self.lifetime.as_secs_f64() * alive;
        gone as u64 + (alive * random.unit().powi(2)) as u64
    }
}

/// Runs one. `progress` hears how far it is, from 0 to 1, and what was seen last.
///
/// # Errors
/// When Envoy doesn't come up or doesn't answer any more, or the counts are not complete after a minute. What must hold and doesn't
/// is no error: [`Report::failures`] tells.
pub async fn soak(options: &Options, mut progress: impl FnMut(f64, &str)) -> Result<Report> {
    let backend = Backend::start().await?;
    let cap = options.callers * 2;
    let config = json!({
        // Short, so that all that windows of hours would do is done.
        "windows": ["1s", "10s", "1m"],
        "learning": {"warmup": "20s", "snapshot_every": "5s"},
        "names": {"trusted_source_header": "x-source"},
        "identity": {"trusted_user_header": "x-user", "addresses": true},
        "verdicts": {"action": "tag"},
        "limits": {"pairs": cap, "identities": cap * USERS},
    });
    let envoy = Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .plugin_config(config)
        .concurrency(options.workers)
        .start()
        .await?;
    let admin = envoy.admin();
    let tally = Arc::new(Tally::default());
    let crowd = Crowd {
        began: Instant::now(),
        callers: options.callers.max(1),
        lifetime: options.lifetime.max(Duration::from_secs(1)),
    };
    let load = {
        let (tally, base, address) = (Arc::clone(&tally), envoy.url(""), envoy.listener_address());
        Load::start(options.rate, options.seed, move |visitor| {
            let (tally, base) = (Arc::clone(&tally), base.clone());
            async move { visit(visitor, crowd, &base, address, &tally).await }
        })
    };
    let lifetimes = options.length.as_secs_f64() / crowd.lifetime.as_secs_f64();
    let mut report = Report {
        options: Some(options.clone()),
        cap,
        callers: (crowd.callers as f64 * (1.0 + lifetimes)) as u64,
        ..Report::default()
    };
    let pause = (options.length / SAMPLES).max(SHORTEST_SAMPLE);
    while crowd.began.elapsed() < options.length {
        let left = options.length.saturating_sub(crowd.began.elapsed());
        tokio::time::sleep(pause.min(left)).await;
        let sample = sample(&envoy).await?;
        if report.samples.is_empty() {
            // By now the first requests have been served: every thread has its VM.
            report.vms.0 = admin.stat(VMS).await?.unwrap_or(0);
        }
        let share = crowd.began.elapsed().as_secs_f64() / options.length.as_secs_f64();
        let seen = format!(
            "{} requests, {} MiB resident, {:.1} MiB in VMs",
            sample.received,
            sample.resident >> 20,
            sample.linear as f64 / MIB
        );
        progress(share.min(1.0), &seen);
        report.samples.push(sample);
    }
    let counts = load.stop().await;
    let stat = async |name: &str| anyhow::Ok(admin.stat(name).await?.unwrap_or(0));
    let complete = wait_until(
        "all requests in windows or counted as dropped",
        DRAIN,
        async || {
            let (counted, unread) = (stat(COUNTED).await?, stat(UNREAD).await?);
            let (merged, dropped) = (stat(MERGED).await?, stat(DROPPED).await?);
            let received = stat(RECEIVED).await?;
            Ok((counted + unread == received && merged + dropped == counted).then_some(()))
        },
    );
    // What is not complete by then is told by the report.
    let _late = complete.await;
    report.received = stat(RECEIVED).await?;
    (report.counted, report.unread) = (stat(COUNTED).await?, stat(UNREAD).await?);
    (report.merged, report.dropped) = (stat(MERGED).await?, stat(DROPPED).await?);
    (report.pairs, report.evicted) = (stat(PAIRS).await?, stat(PAIRS_EVICTED).await?);
    report.vms.1 = stat(VMS).await?;
    report.panics = envoy
        .log()
        .since(crate::Mark::default())
        .iter()
        .filter(|line| line.message.contains("panicked"))
        .count();
    report.alerts = envoy.alerts()?.len();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    report.replies = load(&tally.replies);
    report.unlike_asked = load(&tally.unlike_asked);
    report.unanswered = load(&tally.unanswered) + counts.dropped;
    report.cut = load(&tally.cut);
    Ok(report)
}

async fn sample(envoy: &Envoy) -> Result<Sample> {
    let id = envoy.id().context("Envoy doesn't run")?;
    Ok(Sample {
        resident: envoy.resident_bytes()?,
        linear: usage::linear_memories(id)?.iter().sum(),
        cpu: usage::cpu_time(id)?,
        received: envoy.admin().stat(RECEIVED).await?.unwrap_or(0),
    })
}

/// One request of the mix.
async fn visit(
    mut visitor: Visitor,
    crowd: Crowd,
    base: &str,
    address: std::net::SocketAddr,
    tally: &Tally,
) {
    let add = |counter: &AtomicU64| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let random = &mut visitor.random;
    let caller = format!("shop/caller-{}", crowd.draw(1, random));
    let user = format!("user-{}", crowd.draw(USERS, random));
    let item = random.below(40);
    let (method, status, path, body) = match random.below(100) {
        0..45 => (Method::GET, 200, format!("/products/{item}/bytes/2000"), 0),
        45..60 => (
            Method::POST,
            201,
            format!("/orders/status/201/delay/{}", item / 4),
            500,
        ),
        60..70 => (
            Method::PUT,
            204,
            format!("/carts/{item}/status/204"),
            20_000,
        ),
        70..75 => (Method::DELETE, 404, format!("/carts/{item}/status/404"), 0),
        75..80 => (Method::POST, 401, "/login/status/401".into(), 60),
        80..83 => (Method::GET, 503, "/reports/status/503/delay/20".into(), 0),
        83..90 => (Method::POST, 200, "/shop.Catalog/List/grpc/0".into(), 100),
        90..92 => (Method::POST, 200, "/shop.Catalog/List/grpc/14".into(), 100),
        92..95 => (
            Method::GET,
            200,
            format!("/pictures/{item}/bytes/100000"),
            0,
        ),
        // Paths that nobody has: templates of all sorts.
        _ => (
            Method::GET,
            404,
            format!("/x{}/status/404", random.below(100_000)),
            0,
        ),
    };
    let found = match random.below(100) {
        0..80 => {
            let mut headers = vec![("x-source", caller.as_str()), ("x-user", user.as_str())];
            if path.contains("/grpc/") {
                headers.push(("content-type", "application/grpc"));
            }
            let url = format!("{base}{path}");
            let request = request(method, &url, &headers, &".".repeat(body));
            visitor.send(request).await.map(|reply| reply.status)
        }
        80..95 => {
            let head = head(
                method.as_str(),
                &path,
                &caller,
                &user,
                body,
                "connection: close\r\n",
            );
            let statuses = raw::statuses(address, head.as_bytes(), PATIENCE).await;
            statuses.ok().and_then(|statuses| statuses.first().copied())
        }
        95..98 => {
            let head = head("GET", "/slow/delay/400", &caller, &user, 0, "");
            add(&tally.cut);
            // Whether the connection came about does not matter: Envoy's count is what is held against the plugin's.
            let leaving = reset(address, &head, random.below(200));
            let _gone = tokio::time::timeout(PATIENCE, leaving).await;
            return;
        }
        _ => {
            let head = head("GET", "/big/bytes/4000000", &caller, &user, 0, "");
            add(&tally.cut);
            let _gone = tokio::time::timeout(PATIENCE, cut(address, &head)).await;
            return;
        }
    };
    match found {
        Some(found) => {
            add(&tally.replies);
            if found != status {
                add(&tally.unlike_asked);
            }
        }
        None => add(&tally.unanswered),
    }
}

fn head(method: &str, path: &str, caller: &str, user: &str, body: usize, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: shop\r\nx-source: {caller}\r\nx-user: {user}\r\n\
         content-length: {body}\r\n{more}\r\n{}",
        ".".repeat(body)
    )
}

/// Sends a request, and resets the connection while its answer is awaited.
async fn reset(address: std::net::SocketAddr, head: &str, millis: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    tokio::time::sleep(Duration::from_millis(50 + millis)).await;
    stream.set_zero_linger()
}

/// Sends a request, and closes in the middle of its answer.
async fn cut(address: std::net::SocketAddr, head: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut some = [0; 1000];
    stream.read_exact(&mut some).await.map(drop)
}

const MIB: f64 = 1_048_576.0;

/// A figure in the middle third and in the last.
#[derive(Debug, Clone, Copy)]
struct Thirds {
    middle: f64,
    last: f64,
}

impl Thirds {
    fn grown(self) -> f64 {
        self.last / self.middle - 1.0
    }
}

impl Report {
    /// A figure of two thirds, each by its median.
    fn thirds(&self, figure: impl Fn(&Sample, &Sample) -> f64) -> Thirds {
        let figures: Vec<f64> = self
            .samples
            .windows(2)
            .filter_map(|two| match two {
                [before, now] => Some(figure(before, now)),
                _ => None,
            })
            .collect();
        let third = figures.len() / 3;
        let median = |part: Option<&[f64]>| {
            let mut part = part.unwrap_or_default().to_vec();
            part.sort_unstable_by(f64::total_cmp);
            part.get(part.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Thirds {
            middle: median(figures.get(third..third * 2)),
            last: median(figures.get(third * 2..)),
        }
    }

    fn judged(&self) -> [(&'static str, Thirds, f64); 3] {
        let cost = |before: &Sample, now: &Sample| {
            let requests = now.received.saturating_sub(before.received).max(1);
            now.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / requests as f64
        };
        [
            (
                "linear memory of all VMs, MiB",
                self.thirds(|_, now| now.linear as f64 / MIB),
                GUEST_TOLERANCE,
            ),
            (
                "Envoy's resident memory, MiB",
                self.thirds(|_, now| now.resident as f64 / MIB),
                HOST_TOLERANCE,
            ),
            ("CPU a request, µs", self.thirds(cost), COST_TOLERANCE),
        ]
    }

    fn is_judged(&self) -> bool {
        self.options
            .as_ref()
            .is_some_and(|options| options.length >= JUDGED_FROM)
    }

    /// What must hold and does not, a sentence each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let mut must = |holds: bool, otherwise: String| {
            if !holds {
                failures.push(otherwise);
            }
        };
        must(
            self.counted + self.unread == self.received,
            format!(
                "Envoy received {} requests, and the plugin saw {} and {} it could not read",
                self.received, self.counted, self.unread
            ),
        );
        must(
            self.unread == 0,
            format!("{} requests could not be read", self.unread),
        );
        must(
            self.merged + self.dropped == self.counted,
            format!(
                "of {} requests {} are in windows and {} counted as dropped",
                self.counted, self.merged, self.dropped
            ),
        );
        must(
            self.unlike_asked == 0,
            format!(
                "{} answers had another status than asked for",
                self.unlike_asked
            ),
        );
        must(
            self.unanswered == 0,
            format!("{} requests were not answered", self.unanswered),
        );
        must(
            self.panics == 0 && self.vms.0 == self.vms.1,
            format!(
                "a VM trapped: {} said so, {} were made at first and {} in all",
                self.panics, self.vms.0, self.vms.1
            ),
        );
        must(
            self.pairs <= self.cap,
            format!("{} pairs are known, {} is the cap", self.pairs, self.cap),
        );
        must(
            (1..=self.callers * 2).contains(&self.evicted),
            format!(
                "{} pairs made room for another, of {} callers that came in all",
                self.evicted, self.callers
            ),
        );
        for (what, thirds, tolerance) in self.judged() {
            must(
                !self.is_judged() || thirds.grown() <= tolerance,
                format!(
                    "{what}: {:.1} in the last third, {:.1} in the middle one",
                    thirds.last, thirds.middle
                ),
            );
        }
        failures
    }

    /// What was measured, for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            // Writing into a string does not fail.
            let _ = writeln!(text, "{what:<66} {value}");
        };
        if let Some(options) = &self.options {
            line(
                "length, workers, requests a second",
                format!(
                    "{:?}, {}, {}",
                    options.length, options.workers, options.rate
                ),
            );
            line(
                "callers at a time, each lives",
                format!("{}, {:?}", options.callers, options.lifetime),
            );
        }
        line("complete answers", self.replies.to_string());
        line(
            "  of another status than asked for",
            self.unlike_asked.to_string(),
        );
        line("  and requests not answered", self.unanswered.to_string());
        line("reset or cut by the client", self.cut.to_string());
        line(
            "requests Envoy received on the listener",
            self.received.to_string(),
        );
        line("  counted by the plugin", self.counted.to_string());
        line("  not readable", self.unread.to_string());
        line("  in windows", self.merged.to_string());
        line("  counted as dropped", self.dropped.to_string());
        line(
            "pairs known, their cap, callers that came, pairs that made room",
            format!(
                "{}, {}, {}, {}",
                self.pairs, self.cap, self.callers, self.evicted
            ),
        );
        line("alert lines", self.alerts.to_string());
        line("VMs made", self.vms.1.to_string());
        line("", "middle     last   growth  allowed".into());
        for (what, thirds, tolerance) in self.judged() {
            line(
                what,
                format!(
                    "{:>6.1} {:>8.1} {:>+7.1} % {:>6.0} %{}",
                    thirds.middle,
                    thirds.last,
                    thirds.grown() * 100.0,
                    tolerance * 100.0,
                    if self.is_judged() {
                        ""
                    } else {
                        "  (too short to judge)"
                    }
                ),
            );
        }
        text
    }
}
