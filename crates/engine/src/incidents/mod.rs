//! One cause, one incident: what is odd at one time and for one reason is told once.
//!
//! A finding opens an incident on its pair, or joins the one that is open there, or joins that of another pair which has
//! the same cause: `cause.rs` says which do. A pair is in at most one open incident. A line is written when one opens, when
//! what joins makes it say more (a weightier kind, a higher severity), at most every `alerts.update_every` while it goes on,
//! and when all its pairs have been quiet for `alerts.resolve_after`. That one more pair joins is no news by itself: the
//! next line lists it. All lines carry the id of the first.
//!
//! What returns within an hour of being resolved is the same incident, re-opened: the same id, one more
//! in `reopened`. A cause that flaps must not write a line a flap, so a re-opened incident waits until `alerts.update_every`
//! has passed since its last line, unless it says more than it ever did; one that is over before then writes none.
//!
//! What rules hide ([suppressions](crate::config::Suppression), maintenance) makes incidents of its own, whose lines carry the
//! reason: a hidden finding joins nothing that is told, and one that is not hidden takes over what was hidden until then,
//! so that no rule hides more than its scope.
//!
//! Floods: whoever can make up pairs can make up incidents. Open ones, openings a minute, pairs in incidents and those
//! remembered are capped; what is not opened is counted.

mod cause;
mod incident;
mod members;
mod stored;
#[cfg(test)]
mod tests;

use crate::Time;
use crate::alerts::{Alert, Evidence, Kind, Severity};
use crate::config::{About, Config};
use crate::limits::Standing;
pub(crate) use cause::MOVES;
use cause::RETURNS;
use incident::Incident;
use members::Members;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Open incidents at once: more than anyone reads.
const MAX_OPEN: usize = 256;
/// Openings in any minute: above it one cause is at work on many pairs, and the first twenty say which.
const MAX_PER_MINUTE: u32 = 20;
/// How long after its end a window is closed and judged, at the latest.
const SETTLED: Duration = Duration::from_secs(5);
/// Resolved incidents remembered, in case they return: three a minute's worth of openings, some 100 KiB.
const MAX_RESOLVED: usize = 64;

/// What became of a pair since its incident was last odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is as it was before.
    Over,
    /// What was odd was taken over as its usual, and may go on.
    Usual,
    /// It has had no request. What was missed is not back; as few are usual now that none is nothing odd.
    Silent,
}

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
    /// End of the last window, or time of the last batch, that shows it.
    pub until: Time,
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

/// The signal of a finding that a configured rule was broken.
pub const RULE: &str = "rule";

impl Finding {
    /// What it is to be held against all requests of its pair or identity; nothing where it is about single requests, which
    /// are judged one by one: a route that is new, a rule that is broken.
    fn standing(&self) -> Option<Standing> {
        let single =
            self.kind == Kind::NewRoute || self.evidence.first().is_some_and(|e| e.signal == RULE);
        (!single).then_some(Standing {
            score: self.score,
            kind: self.kind,
            severity: self.severity,
            since: self.since,
        })
    }
}

/// Whom a finding is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Who {
    /// The user or service. What one identity does on a pair is not held against the pair, nor against another identity.
    pub identity: Option<String>,
    /// Client addresses.
    pub addresses: Vec<String>,
}

