//! Credentials that are tried: refusals that are not like those who are refused. `credential_stuffing`
//!
//! People mistype, from where they always come. So a refusal counts here only where it is *strange*: of an identity that was
//! never let in, or from a network it never used, or, where no identity is known, from a network nobody known was ever let
//! in from. (That a page is served there makes nobody known: who tries passwords asks for the page first.) And one
//! (identity, address) counts once a window, however often it tries: whoever forgot a password does not look like a list of
//! stolen ones, and the share of refusals is another signal's business.
//!
//! **Per destination**, over all sources: what is left is rare and comes singly, so that a few strange refusals an hour,
//! each from another address, stand out over hours where none of their sources shows anything. For windows of a minute and
//! of an hour the count is judged by a negative binomial around the destination's own rate, and the rarity is accumulated
//! as in [`crate::evidence`]. An open window is judged as it stands at each refusal: a burst is told while it goes on.
//!
//! **Per address**: how many identities were refused from it within the last hour, and whether anybody was let in. If
//! somebody is let in from there who never came from its network, the right password was among those that were tried:
//! credentials are compromised. An address that serves more people than it has refused is an office's or a provider's, and
//! says nothing.
//!
//! Bounded: [`DESTINATIONS`] destinations of some 250 bytes, [`ADDRESSES`] addresses of 40; what is made up competes with
//! its like.

use super::keyed::Keyed;
use crate::Time;
use crate::evidence::{mixture, threshold};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Destinations watched; the least refused makes room.
const DESTINATIONS: usize = 1024;
/// Addresses from which somebody was refused of late.
const ADDRESSES: usize = 4096;
/// Windows: a burst within minutes, and what is thin over hours.
const WINDOWS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// Hours the rate remembers: a week, so that each hour of the day is in it as often as the others.
const MEMORY_HOURS: f64 = 168.0;
/// What is known before anything is seen: one strange refusal, …
const PRIOR_EVENTS: f64 = 1.0;
/// … in so many hours.
const PRIOR_HOURS: f64 = 10.0;
/// The most the shape of the rate's distribution may be: hours differ by half of their mean however long one has watched.
const MOST_SHAPE: f64 = 4.0;
/// A window this rare teaches at a tenth of its weight.
const SUSPECT: f64 = 1e-3;
const SUSPECT_WEIGHT: f64 = 0.1;
/// Evidence below which a run begins anew, as usual windows keep it.
const IDLE: f64 = 4.0;
/// Strange refusals in a run below which nothing is told: a family at a hotel.
const FEWEST: u32 = 5;
/// Evidence is capped at so many times what is needed: then a run is over within a day of quiet.
const AMPLE: f64 = 16.0;
/// Addresses above which the set of them is too full to say how many they are.
pub(super) const MANY: u32 = 500;
/// How long an address is held against those who come from it.
const ADDRESS_MEMORY: Duration = Duration::from_secs(3600);
/// Identities refused from an address before one that is let in is suspect.
pub(super) const TRIED: u32 = 3;

/// Strange refusals, by destination and by address.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Refused {
    destinations: Keyed<[Level; 2]>,
    addresses: Keyed<Address>,
}

/// One window length of one destination.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Level {
    /// Number of the open window since the epoch.
    window: u64,
    /// Who was refused in it, as a set of hashes modulo its size; and how many.
    seen: [u64; 4],
    count: u32,
    /// Refusals and windows, faded.
    events: f64,
    windows: f64,
    /// Evidence of the closed windows of the run.
    evidence: f64,
    run: Run,
}

/// What was seen since evidence began to grow.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Run {
    since: Time,
    refused: u32,
    /// How many they were when it was last told; 0 where it was not.
    told: u32,
    addresses: [u64; 4],
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Address {
    last: Time,
    /// Identities refused, as a set of hashes modulo 64.
    identities: u64,
    /// Requests served from it since.
    served: u32,
}

/// Credentials are tried on a destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stuffing {
    /// Strange refusals since it began, each caller once a window.
    pub(super) refused: u32,
    /// Addresses they came from, about; [`MANY`] where they are more.
    pub(super) addresses: u32,
    /// What is usual in the time it took.
    pub(super) usual: f64,
    /// When it began, and how long it has lasted.
    pub(super) since: Time,
    pub(super) lasted: Duration,
    /// Nats of evidence, and how many were needed.
    pub(super) evidence: f64,
    pub(super) needed: f64,
}

