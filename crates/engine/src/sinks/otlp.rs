//! OpenTelemetry's logs over HTTP, in the JSON of its protocol: `POST /v1/logs`.
//!
//! That JSON is protobuf's with exceptions: enumerations are numbers, 64-bit integers are text, names are in camel case. The
//! alert's sentence is the body, its other fields are attributes `pairwatch.…`, whatever they are.
//!
//! Severity numbers are those of the log data model: INFO 9, INFO2 10, WARN 13, ERROR 17, FATAL 21.

use super::{Item, fields, held_back, object, v};
use crate::Time;
use crate::alerts::Severity;
use serde_json::{Map, Value};

/// Nanoseconds in a millisecond.
const NANOS: u64 = 1_000_000;

pub(super) fn body(items: &[Item], now: Time) -> Value {
    let records: Vec<Value> = items.iter().map(|item| record(item, now)).collect();
    object([(
        "resourceLogs",
        Value::Array(vec![object([
            (
                "resource",
                object([(
                    "attributes",
                    Value::Array(vec![attribute("service.name", &v("pairwatch"))]),
                )]),
            ),
            (
                "scopeLogs",
                Value::Array(vec![object([
                    (
                        "scope",
                        object([
                            ("name", v("pairwatch")),
                            ("version", v(env!("CARGO_PKG_VERSION"))),
                        ]),
                    ),
                    ("logRecords", v(records)),
                ])]),
            ),
        ])]),
    )])
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
            object([
                ("timeUnixNano", v(nanos(super::millis(&alert.time, now)))),
                ("observedTimeUnixNano", v(&*observed)),
                ("severityNumber", v(number(alert.severity))),
                ("severityText", v(alert.severity.name())),
                ("body", object([("stringValue", v(&*alert.message))])),
                ("attributes", v(attributes)),
            ])
        }
        Item::HeldBack { count } => object([
            ("timeUnixNano", v(&*observed)),
            ("observedTimeUnixNano", v(&*observed)),
            ("severityNumber", v(number(Severity::Info))),
            ("severityText", v(Severity::Info.name())),
            ("body", object([("stringValue", v(held_back(*count)))])),
            (
                "attributes",
                Value::Array(vec![attribute("pairwatch.held_back", &v(*count))]),
            ),
        ]),
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
    object([("key", v(key)), ("value", v(any(value)))])
}

/// Any JSON as the protocol's `AnyValue`.
fn any(value: &Value) -> Value {
    match value {
        Value::Null => object([]),
        Value::Bool(value) => object([("boolValue", v(*value))]),
        Value::Number(value) => match value.as_i64() {
            Some(whole) => object([("intValue", v(whole.to_string()))]),
            None => object([("doubleValue", v(value.clone()))]),
        },
        Value::String(value) => object([("stringValue", v(&**value))]),
        Value::Array(values) => {
            let values: Vec<Value> = values.iter().map(any).collect();
            object([("arrayValue", object([("values", v(values))]))])
        }
        Value::Object(fields) => object([("kvlistValue", object([("values", v(list(fields)))]))]),
    }
}

fn list(fields: &Map<String, Value>) -> Vec<Value> {
    fields
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect()
}
