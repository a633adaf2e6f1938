//! The profiles, bounded: whoever makes up identities without end shall not push out those who are known.
//!
//! There are two rooms. Who comes is *new* until it was active in [`KNOWN`] hours or acted oddly, and then moves on to the
//! *known*. A newcomer takes the place of the least worthy of a few who are new too; so a flood of names that act once competes
//! with its like only. Who is known makes room for another who is known only, and never for a name that somebody made up.
//!
//! An eighth of the places is for the new. While the known leave places free, those who would have to go wait there instead: a
//! proxy that has just started knows nobody, and has room for all it meets.

use super::keyed::Keyed;
use super::profile::{KNOWN, Profile};
use crate::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One place in so many is for who is new.
const NEW: usize = 8;
/// Entries looked at to make room among the known: all of them at the default cap. It happens once in an identity's life, and
/// nobody can bring it about in less than [`KNOWN`] hours.
const SCAN: usize = 8192;

#[derive(Debug)]
pub(super) struct Roster {
    known: Keyed<Profile>,
    new: Keyed<Profile>,
    evicted: u64,
}

impl Roster {
    pub(super) fn new(cap: usize) -> Self {
        let new = cap.div_ceil(NEW);
        Self {
            known: Keyed::new(cap.saturating_sub(new)),
            new: Keyed::new(new),
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len().saturating_add(self.new.len())
    }

    /// How many made room for another.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn get(&self, key: u64) -> Option<&Profile> {
        self.known.get(key).or_else(|| self.new.get(key))
    }

    /// The profile of an identity that acts, made where there is none.
    pub(super) fn meet(&mut self, key: u64, at: Time) -> Option<&mut Profile> {
        if self.new.get(key).is_some_and(is_established)
            && let Some(profile) = self.new.remove(key)
        {
            self.admit(key, profile);
        }
        if self.known.get(key).is_none() && self.new.get(key).is_none() {
            self.add(key, Profile::new(at));
        }
        match self.known.get(key) {
            Some(_) => self.known.get_mut(key),
            None => self.new.get_mut(key),
        }
    }

    /// Takes in somebody new.
    fn add(&mut self, key: u64, profile: Profile) {
        let Some((key, left)) = self
            .new
            .insert(key, profile, super::keyed::CANDIDATES, worth)
        else {
            return;
        };
        if self.known.is_full() {
            self.evicted = self.evicted.saturating_add(1);
        } else {
            self.known.insert(key, left, SCAN, worth);
        }
    }

    /// Takes in somebody who is known.
    fn admit(&mut self, key: u64, profile: Profile) {
        if self.known.insert(key, profile, SCAN, worth).is_some() {
            self.evicted = self.evicted.saturating_add(1);
        }
    }

    /// The same, as far as they fit, under another cap: the worthiest.
    pub(super) fn capped(self, cap: usize) -> Self {
        let mut all: Vec<(u64, Profile)> = self.known.into_entries();
        all.extend(self.new.into_entries());
        all.sort_by_key(|(_, p)| std::cmp::Reverse(worth(p)));
        let mut out = Self::new(cap);
        for (key, profile) in all {
            if !out.known.is_full() {
                out.admit(key, profile);
            } else if !out.new.is_full() {
                out.add(key, profile);
            }
        }
        out.evicted = self.evicted;
        out
    }
}

fn is_established(profile: &Profile) -> bool {
    profile.odd.is_some() || profile.hours.seen() >= KNOWN
}

/// Who is worth more stays; who is established first of all.
fn worth(profile: &Profile) -> impl Ord + use<> {
    (is_established(profile), profile.worth())
}

impl Serialize for Roster {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.known.entries().iter().chain(self.new.entries()))
    }
}

impl<'de> Deserialize<'de> for Roster {
    /// The profiles without a cap of their own: see [`Roster::capped`].
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self {
            known: Keyed::deserialize(d)?,
            new: Keyed::new(1),
            evicted: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Pool;
    use super::super::profile::Tails;
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HOUR: u64 = 3_600_000;

    /// A roster, and what profiles are taught by.
    struct World {
        roster: Roster,
        pool: Pool,
        tails: Tails,
    }

    impl World {
        fn act(&mut self, key: u64, at: u64) {
            let (pool, tails) = (&mut self.pool, &mut self.tails);
            let profile = self.roster.meet(key, Time(at)).unwrap();
            profile.act(Time(at), 1, 1, Duration::ZERO, pool, tails);
        }

        fn with(cap: usize) -> Self {
            Self {
                roster: Roster::new(cap),
                pool: Pool::default(),
                tails: Tails::default(),
            }
        }

        /// Identities that act in as many hours as it takes, each before the next comes.
        fn establish(&mut self, keys: impl Iterator<Item = u64>) {
            for key in keys {
                for hour in 0..=u64::from(KNOWN) {
                    self.act(key, hour * HOUR);
                }
                self.act(key, u64::from(KNOWN) * HOUR + 1);
            }
        }
    }

    fn made_up(i: u64) -> u64 {
        (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 << 63
    }

    proptest! {
        #[test]
        fn however_many_names_are_made_up_the_known_and_the_odd_stay(
            cap in 10usize..400, share in 0.0f64..1.0, flood in 1000u64..6000, bursts in 1u64..4
        ) {
            let mut world = World::with(cap);
            let known = (((cap - cap.div_ceil(NEW)) as f64 * share) as u64).max(1);
            // Some come before the flood, some amid it; the first of all has acted oddly.
            world.establish(0..known / 2);
            if let Some(profile) = world.roster.meet(0, Time(7 * HOUR)) {
                profile.odd = Some(Time(0));
            }
            for i in 0..flood {
                for n in 0..bursts {
                    world.act(made_up(i), 8 * HOUR + i + n);
                }
                if i == flood / 2 {
                    world.establish(known / 2..known);
                }
            }
            prop_assert!(world.roster.len() <= cap);
            for key in 0..known {
                prop_assert!(world.roster.get(key).is_some(), "{key} of {known} is gone, at a cap of {cap}");
            }
            let gone = flood + known - world.roster.len() as u64;
            prop_assert!(world.roster.evicted() >= gone, "who went is counted");
        }

        #[test]
        fn under_a_smaller_cap_the_worthiest_stay(cap in 10usize..60, flood in 0u64..200) {
            let mut world = World::with(400);
            (0..flood).for_each(|i| world.act(made_up(i), 8 * HOUR + i));
            world.establish(0..9);
            let roster = world.roster.capped(cap);
            prop_assert!(roster.len() <= cap);
            let kept = (0..9).filter(|k| roster.get(*k).is_some()).count();
            prop_assert_eq!(kept, 9);
        }
    }

    #[test]
    fn who_asks_for_most_outlasts_a_flood_of_its_first_hour() {
        let mut world = World::with(80);
        for i in 0..10_000 {
            world.act(made_up(i), 8 * HOUR + i * 10);
            if i % 10 == 0 {
                world.act(7, 8 * HOUR + i * 10 + 1);
            }
        }
        let heavy = world.roster.get(7).map(|p| p.worth());
        assert!(heavy > world.roster.get(made_up(9_999)).map(|p| p.worth()));
    }
}
