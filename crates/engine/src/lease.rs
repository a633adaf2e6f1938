//! Which VM aggregates: a lease in data that all VMs of an Envoy share.
//!
//! Every VM looks at the lease each second. The holder renews it; the others follow as long as its heartbeat is fresh,
//! and hold their counts while it is not. The lease goes by rank: a bootstrap singleton before a VM that serves no
//! streams (the main thread's clone) before a VM that does, because what traps on traffic should not lead. A higher
//! rank takes the lease even from a live holder; equal and lower ranks only once it is stale, the lower the later.
//!
//! A claim leads from the next tick on, so that a holder that was in the middle of its last tick has finished writing its
//! journal before the newcomer reads it.
//!
//! The clock is the wall clock of one machine. If it jumps ahead the lease may look stale and change hands, which
//! costs nothing; a heartbeat out of the future is stale, so that a jump back can't leave a dead holder in office.

use crate::Time;
use crate::frame::Framed;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a heartbeat counts: three ticks, so that one late tick is no death.
pub const FRESH: Duration = Duration::from_secs(3);
/// How long a VM that serves streams leaves a stale or absent lease to those that don't.
const DEFERENCE: Duration = Duration::from_secs(3);
/// How far ahead of ours another thread's reading of the clock may be.
const SKEW: Duration = Duration::from_secs(2);

/// Who is fitter to lead, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rank {
    /// Serves streams.
    Busy,
    /// Serves none.
    Idle,
    /// A bootstrap service made for it.
    Singleton,
}

/// The lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Number of the VM that holds it.
    pub holder: u32,
    /// Its rank when it took it.
    pub rank: Rank,
    /// When it was last renewed.
    pub heartbeat: Time,
    /// Times the lease changed hands.
    pub term: u32,
    /// Holders in a row that did not live through their first tick.
    pub failures: u32,
    /// Version of the limits published.
    pub limits: u64,
}

impl Framed for Lease {
    const TAG: [u8; 2] = *b"LE";
    const VERSION: u16 = 1;
}

/// What a VM does at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It holds the lease: renew and lead.
    Lead,
    /// It takes the lease, to lead from the next tick on.
    Claim,
    /// Another leads: send counts.
    Follow,
    /// Nobody leads: hold counts.
    Hold,
}

impl Lease {
    /// Whether the holder was alive a moment ago.
    pub fn is_fresh(&self, now: Time) -> bool {
        now.since(self.heartbeat) <= FRESH && self.heartbeat.since(now) <= SKEW
    }

    /// The lease of a VM that takes over.
    pub fn taken(before: Option<&Self>, me: u32, rank: Rank, now: Time) -> Self {
        Self {
            holder: me,
            rank,
            heartbeat: now,
            term: before.map_or(1, |l| l.term.saturating_add(1)),
            failures: before.map_or(0, |l| l.failures.saturating_add(1)),
            limits: before.map_or(0, |l| l.limits),
        }
    }

    /// The lease, renewed.
    pub fn renewed(&self, rank: Rank, now: Time, limits: u64) -> Self {
        Self {
            heartbeat: now,
            rank,
            limits,
            ..*self
        }
    }
}

/// What VM `me` of rank `rank`, which has been waiting for a leader for `waited`, does about the lease it sees.
pub fn next_move(lease: Option<&Lease>, me: u32, rank: Rank, now: Time, waited: Duration) -> Move {
    match lease {
        Some(l) if l.holder == me => Move::Lead,
        // A busy holder gives way at once to any VM made for it; an idle one only to the singleton.
        Some(l) if l.is_fresh(now) && l.rank >= rank => Move::Follow,
        Some(l) if l.is_fresh(now) => Move::Claim,
        _ if rank > Rank::Busy || waited >= DEFERENCE => Move::Claim,
        _ => Move::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Time = Time(1_000_000);
    const LONG: Duration = Duration::from_secs(60);

    fn held(rank: Rank, heartbeat: u64) -> Lease {
        Lease {
            holder: 1,
            rank,
            heartbeat: Time(heartbeat),
            term: 4,
            failures: 0,
            limits: 9,
        }
    }

    #[test]
    fn a_live_holder_is_followed() {
        let lease = held(Rank::Idle, NOW.0 - 1000);
        for rank in [Rank::Busy, Rank::Idle] {
            assert_eq!(next_move(Some(&lease), 2, rank, NOW, LONG), Move::Follow);
        }
    }

    #[test]
    fn a_higher_rank_takes_the_lease_from_a_live_holder() {
        for (holder, rank) in [
            (Rank::Busy, Rank::Idle),
            (Rank::Busy, Rank::Singleton),
            (Rank::Idle, Rank::Singleton),
        ] {
            let lease = held(holder, NOW.0);
            assert_eq!(
                next_move(Some(&lease), 2, rank, NOW, Duration::ZERO),
                Move::Claim
            );
        }
    }

    #[test]
    fn a_vm_that_serves_streams_leaves_a_stale_lease_to_others_first() {
        let lease = held(Rank::Idle, NOW.0 - 4000);
        assert_eq!(
            next_move(Some(&lease), 2, Rank::Busy, NOW, Duration::from_secs(1)),
            Move::Hold
        );
        assert_eq!(
            next_move(Some(&lease), 2, Rank::Busy, NOW, LONG),
            Move::Claim
        );
        assert_eq!(
            next_move(Some(&lease), 2, Rank::Idle, NOW, Duration::ZERO),
            Move::Claim
        );
        assert_eq!(
            next_move(None, 2, Rank::Idle, NOW, Duration::ZERO),
            Move::Claim
        );
    }

    #[test]
    fn a_heartbeat_out_of_the_future_is_stale() {
        let lease = held(Rank::Idle, NOW.0 + 3_600_000);
        assert_eq!(
            next_move(Some(&lease), 2, Rank::Idle, NOW, Duration::ZERO),
            Move::Claim
        );
    }

    #[test]
    fn holders_that_die_young_are_counted() {
        let second = Lease::taken(Some(&held(Rank::Idle, 0)), 2, Rank::Idle, NOW);
        let third = Lease::taken(Some(&second), 3, Rank::Busy, NOW);
        assert_eq!((second.failures, third.failures, third.term), (1, 2, 6));
    }
}
