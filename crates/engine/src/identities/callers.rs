//! Who called a pair lately: what an alarm about a pair as a whole says of whom it comes from.
//!
//! The signals count a pair's requests, whoever sends them. A burst of one address is somebody, one of a hundred is a crowd, and
//! who is paged by it asks for that first. So for each window that is open the callers with the most requests are counted
//! beside, and the different addresses; when the window alarms, the alert says whose the half of it is, or how many they are.
//! It is no signal of its own: a crowd that changes and does nothing odd is nothing to wake up for.
//!
//! Counted are requests, refused credentials and client errors, each for itself: who guesses passwords behind a flood is not
//! the one that floods. Space saving (A. Metwally, D. Agrawal and A. El Abbadi, "Efficient
//! computation of frequent and top-k elements in data streams", ICDT 2005): who has no place among [`PLACES`] takes the one with
//! the least, and its count with it as a possible error. So whoever made half of the requests has a place, and the count less
//! the error is never too much: a share that is told is a floor.
//!
//! **Memory.** [`PAIRS`] pairs, those with the most requests, some 2 KiB each where callers are seen at all and nothing otherwise.
//! Of a pair that came when all places were taken nothing is said until its next window: it may have had a place before.
//! Nothing here is learned, so no snapshot has it: an alarm in the first window of a new leader may say less.

use super::findings::spoken;
use super::keyed::Keyed;
use crate::alerts::Kind;
use crate::counters::{PairCounts, Sighting, Sketch};
use crate::incidents::Finding;
use ahash::RandomState;
use std::borrow::Borrow;
use std::net::IpAddr;

/// Pairs whose callers are counted: more than alarm at once, but for a flood of alarms.
const PAIRS: usize = 128;
/// Callers with a place. Told is who made half of the requests, who needs two; the others keep the error small.
const PLACES: usize = 4;
/// A caller with more than this share is named.
const NAMED: f64 = 0.5;
/// Requests below which nobody is: one of two is no half of anything.
const FEW: u32 = 3;
/// Different addresses that are a crowd, where none of them has half of the requests.
const CROWD: f64 = 8.0;

/// The callers of the pairs called most.
#[derive(Debug)]
pub(super) struct Callers {
    pairs: Keyed<Recent>,
}

/// Of one pair: for each window length, what was counted in the window that is open.
#[derive(Debug)]
struct Recent {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    acts: [Counted; ACTS.len()],
    /// Whether the pair may have lost its place since the window began, and with it what was counted.
    is_partial: bool,
}

/// What callers may do.
#[derive(Clone, Copy)]
enum Act {
    Request,
    Refusal,
    ClientError,
}

const ACTS: [Act; 3] = [Act::Request, Act::Refusal, Act::ClientError];

/// Who did one of these.
#[derive(Debug, Default)]
struct Counted {
    /// How often it was done, by callers that are known and by others.
    all: u32,
    addresses: Top<IpAddr>,
    identities: Top<Box<str>>,
    different: Sketch,
}

/// Who did it most, by space saving.
#[derive(Debug)]
struct Top<T>(Vec<Place<T>>);

#[derive(Debug)]
struct Place<T> {
    who: T,
    count: u32,
    /// How much of the count may be others'.
    error: u32,
}

impl Act {
    /// What an alarm of a kind is about; `None` where the cause is not at the caller, or shows in bytes and not in numbers.
    fn behind(kind: Kind) -> Option<Self> {
        match kind {
            Kind::RateSpike => Some(Self::Request),
            Kind::AuthFailures => Some(Self::Refusal),
            Kind::ClientErrors | Kind::Scanning => Some(Self::ClientError),
            _ => None,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Request => "the requests",
            Self::Refusal => "the refusals",
            Self::ClientError => "the client errors",
        }
    }

    /// How often a sighting did it.
    fn of(self, sighting: &Sighting) -> u32 {
        match self {
            Self::Request => sighting.requests,
            Self::Refusal => sighting.refused,
            Self::ClientError => sighting.client_errors,
        }
    }
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            pairs: Keyed::new(PAIRS),
        }
    }
}

impl Callers {
    /// Counts who called a pair, in the windows of so many lengths that are open.
    pub(super) fn take(
        &mut self,
        pair: u64,
        counts: &PairCounts,
        lengths: usize,
        hasher: &RandomState,
    ) {
        if counts.sightings.is_empty() {
            return;
        }
        let is_partial = self.pairs.is_full();
        let level = || Level {
            is_partial,
            ..Level::default()
        };
        let fresh = || Recent {
            levels: (0..lengths).map(|_| level()).collect(),
        };
        let Some(recent) = self.pairs.get_or_insert(pair, fresh, Recent::worth) else {
            return;
        };
        for level in &mut recent.levels {
            for (act, counted) in ACTS.iter().zip(level.acts.iter_mut()) {
                for sighting in &counts.sightings {
                    counted.add(sighting, act.of(sighting), hasher);
                }
                if matches!(act, Act::Request) {
                    counted.all = counted.all.saturating_add(counts.unsighted);
                }
            }
        }
    }

