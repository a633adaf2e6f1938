//! The documents: every command in them runs or is marked, every link leads somewhere.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::{Backend, Bootstrap, Client, Context, Envoy, Result, paths, run};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a command's comment says that can't be run here.
const MARKS: [&str; 2] = ["needs a cluster", "needs a registry"];

/// The documents for those who run Pairwatch.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = vec![paths::workspace().join("istio/README.md")];
    for entry in std::fs::read_dir(paths::workspace().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The lines of the document's blocks marked as `sh`, without blank ones.
fn commands(text: &str) -> Vec<String> {
    let (mut commands, mut inside) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, line) if !line.is_empty() && !line.starts_with('#') => {
                commands.push(line.to_owned());
            }
            _ => {}
        }
    }
    commands
}

/// Whether a make target of this name exists; `make test` and the tests run what it runs.
fn is_target(name: &str) -> Result<bool> {
    let makefile = std::fs::read_to_string(paths::workspace().join("Makefile"))?;
    Ok(makefile
        .lines()
        .any(|line| line.starts_with(&format!("{name}:"))))
}

/// Runs one command as a person would, with this build's command, this machine's tools and this test's Envoy.
fn runs(command: &str, envoy: &Envoy) -> Result<()> {
    let admin = envoy.admin().url().trim_start_matches("http://");
    let here = command
        .replace("target/release/pairwatch", env!("CARGO_BIN_EXE_pairwatch"))
        .replace(
            "kubectl kustomize",
            &paths::istio_tool("kustomize")?.display().to_string(),
        )
        .replace(
            "promtool",
            &paths::observability_tool("promtool")?.display().to_string(),
        )
        .replace("127.0.0.1:9901", admin);
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", &here])
        .current_dir(paths::workspace())
        .output()?;
    assert!(
        output.status.success(),
        "{command}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn every_command_runs_or_says_what_it_needs() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .start()
            .await?;
        let client = Client::new();
        for _ in 0..10 {
            client.get(&envoy.url("/products/1")).await?;
        }
        let merged = "wasmcustom.pairwatch_requests_merged_total";
        let within = Duration::from_secs(60);
        envoy
            .admin()
            .wait_for_stat(merged, within, |n| n >= 10)
            .await?;
        let has_skopeo = Command::new("skopeo").arg("--version").output().is_ok();
        let mut ran = 0;
        for document in documents()? {
            for command in commands(&std::fs::read_to_string(&document)?) {
                if MARKS.iter().any(|mark| command.contains(mark)) {
                    continue;
                }
                let (command, _) = command.split_once(" # ").unwrap_or((&command, ""));
                if let Some(target) = command.trim().strip_prefix("make ") {
                    assert!(is_target(target)?, "there is no make {target}");
                } else if command.starts_with("skopeo") {
                    // Of an image that `make image` made; tests/image.rs makes its own.
                    let made = paths::workspace().join("target/image/index.json").is_file();
                    if has_skopeo && made {
                        runs(command, &envoy)?;
                    }
                } else {
                    runs(command, &envoy).with_context(|| document.display().to_string())?;
                    ran += 1;
                }
            }
        }
        assert!(ran >= 8, "{ran} commands were found");
        Ok(())
    })
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

fn has_anchor(file: &Path, wanted: &str) -> Result<bool> {
    let text = std::fs::read_to_string(file)?;
    let mut headings = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.trim_start_matches('#').trim()));
    Ok(headings.any(|heading| anchor(heading) == wanted))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() -> Result<()> {
    let root = paths::workspace();
    let mut all = documents()?;
    all.extend(["README.md", "CONTRIBUTING.md", "envoy/README.md"].map(|name| root.join(name)));
    let mut seen = 0;
    for document in all {
        let text = std::fs::read_to_string(&document)?;
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            assert!(
                heading.is_empty() || has_anchor(&target, heading)?,
                "{}: {link}",
                document.display()
            );
        }
    }
    assert!(seen > 40, "{seen} links");
    Ok(())
}
