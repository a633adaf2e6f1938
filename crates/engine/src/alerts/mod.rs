//! The alert line: what a person, a log shipper or a rule reads.
//!
//! One JSON object on one line that begins `{"pairwatch":"alert"`, so that it can be cut out of a sidecar's log. Field
//! names and kinds are a contract. What is not known is absent, never invented.
//!
//! `since` and `time` of the last line about an incident are its span: a `resolved` line's `time` is when the behaviour
//! was last odd, the end of the last odd window, and not when the quiet since then had lasted for long enough to say so.
//! When a line was written the log shipper stamps anyway. A burst seen in one window ends with that window, which may
//! be a moment before the time its `open` line was raised at.

mod kind;
mod words;

pub use kind::{Kind, Severity};
pub use words::{clock, number, rate, share, span, times};

use crate::exchange::pseudonym;
use crate::json_line;
use serde::{Deserialize, Serialize};

/// Version of the line's fields.
pub const VERSION: u32 = 1;

/// What becomes of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// First line of an incident, or of one that came back.
    Open,
    /// It goes on, or more is known of it.
    Updated,
    /// It has been quiet for `alerts.resolve_after`, or what goes on is taken as usual; `time` says since when.
    Resolved,
}

/// An alert, in the order its fields are written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// Always `alert`: what a log is searched for.
    pub pairwatch: &'static str,
    /// Version of these fields.
    pub version: u32,
    /// The incident's id, the same on all its lines.
    pub id: String,
    /// When this line was raised, RFC 3339; of a resolved incident, when it was last odd.
    pub time: String,
    /// What becomes of the incident.
    pub state: State,
    /// How often it was resolved and came back.
    #[serde(skip_serializing_if = "is_zero")]
    pub reopened: u32,
    /// How urgent.
    pub severity: Severity,
    /// 0 to 100; 50 is where evidence just outweighs the tolerated false alerts.
    pub score: u8,
    /// What it looks like.
    pub kind: Kind,
    /// Who called.
    pub source: String,
    /// What was called.
    pub destination: String,
    /// Whose requests they were, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Client addresses it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// The other pairs that show the same incident, ten at most; the message says how many there are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairName>,
    /// When what is reported began, RFC 3339.
    pub since: String,
    /// The lead signal's value, in the unit its evidence names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<f64>,
    /// What is usual for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical: Option<f64>,
    /// The signals that speak for it, the strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// How well pair and signal were known when it was raised, 0 to 1.
    pub maturity: f64,
    /// MITRE ATT&CK techniques it may be part of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub techniques: Vec<String>,
    /// One sentence.
    pub message: String,
    /// The reason of the rule that hides it; such lines are written only with `alerts.show_suppressed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<String>,
    /// Place of that rule among [`Config::rules`](crate::config::Config::rules).
    #[serde(skip)]
    pub rule: Option<usize>,
}

/// The two names of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairName {
    /// Who called.
    pub source: String,
    /// What was called.
    pub destination: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it in so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// One signal's part in an alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The signal's name.
    pub signal: String,
    /// What the numbers count: `requests/s`, `share`, `ms`, `bytes`, or for a route its template.
    pub unit: String,
    /// What was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<f64>,
    /// What is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical: Option<f64>,
    /// Where 98 of 100 usual windows lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<[f64; 2]>,
    /// Its share of the evidence, 0 to 1.
    pub contribution: f64,
}

impl Alert {
    /// Takes out whose requests they were, which stands there as a pseudonym.
    pub fn conceal(&mut self) {
        self.identity = None;
        self.message = pseudonym::conceal(&self.message);
    }

    /// The line, without the line break.
    pub fn to_line(&self) -> String {
        // Strings, numbers and lists only: writing them can't fail.
        json_line::of(self)
    }
}
