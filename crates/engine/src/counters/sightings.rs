//! Who called: what a worker keeps of a pair's callers between two batches.
//!
//! A sighting is one identity at one address on one route. In a second most pairs see a handful; a gateway's pair sees
//! hundreds, and anybody can make up as many, so the list is capped and what is beyond is counted. The last places are
//! kept for refused credentials: whoever floods a pair shall not hide who guesses passwords behind it. Names stand one
//! behind the other in one text that is used again, so that counting allocates nothing in steady state.

use super::batch::Sighting;
use crate::exchange::{Exchange, Outcome};
use ahash::RandomState;
use std::net::IpAddr;

/// Sightings of one pair between two batches: more tell little that is new within a second.
const MAX_SIGHTINGS: usize = 64;
/// Of these, kept for refused credentials.
const FOR_REFUSED: usize = 16;
/// Bytes of an identity: subjects of tokens and e-mail addresses are shorter.
pub const MAX_IDENTITY: usize = 128;

/// The callers of one pair since the last batch.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    names: String,
    seen: Vec<Seen>,
    missed: u32,
}

#[derive(Debug)]
struct Seen {
    key: u64,
    name: Option<(u16, u16)>,
    address: Option<IpAddr>,
    route: u16,
    requests: u32,
    refused: u32,
}

impl Sightings {
    /// Bytes it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.seen
            .capacity()
            .saturating_mul(size_of::<Seen>())
            .saturating_add(self.names.capacity())
    }

    /// Counts an exchange on the pair's route number `route`. A new sighting is kept where `room` bytes hold it.
    pub(super) fn add(
        &mut self,
        exchange: &Exchange<'_>,
        outcome: Outcome,
        route: usize,
        hasher: &RandomState,
        room: usize,
    ) {
        let identity = exchange.identity.map(bounded).filter(|i| !i.is_empty());
        if identity.is_none() && exchange.address.is_none() {
            return;
        }
        let route = u16::try_from(route).unwrap_or(u16::MAX);
        let key = hasher.hash_one((identity, exchange.address, route));
        let refused = outcome == Outcome::AuthFailure;
        let at = match self.seen.iter().position(|s| s.key == key) {
            Some(at) => at,
            None => {
                let cap = if refused {
                    MAX_SIGHTINGS
                } else {
                    MAX_SIGHTINGS.saturating_sub(FOR_REFUSED)
                };
                // A vector grows by doubling: what it takes then must fit.
                let needed = self
                    .bytes()
                    .saturating_add(size_of::<Seen>().saturating_mul(4))
                    .saturating_add(MAX_IDENTITY);
                let full =
                    self.seen.len() == self.seen.capacity() || self.names.capacity() < MAX_IDENTITY;
                if self.seen.len() >= cap || (full && needed > room) {
                    self.missed = self.missed.saturating_add(1);
                    return;
                }
                let name = identity.and_then(|i| self.keep(i));
                self.seen.push(Seen {
                    key,
                    name,
                    address: exchange.address,
                    route,
                    requests: 0,
                    refused: 0,
                });
                self.seen.len().saturating_sub(1)
            }
        };
        if let Some(seen) = self.seen.get_mut(at) {
            seen.requests = seen.requests.saturating_add(1);
            seen.refused = seen.refused.saturating_add(u32::from(refused));
        }
    }

    fn keep(&mut self, name: &str) -> Option<(u16, u16)> {
        let from = u16::try_from(self.names.len()).ok()?;
        self.names.push_str(name);
        Some((from, u16::try_from(self.names.len()).ok()?))
    }

    /// Takes out what was seen. `places` says where each of the pair's routes stands in the batch. Returns also the
    /// exchanges whose caller was not kept.
    pub(super) fn drain(&mut self, places: &[Option<u16>]) -> (Vec<Sighting>, u32) {
        let names = &self.names;
        let sightings = self
            .seen
            .drain(..)
            .map(|s| Sighting {
                identity: s.name.and_then(|(from, to)| {
                    let name = names.get(usize::from(from)..usize::from(to))?;
                    Some(name.to_owned())
                }),
                address: s.address,
                route: places
                    .get(usize::from(s.route))
                    .copied()
                    .flatten()
                    .unwrap_or(u16::MAX),
                requests: s.requests,
                refused: s.refused,
            })
            .collect();
        self.names.clear();
        (sightings, std::mem::take(&mut self.missed))
    }
}

/// At most [`MAX_IDENTITY`] bytes of an identity, cut at a character.
pub(crate) fn bounded(identity: &str) -> &str {
    identity
        .get(..identity.floor_char_boundary(MAX_IDENTITY))
        .unwrap_or(identity)
}
