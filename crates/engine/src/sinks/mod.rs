//! Alerts on their way to somebody: what is sent, when, and when again. The sending itself is the host's.
//!
//! ```text
//! alert ─▶ severity ─▶ tokens ─▶ waiting ─▶ batch ─▶ body ─▶ request ─▶ answer
//!             │           │         │          ▲                          │
//!           dropped    held back, told in      └──── back-off ◀── none, or try again
//!                      a summary
//! ```
//!
//! Every alert is in the proxy's log whatever happens here, so a receiver that is down costs nothing but its own copy:
//! queues are bounded, tries are counted, and what is given up is counted too. One request a sink is under way at a time;
//! what comes meanwhile goes into the next, so that a slow receiver gets larger batches and not more of them.
//!
//! An incident that a sink was told of is also told of when it ends, at no token's cost: an alert that nobody ends is
//! worse than none. What was waiting is lost with the aggregator's VM, as it is with a restart.
//!
//! | file | what it does |
//! |---|---|
//! | [`delivery`] | one sink's queue, tries and counts |
//! | [`bucket`] | so many alerts a minute |
//! | [`alertmanager`], [`otlp`], [`ocsf`], [`webhook`] | alerts as each receiver wants them |

mod alertmanager;
mod bucket;
mod delivery;
mod ocsf;
mod otlp;
mod webhook;

pub use delivery::{Counts, Delivery, Request};

use crate::Time;
use crate::alerts::{Alert, Kind, Severity};
use crate::config::{Sink, SinkFormat, SinkKind};
use serde_json::{Map, Value};
use std::time::Duration;

/// What a batch is made of.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// An alert, and as what its incident was told before, where that was another.
    Alert {
        alert: Box<Alert>,
        was: Option<Told>,
    },
    /// So many alerts were not sent because there were too many.
    HeldBack { count: u64 },
}

/// As what a sink was told of an incident: what its receiver may know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    pub(crate) severity: Severity,
    pub(crate) source: String,
    pub(crate) destination: String,
}

impl Told {
    fn of(alert: &Alert) -> Self {
        Self {
            kind: alert.kind,
            severity: alert.severity,
            source: alert.source.clone(),
            destination: alert.destination.clone(),
        }
    }
}

/// A batch as its sink wants it. `lasts` is for how long an alert is good for that nobody ends.
fn body(sink: &Sink, items: &[Item], lasts: Duration, now: Time) -> String {
    let body = match (sink.kind, sink.format) {
        (SinkKind::Alertmanager, _) => alertmanager::body(sink.name(), items, lasts, now),
        (SinkKind::Otlp, _) => otlp::body(items, now),
        (SinkKind::Webhook, SinkFormat::Pairwatch) => webhook::body(items),
        (SinkKind::Webhook, SinkFormat::Ocsf) => ocsf::body(items, now),
    };
    body.to_string()
}

/// The alert's fields as its line has them, those of later versions included.
fn fields(alert: &Alert) -> Map<String, Value> {
    match serde_json::to_value(alert) {
        Ok(Value::Object(fields)) => fields,
        // Strings, numbers and lists only: writing them can't fail.
        _ => Map::new(),
    }
}

/// The sentence that tells of alerts held back.
fn held_back(count: u64) -> String {
    format!(
        "{count} alerts were held back: more than this receiver is to be sent. They are in the proxy's log."
    )
}

/// Milliseconds since the epoch of a time as alerts have it; `otherwise` where it is none.
fn millis(text: &str, otherwise: Time) -> u64 {
    humantime::parse_rfc3339(text)
        .ok()
        .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(otherwise.0, crate::time::millis)
}

/// An object of these fields. Functions where `json!` would be a page of code at every place it stands: every proxy loads the
/// module, and these keep it tens of KiB smaller.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    build(Vec::from(fields))
}

fn build(fields: Vec<(&str, Value)>) -> Value {
    let owned = fields.into_iter().map(|(name, v)| (name.to_owned(), v));
    Value::Object(owned.collect())
}

/// A value of an object.
fn v(value: impl Into<Value>) -> Value {
    value.into()
}
