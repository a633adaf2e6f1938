//! What the plugin costs a real Envoy: CPU time per request, beside no filter and beside a plugin that does nothing.
//!
//! Each variant has an Envoy of its own, all run at once, and only one has load at a time: a round of a fixed number of
//! requests over keep-alive connections, each connection sending its next request when it has its answer. The rounds of
//! the variants alternate, and a round's differences are taken within it, so that what slows the machine for a while
//! slows all of them; the Envoys are started anew a few times, as no two processes run equally fast.
//!
//! CPU time is what the kernel counted for Envoy's threads in the round, in nanoseconds; load and backend are in this
//! process and don't count. It is the figure to trust: latency, on a machine that Envoy shares with its load, is there
//! to show that nothing stalls. Small differences need many rounds and a quiet machine: see the quartiles.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "an overflow here fails a benchmark on a developer's machine; it costs no mesh a request"
)]

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use pairwatch_testbed::service::{Service, reply};
use pairwatch_testbed::tokio::net::TcpStream;
use pairwatch_testbed::tokio::task::JoinSet;
use pairwatch_testbed::{Bootstrap, Context, Envoy, Result, bail, ensure, paths, run, tokio};
use serde_json::{Value, json};

/// The control without any plugin.
const NONE: &str = "none";
/// The control with a plugin that does nothing.
const NOOP: &str = "noop";
const PLUGIN: &str = "pairwatch";

/// Where [`pairwatch_testbed::paths`] looks for an Envoy.
const ENVOY_VARIABLE: &str = "PAIRWATCH_ENVOY";

/// The bootstrap that all variants share, and where its HTTP filters are.
const BOOTSTRAP: &str = "proxy.yaml";
const HTTP_FILTERS: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

/// Requests before the first round: V8 compiles anew what runs often, on threads of the same process.
const WARM_UP: u64 = 6_000;

/// Paths that a load asks for in turn: enough that a template must be found for them.
const ITEMS: u64 = 50;

/// What the plugin adds to an Envoy's CPU time per request, beside no filter and a plugin that does nothing
#[derive(Debug, Parser)]
struct Arguments {
    /// Requests in a round of one variant
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(100..))]
    requests: u64,
    /// Rounds of each variant after each start
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Times that all Envoys are started anew: one process differs from the next by a few microseconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,
    /// Keep-alive connections that the load comes over
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// The Envoy to run instead of the one that `make setup` found
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Only these variants: none, noop, pairwatch, and the names given by --module
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// A further variant: any module, with the plugin's default configuration
    #[arg(long = "module", value_name = "NAME=PATH", value_parser = named)]
    modules: Vec<(String, PathBuf)>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn named(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (name, path) = text
        .split_once('=')
        .ok_or("a name, `=` and a path are needed")?;
    Ok((name.to_owned(), path.into()))
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if let Some(envoy) = arguments.envoy.take() {
        return again_with(&envoy);
    }
    let variants = variants(&arguments)?;
    let report = run(measure(&arguments, &variants))?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report.json())?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// The testbed finds Envoy by the environment, which a running process can't change: so this one starts anew in another.
fn again_with(envoy: &Path) -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--envoy") => drop(arguments.next()),
            Some(text) if text.starts_with("--envoy=") => {}
            _ => kept.push(argument),
        }
    }
    let program = std::env::current_exe().context("finding this program")?;
    Err(Command::new(program)
        .args(kept)
        .env(ENVOY_VARIABLE, envoy)
        .exec())
    .context("starting anew with that Envoy")
}

/// A name and a module, or no filter.
type Variant = (String, Option<PathBuf>);

fn variants(arguments: &Arguments) -> Result<Vec<Variant>> {
    let known = [NONE, NOOP, PLUGIN]
        .into_iter()
        .chain(arguments.modules.iter().map(|(name, _)| name.as_str()));
    let known: Vec<&str> = known.collect();
    for name in &arguments.only {
        ensure!(
            known.contains(&name.as_str()),
            "--only names `{name}`; there are {}",
            known.join(", ")
        );
    }
    let wanted = known
        .into_iter()
        .filter(|name| arguments.only.is_empty() || arguments.only.iter().any(|n| n == name));
    wanted
        .map(|name| Ok((name.to_owned(), module(name, arguments)?)))
        .collect()
}

fn module(name: &str, arguments: &Arguments) -> Result<Option<PathBuf>> {
    let path = match name {
        NONE => return Ok(None),
        NOOP => paths::workspace().join("target/noop.wasm"),
        PLUGIN => paths::plugin_module()?,
        _ => arguments
            .modules
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, path)| path.clone())
            .unwrap_or_default(),
    };
    match path.canonicalize() {
        Ok(path) => Ok(Some(path)),
        Err(_) if name == NOOP => bail!("{} is missing: run `make noop`", path.display()),
        Err(error) => Err(error).context(path.display().to_string()),
    }
}

