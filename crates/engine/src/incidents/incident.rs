//! One incident: the pairs that show it, and what it is named after. What it says is in `line.rs`.
//!
//! It is named after the weightiest kind it shows ([`Kind::weight`]); among kinds that weigh the same, after the one with
//! the most evidence. The line's numbers and words are those of one pair, its *lead*: the pair that shows that kind. Other
//! pairs are listed.
//!
//! Tried, on the labelled traffic that `make eval` replays, and left: evidence alone calls runs of refused log-ins bursts
//! (7 of the 18; in all 11 of 171 attacks that were seen got the wrong name, where 5 do now); a fixed order of all kinds called
//! 6 of 18 path scans `auth_failures` after the few paths among theirs that were forbidden.

mod line;

use super::cause::{Family, MOVES, SAME_TIME};
use super::{End, Finding, Who, stored};
use crate::Time;
use crate::alerts::{Alert, Evidence, Kind, Severity};
use crate::config::Config;
use crate::limits::Standing;
use crate::table::fnv;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Signals told of per incident.
const MAX_EVIDENCE: usize = 8;
/// Addresses told of per incident: the rest is counted in its words.
const MAX_ADDRESSES: usize = 8;
/// Kinds whose words are kept for the message: the lead's, and what else there is to say.
const MAX_PARTS: usize = 2;
/// Pairs remembered of an incident that is resolved, by which it is known again.
const MAX_KEPT: usize = 16;

/// A pair that shows the incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) source: String,
    pub(super) destination: String,
    /// One identity on the pair, where it is not the pair as a whole.
    identity: Option<String>,
    /// What it came with.
    kind: Kind,
    pub(super) score: u8,
    pub(super) since: Time,
    last_odd: Time,
    /// Whether it is odd still.
    open: bool,
    /// What is held against all its requests.
    held: Option<Standing>,
}

/// What one kind says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    kind: Kind,
    words: String,
    score: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Incident {
    id: String,
    /// What may join it: the lead's, until a second pair settles it.
    family: Family,
    /// The lead.
    source: String,
    destination: String,
    who: Who,
    /// What the lead shows, the kind it is named after first.
    parts: Vec<Part>,
    /// The lead's signals, each with its evidence in points of score.
    #[serde(with = "stored")]
    evidence: Vec<(Evidence, f64)>,
    maturity: f64,
    techniques: Vec<String>,
    severity: Severity,
    score: u8,
    members: Vec<Member>,
    since: Time,
    last_odd: Time,
    last_line: Time,
    resolved: Time,
    reopened: u32,
    /// Whether there was a line since it was opened, and whether one that was not hidden.
    lined: bool,
    shown: bool,
    /// Whether all that it shows is hidden by rules.
    hidden: bool,
    /// What was told already, over all times it was open: only more is news.
    told: Vec<Kind>,
    told_severity: Severity,
}

impl Member {
    fn is(&self, source: &str, destination: &str, identity: Option<&str>) -> bool {
        self.source == source
            && self.destination == destination
            && self.identity.as_deref() == identity
    }

    /// Holds what else is found against its requests: as severe as the worst, named after the weightiest, since the first.
    fn hold(&mut self, f: &Finding) {
        let Some(new) = f.standing() else {
            return;
        };
        self.held = Some(self.held.map_or(new, |old| Standing {
            score: old.score.max(new.score),
            kind: if new.kind.weight() >= old.kind.weight() {
                new.kind
            } else {
                old.kind
            },
            severity: old.severity.max(new.severity),
            since: old.since,
        }));
    }
}

