//! Alerts, as they stand in an Envoy's log.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// How the JSON of every alert begins.
const MARKER: &str = r#"{"pairwatch":"alert""#;

/// One alert line. What the plugin doesn't know is absent.
#[derive(Debug, Clone, Deserialize)]
pub struct Alert {
    /// Of the alert's format.
    pub version: Value,
    /// Of the incident: the same from open to resolved.
    pub id: String,
    /// RFC 3339.
    pub time: String,
    /// open, updated, resolved.
    pub state: String,
    /// info, low, medium, high, critical.
    pub severity: String,
    /// 0 to 100.
    pub score: f64,
    /// `rate_spike`, `auth_failures`, …
    pub kind: String,
    /// Who called.
    pub source: Option<String>,
    /// Who was called.
    pub destination: Option<String>,
    /// The user or service the requests spoke for.
    pub identity: Option<Value>,
    /// Client addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// When it began.
    pub since: Option<Value>,
    /// What was seen.
    pub actual: Option<Value>,
    /// What is normal.
    pub typical: Option<Value>,
    /// What speaks for it, signal by signal.
    #[serde(default)]
    pub evidence: Vec<Value>,
    /// How much of normal had been learned.
    pub maturity: Option<Value>,
    /// MITRE ATT&CK ids.
    #[serde(default)]
    pub techniques: Vec<String>,
    /// The sentence for people.
    pub message: String,
    /// Fields beyond these.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Alert {
    /// Whether this signal speaks for it. An incident has one name, whatever else it is about: of a caller that is refused from his
    /// first request on it depends on the moment whether that is that he is new.
    #[must_use]
    pub fn shows(&self, signal: &str) -> bool {
        self.evidence.iter().any(|e| e["signal"] == signal)
    }

    /// The alert in a log message: nothing where there's none, an error where it begins as one but can't be read.
    #[must_use]
    pub fn parse(message: &str) -> Option<Result<Self>> {
        let (_, json) = message.split_at_checked(message.find(MARKER)?)?;
        // Envoy's own words may follow the JSON on the line; nothing does today, so trailing text is an error.
        let read = || -> Result<Self> {
            let mut alert: Self = serde_json::from_str(json.trim_end())?;
            alert.other.remove("pairwatch");
            Ok(alert)
        };
        Some(read().with_context(|| format!("reading the alert {json}")))
    }

    /// Whether it's between these two: each a part of the source's and destination's names, as `catalog` is of `demo/catalog`
    /// and of `catalog.demo.svc.cluster.local`.
    #[must_use]
    pub fn is_between(&self, source: &str, destination: &str) -> bool {
        let names =
            |end: &Option<String>, name: &str| end.as_deref().is_some_and(|end| end.contains(name));
        names(&self.source, source) && names(&self.destination, destination)
    }

    /// Whether it says that something is wrong, and not that it's over.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.state != "resolved"
    }
}

#[cfg(test)]
mod tests {
    use super::Alert;

    const LINE: &str = r#"wasm log pairwatch pairwatch pairwatch: {"pairwatch":"alert","version":1,"id":"a1","time":"2026-01-02T03:04:05Z","state":"open","severity":"high","score":87,"kind":"rate_spike","source":"demo/frontend","destination":"demo/catalog","actual":"300/s","typical":15,"message":"Far more.","extra":[1]}"#;

    #[test]
    fn an_alert_is_cut_out_of_the_log_message() -> anyhow::Result<()> {
        let alert = Alert::parse(LINE).expect("the line holds an alert")?;
        assert_eq!(
            (alert.kind.as_str(), alert.state.as_str()),
            ("rate_spike", "open")
        );
        assert!(
            alert.is_between("frontend", "catalog") && !alert.is_between("catalog", "frontend")
        );
        assert_eq!(
            alert.typical,
            Some(15.into()),
            "numbers and strings are both kept as they are"
        );
        assert_eq!(
            alert.other.keys().collect::<Vec<_>>(),
            ["extra"],
            "unknown fields are kept apart"
        );
        assert!(
            alert.identity.is_none() && alert.evidence.is_empty(),
            "what is absent stays absent"
        );
        Ok(())
    }

    #[test]
    fn a_broken_alert_is_an_error_and_other_lines_are_nothing() {
        assert!(Alert::parse("starting main dispatch loop").is_none());
        assert!(Alert::parse(r#"{"pairwatch":"alert","id":1"#).is_some_and(|read| read.is_err()));
    }
}
