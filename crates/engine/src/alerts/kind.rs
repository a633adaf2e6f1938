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
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
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
    /// Many different paths tried that do not exist.
    Scanning,
    /// A source that calls several destinations it never called, one after the other.
    LateralMovement,
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
            Self::Scanning => "scanning",
            Self::LateralMovement => "lateral_movement",
            Self::NewAddress => "new_address",
            Self::OffHours => "off_hours",
            Self::Beaconing => "beaconing",
            Self::CredentialStuffing => "credential_stuffing",
        }
    }

    /// How much the kind says by itself. What shows several kinds at once is named after the weightiest; among kinds of the same
    /// weight, after the one with the most evidence.
    ///
    /// 0: how much and how fast. Everything else comes with it: failed log-ins are a burst too, and the burst is not the
    /// news. 1: what the requests do, which is what their number and size are symptoms of. 2: what was never there before:
    /// a fact, where the others are a question of degree. 3: a pattern that is rarely anything but an attack.
    pub fn weight(self) -> u8 {
        match self {
            Self::RateSpike | Self::RateDrop | Self::Latency | Self::RequestSize => 0,
            Self::ClientErrors | Self::ServerErrors | Self::Exfiltration | Self::AuthFailures => 1,
            Self::NewRoute | Self::NewPair | Self::NewAddress | Self::OffHours => 2,
            Self::Scanning | Self::LateralMovement | Self::Beaconing | Self::CredentialStuffing => {
                3
            }
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
