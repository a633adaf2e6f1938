//! A snapshot of another life: trained elsewhere, or put away by the process before this one.
//!
//! It differs from the snapshot a new leader goes on with, which is a moment old and of this very process. What it says of
//! the moment (open windows, evidence, incidents, counts) is of another time, and only what was *learned* is taken: per
//! pair the baselines, routes and seasons; over all pairs the season, the pools and what is known of identities.
//!
//! **Pairs sleep until they are seen.** A proxy that begins to serve is not sent all its traffic at once, and a trained file
//! may know pairs of a whole mesh. A pair that was awake at once would be told to have fallen silent, and each takes a share
//! of the tolerated false alerts. So they are kept aside, count for nothing, and wake with their first request. The
//! price: a pair that never comes back after a restart is not missed. A pair wakes to the time of day that it
//! is, not to that at which learning had stopped.
//!
//! **It may come late**, when the store was away. By then some was learned here. For each pair, and for what is
//! known of all together, that stays which has seen more windows; a pair that is taken over keeps the counts of its open
//! windows, so that nothing counted is lost and what goes on now is judged by what was learned then.
//!
//! A snapshot of other windows is refused: its rates are of no use, and a proxy that believed it knew its pairs would alert
//! on all that differs. Rejected: to keep the batches that came meanwhile and merge them again; they would raise again what
//! was told already, and hold memory for as long as a store is away.

use super::Aggregator;
use super::pool::Pool;
use super::snapshot::Snapshot;
use crate::Time;
use crate::baselines::calls::Calls;
use crate::frame::{FrameError, Framed};
use std::fmt;

/// Why a snapshot is not what to start with.
#[derive(Debug)]
pub struct WarmError(Kind);

#[derive(Debug)]
enum Kind {
    Frame(FrameError),
    Windows { found: String, configured: String },
    Signals,
}

impl fmt::Display for WarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Frame(error) => error.fmt(f),
            Kind::Windows { found, configured } => write!(
                f,
                "it was learned with windows of {found}, the configuration has {configured}"
            ),
            Kind::Signals => f.write_str("its signals are not this module's"),
        }
    }
}

impl std::error::Error for WarmError {}

impl Aggregator {
    /// Takes in what a snapshot of another life has learned. Returns how many pairs are known by it.
    ///
    /// # Errors
    /// It is no snapshot of this version, damaged, or of other windows. Then nothing has changed.
    pub fn warm_start(&mut self, bytes: &[u8], now: Time) -> Result<usize, WarmError> {
        let snapshot = Snapshot::from_frame(bytes).map_err(|e| WarmError(Kind::Frame(e)))?;
        if !snapshot.clock.fits(self.config.window_lengths()) {
            return Err(WarmError(Kind::Windows {
                found: snapshot.clock.lengths(),
                configured: self.clock.lengths(),
            }));
        }
        let levels = self.config.windows.len();
        let mut pairs = snapshot.pairs.iter();
        if !Pool::fit(&snapshot.pools, levels) || !pairs.all(|(_, _, p)| p.fits(levels)) {
            return Err(WarmError(Kind::Signals));
        }
        // A snapshot out of the future was taken on another clock.
        self.born = self.born.min(snapshot.born);
        let theirs = snapshot.samples > self.samples;
        if theirs {
            // What is counted now stays, and what requests bring is known by the places that routes have there.
            let open = std::mem::take(&mut self.asked);
            self.asked = snapshot.asked.rest(levels);
            self.asked.count_as(&open, levels);
            for awake in self.pairs.iter_mut() {
                awake.value.calls = Calls::default();
            }
            self.season = snapshot.season;
            self.pools = snapshot.pools;
            self.identities = snapshot.identities.fit(&self.config);
        }
        self.samples = self.samples.saturating_add(snapshot.samples);
        let mut known = 0usize;
        for (source, destination, mut learned) in snapshot.pairs {
            learned = learned.named(&source, &destination);
            learned.rest(now);
            if !theirs {
                learned.calls = Calls::default();
            }
            known = known.saturating_add(1);
            match self.pairs.get_mut(&source, &destination) {
                Some(awake) => awake.learn_from(learned),
                None => {
                    self.dormant
                        .get_or_insert(&source, &destination, || learned, |p| p.worth(now));
                }
            }
        }
        self.look_ahead();
        self.count_once();
        Ok(known)
    }

    /// Whether there is a pair, awake or asleep, of which some signal is known well.
    pub fn knows_a_pair(&self) -> bool {
        let mut pairs = self.pairs.iter().chain(self.dormant.iter());
        pairs.any(|e| e.value.is_known())
    }

    /// Counts the pairs seen in one window only, which say how likely yet another is.
    pub(super) fn count_once(&mut self) {
        let pairs = self.pairs.iter().chain(self.dormant.iter());
        self.pairs_once = pairs.filter(|e| e.value.samples() <= 1).count();
    }
}
