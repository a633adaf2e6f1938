//! What was learned, as bytes that outlive the VM.
//!
//! The plugin puts a snapshot into shared data every `learning.snapshot_every`, and journals each batch in between, so
//! that whoever takes over after a trap continues where the last leader stood. A snapshot of another version is refused;
//! one of another configuration keeps what does not depend on it: pairs, routes, their usual sizes and durations,
//! incidents.

use super::Aggregator;
use super::asked::Asked;
use super::hidden::Ledger;
use super::pair::Pair;
use super::pool::Pool;
use crate::Time;
use crate::baselines::season::Pooled;
use crate::config::Config;
use crate::counters::Batch;
use crate::frame::{FrameError, Framed, seal};
use crate::identities::Identities;
use crate::incidents::Incidents;
use crate::windows::Clock;
use serde::{Deserialize, Serialize};

/// Everything an aggregator learned.
#[derive(Debug, Deserialize, Serialize)]
pub struct Snapshot {
    /// Number of the last journal entry it contains; the plugin's business.
    pub journaled: u64,
    pub(super) born: Time,
    pub(super) clock: Clock,
    pub(super) samples: u32,
    pairs_once: usize,
    pub(super) identities: Identities,
    pub(super) asked: Asked,
    incidents: Incidents,
    hidden: Ledger,
    counted: [u64; 5],
    waiting: Vec<Batch>,
    pub(super) season: Pooled,
    pub(super) pools: Vec<Vec<Pool>>,
    /// How many of the pairs have been seen since the start; the others were known by a warm start, and sleep.
    awake: usize,
    pub(super) pairs: Vec<(Box<str>, Box<str>, Pair)>,
}

/// What a pair takes in a snapshot once it knows all that it can, with few routes: by budget. A new one takes three
/// quarters of that.
const LEARNED: usize = 4096;

/// The same, borrowed: written without a copy. Fields and their order are [`Snapshot`]'s.
#[derive(Serialize)]
struct Borrowed<'a> {
    journaled: u64,
    born: Time,
    clock: &'a Clock,
    samples: u32,
    pairs_once: usize,
    identities: &'a Identities,
    asked: &'a Asked,
    incidents: &'a Incidents,
    hidden: &'a Ledger,
    counted: [u64; 5],
    waiting: &'a [Batch],
    season: &'a Pooled,
    pools: &'a [Vec<Pool>],
    awake: usize,
    pairs: Vec<(&'a str, &'a str, &'a Pair)>,
}

impl Framed for Snapshot {
    const TAG: [u8; 2] = *b"SN";
    const VERSION: u16 = 16;
}

impl Aggregator {
    /// Everything learned, as bytes. `journaled` is the number of the last journal entry merged.
    pub fn snapshot(&self, journaled: u64) -> Vec<u8> {
        let borrowed = Borrowed {
            journaled,
            born: self.born,
            clock: &self.clock,
            samples: self.samples,
            pairs_once: self.pairs_once,
            identities: &self.identities,
            asked: &self.asked,
            incidents: &self.incidents,
            hidden: &self.hidden,
            counted: [
                self.totals.requests,
                self.totals.batches,
                self.totals.dropped,
                self.totals.suppressed,
                self.totals.unsighted,
            ],
            waiting: &self.waiting,
            season: &self.season,
            pools: &self.pools,
            awake: self.pairs.len(),
            pairs: self
                .pairs
                .iter()
                .chain(self.dormant.iter())
                .map(|e| (&*e.source, &*e.destination, &e.value))
                .collect(),
        };
        let pairs = borrowed.pairs.len();
        let bytes = seal::<Snapshot>(&borrowed, self.snapshot_room(pairs));
        self.last_snapshot.set((pairs, bytes.capacity()));
        bytes
    }

    /// Room for a snapshot of so many pairs: what there was for the last one, and more where there are more pairs.
    ///
    /// A buffer that has to grow is there twice while it is moved, and linear memory never shrinks; one that takes the same room
    /// each time finds it free.
    fn snapshot_room(&self, pairs: usize) -> usize {
        let (before, room) = self.last_snapshot.get();
        room.saturating_add(pairs.saturating_sub(before).saturating_mul(LEARNED))
    }

    /// An aggregator that knows what a snapshot knows.
    ///
    /// # Errors
    /// The bytes are no snapshot of this version, or damaged.
    pub fn restore(
        config: Config,
        seed: u64,
        bytes: &[u8],
        now: Time,
    ) -> Result<(Self, u64), FrameError> {
        let snapshot = Snapshot::from_frame(bytes)?;
        let same = snapshot.clock.fits(config.window_lengths());
        let levels = config.windows.len();
        let mut aggregator = Self::new(config, seed, now);
        let pairs = snapshot.pairs.len();
        let room = bytes.len().max(pairs.saturating_mul(LEARNED));
        aggregator.last_snapshot.set((pairs, room));
        // A snapshot out of the future was taken on another clock.
        aggregator.born = snapshot.born.min(now);
        if same {
            aggregator.clock = snapshot.clock;
            aggregator.clock.interrupted(now);
        }
        aggregator.samples = snapshot.samples;
        aggregator.pairs_once = snapshot.pairs_once;
        aggregator.identities = snapshot.identities.fit(&aggregator.config);
        aggregator.asked = snapshot.asked.fit(levels, same);
        aggregator.incidents = snapshot.incidents;
        aggregator.hidden = snapshot.hidden.fit(&aggregator.config);
        aggregator.waiting = snapshot.waiting;
        aggregator.season = snapshot.season;
        if same && Pool::fit(&snapshot.pools, levels) {
            aggregator.pools = snapshot.pools;
        }
        let [requests, batches, dropped, suppressed, unsighted] = snapshot.counted;
        aggregator.totals.requests = requests;
        aggregator.totals.batches = batches;
        aggregator.totals.dropped = dropped;
        aggregator.totals.suppressed = suppressed;
        aggregator.totals.unsighted = unsighted;
        for (at, (source, destination, mut pair)) in snapshot.pairs.into_iter().enumerate() {
            let table = if at < snapshot.awake {
                &mut aggregator.pairs
            } else {
                &mut aggregator.dormant
            };
            pair.fit(levels, same);
            let pair = pair.named(&source, &destination);
            table.get_or_insert(&source, &destination, || pair, |p| p.worth(now));
        }
        Ok((aggregator, snapshot.journaled))
    }

    /// The window lengths of a snapshot, where they are not the configuration's: then the restored rates are learned anew.
    pub fn other_windows(config: &Config, bytes: &[u8]) -> Option<String> {
        let snapshot = Snapshot::from_frame(bytes).ok()?;
        let same = snapshot.clock.fits(config.window_lengths());
        (!same).then(|| snapshot.clock.lengths())
    }
}
