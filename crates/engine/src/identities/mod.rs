//! Who calls, and whether that is like them.
//!
//! Pairs tell services apart; an identity is the user or service a request speaks for, over all pairs. Its habits are
//! learned as a small profile: the hours it keeps, the networks it comes from, how much it asks for. What it does is compared
//! with its own habits, and how much an oddity means with how often anybody honest is as odd.
//!
//! | file | what it does |
//! |---|---|
//! | [`profile`] | what is known of one identity, and its session that is under way |
//! | [`hours`] | when it acts: `off_hours` |
//! | [`networks`] | where it comes from: `new_address` |
//! | [`pool`] | what all identities have in common |
//! | [`tail`] | how odd is rare: the threshold out of everybody's scores |
//! | [`keyed`] | bounded tables of what can be made up without end |
//!
//! **Memory.** At most `limits.identities` profiles of some 250 bytes; who acted oddly stays, then who is known best. A
//! million made-up identities compete with one another for the worst places. Only what was not refused makes or teaches a
//! profile: whoever guesses passwords teaches nothing about their owners.
//!
//! **False alarms.** Each kind here may raise a share of `false_alerts_per_week`.
//!
//! **Cold start.** Nothing alerts before the proxy has watched for `learning.warmup`, the identity is known for as long and
//! at [`profile::KNOWN`] active hours, and the pool has seen enough to say what is rare. Names are kept as hashes of a seed
//! that is part of the snapshot.

mod hours;
mod keyed;
mod networks;
mod pool;
mod profile;
mod tail;

use crate::Time;
use crate::alerts::{Evidence, Kind, Severity};
use crate::config::Config;
use crate::counters::{PairCounts, Sighting};
use crate::incidents::{Finding, Who};
use crate::table;
use ahash::RandomState;
use keyed::Keyed;
use networks::network;
use pool::Pool;
use profile::{Profile, Tails};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Each kind's part of `false_alerts_per_week`. A stranger hour is the weakest evidence there is, so most of it goes there; …
const OFF_HOURS_SHARE: f64 = 0.5;
/// … networks tell more.
const NEW_ADDRESS_SHARE: f64 = 0.25;
/// Requests below which nothing an identity does is worth an alert: one or two may be a bookmark, a retry, a clock.
const WORTH: u32 = 3;
/// Characters of an identity in a sentence.
const SPOKEN: usize = 64;

/// The identities of one proxy.
#[derive(Debug, Deserialize, Serialize)]
pub struct Identities {
    seed: u64,
    profiles: Keyed<Profile>,
    pool: Pool,
    tails: Tails,
    #[serde(skip, default = "hasher")]
    hasher: RandomState,
}

fn hasher() -> RandomState {
    table::hasher(0)
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
}

impl Identities {
    /// Nobody is known yet. `seed` is the hash's, and should be unguessable.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            seed,
            profiles: Keyed::new(cap(config)),
            pool: Pool::default(),
            tails: Tails::default(),
            hasher: table::hasher(seed),
        }
    }

    /// The same under another configuration, or out of a snapshot.
    pub(crate) fn fit(mut self, config: &Config) -> Self {
        self.hasher = table::hasher(self.seed);
        self.profiles = self.profiles.capped(cap(config));
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
        if counts.sightings.is_empty() {
            return findings;
        }
        let pair = self.hasher.hash_one((&counts.source, &counts.destination));
        for sighting in &counts.sightings {
            if let Some(identity) = &sighting.identity {
                self.take_identity(identity, sighting, pair, scene, &mut findings);
            }
        }
        findings
    }

    fn take_identity(
        &mut self,
        identity: &str,
        sighting: &Sighting,
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
        let Some(profile) = self
            .profiles
            .get_or_insert(key, || Profile::new(at), Profile::worth)
        else {
            return;
        };
        let warmup = scene.config.learning.warmup.duration();
        profile.act(at, pair, acted, warmup, &mut self.pool, &mut self.tails);
        let strange = sighting.address.filter(|a| {
            let network = network(*a);
            profile.comes_from(network, acted, &mut self.pool)
        });
        let per_week = scene.config.false_alerts_per_week;
        if scene.learning || !profile.session().compared {
            return;
        }
        let switches = &scene.config.signals;
        if switches.off_hours && profile.session().pair == pair {
            let limit = self.tails.hours.threshold(per_week * OFF_HOURS_SHARE);
            findings.extend(off_hours(
                profile, identity, sighting, limit, &self.pool, at,
            ));
        }
        if let Some(address) = strange.filter(|_| switches.new_address) {
            let limit = self.tails.networks.threshold(per_week * NEW_ADDRESS_SHARE);
            findings.extend(new_address(profile, identity, address, limit, at));
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
    limit: Option<f64>,
    pool: &Pool,
    at: Time,
) -> Option<Finding> {
    let requests = profile.session().requests;
    let score = profile.hour_score(pool);
    let limit = limit.filter(|l| score >= *l)?;
    if requests < WORTH || profile.session().hour_told {
        return None;
    }
    profile.session_mut().hour_told = true;
    profile.odd = Some(at);
    let hour = profile.session_hour();
    Some(Finding {
        kind: Kind::OffHours,
        severity: Severity::Medium,
        score: scored(score, limit),
        since: at,
        evidence: evidence("off_hours", f64::from(requests)),
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

fn new_address(
    profile: &mut Profile,
    identity: &str,
    address: IpAddr,
    limit: Option<f64>,
    at: Time,
) -> Option<Finding> {
    let requests = profile.session().stranger_requests;
    let score = profile.network_score();
    let limit = limit.filter(|l| score >= *l)?;
    if requests < WORTH || profile.session().stranger_told {
        return None;
    }
    profile.session_mut().stranger_told = true;
    profile.odd = Some(at);
    let known = profile.networks.count();
    let plural = if known == 1 { "network" } else { "networks" };
    Some(Finding {
        kind: Kind::NewAddress,
        severity: Severity::Medium,
        score: scored(score, limit),
        since: at,
        evidence: evidence("new_address", f64::from(requests)),
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

fn evidence(signal: &str, requests: f64) -> Vec<Evidence> {
    vec![Evidence {
        signal: signal.to_owned(),
        unit: "requests".to_owned(),
        actual: Some(requests),
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
