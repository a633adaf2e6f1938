//! One cause, one incident: what is odd about a pair at one time is told once.
//!
//! A finding opens an incident on its pair, or joins the one that is open. A line is written when it opens, when what
//! joins makes it say more (a weightier kind, a higher severity), at most every `alerts.update_every` while it goes on,
//! and when it has been quiet for `alerts.resolve_after`. All lines carry the id of the first.
//!
//! An incident is named after the weightiest kind it shows: failed log-ins come with a burst of requests, and the burst
//! is not the news.
//!
//! Floods: whoever can make up pairs can make up incidents. Open ones and openings a minute are capped; what is beyond
//! is counted.

mod stored;

use crate::Time;
use crate::alerts::{self, Alert, Evidence, Kind, Severity, State};
use crate::config;
use crate::exchange::principal::spoken;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Open incidents at once: more than anyone reads.
const MAX_OPEN: usize = 256;
/// Openings in any minute: above it one cause is at work on many pairs, and the first twenty say which.
const MAX_PER_MINUTE: u32 = 20;
/// Signals told of per incident.
const MAX_EVIDENCE: usize = 8;
/// Addresses told of per incident: the rest is counted in its words.
const MAX_ADDRESSES: usize = 8;

/// Something worth telling about a pair.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What it looks like.
    pub kind: Kind,
    /// How urgent.
    pub severity: Severity,
    /// 0 to 100.
    pub score: u8,
    /// When it began.
    pub since: Time,
    /// The signals, the lead first.
    pub evidence: Vec<Evidence>,
    /// How well pair and signal are known, 0 to 1.
    pub maturity: f64,
    /// MITRE ATT&CK ids.
    pub techniques: &'static [&'static str],
    /// What is said after «source → destination: ».
    pub words: String,
    /// Whom it is about, where that is not the pair as a whole.
    pub who: Who,
}

/// Whom a finding is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// The user or service. A pair's incidents of two identities are two.
    pub identity: Option<String>,
    /// Client addresses.
    pub addresses: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Incident {
    id: String,
    source: String,
    destination: String,
    kind: Kind,
    severity: Severity,
    score: u8,
    since: Time,
    last_odd: Time,
    last_line: Time,
    #[serde(with = "stored")]
    evidence: Vec<Evidence>,
    maturity: f64,
    techniques: Vec<String>,
    words: String,
    who: Who,
}

/// The open incidents.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Incidents {
    open: Vec<Incident>,
    minute: Time,
    opened_in_minute: u32,
    overflowed: u64,
}

impl Incidents {
    /// Takes in a finding; returns the line it is worth, if any.
    pub fn report(
        &mut self,
        source: &str,
        destination: &str,
        finding: Finding,
        now: Time,
        config: &config::Alerts,
    ) -> Option<Alert> {
        match self.find(source, destination, finding.who.identity.as_deref()) {
            Some(incident) => {
                let more = incident.join(finding, now);
                let due = now.since(incident.last_line) >= config.update_every.duration();
                (more || due).then(|| incident.line(State::Updated, now))
            }
            None => {
                if !self.may_open(now) {
                    self.overflowed = self.overflowed.saturating_add(1);
                    return None;
                }
                let mut incident = Incident::new(source, destination, finding, now);
                let line = incident.line(State::Open, now);
                self.open.push(incident);
                Some(line)
            }
        }
    }

    /// Whether a pair as a whole has an incident.
    pub fn is_open(&self, source: &str, destination: &str) -> bool {
        self.score(source, destination) > 0
    }

    /// Score of a pair's incident, 0 without one. An incident of one identity is not held against all others on the pair.
    pub fn score(&self, source: &str, destination: &str) -> u8 {
        self.open
            .iter()
            .find(|i| i.is_of(source, destination, None))
            .map_or(0, |i| i.score)
    }

    /// How long a pair's incident has been going on.
    pub fn lasted(&self, source: &str, destination: &str, now: Time) -> Option<Duration> {
        self.open
            .iter()
            .find(|i| i.is_of(source, destination, None))
            .map(|i| now.since(i.since))
    }

    /// Says that a pair is still odd in the way its incident tells.
    pub fn touch(&mut self, source: &str, destination: &str, now: Time) {
        if let Some(incident) = self.find(source, destination, None) {
            incident.last_odd = now;
        }
    }

