//! A map from 64-bit hashes to small values, bounded in size.
//!
//! What callers can make up without end (identities, addresses, routes) is kept by a seeded hash: no name costs memory,
//! and nobody who does not know the seed can make two meet. Two of a million meet by chance once in forty million
//! installations. At the cap a newcomer takes the place of the worst of a few entries, as in [`crate::table`]: a bounded
//! cost, and what is made up competes with its like before it reaches what is well known.

use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many entries are looked at to make room for one. Eight find one of the worst fifth five times in six.
pub(super) const CANDIDATES: usize = 8;

#[derive(Debug)]
pub(super) struct Keyed<V> {
    index: HashTable<usize>,
    entries: Vec<(u64, V)>,
    cap: usize,
    hand: usize,
}

impl<V> Keyed<V> {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
            cap: cap.max(1),
            hand: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, key: u64) -> Option<usize> {
        let same = |&i: &usize| self.entries.get(i).is_some_and(|(k, _)| *k == key);
        self.index.find(key, same).copied()
    }

    pub(super) fn get(&self, key: u64) -> Option<&V> {
        self.entries.get(self.find(key)?).map(|(_, v)| v)
    }

    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let at = self.find(key)?;
        self.entries.get_mut(at).map(|(_, v)| v)
    }

    /// The value of a key, made by `fresh` where there is none; at the cap the entry of the lowest `worth` among a few
    /// leaves for it.
    pub(super) fn get_or_insert<W: Ord>(
        &mut self,
        key: u64,
        fresh: impl FnOnce() -> V,
        worth: impl Fn(&V) -> W,
    ) -> Option<&mut V> {
        let at = match self.find(key) {
            Some(at) => at,
            None => {
                self.insert(key, fresh(), CANDIDATES, worth);
                self.entries.len().saturating_sub(1)
            }
        };
        self.entries.get_mut(at).map(|(_, v)| v)
    }

    /// Puts in a key that is not there; at the cap the entry of the lowest `worth` among so many leaves for it, and is
    /// returned.
    pub(super) fn insert<W: Ord>(
        &mut self,
        key: u64,
        value: V,
        candidates: usize,
        worth: impl Fn(&V) -> W,
    ) -> Option<(u64, V)> {
        let left = if self.is_full() {
            self.evict(candidates, worth)
        } else {
            None
        };
        let at = self.entries.len();
        self.entries.push((key, value));
        let entries = &self.entries;
        self.index
            .insert_unique(key, at, |&i| entries.get(i).map_or(0, |(k, _)| *k));
        left
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= self.cap
    }

    pub(super) fn entries(&self) -> &[(u64, V)] {
        &self.entries
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, v)| v)
    }

    pub(super) fn into_entries(self) -> Vec<(u64, V)> {
        self.entries
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, key: u64) -> Option<V> {
        let at = self.find(key)?;
        self.take(at).map(|(_, v)| v)
    }

    fn evict<W: Ord>(&mut self, candidates: usize, worth: impl Fn(&V) -> W) -> Option<(u64, V)> {
        let count = self.entries.len();
        let worst = (0..candidates.min(count))
            .filter_map(|step| {
                let at = self.hand.saturating_add(step).checked_rem(count)?;
                Some((worth(&self.entries.get(at)?.1), at))
            })
            .min_by(|a, b| a.0.cmp(&b.0));
        self.hand = self
            .hand
            .saturating_add(candidates)
            .checked_rem(count)
            .unwrap_or(0);
        self.take(worst?.1)
    }

    /// Takes out the entry at a place; the last one comes into it.
    fn take(&mut self, at: usize) -> Option<(u64, V)> {
        let last = self.entries.len().saturating_sub(1);
        let key = self.entries.get(at)?.0;
        if let Ok(slot) = self.index.find_entry(key, |&i| i == at) {
            slot.remove();
        }
        let taken = self.entries.swap_remove(at);
        if let Some((key, _)) = self.entries.get(at)
            && let Some(slot) = self.index.find_mut(*key, |&i| i == last)
        {
            *slot = at;
        }
        Some(taken)
    }

    /// The same entries, as far as they fit, under another cap.
    pub(super) fn capped(self, cap: usize) -> Self {
        let mut out = Self::new(cap);
        for (key, value) in self.entries.into_iter().take(out.cap) {
            out.get_or_insert(key, || value, |_| 0u8);
        }
        out
    }
}

impl<V: Serialize> Serialize for Keyed<V> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(s)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Keyed<V> {
    /// The entries without a cap of their own: see [`Keyed::capped`].
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let entries = Vec::<(u64, V)>::deserialize(d)?;
        let mut out = Self::new(entries.len());
        for (key, value) in entries {
            out.get_or_insert(key, || value, |_| 0u8);
        }
        Ok(out)
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
        fn a_table_at_its_cap_finds_exactly_what_it_holds(keys in prop::collection::vec(0u64..60, 1..400)) {
            let mut table = Keyed::new(20);
            for k in &keys {
                *table.get_or_insert(*k, || 0u32, |v| *v).unwrap() += 1;
            }
            prop_assert!(table.len() <= 20);
            for (key, value) in &table.entries {
                prop_assert_eq!(table.get(*key), Some(value));
            }
            prop_assert_eq!(table.index.len(), table.len(), "index and entries agree");
        }
    }

    #[test]
    fn a_million_made_up_keys_leave_the_one_that_is_worth_more() {
        let mut table = Keyed::new(100);
        table.get_or_insert(u64::MAX, || 1000u32, |v| *v);
        for key in 0..1_000_000u64 {
            table.get_or_insert(key.wrapping_mul(0x9E37_79B9_7F4A_7C15), || 1, |v| *v);
        }
        assert_eq!(table.len(), 100);
        assert_eq!(table.get(u64::MAX), Some(&1000));
    }
}
