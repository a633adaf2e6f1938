//! A webhook's own format: one object a request, with the alerts as the log has them.

use super::{Item, fields, object, v};
use serde_json::Value;

/// Of the object around the alerts; each alert has its own.
const VERSION: u32 = 1;

pub(super) fn body(items: &[Item]) -> Value {
    let (mut alerts, mut held_back) = (Vec::new(), 0u64);
    for item in items {
        match item {
            Item::Alert { alert, .. } => alerts.push(Value::Object(fields(alert))),
            Item::HeldBack { count } => held_back = held_back.saturating_add(*count),
        }
    }
    object([
        ("pairwatch", v("alerts")),
        ("version", v(VERSION)),
        ("alerts", v(alerts)),
        ("held_back", v(held_back)),
    ])
}
