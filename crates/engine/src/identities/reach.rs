//! Which services an identity asks for, and how odd it is that it asks for several it never did: `lateral_movement`.
//!
//! Whoever holds a stolen token tries it at one door after the other. A service that calls what it never called shows as new pairs;
//! an identity that does so shows nowhere else, because the pairs it comes over are others' daily traffic.
//!
//! A profile has the services it asked for. In a session those are strange that it never did, over pairs that are known: a
//! service that is being rolled out is new to everybody. Fewer than [`MOVES`] are no movement: one is a function that somebody had
//! not used yet. Of more the score is the sum of their surprises, −ln of the share of all identities that ask for them, so that
//! what everybody uses hardly counts and a door that nobody goes through counts most; and ln(1 + n) where it was at n sessions
//! content with what it knew (Good and Turing's estimate, see [`crate::baselines::novelty`]). One request may ask for a dozen
//! services behind the first, which is why the surprises are no evidence by themselves: what a sum is worth is for
//! [`super::tail`] to say.
//!
//! Services are kept as bits of a hash. Two that meet are one, so that some movement is missed and none is made up.

use crate::incidents::MOVES;
use serde::{Deserialize, Serialize};

/// Services told apart.
const SERVICES: usize = 128;
/// Identities after which all is halved, so that the population's ways may change.
const MEMORY: f32 = 10_000.0;

/// Services, as bits.
pub(super) type Services = u128;

/// Whether so many strange services in one session are movement.
pub(super) fn is_movement(strange: u8) -> bool {
    usize::from(strange) >= MOVES
}

/// A service's bit.
pub(super) fn service(hash: u64) -> Services {
    1u128.wrapping_shl(hash as u32)
}

/// What an identity asks for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Reach {
    known: Services,
    /// Sessions since it last asked for something new.
    since: u16,
    /// Whether it is among the pool's.
    pooled: bool,
}

/// What all identities that are known ask for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Reached {
    by: Vec<f32>,
    identities: f32,
}

impl Reach {
    pub(super) fn knows(&self, service: Services) -> bool {
        self.known & service != 0
    }

    /// How odd it is that this session asks for anything new, in nats.
    pub(super) fn surprise(&self) -> f64 {
        f64::from(self.since).ln_1p()
    }

    /// A session is over in which it asked for what it had not. Only who is established teaches the pool.
    pub(super) fn learn(&mut self, new: Services, established: bool, pool: &mut Reached) {
        self.known |= new;
        self.since = if new == 0 {
            self.since.saturating_add(1)
        } else {
            0
        };
        if established {
            let told = if self.pooled { new } else { self.known };
            pool.learn(told, !self.pooled);
            self.pooled = true;
        }
    }
}

impl Default for Reached {
    fn default() -> Self {
        Self {
            by: vec![0.0; SERVICES],
            identities: 0.0,
        }
    }
}

impl Reached {
    fn learn(&mut self, services: Services, is_new: bool) {
        for (at, by) in self.by.iter_mut().enumerate() {
            let bit = u32::try_from(at).map_or(0, |at| 1u128.wrapping_shl(at));
            if services & bit != 0 {
                *by += 1.0;
            }
        }
        if is_new {
            self.identities += 1.0;
        }
        if self.identities >= MEMORY {
            self.identities /= 2.0;
            self.by.iter_mut().for_each(|by| *by /= 2.0);
        }
    }

    /// How odd it is to ask for a service, in nats: half an identity is added, so that none is impossible.
    pub(super) fn surprise(&self, service: Services) -> f64 {
        let at = usize::try_from(service.trailing_zeros()).unwrap_or(0);
        let by = f64::from(self.by.get(at).copied().unwrap_or(0.0));
        let share = (by + 0.5) / (f64::from(self.identities) + 1.0);
        -share.clamp(1e-9, 1.0).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_door_that_few_go_through_is_odder_than_one_that_most_do() {
        let (most, few) = (service(3), service(4));
        let mut pool = Reached::default();
        for i in 0..100 {
            let services = if i % 20 == 0 { most | few } else { most };
            Reach::default().learn(services, true, &mut pool);
        }
        assert!(pool.surprise(most) < 0.1);
        assert!((pool.surprise(few) - (101.0f64 / 5.5).ln()).abs() < 1e-6);
        assert!(pool.surprise(service(5)) > 5.0, "nobody went through it");
    }

    #[test]
    fn who_is_not_established_teaches_nobody_until_it_is_and_then_once() {
        let mut pool = Reached::default();
        let mut reach = Reach::default();
        reach.learn(service(1), false, &mut pool);
        assert!(reach.knows(service(1)) && pool.surprise(service(1)) > 0.5);
        reach.learn(0, true, &mut pool);
        reach.learn(0, true, &mut pool);
        assert!((pool.surprise(service(1)) - (2.0f64 / 1.5).ln()).abs() < 1e-6);
    }

    #[test]
    fn the_longer_it_was_content_the_odder_is_something_new() {
        let mut pool = Reached::default();
        let mut reach = Reach::default();
        reach.learn(service(1), true, &mut pool);
        let young = reach.surprise();
        (0..50).for_each(|_| reach.learn(0, true, &mut pool));
        assert!(reach.surprise() > young + 3.0);
    }
}
