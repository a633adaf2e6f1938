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
//! | [`callers`] | who called a pair lately: whom an alarm of the pair comes from |
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
mod hours;
mod keyed;
mod networks;
mod pool;
mod profile;
mod reach;
mod refused;
mod rhythm;
mod roster;
mod tail;

use crate::Time;
use crate::alerts::{Evidence, Kind, Severity, number};
use crate::config::Config;
use crate::counters::{PairCounts, Sighting};
use crate::exchange::principal;
use crate::incidents::{Finding, Who};
use crate::table;
use ahash::RandomState;
use callers::Callers;
use keyed::Keyed;
use networks::{INSIDE, network};
use pool::Pool;
use profile::{Profile, Tails};
use refused::{Refused, Stuffing, TRIED};
use rhythm::{Beacon, Rhythms};
use roster::Roster;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use tail::Tail;

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
/// Requests below which nothing an identity does is worth an alert: one or two may be a bookmark, a retry, a clock.
const WORTH: u32 = 3;
/// Identities whose strange services are known by name, and names of each: a sentence bears no more.
const MOVING: usize = 256;
const NAMES: usize = 8;
/// Characters of an identity in a sentence.
const SPOKEN: usize = 64;

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

    /// Hears who calls at a fixed period: each identity, or address where no identity is known, and where neither is the
    /// pair as a whole.
    fn listen(
        &mut self,
        counts: &PairCounts,
        pair: u64,
        scene: &Scene<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let quiet = scene.learning || scene.young;
        let per_week = scene.config.false_alerts_per_week * BEACONING_SHARE;
        let mut beat = |route: &str, sighting: Option<&Sighting>| {
            let caller =
                sighting.map(|s| (&s.identity, s.address.filter(|_| s.identity.is_none())));
            let key = self.hasher.hash_one((pair, route, caller));
            let beacon = self.rhythms.beat(key, scene.at, quiet, per_week);
            findings.extend(beacon.map(|b| beaconing(&b, route, sighting, scene.at)));
        };
        if counts.sightings.is_empty() {
            for route in &counts.routes {
                beat(&route.route, None);
            }
        }
        for sighting in &counts.sightings {
            if let Some(route) = counts.routes.get(usize::from(sighting.route)) {
                beat(&route.route, Some(sighting));
            }
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
        let told = self
            .refused
            .refuse(destination, caller, address, scene.at, per_week);
        told.filter(|_| !scene.learning)
            .map(|s| stuffing(&s, outside))
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
                findings.push(compromised(profile, identity, address, tried, at));
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
            findings.extend(off_hours(
                profile, identity, sighting, tail, per_week, &self.pool, at,
            ));
        }
        if moves && switches.lateral_movement {
            let per_week = per_week * LATERAL_SHARE;
            let names = self.moving.get(key).map_or(&[][..], Vec::as_slice);
            let tail = &mut self.tails.reach;
            findings.extend(lateral_movement(
                profile, identity, sighting, tail, per_week, names, at,
            ));
        }
        if let Some(address) = strange.filter(|_| switches.new_address) {
            let per_week = per_week * NEW_ADDRESS_SHARE;
            let tail = &mut self.tails.networks;
            findings.extend(new_address(
                profile, identity, address, tail, per_week, &self.pool, at,
            ));
        }
    }
}

fn cap(config: &Config) -> usize {
    usize::try_from(config.limits.identities).unwrap_or(usize::MAX)
}

fn off_hours(
    profile: &mut Profile,
    identity: &str,
    sighting: &Sighting,
    tail: &mut Tail,
    per_week: f64,
    pool: &Pool,
    at: Time,
) -> Option<Finding> {
    let requests = profile.session().requests;
    if requests < WORTH {
        return None;
    }
    let score = profile.hour_score(pool);
    let told = &mut profile.session_mut().hour_told;
    let limit = tail.alarm(score, per_week, told)?;
    profile.odd = Some(at);
    let hour = profile.session_hour();
    Some(Finding {
        kind: Kind::OffHours,
        severity: Severity::Medium,
        score: scored(score, limit),
        since: at,
        until: at,
        evidence: evidence("off_hours", "requests", f64::from(requests)),
        maturity: profile.maturity(),
        techniques: &["T1078"],
        words: format!(
            "{} acts at {hour:02}:00 UTC, {} in {} active hours ({requests} requests)",
            spoken(identity),
            profile.hours.words(hour),
            profile.hours.seen()
        ),
        who: who(identity, sighting.address),
    })
}

fn lateral_movement(
    profile: &mut Profile,
    identity: &str,
    sighting: &Sighting,
    tail: &mut Tail,
    per_week: f64,
    names: &[Box<str>],
    at: Time,
) -> Option<Finding> {
    let score = profile.reach_score();
    let told = &mut profile.session_mut().reach_told;
    let limit = tail.alarm(score, per_week, told)?;
    profile.odd = Some(at);
    let services = u32::from(profile.session().strange_services);
    let names: Vec<&str> = names.iter().map(|n| principal::spoken(n)).collect();
    Some(Finding {
        kind: Kind::LateralMovement,
        severity: Severity::Medium,
        score: scored(score, limit),
        since: at,
        until: at,
        evidence: evidence("lateral_movement", "services", f64::from(services)),
        maturity: profile.maturity(),
        techniques: &["T1078", "T1021"],
        words: format!(
            "{} asks for {services} services it never asked for in {} active hours: {}",
            spoken(identity),
            profile.hours.seen(),
            names.join(", ")
        ),
        who: who(identity, sighting.address),
    })
}

