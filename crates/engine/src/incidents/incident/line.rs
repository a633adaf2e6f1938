//! What an incident says: its lines, each with all that is known of it, and one sentence.

use super::super::End;
use super::Incident;
use crate::Time;
use crate::alerts::{self, Alert, Evidence, PairName, State, clock, span};
use crate::config::{About, Config};
use std::time::Duration;

/// Pairs listed in a line beside its own: which they are matters while a person can read them, then only how many.
const MAX_LISTED: usize = 10;

impl Incident {
    /// A line, written `now`; the last one, if there is an `end`. `None` for the end of what was hidden by a rule that has ended since.
    pub(super) fn line(
        &mut self,
        time: Time,
        now: Time,
        end: Option<End>,
        config: &Config,
    ) -> Option<Alert> {
        let kind = self.parts.first()?.kind;
        let about = About {
            source: &self.source,
            destination: &self.destination,
            kind,
            identity: self.who.identity.as_deref(),
            since: self.since,
        };
        let rule = if self.hidden {
            config.hidden_by(&about, now)
        } else {
            None
        };
        if end.is_some() && rule.is_none() && !self.shown {
            return None;
        }
        let known = if rule.is_none() {
            self.shown
        } else {
            self.lined
        };
        let state = match (end, known) {
            (Some(_), _) => State::Resolved,
            (None, true) => State::Updated,
            (None, false) => State::Open,
        };
        self.lined = true;
        self.shown |= rule.is_none();
        self.hidden = rule.is_some();
        self.last_line = now;
        if !self.told.contains(&kind) {
            self.told.push(kind);
        }
        self.told_severity = self.told_severity.max(self.severity);
        let lead = self.evidence.first().map(|(e, _)| e);
        Some(Alert {
            pairwatch: "alert",
            version: alerts::VERSION,
            id: self.id.clone(),
            time: time.rfc3339(),
            state,
            reopened: self.reopened,
            severity: self.severity,
            // A snapshot may say anything.
            score: self.score.min(100),
            kind,
            source: self.source.clone(),
            destination: self.destination.clone(),
            identity: self.who.identity.clone(),
            addresses: self.who.addresses.clone(),
            pairs: self.others().take(MAX_LISTED).collect(),
            since: self.since.rfc3339(),
            actual: lead.and_then(|e| e.actual),
            typical: lead.and_then(|e| e.typical),
            evidence: self.shares(),
            maturity: self.maturity,
            techniques: self.techniques.clone(),
            message: self.message(end),
            suppressed: rule.map(|(_, r)| r.reason().to_owned()),
            rule: rule.map(|(at, _)| at),
        })
    }

    fn others(&self) -> impl Iterator<Item = PairName> {
        let others = self
            .members
            .iter()
            .filter(|m| m.source != self.source || m.destination != self.destination);
        others.map(|m| PairName {
            source: m.source.clone(),
            destination: m.destination.clone(),
        })
    }

    /// The evidence, each signal with its share of the whole.
    fn shares(&self) -> Vec<Evidence> {
        let all: f64 = self.evidence.iter().map(|(_, weight)| weight).sum();
        let share = |weight: f64| (weight / all.max(1e-9) * 1e4).round() / 1e4;
        let told = self.evidence.iter().map(|(e, weight)| Evidence {
            contribution: share(*weight),
            ..e.clone()
        });
        told.collect()
    }

    /// Who to whom, what, and since when: one sentence. Only what is known to be over is said to be.
    fn message(&self, end: Option<End>) -> String {
        let others = self.others().count();
        let who = self.family.who(&self.source, &self.destination, others);
        let words: Vec<&str> = self.parts.iter().map(|p| p.words.as_str()).collect();
        let words = words.join("; also ");
        let lasted = self.last_odd.since(self.since);
        let long = lasted >= Duration::from_secs(1);
        match (end, long) {
            (Some(end), true) => format!(
                "{who}: {} since {}, after {}; it was: {words}.",
                match end {
                    End::Over => "over",
                    End::Usual => "taken as usual",
                    End::Silent => "silent still, but not oddly",
                },
                clock(self.last_odd),
                span(lasted)
            ),
            (Some(_), false) => format!(
                "{who}: nothing odd since {}; it was: {words}.",
                clock(self.last_odd)
            ),
            (None, true) => format!(
                "{who}: {words}, for {} since {}.",
                span(lasted),
                clock(self.since)
            ),
            (None, false) => format!("{who}: {words}, at {}.", clock(self.since)),
        }
    }
}