    /// Closes what has been quiet long enough.
    pub fn advance(&mut self, now: Time, config: &config::Alerts) -> Vec<Alert> {
        let quiet = config.resolve_after.duration();
        let mut lines = Vec::new();
        self.open.retain_mut(|i| {
            // A clock set back must not keep an incident open for ever.
            i.last_odd = i.last_odd.min(now);
            let over = now.since(i.last_odd) >= quiet;
            if over {
                lines.push(i.line(State::Resolved, now));
            }
            !over
        });
        lines
    }

    /// Open incidents, and how many were not opened because of the caps.
    pub fn count(&self) -> (usize, u64) {
        (self.open.len(), self.overflowed)
    }

    fn find(
        &mut self,
        source: &str,
        destination: &str,
        identity: Option<&str>,
    ) -> Option<&mut Incident> {
        self.open
            .iter_mut()
            .find(|i| i.is_of(source, destination, identity))
    }

    fn may_open(&mut self, now: Time) -> bool {
        let minute = now.floor(Duration::from_secs(60));
        if minute != self.minute {
            self.minute = minute;
            self.opened_in_minute = 0;
        }
        let may = self.open.len() < MAX_OPEN && self.opened_in_minute < MAX_PER_MINUTE;
        self.opened_in_minute = self.opened_in_minute.saturating_add(1);
        may
    }
}

impl Incident {
    fn new(source: &str, destination: &str, f: Finding, now: Time) -> Self {
        Self {
            id: id(source, destination, f.who.identity.as_deref(), now),
            source: source.to_owned(),
            destination: destination.to_owned(),
            kind: f.kind,
            severity: f.severity,
            score: f.score,
            since: f.since,
            last_odd: now,
            last_line: now,
            evidence: f.evidence,
            maturity: f.maturity,
            techniques: f.techniques.iter().map(|t| (*t).to_owned()).collect(),
            words: f.words,
            who: f.who,
        }
    }

    fn is_of(&self, source: &str, destination: &str, identity: Option<&str>) -> bool {
        self.source == source
            && self.destination == destination
            && self.who.identity.as_deref() == identity
    }

    /// Takes a finding in; says whether that is news.
    fn join(&mut self, f: Finding, now: Time) -> bool {
        self.last_odd = now;
        let weightier = f.kind > self.kind;
        let news = weightier || f.severity > self.severity;
        if weightier {
            self.kind = f.kind;
            self.words = f.words;
            self.maturity = f.maturity;
        } else if f.kind == self.kind {
            self.words = f.words;
        }
        self.severity = self.severity.max(f.severity);
        self.score = self.score.max(f.score);
        self.since = self.since.min(f.since);
        for address in f.who.addresses {
            if !self.who.addresses.contains(&address) && self.who.addresses.len() < MAX_ADDRESSES {
                self.who.addresses.push(address);
            }
        }
        for t in f.techniques {
            if !self.techniques.iter().any(|known| known == t) {
                self.techniques.push((*t).to_owned());
            }
        }
        // What leads names the line's numbers, so the lead of the weightier kind comes first.
        let (mut first, second) = if weightier || f.kind == self.kind {
            (f.evidence, std::mem::take(&mut self.evidence))
        } else {
            (std::mem::take(&mut self.evidence), f.evidence)
        };
        for e in second {
            if !first.iter().any(|known| known.signal == e.signal) {
                first.push(e);
            }
        }
        first.truncate(MAX_EVIDENCE);
        self.evidence = first;
        news
    }

    fn line(&mut self, state: State, now: Time) -> Alert {
        self.last_line = now;
        let lead = self.evidence.first();
        let pair = format!("{} → {}", spoken(&self.source), spoken(&self.destination));
        let message = match state {
            State::Resolved => format!("{pair}: {} over; it was {}.", self.kind, self.words),
            State::Open | State::Updated => format!("{pair}: {}.", self.words),
        };
        Alert {
            pairwatch: "alert",
            version: alerts::VERSION,
            id: self.id.clone(),
            time: now.rfc3339(),
            state,
            severity: self.severity,
            score: self.score,
            kind: self.kind,
            source: self.source.clone(),
            destination: self.destination.clone(),
            identity: self.who.identity.clone(),
            addresses: self.who.addresses.clone(),
            since: self.since.rfc3339(),
            actual: lead.and_then(|e| e.actual),
            typical: lead.and_then(|e| e.typical),
            evidence: self.evidence.clone(),
            maturity: self.maturity,
            techniques: self.techniques.clone(),
            message,
        }
    }
}

