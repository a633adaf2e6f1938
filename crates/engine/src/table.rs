//! A map from the two names of a pair to a value, found without building a key and bounded in size.
//!
//! Both roles keep one: the filter its counters, the aggregator what it learned. Names come from the network, so the
//! hash is seeded and the number of entries capped. At the cap a newcomer takes the place of the worst of a few entries
//! looked at in turn (the clock hand moves on, so that every entry is looked at in time): a bounded cost per insertion,
//! where the exact worst would cost a scan, and a million made-up pairs compete with one another before they reach what
//! is well known.

use ahash::RandomState;
use hashbrown::HashTable;

/// How many entries are looked at to make room for one. Eight find one of the worst fifth five times in six.
const CANDIDATES: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Entry<V> {
    pub(crate) source: Box<str>,
    pub(crate) destination: Box<str>,
    pub(crate) value: V,
}

/// A pair's place in the table.
#[derive(Debug)]
pub(crate) struct Slot<'a, V> {
    pub(crate) value: &'a mut V,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
    /// Who made room for it.
    pub(crate) evicted: Option<Entry<V>>,
}

#[derive(Debug)]
pub(crate) struct PairTable<V> {
    hasher: RandomState,
    index: HashTable<usize>,
    entries: Vec<Entry<V>>,
    cap: usize,
    hand: usize,
    evicted: u64,
}

/// A hasher out of one seed. `ahash` never sees the seed of another VM: its results stay inside one.
pub(crate) fn hasher(seed: u64) -> RandomState {
    RandomState::with_seeds(
        seed,
        seed.rotate_left(17) ^ 0x9E37_79B9_7F4A_7C15,
        seed.rotate_left(31) ^ 0xC2B2_AE3D_27D4_EB4F,
        seed.rotate_left(47) ^ 0x1656_67B1_9E37_79F9,
    )
}

