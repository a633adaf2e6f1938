//! What all identities have in common: the hours they keep, how much they ask for in one, on how many networks they
//! settle, which networks many of them share, and which services they ask for.

use super::hours::HOURS;
use super::reach::Reached;
use serde::{Deserialize, Serialize};

/// Networks an identity is followed over.
pub(super) const MOST_NETWORKS: usize = 6;
/// Cells of the sketch that says how many identities use a network: eight times as many as an installation's usual networks,
/// so that few meet.
const CELLS: usize = 4096;
/// Total at which the sketch is halved: then made-up identities fill it no further, and networks nobody uses are forgotten.
const FULL: u32 = 65_536;
/// Sums are halved at this many active hours, so that the population's ways may change within a season.
const MEMORY: f64 = 100_000.0;

/// What all identities have in common.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Pool {
    hours: [f32; HOURS],
    /// Identities' active hours, and the sum over them of the logarithm of the requests in each.
    active: f64,
    volume: f64,
    /// Of identities that have settled on so many networks: how many have, and how many took another afterwards.
    settled: [f32; MOST_NETWORKS],
    moved: [f32; MOST_NETWORKS],
    /// For two hashes of a network: identities that use it. (The smaller of both counts; a count-min sketch, G. Cormode and
    /// S. Muthukrishnan, Journal of Algorithms 55, 2005.)
    users: Vec<u16>,
    total: u32,
    pub(super) reached: Reached,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            hours: [0.0; HOURS],
            active: 0.0,
            volume: 0.0,
            settled: [0.0; MOST_NETWORKS],
            moved: [0.0; MOST_NETWORKS],
            users: vec![0; CELLS],
            total: 0,
            reached: Reached::default(),
        }
    }
}

impl Pool {
    /// An identity was active in an hour with so many requests, as a logarithm.
    pub(super) fn active(&mut self, hour: usize, volume: f64) {
        if let Some(h) = self.hours.get_mut(hour) {
            *h += 1.0;
        }
        self.active += 1.0;
        self.volume += volume;
        if self.active > MEMORY {
            self.active /= 2.0;
            self.volume /= 2.0;
            for h in &mut self.hours {
                *h /= 2.0;
            }
        }
    }

    /// Share of all active hours at this hour of the day; half an hour is added to each, so that none is impossible.
    pub(super) fn share_at(&self, hour: usize) -> f64 {
        let all: f32 = self.hours.iter().sum();
        let here = self.hours.get(hour).copied().unwrap_or(0.0);
        (f64::from(here) + 0.5) / (f64::from(all) + 0.5 * HOURS as f64)
    }

    /// Mean logarithm of the requests of an active hour.
    pub(super) fn volume(&self) -> f64 {
        self.volume / self.active.max(1.0)
    }

    /// An identity has settled on `count` networks.
    pub(super) fn settled(&mut self, count: usize) {
        Self::add(&mut self.settled, count);
    }

    /// An identity that had settled on `count` networks took another.
    pub(super) fn moved(&mut self, count: usize) {
        Self::add(&mut self.moved, count);
    }

    fn add(counts: &mut [f32; MOST_NETWORKS], count: usize) {
        if let Some(n) = counts.get_mut(count.saturating_sub(1)) {
            *n += 1.0;
        }
    }

    /// How probable it is that somebody who has settled on `count` networks ever takes another: of those before, with half
    /// a one added.
    pub(super) fn moves(&self, count: usize) -> f64 {
        let at = count.saturating_sub(1).min(MOST_NETWORKS.saturating_sub(1));
        let of = |counts: &[f32; MOST_NETWORKS]| f64::from(counts.get(at).copied().unwrap_or(0.0));
        ((of(&self.moved) + 0.5) / (of(&self.settled) + 1.0)).min(1.0)
    }

    fn cells(network: u32) -> [usize; 2] {
        // Fibonacci hashing, once from either half: the network is a hash already.
        let high = network.wrapping_mul(0x9E37_79B9).wrapping_shr(20);
        let low = network
            .rotate_left(16)
            .wrapping_mul(0x85EB_CA6B)
            .wrapping_shr(20);
        [high, low].map(|c| usize::try_from(c).unwrap_or(0))
    }

    /// One more identity uses a network.
    pub(super) fn joins(&mut self, network: u32) {
        for cell in Self::cells(network) {
            if let Some(users) = self.users.get_mut(cell) {
                *users = users.saturating_add(1);
            }
        }
        self.total = self.total.saturating_add(1);
        if self.total >= FULL {
            self.total /= 2;
            for users in &mut self.users {
                *users /= 2;
            }
        }
    }

    /// The share of all identities' networks that this one is.
    pub(super) fn share_on(&self, network: u32) -> f64 {
        // Some more than there are: the first few identities do not make a network everybody's.
        const IMAGINED: f64 = 20.0;
        f64::from(self.users(network)) / (f64::from(self.total) + IMAGINED)
    }

    /// About how many identities use a network; never too few.
    pub(super) fn users(&self, network: u32) -> u16 {
        let counts = Self::cells(network).map(|c| self.users.get(c).copied().unwrap_or(0));
        counts.into_iter().min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn a_network_is_never_said_to_have_fewer_users_than_it_has(
            joins in prop::collection::vec(any::<u32>(), 1..300), network in any::<u32>(), times in 0u16..50,
        ) {
            let mut pool = Pool::default();
            joins.iter().for_each(|n| pool.joins(*n));
            (0..times).for_each(|_| pool.joins(network));
            prop_assert!(pool.users(network) >= times);
        }
    }

    #[test]
    fn where_nobody_ever_took_a_third_network_a_third_is_rare() {
        let mut pool = Pool::default();
        (0..200).for_each(|_| pool.settled(2));
        (0..200).for_each(|_| pool.settled(1));
        (0..150).for_each(|_| pool.moved(1));
        assert!(pool.moves(2) < 0.01 && pool.moves(1) > 0.5);
        assert!(
            pool.moves(5) >= 0.5,
            "of whom nothing is known all is possible"
        );
    }
}
