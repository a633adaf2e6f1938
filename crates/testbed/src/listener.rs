//! A listener that changes while traffic flows.
//!
//! Envoy reads it from a file in a folder it watches; a new version is written beside it and moved over it, which is one
//! step for the watcher. Envoy then either takes the listener or refuses it and stays with the old one; its counters tell
//! which.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bootstrap::{set_filter_config, set_module};
use crate::envoy::Envoy;
use crate::wait_until;

/// The file's name.
pub(crate) const FILE: &str = "listener.json";

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const TAKEN: &str = "listener_manager.lds.update_success";
const REFUSED: &str = "listener_manager.lds.update_rejected";
/// An update is read within milliseconds; a new VM for each worker takes longer.
const UPDATE: Duration = Duration::from_secs(15);

/// What Envoy made of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// In use for new connections.
    Accepted,
    /// Refused, with Envoy's reason; the old listener stays.
    Rejected(String),
}

#[derive(Debug)]
pub(crate) struct Listener {
    path: PathBuf,
    tree: Value,
    version: u64,
}

impl Listener {
    pub(crate) fn write(folder: &Path, mut tree: Value) -> Result<Self> {
        tree.as_object_mut()
            .context("a listener is an object")?
            .insert("@type".into(), LISTENER.into());
        let mut listener = Self {
            path: folder.join(FILE),
            tree,
            version: 0,
        };
        listener.publish()?;
        Ok(listener)
    }

    fn publish(&mut self) -> Result<()> {
        self.version += 1;
        let response =
            json!({ "version_info": self.version.to_string(), "resources": [self.tree] });
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(&response)?)
            .with_context(|| format!("writing {}", new.display()))?;
        std::fs::rename(&new, &self.path)
            .with_context(|| format!("moving to {}", self.path.display()))
    }
}

impl Envoy {
    /// Changes the listener and awaits Envoy's answer. Needs
    /// [`Bootstrap::listener_from_file`](crate::Bootstrap::listener_from_file).
    ///
    /// After a refusal the next change starts from the refused listener.
    ///
    /// # Errors
    /// When the listener isn't from a file, or Envoy doesn't answer in time.
    pub async fn update_listener(&mut self, change: impl FnOnce(&mut Value)) -> Result<Update> {
        let before = self.updates().await?;
        let Some(listener) = &mut self.listener else {
            bail!("the listener of {} is not from a file", self.name())
        };
        change(&mut listener.tree);
        listener.publish()?;
        let answer = wait_until("an answer to the listener's update", UPDATE, async || {
            let now = self.updates().await?;
            Ok((now != before).then_some(now.1 == before.1))
        });
        let accepted = answer
            .await
            .with_context(|| format!("the log:\n{}", self.log().tail()))?;
        if accepted {
            return Ok(Update::Accepted);
        }
        Ok(Update::Rejected(
            self.refusal()
                .await?
                .unwrap_or_else(|| "no reason given".into()),
        ))
    }

    /// Gives the plugin another configuration: a `json!`, or any text.
    ///
    /// # Errors
    /// Of [`Self::update_listener`].
    pub async fn update_plugin_config(&mut self, config: impl ToString) -> Result<Update> {
        let config = config.to_string();
        let mut found = false;
        let update = self
            .update_listener(|listener| found = set_filter_config(listener, &config))
            .await;
        if !found {
            bail!("the listener has no plugin to configure");
        }
        update
    }

    /// Gives the plugin another module.
    ///
    /// # Errors
    /// Of [`Self::update_listener`].
    pub async fn update_plugin_module(&mut self, path: &Path) -> Result<Update> {
        self.update_listener(|listener| set_module(listener, path))
            .await
    }

    async fn updates(&self) -> Result<(u64, u64)> {
        let taken = self.admin().stat(TAKEN).await?.unwrap_or(0);
        Ok((taken, self.admin().stat(REFUSED).await?.unwrap_or(0)))
    }

    /// Why Envoy refused the last listener, by its configuration dump; nothing where it didn't.
    pub(crate) async fn refusal(&self) -> Result<Option<String>> {
        if self.listener.is_none() || self.updates().await?.1 == 0 {
            return Ok(None);
        }
        let config = self.admin().config().await?;
        let parts = config
            .pointer("/configs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut listeners = parts
            .filter_map(|part| part["dynamic_listeners"].as_array())
            .flatten();
        Ok(listeners.find_map(|listener| {
            listener
                .pointer("/error_state/details")
                .and_then(Value::as_str)
                .map(String::from)
        }))
    }
}