    /// The window of one length is over, for all pairs.
    pub(super) fn close(&mut self, index: usize) {
        for recent in self.pairs.values_mut() {
            if let Some(level) = recent.levels.get_mut(index) {
                *level = Default::default();
            }
        }
    }

    /// Says of an alarm of a pair's window whom it comes from, as far as that is known.
    pub(super) fn tell(&self, pair: u64, index: usize, finding: &mut Finding) {
        let Some(act) = Act::behind(finding.kind) else {
            return;
        };
        // A run of evidence may have begun windows ago, and most of what it is of be in those: a longer window has them.
        let counted = self.pairs.get(pair).and_then(|recent| {
            let longer = recent.levels.get(index..)?.iter();
            longer
                .filter(|level| !level.is_partial)
                .filter_map(|level| level.acts.get(act as usize))
                .find(|counted| counted.all >= FEW)
        });
        let Some(counted) = counted else {
            return;
        };
        if let Some(words) = counted.words(act) {
            finding.words = format!("{}; {words}", finding.words);
        }
        if let Some((address, _)) = counted.most(&counted.addresses) {
            finding.who.addresses.push(address.to_string());
        }
    }
}

impl Recent {
    /// Who is called most stays: requests in the longest window.
    fn worth(&self) -> u32 {
        let longest = self.levels.last().and_then(|level| level.acts.first());
        longest.map_or(0, |requests| requests.all)
    }
}

impl Counted {
    fn add(&mut self, sighting: &Sighting, times: u32, hasher: &RandomState) {
        if times == 0 {
            return;
        }
        self.all = self.all.saturating_add(times);
        if let Some(address) = sighting.address {
            self.different.add(hasher.hash_one(address));
            self.addresses.add(&address, times, |a| *a);
        }
        if let Some(identity) = sighting.identity.as_deref() {
            self.identities.add(identity, times, |i| Box::from(i));
        }
    }

    /// Who did more than half of it, and the share that is surely theirs.
    fn most<'a, T>(&self, top: &'a Top<T>) -> Option<(&'a T, f64)> {
        let first = top
            .0
            .iter()
            .max_by_key(|p| p.count.saturating_sub(p.error))?;
        let share = f64::from(first.count.saturating_sub(first.error)) / f64::from(self.all.max(1));
        (share > NAMED).then_some((&first.who, share))
    }

    /// `96 % of the requests from 203.0.113.7`; `all of the refusals by u7, from about 60 addresses`.
    fn words(&self, act: Act) -> Option<String> {
        let address = self.most(&self.addresses);
        let identity = self.most(&self.identities);
        let different = self.different.estimate();
        let from = match address {
            Some((address, _)) => format!("from {address}"),
            None if different >= CROWD => format!("from {} addresses", about(different)),
            None => String::new(),
        };
        let them = act.words();
        Some(match (identity, address) {
            (Some((identity, n)), Some((_, m))) => {
                let by = spoken(identity);
                match (part(n), part(m)) {
                    (n, m) if n == m => format!("{n} of {them} by {by} {from}"),
                    (n, m) => format!("{n} of {them} by {by}, {m} {from}"),
                }
            }
            (Some((identity, n)), None) => {
                let comma = if from.is_empty() { "" } else { ", " };
                format!("{} of {them} by {}{comma}{from}", part(n), spoken(identity))
            }
            (None, Some((_, m))) => format!("{} of {them} {from}", part(m)),
            (None, None) if from.is_empty() => return None,
            (None, None) => format!("{them} {from}"),
        })
    }
}

/// A share that is at least so large, in words.
fn part(share: f64) -> String {
    if share >= 1.0 {
        "all".to_owned()
    } else {
        format!("{:.0} %", (share * 100.0).floor())
    }
}

fn about(different: f64) -> String {
    if different > Sketch::MANY {
        format!("more than {:.0}", Sketch::MANY)
    } else {
        format!("about {different:.0}")
    }
}