impl Default for Refused {
    fn default() -> Self {
        Self {
            destinations: Keyed::new(DESTINATIONS),
            addresses: Keyed::new(ADDRESSES),
        }
    }
}

impl Refused {
    /// The same, out of a snapshot.
    pub(super) fn fit(mut self) -> Self {
        self.destinations = self.destinations.capped(DESTINATIONS);
        self.addresses = self.addresses.capped(ADDRESSES);
        self
    }

    /// Somebody was strangely refused by a destination; `caller` and `address` are hashes. `per_week` is how many false
    /// alarms a week all destinations may raise together; none while the proxy is `learning`.
    pub(super) fn refuse(
        &mut self,
        destination: u64,
        caller: u64,
        address: u64,
        at: Time,
        per_week: f64,
        learning: bool,
    ) -> Option<Stuffing> {
        let streams = self.destinations.len().max(1).saturating_mul(WINDOWS.len()) as f64;
        let levels = self.destinations.get_or_insert(
            destination,
            || WINDOWS.map(|length| Level::new(length, at)),
            |levels| levels.iter().map(|l| l.window).max(),
        )?;
        let mut told: Option<Stuffing> = None;
        for (level, length) in levels.iter_mut().zip(WINDOWS) {
            let limit = threshold(per_week, length, streams);
            level.pass(at, length, limit, learning);
            level.refuse(caller, address, at);
            let stuffing = level.judge(at, length, limit).filter(|_| !learning);
            if stuffing.is_some_and(|s| told.is_none_or(|t| s.evidence > t.evidence)) {
                told = stuffing;
            }
        }
        told
    }

    /// An identity was strangely refused from an address.
    pub(super) fn refuse_from(&mut self, address: u64, identity: u64, at: Time) {
        let entry = self
            .addresses
            .get_or_insert(address, Address::default, |a| a.last);
        if let Some(entry) = entry {
            if at.since(entry.last) > ADDRESS_MEMORY {
                *entry = Address::default();
            }
            entry.last = entry.last.max(at);
            entry.identities |= 1u64.wrapping_shl(u32::try_from(identity & 63).unwrap_or(0));
        }
    }

    /// Somebody was let in from an address: how many identities were refused from it before, where those are more than it
    /// has served.
    pub(super) fn serve_from(&mut self, address: u64, requests: u32, at: Time) -> u32 {
        let Some(entry) = self.addresses.get_mut(address) else {
            return 0;
        };
        let tried = entry.identities.count_ones();
        let office = entry.served >= tried;
        entry.served = entry.served.saturating_add(requests);
        if office || at.since(entry.last) > ADDRESS_MEMORY {
            return 0;
        }
        tried
    }
}

impl Level {
    fn new(length: Duration, at: Time) -> Self {
        Self {
            window: number(at, length),
            events: PRIOR_EVENTS,
            windows: PRIOR_HOURS * per_hour(length),
            run: Run {
                since: at,
                ..Run::default()
            },
            ..Self::default()
        }
    }

    /// Closes the windows that are over at `at`. While the proxy is `learning` all is usual: a shop whose customers mistype all
    /// day would otherwise be under suspicion from its first minute on, and hardly learned.
    fn pass(&mut self, at: Time, length: Duration, limit: f64, learning: bool) {
        let now = number(at, length);
        // After so many quiet windows nothing changes any more but the rate, which the loop's bound leaves a little high.
        let bound = (MEMORY_HOURS * per_hour(length)) as u64;
        self.window = self.window.max(now.saturating_sub(bound)).min(now);
        let keep = 1.0 - 1.0 / (MEMORY_HOURS * per_hour(length));
        while self.window < now {
            let p = self.tail();
            self.evidence = ((self.evidence + 1.0) * mixture(p)).min(limit * AMPLE);
            let suspect = p < SUSPECT && !learning;
            let weight = if suspect { SUSPECT_WEIGHT } else { 1.0 };
            self.events = self.events * keep + weight * f64::from(self.count);
            self.windows = self.windows * keep + 1.0;
            self.window = self.window.saturating_add(1);
            self.seen = [0; 4];
            self.count = 0;
            if learning {
                self.evidence = 0.0;
            }
            if self.evidence < IDLE {
                self.run = Run::default();
            }
        }
    }

