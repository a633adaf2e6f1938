//! Why a pair alarmed or did not: the judge's own numbers, for a person or as JSON.
//!
//! Without a time, each signal is shown in the window in which it came nearest to an alarm; with one, in the windows that
//! hold that time. Nearest is by evidence against threshold: what was rare but too small to matter is thus shown with the
//! gate that kept it back.

use crate::record::Line;
use crate::replay::Watcher;
use crate::summary::length;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::{Aggregator, Look};
use pairwatch_engine::alerts::{Alert, State, number, share};
use pairwatch_engine::signals::{Passed, Side};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Incidents that are listed; more are counted.
const INCIDENTS: usize = 20;
/// Pairs that are proposed where the one that is asked for is not in the log.
const CLOSE: usize = 5;

/// What is kept of a pair while a log is replayed.
#[derive(Debug)]
pub struct Explanation {
    source: String,
    destination: String,
    at: Option<Time>,
    requests: u64,
    looks: BTreeMap<(Duration, &'static str, bool), Look>,
    incidents: Vec<Incident>,
    /// Incidents beyond those that are kept.
    more: usize,
}

/// The last line about an incident that the pair has part in.
#[derive(Debug)]
struct Incident {
    last: Alert,
    written: bool,
}

impl Explanation {
    /// Of this pair, at this time or over the whole log.
    pub fn new(source: &str, destination: &str, at: Option<Time>) -> Self {
        Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            at,
            requests: 0,
            looks: BTreeMap::new(),
            incidents: Vec::new(),
            more: 0,
        }
    }

    /// Requests of the pair.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether anything was judged.
    pub fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    /// The looks, the nearest to an alarm first.
    fn ranked(&self) -> Vec<&Look> {
        let mut looks: Vec<_> = self.looks.values().collect();
        looks.sort_by(|a, b| nearness(b).total_cmp(&nearness(a)));
        looks
    }

    /// For a person.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to text can't fail.
        let _ = writeln!(
            out,
            "{} → {}: {} requests in the log",
            self.source, self.destination, self.requests
        );
        let _ = match self.at {
            Some(at) => writeln!(out, "The windows that hold {}:", at.rfc3339()),
            None => writeln!(out, "Each signal where it came nearest to an alarm:"),
        };
        out.push('\n');
        out.push_str(&self.table());
        out.push_str(
            "\np: how rare the window was. spikes, drifts: evidence of one rare window, and of many that are a little rare;\n\
             evidence is their mean, and alarms from the threshold on where volume and effect matter too. band: where 98 of\n\
             100 usual windows lie. actual, typical: over the run of windows that the evidence is of.\n\n",
        );
        if self.incidents.is_empty() {
            out.push_str("No incident");
        }
        for Incident { last, written } in &self.incidents {
            let _ = writeln!(
                out,
                "{} {} {} ({}), {} to {}: {}",
                last.id,
                word(&last.severity),
                word(&last.kind),
                word(&last.state),
                last.since,
                last.time,
                last.message
            );
            if let Some(reason) = &last.suppressed {
                let _ = writeln!(out, "  hidden by a rule: {reason}");
            } else if !written {
                let _ = writeln!(out, "  not written: below alerts.min_severity");
            }
        }
        if self.incidents.is_empty() {
            out.push_str(match self.at {
                Some(_) => " of this pair at that time.\n",
                None => " of this pair.\n",
            });
        }
        if self.more > 0 {
            let _ = writeln!(out, "and {} more incidents", self.more);
        }
        out
    }

    fn table(&self) -> String {
        let head = [
            "window",
            "signal",
            "actual",
            "typical",
            "band",
            "p",
            "spikes",
            "drifts",
            "evidence",
            "threshold",
            "verdict",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.ranked().into_iter().map(row));
        let mut widths = [0usize; 11];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }

    /// For a program: one object.
    pub fn json(&self) -> Value {
        json!({
            "source": self.source,
            "destination": self.destination,
            "at": self.at.map(Time::rfc3339),
            "requests": self.requests,
            "signals": self.ranked().into_iter().map(look_json).collect::<Vec<_>>(),
            "incidents": self.incidents.iter().map(|i| &i.last).collect::<Vec<_>>(),
            "more_incidents": self.more,
        })
    }

    /// Whether an incident is of the pair, and of the time that is asked for.
    fn is_asked(&self, alert: &Alert) -> bool {
        let is = |source: &str, destination: &str| {
            source == self.source && destination == self.destination
        };
        let of_pair = is(&alert.source, &alert.destination)
            || alert.pairs.iter().any(|p| is(&p.source, &p.destination));
        let begun = self
            .at
            .is_none_or(|at| Time::parse(&alert.since).is_some_and(|since| since <= at));
        of_pair && begun
    }
}

