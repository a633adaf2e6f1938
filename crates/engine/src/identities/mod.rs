//! Who calls, and whether that is like them.
//!
//! Pairs tell services apart; an identity is the user or service a request speaks for, over all pairs. Its habits are
//! learned as a small profile: the hours it keeps, the networks it comes from, how much it asks for, and of whom. What it does is compared
//! with its own habits, and how much an oddity means with how often anybody honest is as odd.
//!
//! | file | what it does |
//! |---|---|
//! | [`profile`] | what is known of one identity, and its session that is under way |
//! | [`hours`] | when it acts: `off_hours` |
//! | [`networks`] | where it comes from: `new_address` |
//! | [`reach`] | what it asks for: `lateral_movement` |
//! | [`pool`] | what all identities have in common |
//! | [`tail`] | how odd is rare: the threshold out of everybody's scores |
//! | [`refused`] | whose credentials are refused: `credential_stuffing` |
//! | [`rhythm`] | requests like clockwork: `beaconing` |
//! | [`periods`] | whose clock it is: the periods that a route is known to be asked at |
//! | [`callers`] | who called a pair lately: whom an alarm of the pair comes from |
//! | [`findings`] | what an oddity is told as |
//! | [`roster`] | the profiles, and who of them stays |
//! | [`keyed`] | bounded tables of what can be made up without end |
//!
//! **Memory.** At most `limits.identities` profiles of some 250 bytes; who acted oddly stays, then who is known best. A
//! million made-up identities compete with one another only: see [`roster`]. Only what was not refused makes or teaches a
//! profile: whoever guesses passwords teaches nothing about their owners.
//!
//! **False alarms.** Each kind here may raise a share of `false_alerts_per_week`.
//!
//! **Cold start.** Nothing alerts before the proxy has watched for `learning.warmup`, the identity is known for as long and
//! at [`profile::KNOWN`] active hours, and the pool has seen enough to say what is rare. Names are kept as hashes of a seed
//! that is part of the snapshot.

mod callers;
mod findings;
mod hours;
mod keyed;
mod networks;
mod periods;
mod pool;
mod profile;
mod reach;
mod refused;
mod rhythm;
mod roster;
mod tail;

use crate::Time;
use crate::config::Config;
use crate::counters::{PairCounts, Sighting};
use crate::incidents::Finding;
use crate::table;
use ahash::RandomState;
use callers::Callers;
use keyed::Keyed;
use networks::{INSIDE, network};
use pool::Pool;
use profile::Tails;
use refused::{Refused, TRIED};
use rhythm::Rhythms;
use roster::Roster;
use serde::{Deserialize, Serialize};

/// Each kind's part of `false_alerts_per_week`, all together one. Habits are weak evidence, so most of it goes to them,
/// and most to hours, the weakest; …
const OFF_HOURS_SHARE: f64 = 0.5;
const NEW_ADDRESS_SHARE: f64 = 0.3;
/// … and the evidence for a rhythm grows by as much with each beat: a tenth of the false alarms costs one beat.
const BEACONING_SHARE: f64 = 0.05;
/// The same of strange refusals, of which there may be few for hours.
const STUFFING_SHARE: f64 = 0.1;
/// And of services asked for: three doors that few go through are far beyond what honest people do.
const LATERAL_SHARE: f64 = 0.05;
/// Identities whose strange services are known by name, and names of each: a sentence bears no more.
const MOVING: usize = 256;
const NAMES: usize = 8;

/// The identities of one proxy.
#[derive(Debug, Deserialize, Serialize)]
pub struct Identities {
    seed: u64,
    profiles: Roster,
    pool: Pool,
    tails: Tails,
    rhythms: Rhythms,
    refused: Refused,
    #[serde(skip)]
    callers: Callers,
    /// For an identity the strange services of its session, as far as this VM has seen it.
    #[serde(skip, default = "moving")]
    moving: Keyed<Vec<Box<str>>>,
    #[serde(skip, default = "hasher")]
    hasher: RandomState,
}

fn hasher() -> RandomState {
    table::hasher(0)
}

fn moving() -> Keyed<Vec<Box<str>>> {
    Keyed::new(MOVING)
}

/// What a pair's sightings are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// When they were sighted.
    pub at: Time,
    /// Whether the proxy is still in its warm-up: all is learned, nothing told.
    pub learning: bool,
    /// Whether the pair is: what it does regularly is meant.
    pub young: bool,
    /// Whether they were held back: then nobody knows at which second.
    pub held: bool,
}

