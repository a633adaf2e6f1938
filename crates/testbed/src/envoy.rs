//! A running Envoy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::admin::Admin;
use crate::alert::Alert;
use crate::bootstrap::{Bootstrap, take_listener};
use crate::listener::Listener;
use crate::log::{FORMAT, Log, LogLine, Mark};
use crate::paths;
use crate::ports::Ports;
use crate::process::Process;
use crate::wait_until;

/// An Envoy is up in half a second; five, with tests and builds beside them on two cores, took thirteen.
const START: Duration = Duration::from_secs(60);
/// For a graceful stop.
const STOP: Duration = Duration::from_secs(10);

/// An Envoy. Dropping it kills it, and removes its folder unless it was given one or the test is panicking.
#[derive(Debug)]
pub struct Envoy {
    name: String,
    process: Option<Process>,
    program: PathBuf,
    arguments: Vec<String>,
    log: Log,
    admin: Admin,
    ports: Ports,
    listener_port: u16,
    pub(crate) listener: Option<Listener>,
    folder: PathBuf,
    temporary: Option<tempfile::TempDir>,
}

impl Envoy {
    pub(crate) async fn start(mut bootstrap: Bootstrap) -> Result<Self> {
        let program = paths::envoy_binary()?;
        let temporary = match &bootstrap.folder {
            Some(folder) => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("creating {}", folder.display()))?;
                None
            }
            None => Some(
                tempfile::Builder::new()
                    .prefix("pairwatch-")
                    .tempdir()
                    .context("creating a folder")?,
            ),
        };
        let folder = match (&temporary, bootstrap.folder.take()) {
            (Some(temporary), _) => temporary.path().to_owned(),
            (None, folder) => folder.unwrap_or_default(),
        };
        let first = "/static_resources/listeners/0/address/socket_address/port_value";
        let listener_port = bootstrap
            .tree
            .pointer(first)
            .and_then(Value::as_u64)
            .and_then(|port| port.try_into().ok());
        let listener = if bootstrap.listener_from_file {
            let listener = take_listener(&mut bootstrap.tree, &folder)?;
            Some(Listener::write(&folder, listener)?)
        } else {
            None
        };
        let config = folder.join(format!("{}.json", bootstrap.name));
        std::fs::write(&config, serde_json::to_vec_pretty(&bootstrap.tree)?)
            .with_context(|| format!("writing {}", config.display()))?;

        let mut arguments: Vec<String> = [
            "--disable-hot-restart",
            "-l",
            "info",
            "--log-format",
            FORMAT,
        ]
        .into_iter()
        // Old listeners and their VMs go soon after an update, and access logs come soon after the request.
        .chain(["--drain-time-s", "1", "--file-flush-interval-msec", "200"])
        .map(String::from)
        .collect();
        arguments.extend(["--concurrency".into(), bootstrap.concurrency.to_string()]);
        arguments.extend([
            "--admin-address-path".into(),
            folder.join("admin").display().to_string(),
        ]);
        arguments.extend(["-c".into(), config.display().to_string()]);
        arguments.append(&mut bootstrap.arguments);

        let mut envoy = Self {
            log: Log::new(folder.join(format!("{}.log", bootstrap.name))),
            name: bootstrap.name,
            process: None,
            program,
            arguments,
            admin: Admin::new(""),
            ports: bootstrap.ports,
            listener_port: listener_port.context("the bootstrap has no listener with a port")?,
            listener,
            folder,
            temporary,
        };
        envoy.launch().await?;
        Ok(envoy)
    }

    async fn launch(&mut self) -> Result<()> {
        let admin = self.folder.join("admin");
        match std::fs::remove_file(&admin) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", admin.display()));
            }
            _ => {}
        }
        let mut process = Process::spawn(&self.program, |command| {
            // Relative paths in a bootstrap are relative to the workspace's root.
            command
                .args(&self.arguments)
                .current_dir(paths::workspace());
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
        })?;
        let stderr = process
            .child()
            .stderr
            .take()
            .context("Envoy's standard error")?;
        self.log.read(stderr)?;
        let ready = wait_until("Envoy ready", START, async || {
            if let Some(status) = process.ended()? {
                return Ok(Some(Err(status)));
            }
            let Ok(address) = std::fs::read_to_string(&admin) else {
                return Ok(None);
            };
            let admin = Admin::new(address.trim());
            Ok(admin.is_ready().await?.then_some(Ok(admin)))
        });
        match ready.await {
            Ok(Ok(admin)) => {
                self.admin = admin;
                self.process = Some(process);
                // With a listener from a file, Envoy is also ready without it.
                if let Some(reason) = self.refusal().await? {
                    bail!(
                        "Envoy {} refused its listener: {reason}; its log:\n{}",
                        self.name,
                        self.log.tail()
                    );
                }
                Ok(())
            }
            Ok(Err(status)) => {
                // What it said last may still be on its way through the pipe.
                self.log.closed().await;
                Err(anyhow!(
                    "Envoy {} ended at its start ({status}); its log:\n{}",
                    self.name,
                    self.log.tail()
                ))
            }
            Err(error) => Err(error.context(format!(
                "starting {}; its log:\n{}",
                self.name,
                self.log.tail()
            ))),
        }
    }

    /// Its bootstrap's name: `proxy`, `gateway`, `catalog`, …
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address that stands for a documented port of the bootstrap.
    ///
    /// # Errors
    /// When no port is free (a documented port that's not the bootstrap's gets one).
    pub fn address(&self, documented: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            self.ports.resolve(documented)?,
        )))
    }

    /// The first listener's address.
    #[must_use]
    pub fn listener_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.listener_port))
    }

    /// A URL at the first listener, by its path with the leading slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listener_address())
    }

    /// Statistics, metrics, configuration.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The log. It goes on through restarts.
    #[must_use]
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Its folder: bootstrap, log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The first log line, from the beginning on, that satisfies the predicate.
    ///
    /// # Errors
    /// After `within`, or when Envoy ends first.
    pub async fn wait_for_log(
        &self,
        within: Duration,
        wanted: impl Fn(&LogLine) -> bool,
    ) -> Result<LogLine> {
        self.log
            .find(Mark::default(), within, |line| {
                wanted(line).then(|| line.clone())
            })
            .await
    }

    /// The first alert, from the beginning of the log on, that satisfies the predicate.
    ///
    /// # Errors
    /// After `within`, when Envoy ends first, or on an alert that can't be read.
    pub async fn wait_for_alert(
        &self,
        within: Duration,
        wanted: impl Fn(&Alert) -> bool,
    ) -> Result<Alert> {
        self.wait_for_alert_since(Mark::default(), within, wanted)
            .await
    }

    /// The first alert after a mark that satisfies the predicate.
    ///
    /// # Errors
    /// Of [`Self::wait_for_alert`].
    pub async fn wait_for_alert_since(
        &self,
        mark: Mark,
        within: Duration,
        wanted: impl Fn(&Alert) -> bool,
    ) -> Result<Alert> {
        let found = self
            .log
            .find(mark, within, |line| match Alert::parse(&line.message)? {
                Ok(alert) => wanted(&alert).then_some(Ok(alert)),
                Err(error) => Some(Err(error)),
            });
        found.await.context("awaiting an alert")?
    }

    /// All alerts so far.
    ///
    /// # Errors
    /// When a line begins as an alert and can't be read as one.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        self.log.alerts_since(Mark::default())
    }

    /// Resident memory, in bytes (Linux).
    ///
    /// # Errors
    /// When it doesn't run, or the system doesn't tell.
    pub fn resident_bytes(&self) -> Result<u64> {
        let id = self.id().context("Envoy doesn't run")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))
            .context("asking for Envoy's memory")?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("no VmRSS")?.trim().parse::<u64>()? * 1024)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.kill())
    }

    /// Asks it to end, and awaits that.
    ///
    /// # Errors
    /// When it doesn't end in time, or not with success.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        self.admin.post("/quitquitquit").await?;
        let status = process.wait(STOP).await?;
        if !status.success() {
            bail!(
                "Envoy {} ended with {status}; its log:\n{}",
                self.name,
                self.log.tail()
            );
        }
        Ok(())
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`] (or kills it first): same configuration, same ports, same
    /// log.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.log.closed().await;
        self.launch().await
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.kill();
        if std::thread::panicking()
            && let Some(folder) = self.temporary.take()
        {
            eprintln!(
                "the log of Envoy {} is in {}",
                self.name,
                folder.keep().display()
            );
        }
    }
}
