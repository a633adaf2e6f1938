//! Which pair is in which open incident: asked for each pair and window.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pairs in open incidents at once, some 100 bytes each. Beyond it what joins is told with its incident but not remembered
/// as part of it, and what would open one is counted.
const MAX: usize = 4096;

/// For each pair that is odd now, the number of its incident. A pair has one place, and so one incident.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Members {
    by_source: BTreeMap<String, BTreeMap<String, u64>>,
    count: usize,
}

impl Members {
    pub(super) fn get(&self, source: &str, destination: &str) -> Option<u64> {
        self.by_source.get(source)?.get(destination).copied()
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX
    }

    /// Puts a pair into an incident; says whether there was room.
    pub(super) fn insert(&mut self, source: &str, destination: &str, incident: u64) -> bool {
        if self.is_full() && self.get(source, destination).is_none() {
            return false;
        }
        let of_source = self.by_source.entry(source.to_owned()).or_default();
        if of_source.insert(destination.to_owned(), incident).is_none() {
            self.count = self.count.saturating_add(1);
        }
        true
    }

    pub(super) fn remove(&mut self, source: &str, destination: &str) {
        let Some(of_source) = self.by_source.get_mut(source) else {
            return;
        };
        if of_source.remove(destination).is_some() {
            self.count = self.count.saturating_sub(1);
        }
        if of_source.is_empty() {
            self.by_source.remove(source);
        }
    }
}