impl Watcher for Explanation {
    fn line(&mut self, _at: Time, line: &Line<'_>) {
        if line.source == self.source && line.destination == self.destination {
            self.requests = self.requests.saturating_add(1);
        }
    }

    fn pair(&self) -> Option<(&str, &str)> {
        Some((&self.source, &self.destination))
    }

    fn look(&mut self, look: &Look) {
        let holds = |at: Time| look.start <= at && at < look.start.plus(look.length);
        if !self.at.is_none_or(holds) {
            return;
        }
        let key = (look.length, look.signal, look.side == Side::Down);
        match self.looks.get_mut(&key) {
            Some(best) if nearness(best) >= nearness(look) => {}
            Some(best) => *best = look.clone(),
            None => {
                self.looks.insert(key, look.clone());
            }
        }
    }

    fn alert(&mut self, alert: &Alert, written: bool) {
        if let Some(known) = self.incidents.iter_mut().find(|i| i.last.id == alert.id) {
            known.last = alert.clone();
            known.written |= written;
            return;
        }
        if !self.is_asked(alert) {
            return;
        }
        // Over by then: its last line is older than the time asked for.
        if let Some(at) = self.at {
            let over = |i: &Incident| {
                i.last.state == State::Resolved
                    && Time::parse(&i.last.time).is_some_and(|end| end < at)
            };
            self.incidents.retain(|i| !over(i));
        }
        if self.incidents.len() < INCIDENTS {
            self.incidents.push(Incident {
                last: alert.clone(),
                written,
            });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// How near to an alarm: 1 or more is evidence enough; what alarmed is before all that did not.
fn nearness(look: &Look) -> f64 {
    let evidence = look.evidence.max(1e-3).ln() / look.threshold.max(2.0).ln();
    if look.alarmed {
        evidence + 1e3
    } else {
        evidence
    }
}

/// As it is written in alerts.
fn word(of: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// A number of the signal's unit.
fn value(look: &Look, x: f64) -> String {
    match look.unit {
        "share" => share(x),
        unit => format!("{} {unit}", number(x)),
    }
}

/// Evidence spans thirty orders of magnitude.
fn power(x: f64) -> String {
    if x >= 1e4 {
        format!("{x:.1e}")
    } else {
        number(x)
    }
}

fn row(look: &Look) -> [String; 11] {
    let [spikes, drifts] = look.parts;
    let side = match look.side {
        Side::Up => "high",
        Side::Down => "low",
    };
    [
        format!(
            "{} {}",
            look.start.rfc3339().get(..19).unwrap_or_default(),
            length(look.length)
        ),
        format!("{} {side}", look.signal),
        value(look, look.effect.actual),
        value(look, look.effect.typical),
        look.band.map_or_else(String::new, |[low, high]| {
            format!("{} to {}", value(look, low), value(look, high))
        }),
        if look.p >= 0.001 {
            number(look.p)
        } else {
            format!("{:.1e}", look.p)
        },
        power(spikes),
        power(drifts),
        power(look.evidence),
        power(look.threshold),
        verdict(look),
    ]
}

/// The gates that keep it back.
fn kept_back(look: &Look) -> Vec<String> {
    let gates = &look.gates;
    let mut reasons = Vec::new();
    let mut gate = |gate: &Passed, tell: &dyn Fn(&Passed) -> String| {
        if !gate.passed {
            reasons.push(tell(gate));
        }
    };
    gate(&gates.maturity, &|g| {
        format!("only {:.0} % mature", g.value * 100.0)
    });
    gate(&gates.volume, &|g| {
        format!("volume {} of {}", number(g.value), number(g.least))
    });
    gate(&gates.ratio, &|g| match look.side {
        Side::Up => format!(
            "{} times typical, from {} on",
            number(g.value),
            number(g.least)
        ),
        Side::Down => format!(
            "{} of typical, from {} down",
            number(g.value),
            number(g.least)
        ),
    });
    gate(&gates.amount, &|g| {
        format!(
            "{} where {} matters",
            value(look, g.value),
            value(look, g.least)
        )
    });
    gate(&gates.by_time, &|g| {
        format!(
            "{} fewer than usual at the time, from {} on",
            number(g.value.max(0.0)),
            number(g.least)
        )
    });
    reasons
}

/// Why it alarmed or did not.
fn verdict(look: &Look) -> String {
    if look.alarmed {
        return format!("alarm: {}", word(&look.kind));
    }
    let mut reasons = Vec::new();
    if look.evidence < look.threshold {
        reasons.push("not enough evidence".to_owned());
    }
    reasons.extend(kept_back(look));
    if look.believed {
        reasons.push("believed to be the new usual".to_owned());
    }
    if look.maintained {
        reasons.push("under maintenance".to_owned());
    }
    reasons.join("; ")
}

fn look_json(look: &Look) -> Value {
    let gate = |g: &Passed| json!({"value": g.value, "limit": g.least, "passed": g.passed});
    let [spikes, drifts] = look.parts;
    json!({
        "window": {"start": look.start.rfc3339(), "seconds": look.length.as_secs_f64()},
        "signal": look.signal,
        "side": match look.side { Side::Up => "high", Side::Down => "low" },
        "kind": look.kind,
        "unit": look.unit,
        "requests": look.requests,
        "since": look.since.rfc3339(),
        "actual": look.effect.actual,
        "typical": look.effect.typical,
        "band": look.band,
        "p": look.p,
        "evidence": {"spikes": spikes, "drifts": drifts, "mean": look.evidence},
        "threshold": look.threshold,
        "gates": {
            "volume": gate(&look.gates.volume),
            "ratio": gate(&look.gates.ratio),
            "amount": gate(&look.gates.amount),
            "maturity": gate(&look.gates.maturity),
            "by_time": gate(&look.gates.by_time),
        },
        "alarmed": look.alarmed,
        "incident_open": look.incident,
        "believed": look.believed,
        "maintenance": look.maintained,
        "verdict": verdict(look),
    })
}

/// The pairs an engine knows whose names are closest to these, the closest first.
pub fn close_to(engine: &Aggregator, source: &str, destination: &str) -> Vec<String> {
    let mut pairs: Vec<_> = engine
        .usual(0)
        .map(|pair| {
            let far = distance(source, pair.source);
            let far = far.saturating_add(distance(destination, pair.destination));
            (far, format!("{} → {}", pair.source, pair.destination))
        })
        .collect();
    pairs.sort();
    pairs.truncate(CLOSE);
    pairs.into_iter().map(|(_, name)| name).collect()
}

/// Edits of one character that make one text the other (Levenshtein), two rows at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut left = i.saturating_add(1);
        let mut next = vec![left];
        for ((d, above), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            let changed = diagonal.saturating_add(usize::from(c != *d));
            left = changed
                .min(above.saturating_add(1))
                .min(left.saturating_add(1));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn names_are_as_far_apart_as_it_takes_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("cart", "", 4),
            ("cart", "card", 1),
            ("catalog", "catalogue", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
