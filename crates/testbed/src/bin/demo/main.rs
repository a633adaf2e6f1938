//! The demo: a mesh of five Envoys with Pairwatch in each learns what is normal, is attacked three times, and says so.
//!
//! Exit code: 0 when the quiet phase gave no alert and every attack was seen; 1 when not; 2 when the mesh didn't come up;
//! 130 on Ctrl-C. With `KEEP=1` it uses the documented ports, and mesh and traffic stay up until Ctrl-C.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "an overflow here ends a demo; it costs no mesh a request"
)]

mod attacks;
mod screen;
mod traffic;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use attacks::{Attack, Result as Finding};
use pairwatch_testbed::mesh::{GATEWAY, Options};
use pairwatch_testbed::{Context, Mesh, Result, paths, run};
use screen::Screen;
use traffic::Traffic;
use watch::Watch;

/// The bootstraps' warm-up is 40 s; what comes after it settles the longer windows.
const LEARNING: Duration = Duration::from_secs(70);
const QUIET: Duration = Duration::from_secs(15);
/// An attack not seen by then is missed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attacks, at most.
const CALM: Duration = Duration::from_secs(15);

const FAILED: u8 = 1;
const NOT_UP: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let keep = std::env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0");
    let screen = Screen::new();
    let outcome = run(async {
        tokio::select! {
            outcome = demo(&screen, keep) => outcome,
            pressed = tokio::signal::ctrl_c() => pressed.context("awaiting Ctrl-C").map(|()| INTERRUPTED),
        }
    });
    match outcome {
        Ok(code) => {
            if code == INTERRUPTED {
                screen.line("Stopped: no Envoy is left.");
            }
            ExitCode::from(code)
        }
        Err(error) => {
            screen.line(&format!("The demo could not run: {error:#}"));
            ExitCode::from(NOT_UP)
        }
    }
}

async fn demo(screen: &Screen, keep: bool) -> Result<u8> {
    let folder = paths::workspace().join("target/demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("emptying {}", folder.display()))?;
    }
    screen.progress("starting five Envoys and four services");
    let options = Options {
        folder: Some(folder.clone()),
        documented_ports: keep,
        access_logs: true,
        ..Options::default()
    };
    let mesh = Mesh::start(options).await?;
    screen.line("A mesh of five Envoys is up, Pairwatch in each: a gateway, and the sidecars of four services.");
    screen.line("  outside → gateway → frontend → catalog, accounts, payments");
    if keep {
        addresses(screen, &mesh)?;
    }
    let mut watch = Watch::new(&mesh);
    let traffic = Traffic::start(&mesh).await?;

    let learning = watch
        .listen(screen, "Learning what is normal", LEARNING, |_| false)
        .await?;
    let quiet = watch
        .listen(screen, "Quiet: no alert may come", QUIET, |_| false)
        .await?;
    let mut findings = Vec::new();
    for attack in attacks::ALL {
        if !findings.is_empty() {
            watch.calm(screen, CALM).await?;
        }
        findings.push(attack.run(screen, &mesh, &mut watch, PATIENCE).await?);
    }

    let ok = report(screen, quiet.raised, &findings);
    let sent = traffic.counts();
    screen.line("");
    let statuses: Vec<_> = sent
        .statuses
        .iter()
        .map(|(code, count)| format!("{count} × {code}"))
        .collect();
    screen.line(&format!(
        "Ordinary traffic: {}, {} without an answer; {} alerts while learning.",
        statuses.join(", "),
        sent.errors,
        learning.raised
    ));
    screen.line(&format!(
        "Logs: {0}/<proxy>/<proxy>.log; access logs: {0}/<proxy>.access.jsonl",
        folder.display()
    ));
    if keep {
        screen.line("");
        screen.line("KEEP=1: mesh and traffic stay up until Ctrl-C, and alerts go on being shown.");
        addresses(screen, &mesh)?;
        watch.listen_on(screen).await?;
    }
    Ok(if ok { 0 } else { FAILED })
}

/// The table at the end; true when all is as it should be.
fn report(screen: &Screen, alerts_in_quiet: usize, findings: &[(&Attack, Finding)]) -> bool {
    screen.line("");
    let mut rows = vec![[
        "attack".to_owned(),
        "alert (severity)".into(),
        "seconds to detect".into(),
    ]];
    rows.extend(findings.iter().map(|(attack, finding)| {
        let (alert, seconds) = match finding {
            Some(seen) => (
                format!("{} ({})", seen.kind, seen.severity),
                format!("{:.1}", seen.after.as_secs_f64()),
            ),
            None => (
                format!("no {}", attack.kinds.join(" or ")),
                "not seen".into(),
            ),
        };
        [attack.title.into(), alert, seconds]
    }));
    let width = |column: fn(&[String; 3]) -> &str| {
        rows.iter()
            .map(|row| column(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (first, second) = (width(|[first, ..]| first), width(|[_, second, _]| second));
    for [attack, alert, seconds] in &rows {
        screen.line(&format!("{attack:<first$}   {alert:<second$}   {seconds}"));
    }
    let missed = findings
        .iter()
        .filter(|(_, finding)| finding.is_none())
        .count();
    screen.line("");
    let quiet = match alerts_in_quiet {
        0 => format!("none in {} s of quiet", QUIET.as_secs()),
        some => format!(
            "{some} in {} s of quiet, where none was right",
            QUIET.as_secs()
        ),
    };
    screen.line(&format!(
        "{} of {} attacks seen; false alerts: {quiet}.",
        findings.len() - missed,
        findings.len()
    ));
    let ok = missed == 0 && alerts_in_quiet == 0;
    if !ok {
        screen.line("The demo FAILED.");
    }
    ok
}

fn addresses(screen: &Screen, mesh: &Mesh) -> Result<()> {
    screen.line(&format!("  {:<10} http://127.0.0.1:{GATEWAY}/", "shop"));
    for envoy in mesh.envoys() {
        let admin = envoy.admin().url();
        screen.line(&format!(
            "  {:<10} {admin}/   metrics: {admin}/stats/prometheus",
            envoy.name()
        ));
    }
    Ok(())
}
