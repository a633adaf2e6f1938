//! OpenTelemetry's logs over HTTP, in the JSON of its protocol: `POST /v1/logs`.
//!
//! That JSON is protobuf's with exceptions: enumerations are numbers, 64-bit integers are text, names are in camel case. The
//! alert's sentence is the body, its other fields are attributes `pairwatch.…`, whatever they are.
//!
//! Severity numbers are those of the log data model: INFO 9, INFO2 10, WARN 13, ERROR 17, FATAL 21.

use super::{Item, fields, held_back};
use crate::Time;
use crate::alerts::Severity;
use serde_json::{Map, Value, json};

/// Nanoseconds in a millisecond.
const NANOS: u64 = 1_000_000;

pub(super) fn body(items: &[Item], now: Time) -> Value {
    let records: Vec<Value> = items.iter().map(|item| record(item, now)).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": [attribute("service.name", &json!("pairwatch"))] },
        "scopeLogs": [{
            "scope": { "name": "pairwatch", "version": env!("CARGO_PKG_VERSION") },
            "logRecords": records,
        }],
    }]})
}

fn record(item: &Item, now: Time) -> Value {
    let observed = nanos(now.0);
    match item {
        Item::Alert { alert, .. } => {
            let mut fields = fields(alert);
            // Said elsewhere in the record.
            for name in ["pairwatch", "time", "severity", "message"] {
                fields.remove(name);
            }
            let attributes: Vec<Value> = fields
                .iter()
                .map(|(name, value)| attribute(&format!("pairwatch.{name}"), value))
                .collect();
            json!({
                "timeUnixNano": nanos(super::millis(&alert.time, now)),
                "observedTimeUnixNano": observed,
                "severityNumber": number(alert.severity),
                "severityText": alert.severity.name(),
                "body": { "stringValue": alert.message },
                "attributes": attributes,
            })
        }
        Item::HeldBack { count } => json!({
            "timeUnixNano": observed,
            "observedTimeUnixNano": observed,
            "severityNumber": number(Severity::Info),
            "severityText": Severity::Info.name(),
            "body": { "stringValue": held_back(*count) },
            "attributes": [attribute("pairwatch.held_back", &json!(count))],
        }),
    }
}

fn number(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 9,
        Severity::Low => 10,
        Severity::Medium => 13,
        Severity::High => 17,
        Severity::Critical => 21,
    }
}

fn nanos(millis: u64) -> String {
    millis.saturating_mul(NANOS).to_string()
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": any(value) })
}

/// Any JSON as the protocol's `AnyValue`.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) => match value.as_i64() {
            Some(whole) => json!({ "intValue": whole.to_string() }),
            None => json!({ "doubleValue": value }),
        },
        Value::String(value) => json!({ "stringValue": value }),
        Value::Array(values) => {
            let values: Vec<Value> = values.iter().map(any).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Value::Object(fields) => json!({ "kvlistValue": { "values": list(fields) } }),
    }
}

fn list(fields: &Map<String, Value>) -> Vec<Value> {
    fields
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect()
}
