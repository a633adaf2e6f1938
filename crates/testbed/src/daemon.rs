//! Prometheus and Alertmanager, for tests of what is sent to them.
//!
//! Both bind a port as most servers do, so that none can be held for them: a free one is chosen, and another if somebody
//! else was faster.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::Client;
use crate::paths;
use crate::process::Process;
use crate::wait_until;

/// Each is up within a second; beside builds it took five.
const START: Duration = Duration::from_secs(60);
/// Ports tried. Two in a row that are taken between being found and being used have not been seen.
const TRIES: usize = 4;

/// A server of the observability stack. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Daemon {
    address: SocketAddr,
    client: Client,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Daemon {
    /// Prometheus with this configuration (JSON is YAML).
    ///
    /// # Errors
    /// When it doesn't come up; with its log.
    pub async fn prometheus(config: &Value) -> Result<Self> {
        Self::start("prometheus", config, |address, config, data| {
            vec![
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
            ]
        })
        .await
    }

    /// Alertmanager with this configuration.
    ///
    /// # Errors
    /// When it doesn't come up; with its log.
    pub async fn alertmanager(config: &Value) -> Result<Self> {
        Self::start("alertmanager", config, |address, config, data| {
            vec![
                format!("--config.file={config}"),
                format!("--storage.path={data}"),
                format!("--web.listen-address={address}"),
                // Alone: it looks for no others.
                "--cluster.listen-address=".into(),
            ]
        })
        .await
    }

    async fn start(
        name: &str,
        config: &Value,
        arguments: impl Fn(SocketAddr, &str, &str) -> Vec<String>,
    ) -> Result<Self> {
        let program = paths::observability_tool(name)?;
        let mut said = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().context("creating a folder")?;
            let (file, data, log) = (
                folder.path().join("config.yml"),
                folder.path().join("data"),
                folder.path().join("log"),
            );
            std::fs::write(&file, config.to_string())?;
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
            let output = File::create(&log)?;
            let arguments = arguments(
                address,
                &file.display().to_string(),
                &data.display().to_string(),
            );
            let mut process = Process::spawn(&program, |command| {
                command.args(arguments).stdin(Stdio::null());
                command.stdout(Stdio::null()).stderr(output);
            })?;
            let client = Client::new();
            let up = wait_until(name, START, async || {
                if process.ended()?.is_some() {
                    return Ok(Some(false));
                }
                let ready = client.get(&format!("http://{address}/-/ready")).await?;
                Ok((ready.status == 200).then_some(true))
            });
            if up.await? {
                return Ok(Self {
                    address,
                    client,
                    _process: process,
                    _folder: folder,
                });
            }
            said = read(&log);
            if !said.contains("address already in use") {
                break;
            }
        }
        bail!("{name} did not come up:\n{said}")
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a page of its API answers, by path and query.
    ///
    /// # Errors
    /// When it doesn't answer with 200 and JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let reply = self
            .client
            .get(&format!("http://{}{path}", self.address))
            .await?;
        ensure!(
            reply.status == 200,
            "{path} answers {}: {}",
            reply.status,
            reply.text()
        );
        serde_json::from_slice(&reply.body).with_context(|| format!("{path} is no JSON"))
    }

    /// What Prometheus finds for a query now: a vector's series.
    ///
    /// # Errors
    /// When it refuses the query.
    pub async fn query(&self, promql: &str) -> Result<Vec<Value>> {
        let answer = self
            .get(&format!("/api/v1/query?query={}", encoded(promql)))
            .await
            .with_context(|| promql.to_owned())?;
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        Ok(result.cloned().unwrap_or_default())
    }
}

/// As a query's value takes it: all that is not plainly allowed as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
