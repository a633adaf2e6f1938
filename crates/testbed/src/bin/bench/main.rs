//! What the plugin costs a real Envoy, beside its controls: no filter, a plugin that does nothing, Envoy's own Lua filter.
//!
//! A [`cells::Cell`] is a load; the [`variants`] it is given to each have an Envoy of their own, all run at once, and only one
//! has load at a time: a round of a fixed number of requests. The rounds of the variants alternate, and a round's
//! differences are taken within it, so that what slows the machine for a while slows all of them; the Envoys are started
//! anew a few times, as no two processes run equally fast.
//!
//! CPU time is what the kernel counted for Envoy's threads in the round, in nanoseconds; load and backend are in this
//! process and don't count. It is the figure to trust. What Envoy spends between rounds (ticks, closed windows) is told beside it,
//! as a share of a core. Latency is measured apart, at a fixed rate of requests ([`load`]): on a machine that Envoy shares with
//! its load it is there to show that nothing stalls. Small differences need many rounds and a quiet machine: see the quartiles.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "an overflow here fails a benchmark on a developer's machine; it costs no mesh a request"
)]

mod cells;
mod load;
mod report;
mod variants;

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use cells::{CELLS, Cell};
use clap::Parser;
use load::Traffic;
use pairwatch_testbed::service::{Service, reply};
use pairwatch_testbed::{Context, Envoy, Result, ensure, run, usage};
use report::{Measured, Report, Round};
use serde_json::{Value, json};
use variants::Variant;

/// Where [`pairwatch_testbed::paths`] looks for an Envoy.
const ENVOY_VARIABLE: &str = "PAIRWATCH_ENVOY";

/// Rounds' worth of requests before the first round: V8 compiles anew what runs often, on threads of the same process.
const WARM_UP: u64 = 2;

