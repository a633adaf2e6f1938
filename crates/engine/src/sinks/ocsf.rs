//! OCSF Detection Findings: a JSON list of events of class 2004, as of schema version 1.3.
//!
//! An incident is a finding: its id the finding's, its states Create, Update, Close. The evidence holds both ends and each
//! signal's numbers; what is only ours goes under `unmapped`, as the schema asks. Field names and numbers are those of the
//! published schema (ocsf/ocsf-schema, `events/findings/detection_finding.json` and the objects it names).

use super::{Item, fields, held_back, millis, object, v};
use crate::Time;
use crate::alerts::{Alert, Severity, State};
use serde_json::{Map, Value};

const SCHEMA: &str = "1.3.0";
/// Category Findings, class Detection Finding.
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;
/// An analytic that is statistical.
const STATISTICAL: u32 = 3;

pub(super) fn body(items: &[Item], now: Time) -> Value {
    items.iter().map(|item| event(item, now)).collect()
}

fn event(item: &Item, now: Time) -> Value {
    match item {
        Item::Alert { alert, .. } => finding(alert, now),
        Item::HeldBack { count } => {
            let info = object([
                ("uid", v("pairwatch-held-back")),
                ("title", v(held_back(*count))),
            ]);
            common(State::Open, Severity::Info, now.0, &held_back(*count), info)
        }
    }
}

fn common(state: State, severity: Severity, at: u64, message: &str, info: Value) -> Value {
    // Create and a new finding, Update and one in progress, Close and one resolved.
    let (activity, activity_name, status, status_name) = match state {
        State::Open => (1, "Create", 1, "New"),
        State::Updated => (2, "Update", 2, "In Progress"),
        State::Resolved => (3, "Close", 4, "Resolved"),
    };
    let (severity_id, severity) = match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    object([
        ("activity_id", v(activity)),
        ("activity_name", v(activity_name)),
        ("category_name", v("Findings")),
        ("category_uid", v(CATEGORY)),
        ("class_name", v("Detection Finding")),
        ("class_uid", v(CLASS)),
        (
            "type_uid",
            v(CLASS.saturating_mul(100).saturating_add(activity)),
        ),
        (
            "type_name",
            v(format!("Detection Finding: {activity_name}")),
        ),
        ("time", v(at)),
        ("severity_id", v(severity_id)),
        ("severity", v(severity)),
        ("status_id", v(status)),
        ("status", v(status_name)),
        ("message", v(message)),
        (
            "metadata",
            object([
                ("version", v(SCHEMA)),
                (
                    "product",
                    object([
                        ("name", v("Pairwatch")),
                        ("vendor_name", v("Pairwatch")),
                        ("version", v(env!("CARGO_PKG_VERSION"))),
                    ]),
                ),
            ]),
        ),
        ("finding_info", info),
    ])
}

fn finding(alert: &Alert, now: Time) -> Value {
    let at = millis(&alert.time, now);
    let since = millis(&alert.since, now);
    let attacks: Vec<Value> = alert
        .techniques
        .iter()
        .map(|uid| object([("technique", object([("uid", v(&**uid))]))]))
        .collect();
    let mut info = object([
        ("uid", v(&*alert.id)),
        ("title", v(title(alert))),
        ("desc", v(&*alert.message)),
        ("first_seen_time", v(since)),
        ("last_seen_time", v(at)),
        ("types", Value::Array(vec![v(alert.kind.name())])),
        (
            "analytic",
            object([
                ("name", v(alert.kind.name())),
                ("type", v("Statistical")),
                ("type_id", v(STATISTICAL)),
            ]),
        ),
    ]);
    if let (Some(info), false) = (info.as_object_mut(), attacks.is_empty()) {
        info.insert("attacks".into(), attacks.into());
    }
    let mut event = common(alert.state, alert.severity, at, &alert.message, info);
    let mut own = fields(alert);
    let signals = own.remove("evidence").unwrap_or_default();
    let mut evidence = object([
        (
            "src_endpoint",
            object([("name", v(&*alert.source)), ("svc_name", v(&*alert.source))]),
        ),
        (
            "dst_endpoint",
            object([
                ("name", v(&*alert.destination)),
                ("svc_name", v(&*alert.destination)),
            ]),
        ),
        ("data", signals),
    ]);
    if let (Some(Value::String(user)), Some(evidence)) =
        (own.remove("identity"), evidence.as_object_mut())
    {
        evidence.insert(
            "actor".into(),
            object([("user", object([("name", v(user))]))]),
        );
    }
    // Said above in the schema's own words.
    for said in [
        "pairwatch",
        "id",
        "time",
        "state",
        "severity",
        "score",
        "kind",
        "source",
        "destination",
        "since",
        "techniques",
        "message",
    ] {
        own.remove(said);
    }
    if let Some(event) = event.as_object_mut() {
        let more: Map<String, Value> = [
            ("confidence_score".to_owned(), v(alert.score)),
            ("evidences".to_owned(), Value::Array(vec![evidence])),
            ("unmapped".to_owned(), object([("pairwatch", v(own))])),
        ]
        .into_iter()
        .collect();
        event.extend(more);
    }
    event
}

fn title(alert: &Alert) -> String {
    format!(
        "{}: {} → {}",
        alert.kind.name().replace('_', " "),
        alert.source,
        alert.destination
    )
}