    fn refuse(&mut self, caller: u64, address: u64, at: Time) {
        if !insert(&mut self.seen, caller) {
            return;
        }
        self.count = self.count.saturating_add(1);
        if self.run.refused == 0 {
            self.run.since = at;
        }
        self.run.refused = self.run.refused.saturating_add(1);
        insert(&mut self.run.addresses, address);
    }

    /// Probability of as many strange refusals in a window as the open one has.
    fn tail(&self) -> f64 {
        let rate = self.events / self.windows.max(1e-9);
        let shape = self.events.clamp(1e-3, MOST_SHAPE);
        at_least(self.count, shape, rate)
    }

    fn judge(&mut self, at: Time, length: Duration, limit: f64) -> Option<Stuffing> {
        let evidence = (self.evidence + 1.0) * mixture(self.tail());
        // What goes on is told again when it has doubled: one cause, a handful of lines.
        let news = self.run.refused >= FEWEST.max(self.run.told.saturating_mul(2));
        if evidence < limit || !news {
            return None;
        }
        self.run.told = self.run.refused;
        let lasted = at.since(self.run.since).as_secs_f64() / length.as_secs_f64();
        Some(Stuffing {
            refused: self.run.refused,
            addresses: distinct(&self.run.addresses),
            usual: self.events / self.windows.max(1e-9) * lasted.max(1.0),
            since: self.run.since,
            lasted: at.since(self.run.since),
            evidence: evidence.ln(),
            needed: limit.ln(),
        })
    }
}

fn number(at: Time, length: Duration) -> u64 {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    at.0.checked_div(length).unwrap_or(0)
}

fn per_hour(length: Duration) -> f64 {
    3600.0 / length.as_secs_f64().max(1.0)
}

/// Puts a hash into a set of 256; says whether it was not in it.
fn insert(set: &mut [u64; 4], hash: u64) -> bool {
    let word = usize::try_from(hash.wrapping_shr(6) & 3).unwrap_or(0);
    let bit = 1u64.wrapping_shl(u32::try_from(hash & 63).unwrap_or(0));
    set.get_mut(word).is_some_and(|w| {
        let new = *w & bit == 0;
        *w |= bit;
        new
    })
}

/// How many were put into a set of 256, about, and at most [`MANY`]: linear counting (K.-Y. Whang, B. Vander-Zanden, H. Taylor, ACM Transactions on
/// Database Systems 15, 1990).
fn distinct(set: &[u64; 4]) -> u32 {
    let empty = set.iter().map(|w| w.count_zeros()).sum::<u32>().max(1);
    let about = (256.0 * (256.0 / f64::from(empty)).ln()).round() as u32;
    about.min(MANY)
}

