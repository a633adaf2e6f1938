//! Who called: what a worker keeps of a pair's callers between two batches.
//!
//! A sighting is one identity at one address on one route. In a second most pairs see a handful; a gateway's pair sees
//! hundreds, and anybody can make up as many, so the list is capped and what is beyond is counted. The last places are
//! kept for refused credentials: whoever floods a pair shall not hide who guesses passwords behind it. In a full list one newcomer
//! in eight takes the place of one that was seen once: who asks for much comes back before it has lost its place again, and
//! then stays. Names stand one behind the other in one text that is used again, so that counting allocates nothing in steady state.

use super::batch::Sighting;
use crate::exchange::{Exchange, Outcome};
use ahash::RandomState;
use std::net::IpAddr;

/// Sightings of one pair between two batches: more tell little that is new within a second.
const MAX_SIGHTINGS: usize = 64;
/// Of these, kept for refused credentials.
const FOR_REFUSED: usize = 16;
/// One newcomer in so many gets a place in a full list: a place is kept for a few hundred newcomers, so that a share of a hundredth of
/// the requests comes back in time.
const REPLACES: u32 = 8;
/// Bytes of an identity: subjects of tokens and e-mail addresses are shorter.
pub const MAX_IDENTITY: usize = 128;

/// The callers of one pair since the last batch.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    names: String,
    seen: Vec<Seen>,
    missed: u32,
    /// The next to give up its place.
    hand: usize,
}

#[derive(Debug)]
struct Seen {
    key: u64,
    name: Option<(u16, u16)>,
    address: Option<IpAddr>,
    route: u16,
    requests: u32,
    refused: u32,
    client_errors: u32,
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
        let client_error = matches!(outcome, Outcome::ClientError | Outcome::NotFound);
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
                let mut seen = Seen {
                    key,
                    name: None,
                    address: exchange.address,
                    route,
                    requests: 0,
                    refused: 0,
                    client_errors: 0,
                };
                if self.seen.len() >= cap || (full && needed > room) {
                    // Of this request, or of the one that gives up its place.
                    self.missed = self.missed.saturating_add(1);
                    let Some(at) = self.replace(seen, identity) else {
                        return;
                    };
                    at
                } else {
                    seen.name = identity.and_then(|i| self.keep(i));
                    self.seen.push(seen);
                    self.seen.len().saturating_sub(1)
                }
            }
        };
        if let Some(seen) = self.seen.get_mut(at) {
            seen.requests = seen.requests.saturating_add(1);
            seen.refused = seen.refused.saturating_add(u32::from(refused));
            seen.client_errors = seen.client_errors.saturating_add(u32::from(client_error));
        }
    }

    /// Puts one newcomer in [`REPLACES`] where one was seen once, if the next in turn is such a one and the name fits into its
    /// place.
    fn replace(&mut self, mut new: Seen, identity: Option<&str>) -> Option<usize> {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4) of how many came: no regular traffic keeps in step with it.
        if self.missed.wrapping_mul(0x9E37_79B9) > u32::MAX / REPLACES {
            return None;
        }
        let at = self.hand.checked_rem(self.seen.len())?;
        self.hand = at.saturating_add(1);
        let old = self.seen.get_mut(at)?;
        if old.requests != 1 || old.refused != 0 {
            return None;
        }
        if let Some(name) = identity {
            let (from, to) = old.name?;
            let end = from.saturating_add(u16::try_from(name.len()).ok()?);
            let place = usize::from(from)..usize::from(end);
            // Within the old name, and between characters.
            if end > to || self.names.get(place.clone()).is_none() {
                return None;
            }
            self.names.replace_range(place, name);
            new.name = Some((from, end));
        }
        *old = new;
        Some(at)
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
                client_errors: s.client_errors,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn add(sightings: &mut Sightings, who: &str, refused: bool) {
        let exchange = Exchange {
            source: "web",
            destination: "shop",
            identity: Some(who),
            address: None,
            method: b"GET",
            path: b"/",
            status: if refused { 401 } else { 200 },
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 0,
            duration_us: 0,
        };
        let hasher = table::hasher(3);
        sightings.add(&exchange, exchange.outcome(), 0, &hasher, 1 << 20);
    }

    proptest! {
        #[test]
        fn each_request_is_seen_under_its_own_name_or_counted_as_missed(
            calls in prop::collection::vec(("[a-zé€]{1,6}", prop::bool::weighted(0.1)), 1..600)
        ) {
            let mut sightings = Sightings::default();
            for (who, refused) in &calls {
                add(&mut sightings, who, *refused);
            }
            let (seen, missed) = sightings.drain(&[Some(0)]);
            prop_assert!(seen.len() <= MAX_SIGHTINGS);
            let counted: u32 = seen.iter().map(|s| s.requests).sum();
            prop_assert_eq!(counted + missed, calls.len() as u32);
            for s in &seen {
                let name = s.identity.as_deref().unwrap();
                let own = calls.iter().filter(|(who, _)| who == name);
                prop_assert!(s.requests as usize <= own.clone().count(), "{name}");
                prop_assert!(s.refused as usize <= own.filter(|(_, r)| *r).count(), "{name}");
            }
        }
    }

    #[test]
    fn who_asks_for_much_is_seen_through_a_flood_of_made_up_names() {
        let mut sightings = Sightings::default();
        for i in 0..20_000u32 {
            add(&mut sightings, &format!("user-{i:016x}"), false);
            if i % 50 == 49 {
                add(&mut sightings, "user-ffffffffffffffff", false);
            }
        }
        let (seen, _) = sightings.drain(&[Some(0)]);
        let heavy = seen
            .iter()
            .find(|s| s.identity.as_deref() == Some("user-ffffffffffffffff"));
        let requests = heavy.map_or(0, |s| s.requests);
        assert!(requests > 200, "{requests} of 400 requests");
    }
}