async fn measure(arguments: &Arguments, variants: &[Variant]) -> Result<Report> {
    ensure!(!variants.is_empty(), "no variant is left");
    let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let backend = Service::start(backend, |_| async { reply(200, "ok\n") }).await?;
    let mut report = Report {
        version: String::new(),
        requests: arguments.requests,
        results: variants
            .iter()
            .map(|(name, _)| (name.clone(), Vec::new()))
            .collect(),
    };
    for start in 1..=arguments.starts {
        let mut envoys = Vec::new();
        for (name, module) in variants {
            let envoy = open(module.as_deref(), backend.address());
            let envoy = envoy.await.with_context(|| format!("variant {name}"))?;
            report.version = version(&envoy).await?;
            load(&envoy, name, WARM_UP, arguments.connections).await?;
            envoys.push(envoy);
        }
        let mut turns: Vec<usize> = (0..variants.len()).collect();
        for round in 1..=arguments.rounds {
            for turn in &turns {
                let (Some(envoy), Some((name, rounds))) =
                    (envoys.get(*turn), report.results.get_mut(*turn))
                else {
                    continue;
                };
                rounds.push(load(envoy, name, arguments.requests, arguments.connections).await?);
            }
            // Each time another variant comes first: what comes after a pause may cost more.
            turns.rotate_left(1);
            if std::io::stderr().is_terminal() {
                eprint!(
                    "\rstart {start} of {}, round {round} of {} ",
                    arguments.starts, arguments.rounds
                );
            }
        }
    }
    Ok(report)
}

async fn version(envoy: &Envoy) -> Result<String> {
    let info: Value = serde_json::from_str(&envoy.admin().get("/server_info").await?)?;
    Ok(info
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or("of unknown version")
        .to_owned())
}

async fn open(module: Option<&Path>, backend: SocketAddr) -> Result<Envoy> {
    let bootstrap = Bootstrap::open(BOOTSTRAP)?
        .backend(backend)
        .module(module.unwrap_or(Path::new("")));
    let mut removed = module.is_some();
    let bootstrap = bootstrap.patch(|tree| {
        if let Some(Value::Array(filters)) = tree.pointer_mut(HTTP_FILTERS)
            && module.is_none()
        {
            filters.retain(|filter| filter["name"] != PLUGIN);
            removed = true;
        }
    });
    ensure!(
        removed,
        "{BOOTSTRAP} has no HTTP filters where the benchmark looks for them"
    );
    bootstrap.start().await
}

/// One round of one variant.
#[derive(Debug, Clone, Default)]
struct Round {
    /// Nanoseconds of CPU time per request.
    cpu: f64,
    per_second: f64,
    /// Nanoseconds.
    latencies: Vec<u64>,
}

/// One round: `requests` over all connections.
async fn load(envoy: &Envoy, name: &str, requests: u64, connections: u64) -> Result<Round> {
    let id = envoy.id().context("Envoy doesn't run")?;
    let (before, began) = (cpu_time(id)?, Instant::now());
    let mut conversations = JoinSet::new();
    for number in 0..connections {
        // The shares add up to `requests`.
        let share = (requests + number) / connections;
        conversations.spawn(converse(envoy.listener_address(), share));
    }
    let mut latencies = Vec::new();
    while let Some(conversation) = conversations.join_next().await {
        latencies.append(&mut conversation?.with_context(|| format!("variant {name}"))?);
    }
    let (cpu, took) = (cpu_time(id)?.saturating_sub(before), began.elapsed());
    let requests = latencies.len() as f64;
    Ok(Round {
        cpu: cpu.as_nanos() as f64 / requests,
        per_second: requests / took.as_secs_f64(),
        latencies,
    })
}

/// Sends one request after another over one connection; how long each took, in nanoseconds.
async fn converse(address: SocketAddr, requests: u64) -> Result<Vec<u64>> {
    let stream = TcpStream::connect(address)
        .await
        .context("connecting to Envoy")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut latencies = Vec::new();
    for number in 0..requests {
        let request = Request::get(format!("/items/{}", number % ITEMS))
            .header("host", "backend.example")
            .header("user-agent", "pairwatch-bench")
            .header("accept", "*/*")
            .body(Empty::<Bytes>::new())?;
        let began = Instant::now();
        let response = sender.send_request(request).await?;
        let status = response.status();
        response.into_body().collect().await?;
        ensure!(status.is_success(), "Envoy answered {status}");
        latencies.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    drop(sender);
    connection.await??;
    Ok(latencies)
}

/// The CPU time of all threads of a process so far. The kernel counts it in nanoseconds, where `stat` has ticks of 10 ms.
fn cpu_time(process: u32) -> Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut sum = 0_u64;
    for thread in
        std::fs::read_dir(&folder).with_context(|| format!("{folder} (this needs Linux)"))?
    {
        let path = thread?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let spent = text
            .split_ascii_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok());
        sum = sum.saturating_add(
            spent.with_context(|| format!("{}: no time in {text:?}", path.display()))?,
        );
    }
    Ok(Duration::from_nanos(sum))
}