/// P(X ≥ n) of a negative binomial with this shape and mean.
fn at_least(n: u32, shape: f64, mean: f64) -> f64 {
    let success = mean / (mean + shape);
    let mut term = (1.0 - success).powf(shape);
    let mut below = 0.0;
    let mut k = 0.0;
    for _ in 0..n.min(512) {
        below += term;
        term *= success * (shape + k) / (k + 1.0);
        k += 1.0;
    }
    // Where the sum is 1 to the last digit, the tail is its first term and what follows it in ratio.
    let rest = term / (1.0 - (success * (shape + k) / (k + 1.0)).min(0.99));
    (1.0 - below).max(rest.min(1e-12)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const HOUR: u64 = 3_600_000;

    fn mix(x: u64) -> u64 {
        let mut z = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ (z >> 27)
    }

    /// A week in which somebody is strangely refused every eight hours or so.
    fn usual() -> Refused {
        let mut refused = Refused::default();
        for i in 0..21u64 {
            let at = Time(i * 8 * HOUR + mix(i) % HOUR);
            assert_eq!(refused.refuse(1, mix(i), mix(i), at, 0.05, false), None);
        }
        refused
    }

    #[test]
    fn fifteen_refusals_in_six_hours_each_from_another_address_are_seen() {
        let mut refused = usual();
        let told = (0..15u64).find_map(|i| {
            let at = Time(170 * HOUR + i * 6 * HOUR / 15);
            refused.refuse(1, mix(1000 + i), mix(2000 + i), at, 0.05, false)
        });
        let told = told.expect("seen");
        assert!(told.addresses >= 5 && told.usual < 2.0, "{told:?}");
    }

    #[test]
    fn a_burst_is_seen_while_it_goes_on() {
        let mut refused = usual();
        let told = (0..20u64).position(|i| {
            let at = Time(170 * HOUR + i * 1000);
            refused
                .refuse(1, mix(1000 + i), 7, at, 0.05, false)
                .is_some()
        });
        assert!(told.is_some_and(|i| i < 10), "{told:?}");
    }

    #[test]
    fn customers_who_mistype_all_day_are_usual_once_the_proxy_has_learned() {
        let mut refused = Refused::default();
        for i in 0..8 * 24 * 40u64 {
            let at = Time(i * HOUR / 40 + mix(i) % (HOUR / 40));
            let learning = at < Time(24 * HOUR);
            let told = refused.refuse(1, mix(i), mix(!i), at, 1.4, learning);
            assert!(told.is_none(), "{told:?}");
        }
    }

    #[test]
    fn whoever_forgot_a_password_is_no_list_of_stolen_ones() {
        let mut refused = usual();
        for i in 0..100u64 {
            let at = Time(170 * HOUR + i * 1000);
            assert_eq!(refused.refuse(1, mix(5), mix(6), at, 0.05, false), None);
        }
    }

    #[test]
    fn honest_refusals_of_any_rate_alarm_no_more_often_than_promised() {
        for per_hour in [0.05, 0.5, 5.0] {
            let (mut refused, mut state, mut t, mut told) = (Refused::default(), 9u64, 0.0f64, 0);
            let weeks = 20.0;
            while t < weeks * 168.0 {
                state = mix(state + 1);
                let unit = ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                // Three times as many at noon as at midnight.
                let rate = per_hour * (1.0 + 0.5 * (t / 24.0 * std::f64::consts::TAU).sin());
                t += -unit.ln() / rate;
                let at = Time((t * HOUR as f64) as u64);
                told += u32::from(
                    refused
                        .refuse(1, mix(state), mix(!state), at, 0.5, false)
                        .is_some(),
                );
            }
            assert!(
                f64::from(told) <= 0.5 * weeks,
                "{told} at {per_hour} an hour"
            );
        }
    }

    #[test]
    fn what_goes_on_for_hours_is_told_a_handful_of_times() {
        let mut refused = usual();
        let told = (0..150u64).filter(|i| {
            let at = Time(170 * HOUR + i * 6 * HOUR / 150);
            refused
                .refuse(1, mix(1000 + i), mix(i + 9), at, 0.05, false)
                .is_some()
        });
        assert!((1..=12).contains(&told.count()));
    }

    #[test]
    fn an_address_that_serves_many_is_an_office() {
        let mut refused = Refused::default();
        for i in 0..4 {
            refused.refuse_from(1, i, Time(1000));
        }
        assert_eq!(refused.serve_from(1, 10, Time(2000)), 4);
        assert_eq!(refused.serve_from(1, 1, Time(3000)), 0);
        assert_eq!(refused.serve_from(2, 1, Time(3000)), 0);
    }

    #[test]
    fn an_address_is_not_held_against_those_who_come_from_it_for_ever() {
        let mut refused = Refused::default();
        (0..9).for_each(|i| refused.refuse_from(1, i, Time(0)));
        assert_eq!(refused.serve_from(1, 1, Time(2 * HOUR)), 0);
    }

    proptest! {
        #[test]
        fn the_tail_falls_and_is_a_probability(n in 0u32..600, shape in 0.01f64..4.0, mean in 1e-6f64..100.0) {
            let (p, q) = (at_least(n, shape, mean), at_least(n + 1, shape, mean));
            prop_assert!((0.0..=1.0).contains(&p) && q <= p + 1e-9, "{p} {q}");
        }

        #[test]
        fn however_the_clock_jumps_nothing_breaks(times in prop::collection::vec(any::<u64>(), 1..30)) {
            let mut refused = Refused::default();
            for t in times {
                let _ = refused.refuse(1, t, t, Time(t), 1.0, false);
                refused.refuse_from(1, t, Time(t));
                refused.serve_from(1, 1, Time(t));
            }
        }
    }
}
