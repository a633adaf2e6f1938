//! What an oddity is told as: whether it is rare enough to be told, and its one sentence.

use super::networks;
use super::pool::Pool;
use super::profile::Profile;
use super::refused::{MANY, Stuffing, TRIED};
use super::rhythm::{self, Beacon};
use super::tail::Tail;
use crate::Time;
use crate::alerts::{Evidence, Kind, Severity, number};
use crate::counters::Sighting;
use crate::exchange::principal;
use crate::incidents::{Finding, Who};
use std::net::IpAddr;
use std::time::Duration;

/// Requests below which nothing an identity does is worth an alert: one or two may be a bookmark, a retry, a clock.
const WORTH: u32 = 3;
/// Characters of an identity in a sentence.
const SPOKEN: usize = 64;

pub(super) fn off_hours(
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

pub(super) fn lateral_movement(
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

pub(super) fn new_address(
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

pub(super) fn stuffing(stuffing: &Stuffing, last: Option<IpAddr>) -> Finding {
    let places = match (stuffing.addresses, last) {
        (_, None) => String::new(),
        (1, Some(address)) => format!(" from {address}"),
        (MANY.., _) => format!(" from more than {MANY} addresses"),
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
             is known to have been let in that way ({} are usual)",
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

pub(super) fn compromised(
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

pub(super) fn beaconing(
    beacon: &Beacon,
    route: &str,
    sighting: Option<&Sighting>,
    at: Time,
) -> Finding {
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
pub(super) fn spoken(identity: &str) -> &str {
    identity
        .get(..identity.floor_char_boundary(SPOKEN))
        .unwrap_or(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_identity_too_long_for_a_sentence_is_cut_at_a_character() {
        let long = "é".repeat(200);
        assert!(spoken(&long).len() <= SPOKEN && long.starts_with(spoken(&long)));
    }
}