impl Incident {
    pub(super) fn new(
        source: &str,
        destination: &str,
        f: &Finding,
        hidden: bool,
        now: Time,
    ) -> Self {
        Self {
            id: id(source, destination, f.who.identity.as_deref(), now),
            family: Family::of(f.kind),
            source: source.to_owned(),
            destination: destination.to_owned(),
            who: f.who.clone(),
            parts: Vec::new(),
            evidence: Vec::new(),
            maturity: 0.0,
            techniques: Vec::new(),
            severity: Severity::default(),
            score: 0,
            members: Vec::new(),
            since: f.since,
            last_odd: f.until,
            last_line: Time::default(),
            resolved: Time::default(),
            reopened: 0,
            lined: false,
            shown: false,
            hidden,
            told: Vec::new(),
            told_severity: Severity::default(),
        }
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    pub(super) fn last_odd(&self) -> Time {
        self.last_odd
    }

    /// Whether a finding of another pair, at about the same time, has this incident's cause.
    pub(super) fn explains(&self, source: &str, destination: &str, f: &Finding) -> bool {
        let known = (self.source.as_str(), self.destination.as_str());
        let family = Family::of(f.kind);
        self.family == family
            && self.who.identity == f.who.identity
            && (self.is_of_one() || family.is_shared(known, (source, destination)))
            && f.until.since(self.last_odd) <= SAME_TIME
    }

    /// Whether its cause is somebody, on whatever pair. A rule that is broken at an odd hour is about its pair.
    fn is_of_one(&self) -> bool {
        let rule = self
            .evidence
            .first()
            .is_some_and(|(e, _)| e.signal == super::RULE);
        self.family.is_of_identity() && !rule
    }

    /// Whether a finding is this incident, which was resolved, once more.
    pub(super) fn returns(&self, source: &str, destination: &str, f: &Finding) -> bool {
        let family = Family::of(f.kind);
        let same = self.family == family || self.told.iter().any(|k| Family::of(*k) == family);
        let identity = f.who.identity.as_deref();
        same && self.member(source, destination, identity).is_some()
    }

    /// When it was resolved.
    pub(super) fn resolved(&self) -> Time {
        self.resolved
    }

    /// Begins anew with what returned.
    pub(super) fn reopen(&mut self, f: &Finding) {
        self.reopened = self.reopened.saturating_add(1);
        self.since = f.since;
        self.last_odd = f.until;
        self.members
            .retain(|m| f.until.since(m.last_odd) <= SAME_TIME);
        self.clear();
    }

    /// Forgets what it shows, not what it told.
    fn clear(&mut self) {
        self.parts.clear();
        self.evidence.clear();
        self.techniques.clear();
        (self.severity, self.score) = (Severity::default(), 0);
        (self.lined, self.shown) = (false, false);
    }

    pub(super) fn member(
        &self,
        source: &str,
        destination: &str,
        identity: Option<&str>,
    ) -> Option<&Member> {
        self.members
            .iter()
            .find(|m| m.is(source, destination, identity))
    }

    fn member_mut(
        &mut self,
        source: &str,
        destination: &str,
        identity: Option<&str>,
    ) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|m| m.is(source, destination, identity))
    }

    pub(super) fn touch(&mut self, source: &str, destination: &str, until: Time) {
        self.last_odd = self.last_odd.max(until);
        if let Some(m) = self.member_mut(source, destination, None) {
            m.last_odd = m.last_odd.max(until);
        }
    }

    /// Takes in a finding of one of its pairs; returns the line that it is worth.
    pub(super) fn take(
        &mut self,
        source: &str,
        destination: &str,
        f: Finding,
        hidden: bool,
        now: Time,
        config: &Config,
    ) -> Option<Alert> {
        self.last_odd = self.last_odd.max(f.until);
        let f = self.as_movement(source, f, config);
        let news = self.join(source, destination, f, hidden);
        let due = now.since(self.last_line) >= config.alerts.update_every.duration();
        (news || due)
            .then(|| self.line(now, now, None, config))
            .flatten()
    }

    /// Notes that a pair shows it, before its finding is taken in.
    pub(super) fn attend(&mut self, source: &str, destination: &str, f: &Finding) {
        if let Some(m) = self.member_mut(source, destination, f.who.identity.as_deref()) {
            if !m.open {
                m.since = f.since;
                m.held = None;
            }
            m.hold(f);
            m.open = true;
            m.score = m.score.max(f.score);
            m.last_odd = m.last_odd.max(f.until);
        } else {
            self.members.push(Member {
                source: source.to_owned(),
                destination: destination.to_owned(),
                identity: f.who.identity.clone(),
                kind: f.kind,
                score: f.score,
                since: f.since,
                last_odd: f.until,
                open: true,
                held: f.standing(),
            });
        }
    }

    /// A first call as what it is when it is one of several. Nobody vouches that all that is unknown is one caller, so its
    /// first calls stay what they are.
    fn as_movement(&self, source: &str, f: Finding, config: &Config) -> Finding {
        if f.kind != Kind::NewPair || source == config.names.unknown_source {
            return f;
        }
        let moves = self.told.contains(&Kind::LateralMovement);
        let calls = self
            .members
            .iter()
            .filter(|m| m.kind == Kind::NewPair && (moves || f.until.since(m.since) <= SAME_TIME));
        let count = calls.clone().count();
        if count < MOVES {
            return f;
        }
        let began = calls.clone().map(|m| m.since).min().unwrap_or(f.since);
        // Scores are logarithms: what is rare together adds up, from 50 where a thing is just remarkable.
        let score = calls.fold(50u8, |sum, m| {
            sum.saturating_add(m.score.saturating_sub(50)).min(100)
        });
        let last = f.evidence.first().map_or("", |e| e.unit.as_str());
        Finding {
            kind: Kind::LateralMovement,
            severity: Severity::High,
            score,
            since: began,
            words: format!("first calls ever to {count} services, the latest with {last}"),
            evidence: vec![Evidence {
                signal: "new_pair".to_owned(),
                unit: "services".to_owned(),
                actual: Some(count as f64),
                typical: Some(0.0),
                band: Some([0.0, 0.0]),
                contribution: 1.0,
            }],
            // Remote services, and the discovery of what there is.
            techniques: &["T1021", "T1046"],
            ..f
        }
    }

    /// Takes a finding in; says whether that is news.
    fn join(&mut self, source: &str, destination: &str, f: Finding, hidden: bool) -> bool {
        if self.hidden && !hidden {
            // What was hidden is not what is told now.
            self.hidden = false;
            self.clear();
            self.told.clear();
            self.told_severity = Severity::default();
            self.since = f.since;
        }
        let here = self.source == source && self.destination == destination;
        let severer = f.severity > self.severity;
        let leads = self.parts.first().is_none_or(|lead| {
            if f.kind == lead.kind {
                here || severer || f.kind == Kind::LateralMovement
            } else {
                (f.kind.weight(), f.score) > (lead.kind.weight(), lead.score)
            }
        });
        let more = f.severity > self.told_severity || (leads && !self.told.contains(&f.kind));
        self.severity = self.severity.max(f.severity);
        self.score = self.score.max(f.score);
        self.since = self.since.min(f.since);
        for t in f.techniques {
            if !self.techniques.iter().any(|known| known == t) {
                self.techniques.push((*t).to_owned());
            }
        }
        if leads || here {
            self.describe(source, destination, f, leads, here);
        }
        more
    }

    /// Takes over a finding's words and numbers: as the lead's, or beside them.
    fn describe(&mut self, source: &str, destination: &str, f: Finding, leads: bool, here: bool) {
        if leads && !here {
            source.clone_into(&mut self.source);
            destination.clone_into(&mut self.destination);
            self.parts.clear();
            self.evidence.clear();
        }
        if leads && self.members.len() <= 1 {
            self.family = Family::of(f.kind);
        }
        let known = self.parts.iter().position(|p| p.kind == f.kind);
        let before = known.map(|at| self.parts.remove(at));
        // What a weightier kind of the same family says, says it all.
        let (family, weight) = (Family::of(f.kind), f.kind.weight());
        self.parts
            .retain(|p| Family::of(p.kind) != family || p.kind.weight() >= weight);
        let part = Part {
            kind: f.kind,
            words: f.words,
            score: before.map_or(f.score, |p| p.score.max(f.score)),
        };
        let points = f64::from(f.score);
        let told = f.evidence.into_iter().map(|e| {
            let weight = points * e.contribution;
            (e, weight)
        });
        if leads {
            self.maturity = f.maturity;
            let before = std::mem::replace(&mut self.who, f.who);
            self.add_addresses(before.addresses);
            self.parts.insert(0, part);
            let older = std::mem::replace(&mut self.evidence, told.collect());
            self.add_evidence(older);
        } else {
            self.add_addresses(f.who.addresses);
            let said = self
                .parts
                .first()
                .is_some_and(|p| Family::of(p.kind) == family && p.kind.weight() > weight);
            if !said {
                self.parts.push(part);
            }
            self.add_evidence(told.collect());
        }
        self.parts.truncate(MAX_PARTS);
    }

    fn add_addresses(&mut self, more: Vec<String>) {
        for address in more {
            if !self.who.addresses.contains(&address) {
                self.who.addresses.push(address);
            }
        }
        self.who.addresses.truncate(MAX_ADDRESSES);
    }

    fn add_evidence(&mut self, more: Vec<(Evidence, f64)>) {
        for (e, weight) in more {
            if !self
                .evidence
                .iter()
                .any(|(known, _)| known.signal == e.signal)
            {
                self.evidence.push((e, weight));
            }
        }
        self.evidence.truncate(MAX_EVIDENCE);
    }

    /// Lets go of pairs that have been quiet for `quiet`, each handed to `gone`. Says whether none is left.
    pub(super) fn settle(
        &mut self,
        now: Time,
        quiet: Duration,
        mut gone: impl FnMut(&str, &str, Option<&str>),
    ) -> bool {
        for m in self.members.iter_mut().filter(|m| m.open) {
            // A clock set back must not keep an incident open for ever.
            m.last_odd = m.last_odd.min(now);
            if now.since(m.last_odd) >= quiet {
                m.open = false;
                gone(&m.source, &m.destination, m.identity.as_deref());
            }
        }
        self.last_odd = self.last_odd.min(now);
        self.last_line = self.last_line.min(now);
        !self.members.iter().any(|m| m.open)
    }

    /// The line about one that came back too soon to be told of at once, and is odd still now that a line is due.
    pub(super) fn overdue(&mut self, now: Time, config: &Config) -> Option<Alert> {
        let due = self.last_line.plus(config.alerts.update_every.duration());
        (!self.lined && now >= due && self.last_odd >= due)
            .then(|| self.line(now, now, None, config))
            .flatten()
    }

    /// Its last line. One that nobody was told of ends without one. `end` says what became of a pair since it was
    /// last odd.
    pub(super) fn resolve(
        &mut self,
        now: Time,
        end: impl Fn(&str, &str, Time) -> End,
        config: &Config,
    ) -> Option<Alert> {
        self.resolved = now;
        let missed = self.parts.iter().any(|p| p.kind == Kind::RateDrop);
        let end = match end(&self.source, &self.destination, self.last_odd) {
            End::Silent if !missed => End::Over,
            _ if self.who.identity.is_some() => End::Over,
            end => end,
        };
        let line = self
            .lined
            .then(|| self.line(self.last_odd, now, Some(end), config))
            .flatten();
        self.members.sort_by_key(|m| std::cmp::Reverse(m.last_odd));
        self.members.truncate(MAX_KEPT);
        line
    }

    /// What is held against each that is odd now. Of one family the incident's own name says more: first calls that are
    /// movement, unknown paths that are a search.
    pub(super) fn standings(&self) -> impl Iterator<Item = (&str, &str, Option<&str>, Standing)> {
        let lead = self.parts.first().map(|p| p.kind);
        let open = self.members.iter().filter(|m| m.open);
        open.filter_map(move |m| {
            let mut held = m.held?;
            if let Some(kind) = lead.filter(|k| Family::of(*k) == Family::of(held.kind)) {
                (held.kind, held.severity) = (kind, self.severity);
            }
            Some((&*m.source, &*m.destination, m.identity.as_deref(), held))
        })
    }

    /// The pairs that are odd now.
    #[cfg(test)]
    pub(super) fn odd(&self) -> Vec<(String, String)> {
        let odd = self.members.iter().filter(|m| m.open);
        odd.map(|m| (m.source.clone(), m.destination.clone()))
            .collect()
    }
}

/// An id that is the same whenever the same log is replayed, and differs between incidents: a hash of pair, identity and time.
fn id(source: &str, destination: &str, identity: Option<&str>, opened: Time) -> String {
    let bytes = source
        .bytes()
        .chain([0])
        .chain(destination.bytes())
        .chain(
            identity
                .iter()
                .flat_map(|i| [0].into_iter().chain(i.bytes())),
        )
        .chain(opened.0.to_le_bytes());
    format!("{:016x}", fnv(bytes))
}