fn new_address(
    profile: &mut Profile,
    identity: &str,
    address: IpAddr,
    tail: &mut Tail,
    per_week: f64,
    pool: &Pool,
    at: Time,
) -> Option<Finding> {
    let requests = profile.session().stranger_requests;
    if requests < WORTH {
        return None;
    }
    let score = profile.network_score(pool);
    let told = &mut profile.session_mut().stranger_told;
    let limit = tail.alarm(score, per_week, told)?;
    profile.odd = Some(at);
    let known = profile.networks.count();
    let plural = if known == 1 { "network" } else { "networks" };
    Some(Finding {
        kind: Kind::NewAddress,
        severity: Severity::Medium,
        score: scored(score, limit),
        since: at,
        until: at,
        evidence: evidence("new_address", "requests", f64::from(requests)),
        maturity: profile.maturity(),
        techniques: &["T1078"],
        words: format!(
            "{} comes from {address} ({}, never used by it) after {} active hours on {known} other {plural} \
             ({requests} requests)",
            spoken(identity),
            networks::words(address),
            profile.networks.hours()
        ),
        who: who(identity, Some(address)),
    })
}

fn stuffing(stuffing: &Stuffing, last: Option<IpAddr>) -> Finding {
    let places = match (stuffing.addresses, last) {
        (_, None) => String::new(),
        (1, Some(address)) => format!(" from {address}"),
        (n, _) => format!(" from {n} addresses"),
    };
    Finding {
        kind: Kind::CredentialStuffing,
        severity: Severity::High,
        score: scored(stuffing.evidence, stuffing.needed),
        since: stuffing.since,
        until: stuffing.since.plus(stuffing.lasted),
        evidence: vec![Evidence {
            signal: "credential_stuffing".to_owned(),
            unit: "refusals".to_owned(),
            actual: Some(f64::from(stuffing.refused)),
            typical: Some((stuffing.usual * 1000.0).round() / 1000.0),
            band: None,
            contribution: 1.0,
        }],
        maturity: 1.0,
        techniques: &["T1110.004"],
        words: format!(
            "credentials are tried: {} refused{places} within {} over all callers of this service, of whom none \
             was ever let in that way ({} are usual)",
            stuffing.refused,
            duration(stuffing.lasted),
            number(stuffing.usual)
        ),
        who: Who {
            identity: None,
            addresses: last.iter().map(IpAddr::to_string).collect(),
        },
    }
}

fn compromised(
    profile: &Profile,
    identity: &str,
    address: IpAddr,
    tried: u32,
    at: Time,
) -> Finding {
    Finding {
        kind: Kind::CredentialStuffing,
        severity: Severity::Critical,
        score: scored(f64::from(tried), f64::from(TRIED)),
        since: at,
        until: at,
        evidence: evidence("credential_stuffing", "identities", f64::from(tried)),
        maturity: profile.maturity(),
        techniques: &["T1110.004", "T1078"],
        words: format!(
            "{} was let in from {address}, where it never came from and {tried} other identities were refused within the \
             last hour: its credentials may be stolen",
            spoken(identity)
        ),
        who: who(identity, Some(address)),
    }
}

fn duration(lasted: Duration) -> String {
    let minutes = lasted.as_secs().div_euclid(60);
    match minutes {
        0 => "a minute".to_owned(),
        1..=119 => format!("{} minutes", minutes.saturating_add(1)),
        _ => format!("{} hours", minutes.div_euclid(60).saturating_add(1)),
    }
}

fn beaconing(beacon: &Beacon, route: &str, sighting: Option<&Sighting>, at: Time) -> Finding {
    let who = Who {
        identity: sighting.and_then(|s| s.identity.clone()),
        addresses: sighting
            .and_then(|s| s.address)
            .iter()
            .map(IpAddr::to_string)
            .collect(),
    };
    let caller = who
        .identity
        .as_deref()
        .map(spoken)
        .or(who.addresses.first().map(String::as_str));
    let words = format!(
        "{route} {}{}, {} times in a row, which nobody did here before",
        rhythm::words(beacon.period),
        caller.map(|c| format!(" by {c}")).unwrap_or_default(),
        beacon.beats.saturating_add(1)
    );
    Finding {
        kind: Kind::Beaconing,
        severity: Severity::Medium,
        score: scored(beacon.evidence, beacon.needed),
        since: beacon.since,
        until: at,
        evidence: vec![Evidence {
            signal: "beaconing".to_owned(),
            unit: "s".to_owned(),
            actual: Some((beacon.period * 10.0).round() / 10.0),
            typical: None,
            band: None,
            contribution: 1.0,
        }],
        maturity: 1.0,
        techniques: &["T1071", "T1029"],
        words,
        who,
    }
}

fn evidence(signal: &str, unit: &str, actual: f64) -> Vec<Evidence> {
    vec![Evidence {
        signal: signal.to_owned(),
        unit: unit.to_owned(),
        actual: Some(actual),
        typical: Some(0.0),
        band: None,
        contribution: 1.0,
    }]
}

/// 50 at the threshold, 100 at twice as many nats.
fn scored(score: f64, limit: f64) -> u8 {
    (50.0 * score / limit.max(1e-3)).clamp(50.0, 100.0) as u8
}

fn who(identity: &str, address: Option<IpAddr>) -> Who {
    Who {
        identity: Some(identity.to_owned()),
        addresses: address.iter().map(IpAddr::to_string).collect(),
    }
}

/// As much of an identity as a sentence bears.
fn spoken(identity: &str) -> &str {
    identity
        .get(..identity.floor_char_boundary(SPOKEN))
        .unwrap_or(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::RouteCounts;
    use proptest::prelude::*;
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

    #[test]
    fn an_identity_too_long_for_a_sentence_is_cut_at_a_character() {
        let long = "é".repeat(200);
        assert!(spoken(&long).len() <= SPOKEN && long.starts_with(spoken(&long)));
    }
}