/// The open incidents, and those that may return.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Incidents {
    open: BTreeMap<u64, Incident>,
    /// Number of the last one opened.
    last: u64,
    /// Pairs as a whole.
    members: Members,
    /// What single identities do on pairs: the second name is pair and identity.
    identities: Members,
    /// The one resolved last is the last.
    resolved: VecDeque<Incident>,
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
        config: &Config,
    ) -> Option<Alert> {
        let about = About {
            source,
            destination,
            kind: finding.kind,
            identity: finding.who.identity.as_deref(),
            since: finding.since,
        };
        let hidden = config.hidden_by(&about, now).is_some();
        let identity = finding.who.identity.clone();
        let own = match &identity {
            None => self.members.get(source, destination),
            Some(i) => self.identities.get(source, &subject(destination, i)),
        };
        let (number, listed) = match own.filter(|n| self.open.contains_key(n)) {
            Some(own) => (own, true),
            None => {
                let number = self
                    .joined(source, destination, &finding, hidden)
                    .or_else(|| self.reopened(source, destination, &finding, hidden, now))
                    .or_else(|| self.opened(source, destination, &finding, hidden, now))?;
                let listed = match &identity {
                    None => self.members.insert(source, destination, number),
                    Some(i) => self
                        .identities
                        .insert(source, &subject(destination, i), number),
                };
                (number, listed)
            }
        };
        let incident = self.open.get_mut(&number)?;
        if hidden && !incident.is_hidden() {
            return None;
        }
        if listed {
            incident.attend(source, destination, &finding);
        }
        incident.take(source, destination, finding, hidden, now, config)
    }

    /// The open incident of other pairs whose cause explains a finding.
    fn joined(
        &self,
        source: &str,
        destination: &str,
        finding: &Finding,
        hidden: bool,
    ) -> Option<u64> {
        self.open
            .iter()
            .filter(|(_, i)| i.is_hidden() == hidden && i.explains(source, destination, finding))
            .max_by_key(|(_, i)| i.last_odd())
            .map(|(number, _)| *number)
    }

    /// The incident, resolved not long ago, that a finding is once more; it is open again.
    fn reopened(
        &mut self,
        source: &str,
        destination: &str,
        finding: &Finding,
        hidden: bool,
        now: Time,
    ) -> Option<u64> {
        if self.open.len() >= MAX_OPEN || self.members.is_full() {
            return None;
        }
        let at = self.resolved.iter().rposition(|i| {
            i.is_hidden() == hidden
                && now.since(i.resolved()) <= RETURNS
                && (i.returns(source, destination, finding)
                    || i.explains(source, destination, finding))
        })?;
        let mut incident = self.resolved.remove(at)?;
        incident.reopen(finding);
        Some(self.add(incident))
    }

    fn opened(
        &mut self,
        source: &str,
        destination: &str,
        finding: &Finding,
        hidden: bool,
        now: Time,
    ) -> Option<u64> {
        if !self.may_open(now) {
            self.overflowed = self.overflowed.saturating_add(1);
            return None;
        }
        Some(self.add(Incident::new(source, destination, finding, hidden, now)))
    }

    fn add(&mut self, incident: Incident) -> u64 {
        self.last = self.last.wrapping_add(1);
        self.open.insert(self.last, incident);
        self.last
    }

    fn of(&self, source: &str, destination: &str) -> Option<&Incident> {
        self.open.get(&self.members.get(source, destination)?)
    }

    /// Whether a pair is in an open incident.
    pub fn is_open(&self, source: &str, destination: &str) -> bool {
        self.of(source, destination).is_some()
    }

    /// What is held against pairs and identities now: source, destination, identity where it is one's own, and the incident.
    /// What rules hide is held against nobody.
    pub fn standings(&self) -> impl Iterator<Item = (&str, &str, Option<&str>, Standing)> {
        let told = self.open.values().filter(|i| !i.is_hidden());
        told.flat_map(Incident::standings)
    }

    /// How long a pair has been in its incident.
    pub fn lasted(&self, source: &str, destination: &str, now: Time) -> Option<Duration> {
        self.of(source, destination)
            .and_then(|i| i.member(source, destination, None))
            .map(|m| now.since(m.since))
    }

    /// Says that a pair was still odd, in the way its incident tells, in a window that ended at `until`.
    pub fn touch(&mut self, source: &str, destination: &str, until: Time) {
        let number = self.members.get(source, destination);
        if let Some(incident) = number.and_then(|n| self.open.get_mut(&n)) {
            incident.touch(source, destination, until);
        }
    }

    /// Closes what has been quiet long enough, and tells what is overdue. `end` says what became of a pair since a time.
    pub fn advance(
        &mut self,
        now: Time,
        end: impl Fn(&str, &str, Time) -> End,
        config: &Config,
    ) -> Vec<Alert> {
        // What shows only in the longest windows must have the time to show once more.
        let next = config.window_lengths().last().unwrap_or_default();
        let quiet = config
            .alerts
            .resolve_after
            .duration()
            .max(next.saturating_add(SETTLED));
        let mut lines = Vec::new();
        let (members, identities) = (&mut self.members, &mut self.identities);
        let over = |i: &mut Incident| {
            i.settle(now, quiet, |s, d, identity| match identity {
                None => members.remove(s, d),
                Some(i) => identities.remove(s, &subject(d, i)),
            })
        };
        let over: Vec<Incident> = extract(&mut self.open, over);
        for mut incident in over {
            lines.extend(incident.resolve(now, &end, config));
            if self.resolved.len() >= MAX_RESOLVED {
                self.resolved.pop_front();
            }
            self.resolved.push_back(incident);
        }
        lines.extend(
            self.open
                .values_mut()
                .filter_map(|i| i.overdue(now, config)),
        );
        self.resolved.retain(|i| now.since(i.resolved()) <= RETURNS);
        lines
    }

    /// Open incidents, and how many were not opened because of the caps.
    pub fn count(&self) -> (usize, u64) {
        (self.open.len(), self.overflowed)
    }

    fn may_open(&mut self, now: Time) -> bool {
        let minute = now.floor(Duration::from_secs(60));
        if minute != self.minute {
            self.minute = minute;
            self.opened_in_minute = 0;
        }
        let may = self.open.len() < MAX_OPEN
            && !self.members.is_full()
            && self.opened_in_minute < MAX_PER_MINUTE;
        self.opened_in_minute = self.opened_in_minute.saturating_add(1);
        may
    }
}

/// What an identity does to a destination, as one name. No name of a destination holds a zero byte.
fn subject(destination: &str, identity: &str) -> String {
    format!("{destination}\0{identity}")
}

/// Takes out the values that `which` says of, in the order of their numbers.
fn extract<V>(from: &mut BTreeMap<u64, V>, mut which: impl FnMut(&mut V) -> bool) -> Vec<V> {
    let numbers: Vec<u64> = from
        .iter_mut()
        .filter_map(|(number, value)| which(value).then_some(*number))
        .collect();
    numbers.iter().filter_map(|n| from.remove(n)).collect()
}
