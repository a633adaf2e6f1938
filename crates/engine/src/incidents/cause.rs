//! Which findings have one cause.
//!
//! A caller that goes wrong, or is in the wrong hands, shows on several of its pairs: a burst of requests from one service
//! to ten, a token tried at six doors, data drawn from three stores. A destination in trouble shows on the pairs of all
//! its callers: a release that fails one request in five for two minutes is seen by ten of them. So kinds fall into
//! families, and each family says which end of a pair its cause is at.
//!
//! On the labelled traffic that `make eval` replays, joining pairs writes a seventh fewer lines, makes a tenth fewer false
//! alerts, and hides none of the attacks.
//!
//! Tried and left out: trouble that runs up the call tree. A failing database fails its caller's answers too, and the
//! graph that would tell which came first is known to no single Envoy.

use crate::alerts::Kind;
use crate::exchange::principal::spoken;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after a cause last showed it may show on another pair. One cause shows on a busy pair in seconds, and on a thin
/// one when a ten-minute window ends in which it began as late as possible, with some minutes for slow evidence.
pub(super) const SAME_TIME: Duration = Duration::from_secs(15 * 60);
/// How long after it was resolved a cause that returns is the same one: a job that fails every half hour is one story, and
/// what comes back the next day is worth a fresh look.
pub(super) const RETURNS: Duration = Duration::from_secs(3600);
/// First calls of one source to so many destinations within [`SAME_TIME`] are movement. One new dependency is a release,
/// two happen; three services that were never called before, within minutes, is somebody who looks around. The same of what an identity never asked for.
pub(crate) const MOVES: usize = 3;

/// Kinds that one cause may show as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Family {
    Load,
    Silence,
    Trouble,
    Requests,
    Answers,
    Refused,
    Routes,
    FirstCalls,
    /// An identity that is not itself: on whatever pair.
    Identity,
    Rhythm,
}

/// The end of a pair at which a cause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

impl Family {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::RateSpike => Self::Load,
            Kind::RateDrop => Self::Silence,
            Kind::Latency | Kind::ServerErrors => Self::Trouble,
            Kind::RequestSize => Self::Requests,
            Kind::Exfiltration => Self::Answers,
            Kind::ClientErrors | Kind::AuthFailures | Kind::Scanning | Kind::CredentialStuffing => {
                Self::Refused
            }
            Kind::NewRoute => Self::Routes,
            Kind::NewPair | Kind::LateralMovement => Self::FirstCalls,
            Kind::OffHours | Kind::NewAddress => Self::Identity,
            Kind::Beaconing => Self::Rhythm,
        }
    }

    pub(super) fn end(self) -> End {
        match self {
            Self::Trouble => End::Destination,
            _ => End::Source,
        }
    }

    /// Whether the cause is an identity, wherever it shows.
    pub(super) fn is_of_identity(self) -> bool {
        self == Self::Identity
    }

    /// Whether two pairs share the end at which a cause of this family is.
    pub(super) fn is_shared(self, a: (&str, &str), b: (&str, &str)) -> bool {
        match self.end() {
            End::Source => a.0 == b.0,
            End::Destination => a.1 == b.1,
        }
    }

    /// A pair and how many more there are, as a sentence begins: `frontend and 9 other callers → catalog`.
    pub(super) fn who(self, source: &str, destination: &str, others: usize) -> String {
        let (source, destination) = (spoken(source), spoken(destination));
        let s = if others == 1 { "" } else { "s" };
        match self.end() {
            _ if others == 0 => format!("{source} → {destination}"),
            End::Source => format!("{source} → {destination} and {others} other service{s}"),
            End::Destination => format!("{source} and {others} other caller{s} → {destination}"),
        }
    }
}