impl Identities {
    /// Nobody is known yet. `seed` is the hash's, and should be unguessable.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            seed,
            profiles: Roster::new(cap(config)),
            pool: Pool::default(),
            tails: Tails::default(),
            rhythms: Rhythms::default(),
            refused: Refused::default(),
            callers: Callers::default(),
            moving: moving(),
            hasher: table::hasher(seed),
        }
    }

    /// The same under another configuration, or out of a snapshot.
    pub(crate) fn fit(mut self, config: &Config) -> Self {
        self.hasher = table::hasher(self.seed);
        self.profiles = self.profiles.capped(cap(config));
        self.rhythms = self.rhythms.fit();
        self.refused = self.refused.fit();
        self
    }

    /// Identities known, and how many made room for another.
    pub fn count(&self) -> (usize, u64) {
        (self.profiles.len(), self.profiles.evicted())
    }

    /// When an identity last acted oddly, as far as it is known.
    pub fn oddity(&self, identity: &str) -> Option<Time> {
        self.profiles.get(self.hasher.hash_one(identity))?.odd
    }

    /// Takes in who called on a pair; returns what is odd about them.
    pub fn take(&mut self, counts: &PairCounts, scene: &Scene<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let pair = self.pair(&counts.source, &counts.destination);
        let lengths = scene.config.windows.len();
        self.callers.take(pair, counts, lengths, &self.hasher);
        if scene.config.signals.beaconing && !scene.held {
            self.listen(counts, pair, scene, &mut findings);
        }
        for sighting in &counts.sightings {
            if sighting.refused > 0 && scene.config.signals.credential_stuffing {
                findings.extend(self.refuse(counts, sighting, scene));
            }
            if let Some(identity) = &sighting.identity {
                self.take_identity(identity, sighting, counts, pair, scene, &mut findings);
            }
        }
        findings
    }

    /// Says of an alarm of a pair's window, of the length that has this index, whom it comes from.
    pub fn tell(&self, source: &str, destination: &str, index: usize, finding: &mut Finding) {
        let pair = self.pair(source, destination);
        self.callers.tell(pair, index, finding);
    }

    /// The windows of one length are over.
    pub fn close(&mut self, index: usize) {
        self.callers.close(index);
    }

    fn pair(&self, source: &str, destination: &str) -> u64 {
        self.hasher.hash_one((source, destination))
    }

    /// Hears who calls at a fixed period: each identity, or address where no identity is known, beside the route as a whole;
    /// and where neither is, the route alone.
    fn listen(
        &mut self,
        counts: &PairCounts,
        pair: u64,
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let quiet = scene.learning || scene.young;
        let per_week = scene.config.false_alerts_per_week * BEACONING_SHARE;
        let places: Vec<u64> = (counts.routes.iter())
            .map(|r| self.hasher.hash_one((pair, &r.route)))
            .collect();
        if !counts.sightings.is_empty() {
            for place in &places {
                self.rhythms.pulse(*place, scene.at);
            }
        }
        let mut beat = |index: usize, sighting: Option<&Sighting>| {
            let (Some(route), Some(&place)) = (counts.routes.get(index), places.get(index)) else {
                return;
            };
            let key = sighting.map_or(place, |s| {
                let caller = (&s.identity, s.address.filter(|_| s.identity.is_none()));
                self.hasher.hash_one((place, caller))
            });
            let beacon = self.rhythms.beat(key, place, scene.at, quiet, per_week);
            let tell = |b| findings::beaconing(&b, &route.route, sighting, scene.at);
            findings.extend(beacon.map(tell));
        };
        if counts.sightings.is_empty() {
            (0..counts.routes.len()).for_each(|index| beat(index, None));
        }
        for sighting in &counts.sightings {
            beat(usize::from(sighting.route), Some(sighting));
        }
    }

    /// Somebody was refused: strange is who was never let in, or comes from where it never came from.
    fn refuse(
        &mut self,
        counts: &PairCounts,
        sighting: &Sighting,
        scene: &Scene<'_>,
    ) -> Option<Finding> {
        let from = sighting.address.map(network);
        // Inside, the address is the calling workload's, which is the pair's source and no news.
        let outside = sighting.address.filter(|_| from != Some(INSIDE));
        let familiar = match (&sighting.identity, from) {
            (Some(identity), from) => {
                let profile = self.profiles.get(self.hasher.hash_one(identity));
                profile.is_some_and(|p| from.is_none_or(|n| p.networks.knows(n)))
            }
            (None, Some(network)) => network == INSIDE || self.pool.users(network) > 0,
            (None, None) => true,
        };
        if familiar {
            return None;
        }
        let identity = self.hasher.hash_one(&sighting.identity);
        let address = self.hasher.hash_one(outside);
        let caller = self.hasher.hash_one((identity, address));
        if outside.is_some() {
            self.refused.refuse_from(address, identity, scene.at);
        }
        let destination = self.hasher.hash_one(&counts.destination);
        let per_week = scene.config.false_alerts_per_week * STUFFING_SHARE;
        let told = self.refused.refuse(
            destination,
            caller,
            address,
            scene.at,
            per_week,
            scene.learning,
        );
        told.map(|s| findings::stuffing(&s, outside))
    }

    fn take_identity(
        &mut self,
        identity: &str,
        sighting: &Sighting,
        counts: &PairCounts,
        pair: u64,
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let acted = sighting.requests.saturating_sub(sighting.refused);
        if acted == 0 {
            return;
        }
        let key = self.hasher.hash_one(identity);
        let at = scene.at;
        let Some(profile) = self.profiles.meet(key, at) else {
            return;
        };
        let warmup = scene.config.learning.warmup.duration();
        profile.act(at, pair, acted, warmup, &mut self.pool, &mut self.tails);
        let strange = sighting.address.filter(|a| {
            let network = network(*a);
            profile.comes_from(network, acted, &mut self.pool)
        });
        if scene.config.signals.credential_stuffing
            && let Some(address) = sighting.address.filter(|a| network(*a) != INSIDE)
        {
            let place = self.hasher.hash_one(sighting.address);
            let tried = self.refused.serve_from(place, acted, at);
            if tried >= TRIED && strange.is_some() && !scene.learning {
                profile.odd = Some(at);
                findings.push(findings::compromised(profile, identity, address, tried, at));
            }
        }
        let service = reach::service(self.hasher.hash_one(&counts.destination));
        let moves = profile.asks_for(service, scene.young, &self.pool);
        if moves {
            let first = profile.session().strange_services == 1;
            let names = self.moving.get_or_insert(key, Vec::new, |_| 0);
            if let Some(names) = names {
                if first {
                    names.clear();
                }
                if names.len() < NAMES {
                    names.push(counts.destination.as_str().into());
                }
            }
        }
        let per_week = scene.config.false_alerts_per_week;
        if scene.learning || !profile.session().compared {
            return;
        }
        let switches = &scene.config.signals;
        if switches.off_hours && profile.session().pair == pair {
            let per_week = per_week * OFF_HOURS_SHARE;
            let tail = &mut self.tails.hours;
            findings.extend(findings::off_hours(
                profile, identity, sighting, tail, per_week, &self.pool, at,
            ));
        }
        if moves && switches.lateral_movement {
            let per_week = per_week * LATERAL_SHARE;
            let names = self.moving.get(key).map_or(&[][..], Vec::as_slice);
            let tail = &mut self.tails.reach;
            findings.extend(findings::lateral_movement(
                profile, identity, sighting, tail, per_week, names, at,
            ));
        }
        if let Some(address) = strange.filter(|_| switches.new_address) {
            let per_week = per_week * NEW_ADDRESS_SHARE;
            let tail = &mut self.tails.networks;
            findings.extend(findings::new_address(
                profile, identity, address, tail, per_week, &self.pool, at,
            ));
        }
    }
}

