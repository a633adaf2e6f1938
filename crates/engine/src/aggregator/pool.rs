//! What all pairs of one signal and window length know together, and lend to one that knows little.

use crate::evidence::StreamPool;
use crate::signals::{Model, SIGNALS, Signal};
use serde::{Deserialize, Serialize};

/// What a pair borrows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pool {
    /// How the values spread, and for shares how high they are.
    pub(super) model: Model,
    /// How high evidence rises by itself, on either side.
    pub(super) up: StreamPool,
    pub(super) down: StreamPool,
}

impl Pool {
    fn new(signal: &Signal) -> Self {
        Self {
            model: signal.fresh(),
            up: StreamPool::default(),
            down: StreamPool::default(),
        }
    }

    /// Whether pools out of a snapshot are of the signals and window lengths of today.
    pub(super) fn fit(pools: &[Vec<Self>], levels: usize) -> bool {
        pools.len() == levels
            && pools.iter().all(|level| {
                level.len() == SIGNALS.len()
                    && level
                        .iter()
                        .zip(SIGNALS)
                        .all(|(pool, signal)| pool.model.is_of(signal))
            })
    }

    /// One for each signal.
    pub(super) fn all() -> Vec<Self> {
        SIGNALS.iter().map(|s| Self::new(s)).collect()
    }
}