/// FNV-1a: a hash that is the same on every machine and in every run, for what is stored or shown.
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>)
pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl<V> PairTable<V> {
    pub(crate) fn new(cap: u32, seed: u64) -> Self {
        Self {
            hasher: hasher(seed),
            index: HashTable::new(),
            entries: Vec::new(),
            cap: usize::try_from(cap).unwrap_or(usize::MAX).max(1),
            hand: 0,
            evicted: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.cap
    }

    /// How many entries made room for another, since the start.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<V>> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<V>> {
        self.entries.iter_mut()
    }

    fn hash(&self, source: &str, destination: &str) -> u64 {
        self.hasher.hash_one((source, destination))
    }

    fn find(&self, hash: u64, source: &str, destination: &str) -> Option<usize> {
        self.index
            .find(hash, |&i| {
                self.entries
                    .get(i)
                    .is_some_and(|e| *e.source == *source && *e.destination == *destination)
            })
            .copied()
    }

    /// The pair's value.
    pub(crate) fn get(&self, source: &str, destination: &str) -> Option<&V> {
        let at = self.find(self.hash(source, destination), source, destination)?;
        self.entries.get(at).map(|e| &e.value)
    }

    /// The pair's value, made by `fresh` where there is none. At the cap the worst candidate by `worth` (lowest first)
    /// leaves; `None` where none may, because `worth` says `None` of each candidate.
    pub(crate) fn get_or_insert<W: Ord>(
        &mut self,
        source: &str,
        destination: &str,
        fresh: impl FnOnce() -> V,
        worth: impl Fn(&V) -> Option<W>,
    ) -> Option<Slot<'_, V>> {
        let hash = self.hash(source, destination);
        let found = self.find(hash, source, destination);
        let mut evicted = None;
        let at = match found {
            Some(at) => at,
            None => {
                if self.is_full() {
                    evicted = Some(self.evict(worth)?);
                }
                let at = self.entries.len();
                if at == self.entries.capacity() {
                    // By a quarter, not to the double: what is reserved and not used, and what was left when it moved, a VM
                    // never gives back.
                    self.entries.reserve_exact((at / 4).max(4));
                }
                self.entries.push(Entry {
                    source: source.into(),
                    destination: destination.into(),
                    value: fresh(),
                });
                let (hasher, entries) = (&self.hasher, &self.entries);
                self.index
                    .insert_unique(hash, at, |&i| rehash(hasher, entries, i));
                at
            }
        };
        self.entries.get_mut(at).map(|e| Slot {
            value: &mut e.value,
            is_new: found.is_none(),
            evicted,
        })
    }

    /// The pair's value.
    pub(crate) fn get_mut(&mut self, source: &str, destination: &str) -> Option<&mut V> {
        let at = self.find(self.hash(source, destination), source, destination)?;
        self.entries.get_mut(at).map(|e| &mut e.value)
    }

    /// Takes out a pair.
    pub(crate) fn remove(&mut self, source: &str, destination: &str) -> Option<Entry<V>> {
        if self.entries.is_empty() {
            return None;
        }
        let at = self.find(self.hash(source, destination), source, destination)?;
        self.remove_at(at)
    }

    /// Takes out the worst of a few candidates; `None` where none of them may leave.
    pub(crate) fn evict<W: Ord>(&mut self, worth: impl Fn(&V) -> Option<W>) -> Option<Entry<V>> {
        let count = self.entries.len();
        let worst = (0..CANDIDATES.min(count))
            .filter_map(|step| {
                let at = self.hand.saturating_add(step).checked_rem(count)?;
                Some((worth(&self.entries.get(at)?.value)?, at))
            })
            .min_by(|a, b| a.0.cmp(&b.0))
            .map(|(_, at)| at);
        self.hand = self
            .hand
            .saturating_add(CANDIDATES)
            .checked_rem(count)
            .unwrap_or(0);
        let entry = self.remove_at(worst?)?;
        self.evicted = self.evicted.saturating_add(1);
        Some(entry)
    }

    fn remove_at(&mut self, at: usize) -> Option<Entry<V>> {
        let hash = self
            .entries
            .get(at)
            .map(|e| self.hash(&e.source, &e.destination))?;
        if let Ok(slot) = self.index.find_entry(hash, |&i| i == at) {
            slot.remove();
        }
        let last = self.entries.len().saturating_sub(1);
        let removed = self.entries.swap_remove(at);
        if let Some(moved) = self.entries.get(at) {
            let hash = self.hash(&moved.source, &moved.destination);
            if let Some(slot) = self.index.find_mut(hash, |&i| i == last) {
                *slot = at;
            }
        }
        Some(removed)
    }
}

fn rehash<V>(hasher: &RandomState, entries: &[Entry<V>], at: usize) -> u64 {
    entries
        .get(at)
        .map_or(0, |e| hasher.hash_one((&*e.source, &*e.destination)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    proptest! {
        #[test]
        fn a_table_at_its_cap_finds_exactly_what_it_holds(names in prop::collection::vec(0u8..60, 1..400)) {
            let mut table = PairTable::new(20, 7);
            for n in &names {
                *table.get_or_insert(&n.to_string(), "d", || 0u32, |v| Some(*v)).unwrap().value += 1;
            }
            prop_assert!(table.len() <= 20);
            for e in table.iter() {
                let found = table.find(table.hash(&e.source, &e.destination), &e.source, &e.destination);
                prop_assert!(found.is_some(), "{} is held but not found", e.source);
            }
            prop_assert_eq!(table.index.len(), table.len(), "index and entries agree");
        }
    }

    #[test]
    fn nobody_leaves_a_full_table_where_nobody_may() {
        let mut table = PairTable::new(1, 7);
        table.get_or_insert("a", "d", || 0u32, |_| Some(0)).unwrap();
        assert!(
            table
                .get_or_insert("b", "d", || 0, |_| None::<u32>)
                .is_none()
        );
        assert!(
            table
                .get_or_insert("a", "d", || 0, |_| None::<u32>)
                .is_some()
        );
    }
}