/// What the plugin costs an Envoy in CPU time per request and latency, beside its controls
#[derive(Debug, Parser)]
struct Arguments {
    /// Requests in a round of one variant
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(100..))]
    requests: u64,
    /// Rounds of each variant after each start
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Times that all Envoys are started anew: one process differs from the next by a few microseconds
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    starts: u64,
    /// Seconds of load at a fixed rate, for latency, of each variant after each start; 0 for none
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Requests a second for latency, in place of each cell's own rate
    #[arg(long, value_name = "PER SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Keep-alive connections that the load comes over
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// A first look, in a minute: one start, two short rounds, a second of latency
    #[arg(long, conflicts_with_all = ["requests", "rounds", "starts", "seconds"])]
    quick: bool,
    /// The Envoy to run instead of the one that `make setup` found
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Only these loads: 1 (pair), 100-1k (pairs, KiB of bodies), 5000, 1-100k
    #[arg(long, value_name = "CELL,…", value_delimiter = ',')]
    cells: Vec<String>,
    /// Only these variants: none, noop, lua, observe, tag, enforce, and the names given by --module
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    only: Vec<String>,
    /// A further variant in each cell: any module, configured as --action says
    #[arg(long = "module", value_name = "NAME=PATH", value_parser = named)]
    modules: Vec<(String, PathBuf)>,
    /// What the modules given by --module do: observe, tag or enforce
    #[arg(long, value_name = "ACTION", default_value = variants::OBSERVE, value_parser = [variants::OBSERVE, variants::TAG, variants::ENFORCE])]
    action: String,
    /// Print JSON instead of tables
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
    if arguments.quick {
        (arguments.requests, arguments.rounds) = (1_000, 2);
        (arguments.starts, arguments.seconds) = (1, 1);
    }
    let cells = chosen(&arguments)?;
    let mut reports = Vec::new();
    let mut version = String::new();
    for (cell, variants) in &cells {
        let began = Instant::now();
        let report = run(measure(&arguments, cell, variants, &mut version))?;
        progress("");
        eprintln!("{}: {} s", cell.title(), began.elapsed().as_secs());
        if !arguments.json {
            if reports.is_empty() {
                println!("Envoy {version}");
            }
            println!("\n{}", report.table());
        }
        reports.push(report.json());
    }
    if arguments.json {
        let all = json!({ "envoy": version, "cells": reports });
        println!("{}", serde_json::to_string_pretty(&all)?);
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

/// The cells, and the variants that have a turn in each.
fn chosen(arguments: &Arguments) -> Result<Vec<(Cell, Vec<Variant>)>> {
    let names: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    for name in &arguments.cells {
        ensure!(
            names.contains(&name.as_str()),
            "--cells names `{name}`; there are {}",
            names.join(", ")
        );
    }
    let known: Vec<&str> = variants::NAMES
        .into_iter()
        .chain(arguments.modules.iter().map(|(name, _)| name.as_str()))
        .collect();
    for name in &arguments.only {
        ensure!(
            known.contains(&name.as_str()),
            "--only names `{name}`; there are {}",
            known.join(", ")
        );
    }
    let wanted = |all: &[String], name: &str| all.is_empty() || all.iter().any(|one| one == name);
    let mut chosen = Vec::new();
    for cell in CELLS
        .iter()
        .filter(|cell| wanted(&arguments.cells, cell.name))
    {
        let mut variants = Vec::new();
        for name in cell
            .variants
            .iter()
            .filter(|name| wanted(&arguments.only, name))
        {
            variants.push(Variant::known(name)?);
        }
        for (name, path) in &arguments.modules {
            if wanted(&arguments.only, name) {
                variants.push(Variant::module(name, path, &arguments.action)?);
            }
        }
        if !variants.is_empty() {
            chosen.push((*cell, variants));
        }
    }
    ensure!(!chosen.is_empty(), "no variant is left in any cell");
    Ok(chosen)
}

/// A variant's Envoy while it runs.
struct Turn {
    envoy: Envoy,
    id: u32,
    traffic: Traffic,
    /// CPU time and clock at the end of the last load.
    rested: Option<(Duration, Instant)>,
}

impl Turn {
    /// Spends `load`'s time on it; its CPU time and how long it took.
    async fn under(
        &mut self,
        load: impl Future<Output = Result<()>>,
        idle: &mut (u64, u64),
    ) -> Result<(Duration, Duration)> {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let (before, began) = (usage::cpu_time(self.id)?, Instant::now());
        if let Some((spent, since)) = self.rested {
            idle.0 += nanos(before.saturating_sub(spent));
            idle.1 += nanos(began - since);
        }
        load.await?;
        let (after, ended) = (usage::cpu_time(self.id)?, Instant::now());
        self.rested = Some((after, ended));
        Ok((after.saturating_sub(before), ended - began))
    }
}

async fn measure(
    arguments: &Arguments,
    cell: &Cell,
    variants: &[Variant],
    version: &mut String,
) -> Result<Report> {
    let answer: hyper::body::Bytes = vec![b'b'; cell.body].into();
    let backend = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let backend = Service::start(backend, move |_| {
        let answer = answer.clone();
        async { reply(200, answer) }
    })
    .await?;
    let requests = cell.requests(arguments.requests);
    let rate = arguments.rate.map_or(cell.rate, f64::from);
    let mut results: Vec<Measured> = variants
        .iter()
        .map(|variant| Measured {
            name: variant.name.clone(),
            ..Measured::default()
        })
        .collect();
    for start in 1..=arguments.starts {
        let mut turns = Vec::new();
        for variant in variants {
            progress(&format!(
                "{}: start {start} of {}, {}",
                cell.title(),
                arguments.starts,
                variant.name
            ));
            let envoy = variant.start(cell, backend.address()).await?;
            *version = envoy_version(&envoy).await?;
            let traffic = Traffic::new(cell, envoy.listener_address(), arguments.connections);
            let warm_up = traffic.all_at_once(WARM_UP * requests).await;
            warm_up.with_context(|| format!("variant {}", variant.name))?;
            turns.push(Turn {
                id: envoy.id().context("Envoy doesn't run")?,
                envoy,
                traffic,
                rested: None,
            });
        }
        let mut order: Vec<usize> = (0..variants.len()).collect();
        for round in 1..=arguments.rounds {
            progress(&format!(
                "{}: start {start} of {}, round {round} of {}",
                cell.title(),
                arguments.starts,
                arguments.rounds
            ));
            for at in &order {
                let (Some(turn), Some(result)) = (turns.get_mut(*at), results.get_mut(*at)) else {
                    continue;
                };
                let traffic = turn.traffic.clone();
                let spent = turn.under(traffic.all_at_once(requests), &mut result.idle);
                let (cpu, took) = spent
                    .await
                    .with_context(|| format!("variant {}", result.name))?;
                result.rounds.push(Round {
                    cpu: cpu.as_nanos() as f64 / requests as f64,
                    per_second: requests as f64 / took.as_secs_f64(),
                });
            }
            // Each time another variant comes first: what comes after a pause may cost more.
            order.rotate_left(1);
        }
        for second in 0..arguments.seconds {
            progress(&format!(
                "{}: start {start} of {}, latency at {rate} requests/s, {} of {} s",
                cell.title(),
                arguments.starts,
                second + 1,
                arguments.seconds
            ));
            for at in &order {
                let (Some(turn), Some(result)) = (turns.get_mut(*at), results.get_mut(*at)) else {
                    continue;
                };
                let (traffic, latencies) = (turn.traffic.clone(), &mut result.latencies);
                let load = async {
                    let round = start * arguments.seconds + second;
                    let second = traffic.at_rate(rate, Duration::from_secs(1), round);
                    latencies.append(&mut second.await?);
                    Ok(())
                };
                let spent = turn.under(load, &mut result.idle).await;
                spent.with_context(|| format!("variant {}", result.name))?;
            }
            order.rotate_left(1);
        }
        for ((variant, result), turn) in variants.iter().zip(&mut results).zip(&turns) {
            if variant.is_plugin() {
                look_back(result, &turn.envoy).await?;
            }
        }
    }
    Ok(Report {
        cell: Cell { rate, ..*cell },
        requests,
        variants: results,
    })
}

/// What the plugin itself says of a start.
async fn look_back(result: &mut Measured, envoy: &Envoy) -> Result<()> {
    let metrics = envoy.admin().metrics().await?;
    result.pairs = metrics.sum("pairwatch_pairs", &[]).or(result.pairs);
    let flagged = metrics.sum("pairwatch_flagged_total", &[]).unwrap_or(0.0);
    if let Some(heard) = metrics.sum("pairwatch_requests_total", &[]) {
        let before = result.flagged.unwrap_or_default();
        result.flagged = Some((before.0 + flagged, before.1 + heard));
    }
    Ok(())
}

async fn envoy_version(envoy: &Envoy) -> Result<String> {
    let info: Value = serde_json::from_str(&envoy.admin().get("/server_info").await?)?;
    Ok(info
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or("of unknown version")
        .to_owned())
}

/// One line that is written over, where somebody looks.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
