//! Batches merged since the last snapshot, so that a leader's death loses none of them.
//!
//! A leader writes each tick's batches here before it merges them; whoever takes over restores the snapshot and merges
//! what the journal holds beyond it. Shared data can't be deleted, so the entries go round a fixed set of slots; a
//! snapshot is due before they are used up.

use crate::frame::Framed;
use serde::{Deserialize, Serialize};

/// Slots of the journal, and so ticks between two snapshots at most.
pub const SLOTS: u64 = 64;

/// One tick's batches, as they came off the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: entries are numbered from 1 on.
    pub number: u64,
    /// The frames of the batches.
    pub batches: Vec<Vec<u8>>,
}

impl Framed for Entry {
    const TAG: [u8; 2] = *b"JO";
    const VERSION: u16 = 1;
}

/// The slot of an entry.
pub fn slot(number: u64) -> u64 {
    number.checked_rem(SLOTS).unwrap_or(0)
}
