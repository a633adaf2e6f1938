//! This VM's place in the election: the lease of [`pairwatch_engine::lease`], kept in shared data.

use crate::host;
use pairwatch_engine::Time;
use pairwatch_engine::frame::Framed;
use pairwatch_engine::lease::{Lease, Move, Rank, next_move};

/// Where the lease is.
const LEASE: &str = "pairwatch.lease";
/// Where VMs get their numbers.
const NUMBERS: &str = "pairwatch.vms";
/// Times a write that lost a race is tried again within one tick.
const TRIES: u32 = 8;

/// How this VM stands at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It leads.
    Leading,
    /// Another leads and is alive.
    Following,
    /// Nobody leads.
    Leaderless,
}

#[derive(Debug)]
pub(crate) struct Election {
    number: u32,
    /// Since when this VM has seen no live leader.
    alone_since: Time,
    lease: Option<Lease>,
}

impl Election {
    /// Joins with a number no other VM of the process has.
    pub(crate) fn join(now: Time) -> Self {
        let mut number = 0;
        for _ in 0..TRIES {
            let (bytes, cas) = host::shared(NUMBERS);
            number = <[u8; 4]>::try_from(bytes)
                .map_or(0, u32::from_le_bytes)
                .saturating_add(1);
            if cas.is_none() {
                // The key does not exist: made with nothing in it, so that it can be compared.
                host::share(NUMBERS, &0u32.to_le_bytes(), None);
                continue;
            }
            if host::share(NUMBERS, &number.to_le_bytes(), cas) {
                break;
            }
        }
        Self {
            number,
            alone_since: now,
            lease: None,
        }
    }

    /// Looks at the lease and makes this VM's move. Returns how it stands, and the version of the published limits.
    pub(crate) fn stand(&mut self, rank: Rank, now: Time) -> (Standing, u64) {
        let (mut bytes, mut cas) = host::shared(LEASE);
        if cas.is_none() {
            // The key does not exist: made with nothing in it, so that it can be compared.
            host::share(LEASE, &[], None);
            (bytes, cas) = host::shared(LEASE);
        }
        let seen = Lease::from_frame(&bytes).ok();
        let led = self.lease.is_some_and(|l| l.holder == self.number);
        // A clock set back does not make this wait begin in the future.
        self.alone_since = self.alone_since.min(now);
        let waited = now.since(self.alone_since);
        let next = next_move(seen.as_ref(), self.number, rank, now, waited);
        let standing = match (next, seen) {
            (Move::Lead, Some(lease)) => {
                let renewed = lease.renewed(rank, now, lease.limits);
                if host::share(LEASE, &renewed.to_frame(), cas) {
                    self.lease = Some(renewed);
                    Standing::Leading
                } else {
                    Standing::Leaderless
                }
            }
            (Move::Claim, _) => {
                let taken = Lease::taken(seen.as_ref(), self.number, rank, now);
                // Leads from the next tick on.
                host::share(LEASE, &taken.to_frame(), cas);
                self.lease = None;
                if led {
                    Standing::Leaderless
                } else {
                    fresh(seen, now)
                }
            }
            (Move::Follow, _) => {
                self.lease = seen;
                Standing::Following
            }
            (Move::Hold | Move::Lead, _) => {
                self.lease = seen;
                Standing::Leaderless
            }
        };
        if standing != Standing::Leaderless {
            self.alone_since = now;
        }
        (standing, self.limits())
    }

    /// The same without a move: neither claims nor renews.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn look_on(&mut self, now: Time) -> (Standing, u64) {
        self.lease = Lease::from_frame(&host::shared(LEASE).0).ok();
        (fresh(self.lease, now), self.limits())
    }

    /// The number that no other VM of the process has.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Holders in a row, this one included, that have not lived through a tick.
    pub(crate) fn failures(&self) -> u32 {
        self.lease.map_or(0, |l| l.failures)
    }

    /// Version of the published limits.
    pub(crate) fn limits(&self) -> u64 {
        self.lease.map_or(0, |l| l.limits)
    }

    /// Says that this VM led through a tick and what it published.
    pub(crate) fn survived(&mut self, limits: u64, now: Time) {
        let Some(lease) = &mut self.lease else {
            return;
        };
        if lease.limits == limits && lease.failures == 0 {
            return;
        }
        let (bytes, cas) = host::shared(LEASE);
        if Lease::from_frame(&bytes).ok().as_ref() == Some(lease) {
            lease.limits = limits;
            lease.failures = 0;
            lease.heartbeat = now;
            host::share(LEASE, &lease.to_frame(), cas);
        }
    }
}

/// How a VM stands that claims: the queue can be used if its holder is alive, and soon will be by this one.
fn fresh(seen: Option<Lease>, now: Time) -> Standing {
    if seen.is_some_and(|l| l.is_fresh(now)) {
        Standing::Following
    } else {
        Standing::Leaderless
    }
}
