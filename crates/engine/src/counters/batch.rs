//! What a worker sends each second: the counts since its last batch.
//!
//! A batch stands alone: it carries the names of its pairs and routes in full, refers to nothing sent before, and so
//! survives a change of aggregator, a reload and a reordering. It costs some 100 bytes a pair and second.

use super::cell::Cell;
use crate::Time;
use crate::alerts::{Kind, Severity};
use crate::exchange::version::Version;
use crate::frame::Framed;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The counts of one worker over one span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// When counting began: the end of the batch before.
    pub from: Time,
    /// When counting ended. A batch that was held spans more than a second.
    pub to: Time,
    /// The pairs that had traffic.
    pub pairs: Vec<PairCounts>,
    /// Exchanges not among `pairs`, because a cap on memory turned them away.
    pub dropped: u64,
}

/// The counts of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Who called.
    pub source: String,
    /// What was called.
    pub destination: String,
    /// The routes that had traffic.
    pub routes: Vec<RouteCounts>,
    /// Who called, where the proxy knows.
    pub sightings: Vec<Sighting>,
    /// Exchanges whose caller is not among them, because a cap on memory turned it away.
    pub unsighted: u32,
    /// The rules that were broken.
    pub broken: Vec<Broken>,
    /// The versions of the destination that answered, where they are known.
    pub versions: Vec<Version>,
}

/// A rule that exchanges of a pair broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its place among the configuration's `rules`.
    pub rule: u8,
    /// What it looks like.
    pub kind: Kind,
    /// How urgent it is.
    pub severity: Severity,
    /// What it scores.
    pub score: u8,
    /// Exchanges.
    pub requests: u32,
}

/// One identity at one address on one route of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The user or service the requests spoke for.
    pub identity: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// Which of the pair's `routes`; a number past its end is none of them.
    pub route: u16,
    /// Exchanges.
    pub requests: u32,
    /// Those refused for their credentials.
    pub refused: u32,
    /// Those that failed by another error of the caller's, or asked for what is not there.
    pub client_errors: u32,
}

/// The counts of one route of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// The route template, or one of [`crate::exchange::route::OTHER`] and [`crate::exchange::route::UNROUTED`].
    pub route: String,
    /// What was counted.
    pub cell: Cell,
}

impl Framed for Batch {
    const TAG: [u8; 2] = *b"BA";
    const VERSION: u16 = 5;
}

impl Batch {
    /// Exchanges in the batch, without the dropped.
    pub fn requests(&self) -> u64 {
        self.pairs
            .iter()
            .flat_map(|p| &p.routes)
            .fold(0u64, |n, r| {
                n.saturating_add(u64::from(r.cell.tallies.requests))
            })
    }
}
