//! A point in time as the engine's callers hand it in.

mod rfc3339;

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Milliseconds since the Unix epoch, on whatever clock the caller lives by: the proxy's or a log's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// The time `by` later, saturating at the end of time.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// How long it is since `earlier`; nothing where `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The start of the window of length `len` that holds this time; windows are aligned to the epoch.
    pub fn floor(self, len: Duration) -> Self {
        let len = millis(len).max(1);
        Self(self.0.saturating_sub(self.0.checked_rem(len).unwrap_or(0)))
    }

    /// The time a text says in RFC 3339, with an offset or in UTC; `None` where it says none. Years from 1970 on; what is
    /// finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        rfc3339::parse(text)
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T09:30:00.125Z`.
    pub fn rfc3339(self) -> String {
        // Past the year 9999 humantime's formatter reports an error, so the time is capped there.
        const LAST: u64 = 253_402_300_799_999;
        let at = std::time::UNIX_EPOCH
            .checked_add(Duration::from_millis(self.0.min(LAST)))
            .unwrap_or(std::time::UNIX_EPOCH);
        humantime::format_rfc3339_millis(at).to_string()
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
