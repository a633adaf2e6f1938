//! Alertmanager's API version 2: `POST /api/v2/alerts` with a list of alerts.
//!
//! Labels are an alert's identity there: what changes them makes another alert. So an incident that says more of itself
//! ends under its old labels in the very request that begins it under its new ones, and what may come and go (identity,
//! numbers) stands in the annotations. A resolved incident ends now. An open one carries an end far enough ahead for the
//! next line about it to arrive, so that nothing has to be sent again only to keep it alive.

use super::{Item, Told, fields, held_back, object, v};
use crate::Time;
use crate::alerts::{Alert, Evidence, State, number};
use serde_json::Value;
use std::time::Duration;

/// How long the note about alerts held back stands: until somebody has seen it.
const NOTE: Duration = Duration::from_secs(600);

pub(super) fn body(sink: &str, items: &[Item], lasts: Duration, now: Time) -> Value {
    let mut alerts = Vec::new();
    for item in items {
        match item {
            Item::Alert { alert, was } => {
                if let Some(was) = was {
                    alerts.push(posted(alert, was, now, now));
                }
                let end = match alert.state {
                    State::Resolved => now,
                    State::Open | State::Updated => now.plus(lasts),
                };
                alerts.push(posted(alert, &Told::of(alert), end, now));
            }
            Item::HeldBack { count } => alerts.push(object([
                (
                    "labels",
                    object([
                        ("alertname", v("PairwatchHeldBack")),
                        ("severity", v("info")),
                        ("sink", v(sink)),
                    ]),
                ),
                ("annotations", object([("summary", v(held_back(*count)))])),
                ("startsAt", v(now.rfc3339())),
                ("endsAt", v(now.plus(NOTE).rfc3339())),
            ])),
        }
    }
    Value::Array(alerts)
}

fn posted(alert: &Alert, as_told: &Told, end: Time, now: Time) -> Value {
    // Alertmanager refuses an alert that ends before it starts, which a clock set back would make of one.
    let start = Time(super::millis(&alert.since, now)).min(end);
    object([
        (
            "labels",
            object([
                ("alertname", v("Pairwatch")),
                ("incident", v(&*alert.id)),
                ("kind", v(as_told.kind.name())),
                ("severity", v(as_told.severity.name())),
                ("source", v(&*as_told.source)),
                ("destination", v(&*as_told.destination)),
            ]),
        ),
        ("annotations", annotations(alert)),
        ("startsAt", v(start.rfc3339())),
        ("endsAt", v(end.rfc3339())),
    ])
}

fn annotations(alert: &Alert) -> Value {
    let evidence: Vec<String> = alert.evidence.iter().map(words).collect();
    let details = Value::Object(fields(alert));
    object([
        ("summary", v(&*alert.message)),
        ("evidence", v(evidence.join("; "))),
        ("score", v(alert.score.to_string())),
        ("maturity", v(number(alert.maturity))),
        ("techniques", v(alert.techniques.join(" "))),
        ("details", v(details.to_string())),
    ])
}

fn words(evidence: &Evidence) -> String {
    let told = |x: Option<f64>| x.map_or_else(|| "?".to_owned(), number);
    format!(
        "{} {} {} (typical {})",
        evidence.signal,
        told(evidence.actual),
        evidence.unit,
        told(evidence.typical)
    )
}