fn cap(config: &Config) -> usize {
    usize::try_from(config.limits.identities).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::RouteCounts;
    use proptest::prelude::*;
    use std::net::IpAddr;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn sighted(at: Time, config: &Config, identities: &mut Identities) -> usize {
        let sighting = |refused| Sighting {
            identity: Some("u7".to_owned()),
            address: Some(IpAddr::from([203, 0, 113, 7])),
            route: 0,
            requests: 9,
            refused,
            client_errors: 0,
        };
        let counts = PairCounts {
            source: "web".to_owned(),
            destination: "shop".to_owned(),
            routes: vec![RouteCounts::default()],
            sightings: vec![sighting(9), sighting(0)],
            unsighted: 0,
            broken: Vec::new(),
            versions: Vec::new(),
        };
        let scene = Scene {
            config,
            at,
            learning: false,
            young: false,
            held: false,
        };
        identities.take(&counts, &scene).len()
    }

    fn bytes_of_some() -> Vec<u8> {
        let config = Config::default();
        let mut identities = Identities::new(&config, 7);
        for hour in 0..50 {
            sighted(Time(hour * 3_600_000), &config, &mut identities);
        }
        postcard::to_allocvec(&identities).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_a_snapshot_holds_is_refused_or_gone_on_from(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            times in prop::collection::vec(any::<u64>(), 1..10),
        ) {
            let config = Config::default();
            let mut bytes = bytes_of_some();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(identities) = postcard::from_bytes::<Identities>(&bytes) {
                let mut identities = identities.fit(&config);
                for t in times {
                    sighted(Time(t), &config, &mut identities);
                }
            }
        }
    }
}