/// An id that is the same whenever the same log is replayed, and differs between incidents: FNV-1a over pair, identity and time.
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>)
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
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn finding(kind: Kind, severity: Severity) -> Finding {
        Finding {
            kind,
            severity,
            score: 60,
            since: Time(0),
            evidence: Vec::new(),
            maturity: 1.0,
            techniques: &[],
            words: format!("a {kind}"),
            who: Who::default(),
        }
    }

    fn minutes(n: u64) -> Time {
        Time(n * 60_000)
    }

    #[test]
    fn what_joins_an_incident_is_told_only_if_it_says_more() {
        let (mut incidents, config) = (Incidents::default(), config::Alerts::default());
        let mut report =
            |kind, severity, at| incidents.report("a", "b", finding(kind, severity), at, &config);
        let open = report(Kind::RateSpike, Severity::Low, minutes(1)).unwrap();
        assert_eq!(open.state, State::Open);
        assert!(
            report(Kind::RateSpike, Severity::Low, minutes(2)).is_none(),
            "nothing new"
        );
        let more = report(Kind::AuthFailures, Severity::High, minutes(3)).unwrap();
        assert_eq!(
            (more.state, more.kind, &more.id),
            (State::Updated, Kind::AuthFailures, &open.id)
        );
        assert!(
            report(Kind::RateSpike, Severity::Low, minutes(4)).is_none(),
            "the lesser kind is no news"
        );
    }

    #[test]
    fn an_incident_is_resolved_once_when_it_has_been_quiet() {
        let (mut incidents, config) = (Incidents::default(), config::Alerts::default());
        incidents.report(
            "a",
            "b",
            finding(Kind::Latency, Severity::Low),
            minutes(1),
            &config,
        );
        incidents.touch("a", "b", minutes(5));
        assert!(
            incidents.advance(minutes(14), &config).is_empty(),
            "ten minutes from when it was last odd"
        );
        assert_eq!(incidents.advance(minutes(15), &config).len(), 1);
        assert!(incidents.advance(minutes(99), &config).is_empty());
    }

    #[test]
    fn an_incident_whose_evidence_has_no_band_comes_back_the_same() {
        let (mut incidents, config) = (Incidents::default(), config::Alerts::default());
        let mut odd = finding(Kind::NewRoute, Severity::Medium);
        odd.evidence.push(Evidence {
            signal: "new_route".to_owned(),
            unit: "DELETE /all".to_owned(),
            actual: Some(1.0),
            typical: None,
            band: None,
            contribution: 1.0,
        });
        odd.who.identity = Some("u7".to_owned());
        incidents.report("a", "b", odd, minutes(1), &config);
        let bytes = postcard::to_allocvec(&incidents).unwrap();
        let mut back: Incidents = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(
            back.advance(minutes(99), &config),
            incidents.advance(minutes(99), &config)
        );
    }

    #[test]
    fn incidents_of_two_identities_on_one_pair_are_two_and_not_the_pairs() {
        let (mut incidents, config) = (Incidents::default(), config::Alerts::default());
        for name in ["u7", "u8"] {
            let mut odd = finding(Kind::OffHours, Severity::Medium);
            odd.who.identity = Some(name.to_owned());
            let line = incidents
                .report("a", "b", odd, minutes(1), &config)
                .unwrap();
            assert_eq!(
                (line.state, line.identity.as_deref()),
                (State::Open, Some(name))
            );
        }
        assert_eq!(incidents.count().0, 2);
        assert!(
            !incidents.is_open("a", "b"),
            "not held against all on the pair"
        );
    }

    #[test]
    fn made_up_pairs_open_only_so_many_incidents() {
        let (mut incidents, config) = (Incidents::default(), config::Alerts::default());
        let lines = (0..10_000)
            .filter_map(|i| {
                incidents.report(
                    &format!("s{i}"),
                    "b",
                    finding(Kind::NewPair, Severity::Medium),
                    minutes(1),
                    &config,
                )
            })
            .count();
        assert_eq!(lines, 20);
        assert_eq!(incidents.count(), (20, 9_980));
    }
}