/// What came of it.
struct Report {
    version: String,
    requests: u64,
    results: Vec<(String, Vec<Round>)>,
}

/// One variant's figures; times in nanoseconds.
struct Figures<'a> {
    name: &'a str,
    cpu: f64,
    /// More than with no filter, within each round: its first quartile, median, third quartile.
    added: Option<[f64; 3]>,
    /// How many times what the no-op adds.
    ratio: Option<f64>,
    p50: f64,
    p99: f64,
    per_second: f64,
}

impl Report {
    fn figures(&self) -> impl Iterator<Item = Figures<'_>> {
        let noop = self.added(NOOP).map(|[_, median, _]| median);
        self.results.iter().map(move |(name, rounds)| {
            let added = self.added(name).filter(|_| name != NONE);
            let latencies = || {
                rounds
                    .iter()
                    .flat_map(|round| &round.latencies)
                    .map(|nanos| *nanos as f64)
            };
            Figures {
                name,
                cpu: quantile(rounds.iter().map(|round| round.cpu), 0.5),
                added,
                ratio: added.zip(noop).map(|([_, median, _], noop)| median / noop),
                p50: quantile(latencies(), 0.5),
                p99: quantile(latencies(), 0.99),
                per_second: quantile(rounds.iter().map(|round| round.per_second), 0.5),
            }
        })
    }

    /// What a variant adds to no filter, within each round: quartiles.
    fn added(&self, name: &str) -> Option<[f64; 3]> {
        let rounds = |wanted: &str| {
            self.results
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, rounds)| rounds)
        };
        let (with, without) = (rounds(name)?, rounds(NONE)?);
        let differences = || {
            with.iter()
                .zip(without)
                .map(|(with, without)| with.cpu - without.cpu)
        };
        Some([0.25, 0.5, 0.75].map(|share| quantile(differences(), share)))
    }

    fn table(&self) -> String {
        let rounds = self.results.first().map_or(0, |(_, rounds)| rounds.len());
        let mut text = format!(
            "Envoy {}\n{rounds} rounds of {} requests; CPU and latency per request in µs\n\n\
             {:<12} {:>8} {:>8} {:>17} {:>8} {:>8} {:>8} {:>8}\n",
            self.version,
            self.requests,
            "",
            "CPU",
            "added",
            "(quartiles)",
            "× noop",
            "p50",
            "p99",
            "req/s"
        );
        for figures in self.figures() {
            let micros = |nanos: f64| format!("{:.1}", nanos / 1e3);
            let (median, quartiles) =
                figures
                    .added
                    .map_or_else(Default::default, |[low, median, high]| {
                        (
                            micros(median),
                            format!("({} – {})", micros(low), micros(high)),
                        )
                    });
            let ratio = figures
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            text += &format!(
                "{:<12} {:>8} {median:>8} {quartiles:>17} {ratio:>8} {:>8} {:>8} {:>8.0}\n",
                figures.name,
                micros(figures.cpu),
                micros(figures.p50),
                micros(figures.p99),
                figures.per_second
            );
        }
        text
    }

    fn json(&self) -> Value {
        let variants = self
            .figures()
            .zip(&self.results)
            .map(|(figures, (_, rounds))| {
                json!({
                    "name": figures.name,
                    "cpu_ns": figures.cpu,
                    "cpu_ns_rounds": rounds.iter().map(|round| round.cpu).collect::<Vec<_>>(),
                    "added_ns": figures.added.map(|[_, median, _]| median),
                    "added_ns_quartiles": figures.added.map(|[low, _, high]| [low, high]),
                    "ratio_to_noop": figures.ratio,
                    "p50_ns": figures.p50,
                    "p99_ns": figures.p99,
                    "requests_per_second": figures.per_second,
                })
            });
        let variants: Vec<Value> = variants.collect();
        json!({ "envoy": self.version, "requests": self.requests, "variants": variants })
    }
}

/// The value below which this share lies. There is no NaN among them, as no round is without requests.
fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values
        .get((last * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}