impl<T> Default for Top<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Top<T> {
    /// Counts somebody; `keep` makes a name one that stays.
    fn add<Q>(&mut self, who: &Q, times: u32, keep: impl FnOnce(&Q) -> T)
    where
        T: Borrow<Q>,
        Q: PartialEq + ?Sized,
    {
        if let Some(place) = self.0.iter_mut().find(|p| p.who.borrow() == who) {
            place.count = place.count.saturating_add(times);
            return;
        }
        let mut place = Place {
            who: keep(who),
            count: times,
            error: 0,
        };
        if self.0.len() < PLACES {
            self.0.push(place);
            return;
        }
        if let Some(least) = self.0.iter_mut().min_by_key(|p| p.count) {
            place.error = least.count;
            place.count = least.count.saturating_add(times);
            *least = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Time;
    use crate::alerts::Severity;
    use crate::incidents::Who;
    use crate::table;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn sighting(address: [u8; 4], requests: u32) -> Sighting {
        Sighting {
            identity: None,
            address: Some(IpAddr::from(address)),
            route: 0,
            requests,
            ..Sighting::default()
        }
    }

    fn counts(sightings: Vec<Sighting>) -> PairCounts {
        PairCounts {
            sightings,
            ..PairCounts::default()
        }
    }

    fn finding() -> Finding {
        Finding {
            kind: Kind::RateSpike,
            severity: Severity::Low,
            score: 50,
            since: Time(0),
            until: Time(0),
            evidence: Vec::new(),
            maturity: 1.0,
            techniques: &[],
            words: "many".to_owned(),
            who: Who::default(),
        }
    }

    /// What is said of a window with these sightings.
    fn said(sightings: Vec<Sighting>) -> (String, Vec<String>) {
        let mut callers = Callers::default();
        callers.take(1, &counts(sightings), 1, &table::hasher(3));
        let mut finding = finding();
        callers.tell(1, 0, &mut finding);
        (finding.words, finding.who.addresses)
    }

    proptest! {
        #[test]
        fn nobody_is_said_to_have_done_more_than_they_did_and_who_did_nearly_all_is_named(
            calls in prop::collection::vec((0u8..12, 1u32..5), 1..200), heavy in 0u32..2000,
        ) {
            let mut counted = Counted::default();
            let hasher = table::hasher(3);
            let mut done = [0u32; 13];
            let rest: u32 = calls.iter().map(|(_, n)| n).sum();
            for (i, &(who, n)) in calls.iter().enumerate() {
                // The heavy one comes in between, as if it were nobody special.
                let share = if i == calls.len() / 2 { heavy } else { 0 };
                for (who, n) in [(who, n), (12, share)] {
                    counted.add(&sighting([192, 0, 2, who], n), n, &hasher);
                    done[usize::from(who)] += n;
                }
            }
            let most = counted.most(&counted.addresses);
            if let Some((IpAddr::V4(address), share)) = most {
                let truly = done[usize::from(address.octets()[3])];
                prop_assert!(share <= f64::from(truly) / f64::from(rest + heavy) + 1e-9);
            }
            if heavy > rest * 3 {
                prop_assert_eq!(most.map(|(a, _)| *a), Some(IpAddr::from([192, 0, 2, 12])));
            }
        }
    }

    #[test]
    fn who_did_most_of_it_is_named_with_a_share() {
        let (words, addresses) = said(vec![
            sighting([192, 0, 2, 1], 1),
            sighting([192, 0, 2, 9], 19),
        ]);
        assert_eq!(words, "many; 95 % of the requests from 192.0.2.9");
        assert_eq!(addresses, ["192.0.2.9"]);
    }

    #[test]
    fn a_crowd_is_told_by_its_size_and_names_nobody() {
        let (words, addresses) = said((0..100).map(|n| sighting([192, 0, 2, n], 1)).collect());
        assert!(
            words.starts_with("many; the requests from about "),
            "{words}"
        );
        assert!(addresses.is_empty());
    }

    #[test]
    fn of_a_few_callers_none_with_most_nothing_is_said() {
        let (words, _) = said((0..4).map(|n| sighting([192, 0, 2, n], 5)).collect());
        assert_eq!(words, "many");
    }

    #[test]
    fn what_a_window_saw_too_little_of_is_told_by_a_longer_one_until_that_is_over_too() {
        let mut callers = Callers::default();
        let hasher = table::hasher(3);
        let take = |callers: &mut Callers, n| {
            let counts = counts(vec![sighting([192, 0, 2, 9], n)]);
            callers.take(1, &counts, 2, &hasher);
        };
        take(&mut callers, 7);
        callers.close(0);
        take(&mut callers, 1);
        let mut first = finding();
        callers.tell(1, 0, &mut first);
        assert_eq!(first.words, "many; all of the requests from 192.0.2.9");
        callers.close(1);
        let mut second = finding();
        callers.tell(1, 0, &mut second);
        assert_eq!(second.words, "many", "one request is left");
    }

    #[test]
    fn pairs_without_end_take_no_more_room_than_the_cap_and_leave_the_busiest_its_own() {
        let mut callers = Callers::default();
        let hasher = table::hasher(3);
        for pair in 1..10_000 {
            callers.take(0, &counts(vec![sighting([192, 0, 2, 9], 9)]), 1, &hasher);
            callers.take(pair, &counts(vec![sighting([192, 0, 2, 9], 1)]), 1, &hasher);
        }
        assert_eq!(callers.pairs.len(), PAIRS);
        let mut busiest = finding();
        callers.tell(0, 0, &mut busiest);
        assert_eq!(busiest.words, "many; all of the requests from 192.0.2.9");
    }

    #[test]
    fn what_a_pair_did_before_it_had_a_place_is_not_taken_for_nothing() {
        let mut callers = Callers::default();
        let hasher = table::hasher(3);
        let seen = counts(vec![sighting([192, 0, 2, 9], 9)]);
        (0..PAIRS as u64).for_each(|pair| callers.take(pair, &seen, 1, &hasher));
        let said = |callers: &Callers| {
            let mut finding = finding();
            callers.tell(1000, 0, &mut finding);
            finding.words
        };
        callers.take(1000, &seen, 1, &hasher);
        assert_eq!(said(&callers), "many");
        callers.close(0);
        callers.take(1000, &seen, 1, &hasher);
        assert_ne!(said(&callers), "many", "its next window is whole");
    }
}
