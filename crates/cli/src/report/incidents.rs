//! The incidents, each with the lines that told of it.

use pairwatch_engine::alerts::{Alert, State};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// Incidents told of in full: more than anybody reads.
const INCIDENTS: usize = 2_000;
/// Lines of one that are listed.
const LINES: usize = 12;

/// All incidents, in the order they were opened.
#[derive(Debug, Default, Serialize)]
pub(super) struct Incidents {
    #[serde(rename = "list")]
    incidents: Vec<Incident>,
    /// Incidents that are not in the list.
    more: u64,
    #[serde(skip)]
    by_id: HashMap<String, usize>,
}

#[derive(Debug, Default, Serialize)]
struct Incident {
    /// The last line that told what is odd, as it was written.
    alert: Value,
    /// Time, state, severity and message of each line.
    lines: Vec<[String; 4]>,
    /// Lines that are not listed.
    more: u64,
}

impl Incidents {
    /// Takes in a line.
    pub(super) fn add(&mut self, alert: &Alert) {
        let known = self.by_id.get(&alert.id).copied();
        let full = self.incidents.len() >= INCIDENTS;
        let place = match known {
            Some(place) => place,
            None if full => {
                let opened = u64::from(alert.state == State::Open);
                self.more = self.more.saturating_add(opened);
                return;
            }
            None => {
                let place = self.incidents.len();
                self.by_id.insert(alert.id.clone(), place);
                self.incidents.push(Incident::default());
                place
            }
        };
        let Some(incident) = self.incidents.get_mut(place) else {
            return;
        };
        let line = serde_json::to_value(alert).unwrap_or_default();
        let text = |key: &str| {
            line.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let told = ["time", "state", "severity", "message"].map(text);
        let resolved = alert.state == State::Resolved;
        if incident.lines.len() < LINES || resolved {
            incident.lines.push(told);
        } else {
            incident.more = incident.more.saturating_add(1);
        }
        // A line that says it is over says less of what was odd.
        if !resolved || incident.alert.is_null() {
            incident.alert = line;
        }
    }
}
