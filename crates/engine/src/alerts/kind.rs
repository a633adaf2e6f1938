//! What an alert looks like, and how urgent it is.

use serde::{Deserialize, Serialize};
use std::fmt;

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// How urgent.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    #[default]
    Info,
    /// For the next look at the dashboard.
    Low,
    /// For today.
    Medium,
    /// For now.
    High,
    /// For now, by everyone.
    Critical,
}

/// What it looks like. The names are a contract; later kinds are raised by signals that are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    // In rising order of how much they say: a pair's incident is named after the last in this list that it shows.
    /// More requests than usual, and nothing else.
    RateSpike,
    /// Fewer than usual, down to silence.
    RateDrop,
    /// Slower than usual.
    Latency,
    /// Larger requests than usual.
    RequestSize,
    /// More client errors than usual.
    ClientErrors,
    /// More server errors than usual.
    ServerErrors,
    /// A route never seen on this pair.
    NewRoute,
    /// A source never seen calling this destination.
    NewPair,
    /// More bytes handed out than usual.
    Exfiltration,
    /// More refused credentials than usual.
    AuthFailures,
    /// An identity that comes from a network it never used.
    NewAddress,
    /// An identity that acts at an hour it never acts at.
    OffHours,
    /// Requests at a fixed period that nobody sent before.
    Beaconing,
    /// Credentials that are tried, or one that was found.
    CredentialStuffing,
}

impl Severity {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Kind {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::RateSpike => "rate_spike",
            Self::RateDrop => "rate_drop",
            Self::Latency => "latency",
            Self::RequestSize => "request_size",
            Self::ClientErrors => "client_errors",
            Self::ServerErrors => "server_errors",
            Self::NewRoute => "new_route",
            Self::NewPair => "new_pair",
            Self::Exfiltration => "exfiltration",
            Self::AuthFailures => "auth_failures",
            Self::NewAddress => "new_address",
            Self::OffHours => "off_hours",
            Self::Beaconing => "beaconing",
            Self::CredentialStuffing => "credential_stuffing",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
