//! What is wrong with a line that is not counted.

use std::fmt;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In a word.
    pub reason: Reason,
    /// What was found, and where it is not plain what is expected.
    pub detail: String,
}

/// Why a line is not counted. A fixed set, whatever the lines hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is no JSON object.
    NotJson,
    /// It is not in Istio's or Envoy's text format.
    NotText,
    /// It is not in Common or Combined format.
    NotCombined,
    /// Nothing in its file could be read in any format.
    NotALog,
    /// A field is missing or says what it can't mean.
    Field(&'static str),
    /// It is none of a request: the proxy, or the agent beside it, says something of itself.
    Message,
    /// It is longer than any access-log line.
    TooLong,
    /// It is older than what was already counted, by more than a log is out of order.
    OutOfOrder,
    /// The input can't be read any further.
    Unreadable,
}

impl Fault {
    /// A field that says what it can't mean, or is missing where `found` is empty.
    pub fn field(field: &'static str, found: &str, expected: &str) -> Self {
        let detail = if found.is_empty() {
            format!("{field} missing, expected {expected}")
        } else {
            let found = shown(found.as_bytes());
            format!("{field}: found {found}, expected {expected}")
        };
        Self {
            reason: Reason::Field(field),
            detail,
        }
    }

    /// A line that is not what its format wants.
    pub fn line(reason: Reason, what: impl fmt::Display, line: &[u8]) -> Self {
        Self {
            reason,
            detail: format!("{what}: {}", shown(line)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "no JSON object",
            Self::NotText => "not in Istio's or Envoy's text format",
            Self::NotCombined => "not in Common or Combined format",
            Self::NotALog => "in no format that is known",
            Self::Field(name) => return write!(f, "bad {name}"),
            Self::Message => "messages of the proxy about itself",
            Self::TooLong => "too long",
            Self::OutOfOrder => "out of order",
            Self::Unreadable => "unreadable",
        })
    }
}

/// Bytes of a bad line that are shown.
const SHOWN: usize = 60;

/// The beginning of what was found, safe to print.
pub fn shown(found: &[u8]) -> String {
    let text = String::from_utf8_lossy(found.get(..SHOWN).unwrap_or(found));
    let more = if found.len() > SHOWN { " …" } else { "" };
    format!("{text:?}{more}")
}
