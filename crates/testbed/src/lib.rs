//! The testbed: real Envoys, the services behind them, and the load in front of them.
//!
//! What a test writes reads in the order of a request:
//!
//! | Part | Module |
//! |---|---|
//! | where Envoy and the plugin's module are | [`paths`] |
//! | a bootstrap from `envoy/`, with free ports and a test's changes | [`bootstrap`], [`ports`] |
//! | the running Envoy: stop, kill, restart | [`envoy`] |
//! | its log, and the alerts in it | [`log`], [`alert`] |
//! | its statistics and metrics, the names of some | [`admin`], [`metrics`], [`stats`] |
//! | a new plugin configuration while traffic flows | [`listener`] |
//! | Prometheus and Alertmanager | [`daemon`] |
//! | tokens that a proxy can verify | [`jwt`] |
//! | requests, load, hostile bytes | [`http`], [`tls`], [`load`], [`raw`] |
//! | a long run of mixed traffic, and what Envoy uses | [`soak`], [`usage`] |
//! | whole exchanges byte by byte, to hold two proxies against each other | [`wire`] |
//! | what answers behind the proxy | [`service`], [`backend`] |
//! | Istio's manifests, as Istio would have an Envoy run them | [`istio`] |
//! | gateway, four services and their sidecars | [`mesh`], [`apps`], [`certs`] |
//!
//! Nothing here sleeps where a condition can be awaited, every wait has a deadline, and every Envoy ends with the
//! process that started it, even when that one is killed.
//!
//! ```no_run
//! use pairwatch_testbed::{Backend, Bootstrap, Client, Result, json, run};
//!
//! fn a_request_passes() -> Result<()> {
//!     run(async {
//!         let backend = Backend::start().await?;
//!         let envoy = Bootstrap::open("proxy.yaml")?
//!             .backend(backend.address())
//!             .plugin_config(json!({"windows": ["1s", "5s"]}))
//!             .start()
//!             .await?;
//!         let reply = Client::new().get(&envoy.url("/status/204")).await?;
//!         assert_eq!(reply.status, 204);
//!         Ok(())
//!     })
//! }
//! ```
#![allow(
    clippy::arithmetic_side_effects,
    reason = "an overflow here fails a test on a developer's machine; it costs no mesh a request"
)]

pub mod admin;
pub mod alert;
pub mod apps;
pub mod backend;
pub mod bootstrap;
pub mod certs;
pub mod daemon;
pub mod envoy;
pub mod http;
pub mod istio;
pub mod jwt;
pub mod listener;
pub mod load;
pub mod log;
pub mod mesh;
pub mod metrics;
pub mod paths;
pub mod ports;
pub mod prng;
mod process;
pub mod raw;
pub mod service;
pub mod soak;
pub mod stats;
pub mod tls;
pub mod usage;
pub mod wire;

pub use admin::Admin;
pub use alert::Alert;
pub use anyhow;
pub use anyhow::{Context, Error, Result, bail, ensure};
pub use backend::Backend;
pub use bootstrap::Bootstrap;
pub use certs::Certs;
pub use daemon::Daemon;
pub use envoy::Envoy;
pub use http::{Client, Reply};
pub use listener::Update;
pub use load::{Counts, Load, Visitor};
pub use log::{Log, LogLine, Mark};
pub use mesh::Mesh;
pub use metrics::Metrics;
pub use ports::Ports;
pub use prng::Prng;
pub use serde_json::{self, Value, json};
pub use service::Service;
pub use tokio;

/// Runs a test's async body on a runtime of its own.
///
/// # Errors
/// What the body returns, or that the runtime couldn't be built.
pub fn run<T>(body: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("building the async runtime")?
        .block_on(body)
}

/// How long a test waits for what should come soon: long enough for a machine that builds something else meanwhile.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// Polls until `condition` gives a value: for what can only be asked, not awaited (an admin page, a process).
///
/// # Errors
/// After `within`, naming `what` was awaited and the last error the condition gave.
pub async fn wait_until<T>(
    what: &str,
    within: std::time::Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    /// Short against an Envoy's start (a fifth of a second), long against the cost of asking.
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

    let deadline = tokio::time::Instant::now() + within;
    loop {
        let last = match tokio::time::timeout_at(deadline, condition()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(Error::msg("no answer")),
        };
        if tokio::time::Instant::now() >= deadline {
            let message = format!("{what}: not within {within:?}");
            return Err(match last {
                Some(error) => error.context(message),
                None => Error::msg(message),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}
