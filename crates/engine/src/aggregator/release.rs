//! A new version of what is called explains a new level.
//!
//! Without versions a level that shifts is an attack until it has gone on for a quarter of the memory ([`super::shift`]): one
//! alert, and half an hour of learning at a tenth. Where the destination's version is known and a new one answers, the shift
//! is what was to be expected. A level that begins to be odd with the version is then believed as soon as it would be doubted
//! otherwise, without an alert. It is bounded on four sides, because who attacks may wait for a release, and a release may be the attack:
//!
//! - **Levels only**: rates, sizes, durations. No release explains refused credentials, errors, a search for paths, a caller or a route
//!   never seen before.
//! - **Modest shifts only** ([`MODEST`]): a release changes what a request costs, not by an order of magnitude. Silence after
//!   a release is told.
//! - **For a time only**: what begins later than the [`period`](Releases::explains) after the new version is no part of the
//!   release.
//! - **Seldom** ([`REST`]): whoever could make up versions, one after the other, gains a level in each only so often.
//!
//! A client has no say: versions are of the proxy's own node, or of the upstream's metadata where the configuration trusts it.
//!
//! In a rollout two versions answer side by side for minutes or days. So a version is new when it has not answered for a
//! day: going back and forth between known ones, or back to the one before, is no news.

use crate::Time;
use crate::exchange::version::Version;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Versions remembered: the new one, the one before, and a canary.
const KNOWN: usize = 3;
/// A version that has not answered for so long is new when it does: a whole daily curve went by without it.
const FORGOTTEN: Duration = Duration::from_secs(86_400);
/// A run of oddities may begin with a release and take so long to be sure on a thin pair: as long as thin rates remember.
const SURE: Duration = Duration::from_secs(86_400);
/// After a release the next is believed only after so many periods: at most an eighth of the time is forgiving.
const REST: u32 = 8;
/// A shift by less than this factor is modest: half of ten. What is a hundredth as rare as a doubling is worth a look, release or no
/// release.
const MODEST: f64 = 5.0;

/// The versions of a pair's destination. 28 bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Releases {
    known: [Known; KNOWN],
    /// Seconds since the epoch at which the last new version answered; 0 where none has.
    changed: u32,
}

/// A version, and when it last answered, in seconds since the epoch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Known {
    version: Version,
    answered: u32,
}

fn seconds(at: Time) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(u32::MAX)
}

fn time(seconds: u32) -> Time {
    Time(u64::from(seconds).saturating_mul(1000))
}

impl Releases {
    /// Takes note of the versions that answered. Returns whether one is new and explains what begins now: for so long.
    pub(super) fn answered(&mut self, versions: &[Version], at: Time, period: Duration) -> bool {
        let mut new = false;
        for version in versions.iter().filter(|v| v.is_known()) {
            let first = self.known.iter().all(|k| !k.version.is_known());
            let known = self.known.iter().position(|k| k.version == *version);
            let place = match known {
                Some(place) => self.known.get_mut(place),
                None => self.known.iter_mut().min_by_key(|k| k.answered),
            };
            let Some(place) = place else {
                continue;
            };
            let recently = known.is_some() && at.since(time(place.answered)) < FORGOTTEN;
            // The first version that is known of a pair says nothing about a change.
            new |= !first && !recently;
            *place = Known {
                version: *version,
                answered: seconds(at),
            };
        }
        let rested = at.since(time(self.changed)) >= period.saturating_mul(REST);
        if new && rested {
            self.changed = seconds(at);
        }
        new && rested
    }

    /// Whether a new version explains a run that began in a window from `since` on, of this length, and that comes to `ratio`
    /// times the usual. `period` is the time after a release in which what begins belongs to it.
    pub(super) fn explains(
        &self,
        since: Time,
        length: Duration,
        ratio: f64,
        period: Duration,
        now: Time,
    ) -> bool {
        let changed = time(self.changed);
        self.changed > 0
            && since.plus(length) >= changed
            && since <= changed.plus(period)
            && now.since(changed) < SURE
            && (1.0 / MODEST..=MODEST).contains(&ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const PERIOD: Duration = Duration::from_secs(1800);
    const MINUTE: u64 = 60_000;
    const DAY: u64 = 1440 * MINUTE;
    const START: u64 = 20_000 * DAY;

    fn explains(releases: &Releases, since: u64, now: u64) -> bool {
        let window = Duration::from_secs(10);
        releases.explains(Time(since), window, 2.0, PERIOD, Time(now))
    }

    fn of(labels: &[&str]) -> Vec<Version> {
        labels.iter().map(|l| Version::of(l)).collect()
    }

    #[test]
    fn the_first_version_that_is_known_is_no_release() {
        let mut releases = Releases::default();
        assert!(!releases.answered(&of(&["v1"]), Time(START), PERIOD));
        assert!(!explains(&releases, START, START));
    }

    #[test]
    fn two_versions_side_by_side_are_one_release() {
        let mut releases = Releases::default();
        releases.answered(&of(&["v1"]), Time(START), PERIOD);
        let mut told = Vec::new();
        for minute in 1..10_000 {
            let label = if minute % 2 == 0 { "v1" } else { "v2" };
            let at = START + minute * MINUTE;
            if releases.answered(&of(&[label]), Time(at), PERIOD) {
                told.push(minute);
            }
        }
        assert_eq!(told, [1]);
        let late = START + 120 * MINUTE;
        assert!(
            !explains(&releases, late, late),
            "what begins two hours later is no part of it"
        );
    }

    #[test]
    fn going_back_is_no_release_unless_it_is_long_since() {
        let mut releases = Releases::default();
        releases.answered(&of(&["v1"]), Time(START), PERIOD);
        releases.answered(&of(&["v2"]), Time(START + MINUTE), PERIOD);
        let soon = START + DAY / 2;
        assert!(!releases.answered(&of(&["v1"]), Time(soon), PERIOD));
        let late = soon + 2 * DAY;
        assert!(releases.answered(&of(&["v2"]), Time(late), PERIOD));
    }

    #[test]
    fn an_order_of_magnitude_and_silence_are_not_explained() {
        let mut releases = Releases::default();
        releases.answered(&of(&["v1"]), Time(START), PERIOD);
        releases.answered(&of(&["v2"]), Time(START + MINUTE), PERIOD);
        let at = Time(START + MINUTE);
        let by = |ratio| releases.explains(at, Duration::from_secs(10), ratio, PERIOD, at);
        assert!(by(2.0) && by(0.5));
        assert!(!by(10.0) && !by(0.0) && !by(f64::NAN));
    }

    proptest! {
        #[test]
        fn whoever_makes_up_versions_is_forgiven_an_eighth_of_the_time_at_most(
            names in prop::collection::vec(0u32..1000, 100..400),
        ) {
            let mut releases = Releases::default();
            let mut forgiven = 0u64;
            for (minute, name) in names.iter().enumerate() {
                let at = START + minute as u64 * MINUTE;
                releases.answered(&of(&[&format!("v{name}")]), Time(at), PERIOD);
                forgiven += u64::from(explains(&releases, at, at));
            }
            let minutes = names.len() as u64;
            prop_assert!(forgiven <= 31 + minutes / 8 + 1, "{forgiven} of {minutes}");
        }
    }
}
