//! What a pair did in one window, and the clock that says when windows end.

mod clock;

pub use clock::{Clock, Due};

use crate::counters::{Cell, Failures, Sketch, Tallies};
use serde::{Deserialize, Serialize};

/// A pair's counts over one window. Longer windows are sums of shorter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Exchanges by outcome.
    pub tallies: Tallies,
    /// How long served exchanges took, against their routes' usual.
    pub latency: Durations,
    /// Bytes of request bodies, against their routes' usual.
    pub request_bytes: Totals,
    /// Bytes of response bodies, against their routes' usual.
    pub response_bytes: Totals,
    /// Requests for what is not there.
    pub unrouted: Unrouted,
    /// Requests, each counted by how prone to fail its route is.
    pub prone: Failures<f32>,
}

/// Requests on no known route that were refused or not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unrouted {
    /// Exchanges.
    pub requests: u32,
    /// Their different paths, as templates.
    pub paths: Sketch,
}

/// Durations on the logarithmic scale, of exchanges on routes whose usual duration is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    /// Exchanges.
    pub n: u32,
    /// Sum of their durations, in octaves of a microsecond.
    pub octaves: f64,
    /// Sum of what was usual, in the same.
    pub usual: f64,
}

/// Bytes, of exchanges on routes whose usual size is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Exchanges.
    pub n: u32,
    /// Sum of their bytes.
    pub bytes: f64,
    /// Sum of what was usual.
    pub usual: f64,
}

impl Window {
    /// Adds requests to a route that is so prone to fail.
    pub fn expose(&mut self, requests: f32, prone: Failures<f32>) {
        for (mine, prone) in self.prone.iter_mut().zip(prone) {
            *mine += requests * prone;
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.tallies.merge(&other.tallies);
        self.latency.n = self.latency.n.saturating_add(other.latency.n);
        self.latency.octaves += other.latency.octaves;
        self.latency.usual += other.latency.usual;
        self.request_bytes.merge(&other.request_bytes);
        self.response_bytes.merge(&other.response_bytes);
        self.unrouted.merge(&other.unrouted);
        for (mine, theirs) in self.prone.iter_mut().zip(other.prone) {
            *mine += theirs;
        }
    }
}

impl Unrouted {
    /// Adds the cell of [`route::UNROUTED`](crate::exchange::route::UNROUTED).
    pub fn take(&mut self, cell: &Cell) {
        let t = &cell.tallies;
        self.merge(&Self {
            requests: t
                .client_errors
                .saturating_add(t.not_found)
                .saturating_add(t.auth_failures),
            paths: cell.paths,
        });
    }

    fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.paths.merge(other.paths);
    }
}

impl Totals {
    fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.bytes += other.bytes;
        self.usual += other.usual;
    }
}
