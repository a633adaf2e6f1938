//! What is measured under which load: a *cell* is a number of active pairs and a size of bodies.
//!
//! All variants under all loads would take an hour, and most of it would say the same twice. What an idle filter costs does not
//! hang on pairs, so it stands beside every cell as the control; Lua is there where the question is what other ways to read
//! two headers cost; tagging differs from observing by one callback a request, whatever the body is.

use super::variants::{ENFORCE, LUA, NONE, NOOP, OBSERVE, TAG};

/// A load, and who gets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    /// As `--cells` names it.
    pub(crate) name: &'static str,
    /// Sources that a round's requests come from, in turn.
    pub(crate) pairs: u64,
    /// Bytes of each request's body, and of each answer's.
    pub(crate) body: usize,
    /// Requests a second at which latency is measured: a tenth or so of what one core carries, so that what is measured is the
    /// way through Envoy and not a queue before it.
    pub(crate) rate: f64,
    /// Requests in a round, as a share of `--requests`: bodies take time, and a round must not.
    pub(crate) share: f64,
    /// Besides the variants of `--module`, which have a place in each.
    pub(crate) variants: &'static [&'static str],
}

const KIB: usize = 1024;

/// In the order they are measured in.
pub(crate) const CELLS: [Cell; 4] = [
    Cell {
        name: "1",
        pairs: 1,
        body: 0,
        rate: 1_000.0,
        share: 1.0,
        variants: &[NONE, NOOP, LUA, OBSERVE, TAG, ENFORCE],
    },
    Cell {
        name: "100-1k",
        pairs: 100,
        body: KIB,
        rate: 1_000.0,
        share: 1.0,
        variants: &[NONE, NOOP, LUA, OBSERVE, TAG, ENFORCE],
    },
    Cell {
        name: "5000",
        pairs: 5_000,
        body: 0,
        rate: 1_000.0,
        share: 1.0,
        variants: &[NONE, NOOP, OBSERVE, TAG, ENFORCE],
    },
    Cell {
        name: "1-100k",
        pairs: 1,
        body: 100 * KIB,
        rate: 300.0,
        share: 0.3,
        variants: &[NONE, NOOP, OBSERVE, ENFORCE],
    },
];

impl Cell {
    /// For people.
    pub(crate) fn title(&self) -> String {
        let pairs = match self.pairs {
            1 => "1 pair".to_owned(),
            pairs => format!("{pairs} pairs"),
        };
        match self.body / KIB {
            0 => format!("{pairs}, no bodies"),
            kib => format!("{pairs}, bodies of {kib} KiB both ways"),
        }
    }

    /// Requests in a round: each pair has one at least.
    pub(crate) fn requests(&self, wanted: u64) -> u64 {
        ((wanted as f64 * self.share) as u64).max(self.pairs)
    }
}
