//! Envoy's admin pages.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http::{Client, Reply};
use crate::metrics::Metrics;
use crate::wait_until;

/// The admin of one Envoy.
#[derive(Debug, Clone)]
pub struct Admin {
    url: String,
    client: Client,
}

impl Admin {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            url: format!("http://{address}"),
            client: Client::new(),
        }
    }

    /// Its address for a browser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A page, by its path with the leading slash.
    ///
    /// # Errors
    /// When Envoy doesn't answer, or not with 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        text(path, self.client.get(&format!("{}{path}", self.url)).await?)
    }

    /// A command, such as `/quitquitquit` or `/logging?wasm=debug`.
    ///
    /// # Errors
    /// When Envoy doesn't answer, or not with 200.
    pub async fn post(&self, path: &str) -> Result<String> {
        text(
            path,
            self.client.post(&format!("{}{path}", self.url), "").await?,
        )
    }

    /// Whether it serves: 200 from `/ready`.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn is_ready(&self) -> Result<bool> {
        Ok(self
            .client
            .get(&format!("{}/ready", self.url))
            .await?
            .status
            == 200)
    }

    /// A counter's or gauge's value; nothing where there is no such statistic (yet).
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn stat(&self, name: &str) -> Result<Option<u64>> {
        let all = self.get("/stats").await?;
        let value = all
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value
            .map(|value| value.parse().with_context(|| format!("{name} is {value}")))
            .transpose()
    }

    /// Awaits a statistic's value; one that isn't there counts as 0.
    ///
    /// # Errors
    /// After `within`.
    pub async fn wait_for_stat(
        &self,
        name: &str,
        within: Duration,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<u64> {
        let mut last = 0;
        let outcome = wait_until(name, within, async || {
            last = self.stat(name).await?.unwrap_or(0);
            Ok(wanted(last).then_some(last))
        });
        let outcome = outcome.await;
        outcome.with_context(|| format!("{name} is {last}"))
    }

    /// What Prometheus would scrape.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.get("/stats/prometheus").await?))
    }

    /// The configuration as Envoy holds it.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn config(&self) -> Result<Value> {
        serde_json::from_str(&self.get("/config_dump").await?)
            .context("reading the configuration dump")
    }
}

fn text(path: &str, reply: Reply) -> Result<String> {
    ensure!(
        reply.status == 200,
        "{path} answers {}: {}",
        reply.status,
        reply.text()
    );
    Ok(reply.text())
}
