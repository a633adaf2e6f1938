//! What the aggregator hands back to the workers, and what they hold against a request by it.
//!
//! For each pair: integer limits for the counts of the current shortest window, which are the counts at which the
//! evidence would outweigh the tolerated false alerts if the window ended now; the routes that are known; what is typical
//! and which hours are kept, for rules that refer to it; and the incidents that are open on it or on an identity. The
//! filter compares integers.
//!
//! A worker sees its own part of a pair's traffic only, so a count that exceeds the limit in one worker exceeds it in
//! all together: the verdict may come late, it never comes for nothing.
//!
//! What is published holds for a while ([`Limits::is_fresh`]). Where nobody publishes any more nothing is held against
//! anybody: counts would go on growing towards the limits of a window that is long over.

use crate::Time;
use crate::alerts::{Kind, Severity};
use crate::counters::{Tallies, bounded};
use crate::exchange::{Exchange, Outcome, route};
use crate::frame::Framed;
use crate::lease;
use crate::table;
use crate::verdicts::{Judgement, Learned, Subject, Verdict};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything the aggregator publishes, once a shortest window and when an incident opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Start of the window the limits are for. A new one sets the workers' counts back to zero.
    pub window: Time,
    /// How long it is, in milliseconds.
    pub length: u64,
    /// All pairs the aggregator knows.
    pub pairs: Vec<PairLimits>,
    /// Whether it is old enough for a pair that is not among them to mean something.
    pub callers_known: bool,
    /// Whether that is odd by itself, and not only to rules.
    pub callers_odd: bool,
    /// The seed of the hashes.
    pub seed: u64,
}

/// What is published of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairLimits {
    /// Who calls.
    pub source: String,
    /// What is called.
    pub destination: String,
    /// Counts that are one too many in the window; `u32::MAX` is no limit.
    pub counts: Tallies,
    /// The open incident of the pair as a whole.
    pub incident: Option<Standing>,
    /// Open incidents of single identities on it.
    pub identities: Vec<(String, Standing)>,
    /// The known routes as hashes; `None` while the pair is too young for a new one to mean something.
    pub routes: Option<Vec<u64>>,
    /// Whether a new one is odd by itself, and not only to rules.
    pub routes_odd: bool,
    /// What a window usually has, in thousandths; `u32::MAX` where that is not known.
    pub typical: Option<Tallies>,
    /// The hours of the day (UTC) it keeps, one bit each; `None` while too few days were seen.
    pub hours: Option<u32>,
}

/// An open incident, as far as it is held against requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Score of what the pair or identity shows in it.
    pub score: u8,
    /// What it looks like.
    pub kind: Kind,
    /// How urgent.
    pub severity: Severity,
    /// When it began there.
    pub since: Time,
}

impl Framed for Limits {
    const TAG: [u8; 2] = *b"LI";
    const VERSION: u16 = 2;
}

/// Score of the first request of a new pair or route: worth a look, not proof.
const FIRST_SEEN: u8 = 60;
/// Score of a request past a limit: the evidence is complete.
const PAST_LIMIT: u8 = 80;

/// A worker's side of [`PairLimits`]: the limits and what was counted towards them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PairWatch {
    limits: Option<Tallies>,
    counted: Tallies,
    incident: Option<Standing>,
    identities: Box<[(Box<str>, Standing)]>,
    /// Whether the pair is new, and whether that is odd by itself.
    new: bool,
    odd: bool,
    known_routes: Option<Box<[u64]>>,
    routes_odd: bool,
    typical: Option<Tallies>,
    hours: Option<u32>,
    seed: u64,
}

/// Whether a route is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RouteWatch {
    new: bool,
}

impl Limits {
    /// The hash under which a name is published.
    pub fn hash(seed: u64, name: &str) -> u64 {
        table::hasher(seed).hash_one(name)
    }

    /// Whether it still holds `now`: until a window and a heartbeat after the window's end. A window is published when the
    /// one before it is closed, which takes until the next tick.
    pub fn is_fresh(window: Time, length: u64, now: Time) -> bool {
        let late = Duration::from_millis(length).saturating_mul(2);
        now <= window.plus(late.saturating_add(lease::FRESH))
    }

    pub(crate) fn by_pair(&self) -> HashMap<(&str, &str), &PairLimits, ahash::RandomState> {
        let mut map = HashMap::with_hasher(table::hasher(self.seed));
        for p in &self.pairs {
            map.insert((p.source.as_str(), p.destination.as_str()), p);
        }
        map
    }

    pub(crate) fn watch(&self, pair: &PairLimits) -> PairWatch {
        let identities = pair.identities.iter();
        PairWatch {
            limits: Some(pair.counts),
            counted: Tallies::default(),
            incident: pair.incident,
            identities: identities.map(|(i, s)| (i.as_str().into(), *s)).collect(),
            new: false,
            odd: false,
            known_routes: pair.routes.as_deref().map(Into::into),
            routes_odd: pair.routes_odd,
            typical: pair.typical,
            hours: pair.hours,
            seed: self.seed,
        }
    }

    pub(crate) fn callers(&self) -> Callers {
        let hasher = table::hasher(self.seed);
        let known = self.callers_known.then(|| {
            let pairs = self.pairs.iter();
            let mut known: Vec<u64> = pairs
                .map(|p| hasher.hash_one((p.source.as_str(), p.destination.as_str())))
                .collect();
            known.sort_unstable();
            known
        });
        Callers {
            known,
            odd: self.callers_odd,
            seed: self.seed,
        }
    }
}

/// Which pairs are known, as sorted hashes, to tell a new one on its first request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers {
    known: Option<Vec<u64>>,
    odd: bool,
    seed: u64,
}

impl Callers {
    /// The watch of a pair that has no limits of its own.
    pub(crate) fn watch(&self, source: &str, destination: &str) -> PairWatch {
        let new = self.known.as_ref().is_some_and(|known| {
            known
                .binary_search(&table::hasher(self.seed).hash_one((source, destination)))
                .is_err()
        });
        PairWatch {
            new,
            odd: self.odd,
            ..PairWatch::default()
        }
    }
}

impl Standing {
    fn verdict(self, subject: Subject) -> Verdict {
        Verdict {
            score: self.score,
            kind: self.kind,
            severity: self.severity,
            subject,
            since: Some(self.since),
            rule: None,
        }
    }
}

/// What is held against a request that was never seen before, by a fact: as severe as the aggregator says of it.
fn first_seen(kind: Kind) -> Verdict {
    Verdict {
        score: FIRST_SEEN,
        kind,
        severity: Severity::Medium,
        subject: Subject::Request,
        since: None,
        rule: None,
    }
}

impl PairWatch {
    /// Goes on counting where `before` stands, within the same window.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        self.counted = before.counted;
        self
    }

    pub(crate) fn route(&self, template: &str) -> RouteWatch {
        let named = template != route::OTHER && template != route::UNROUTED;
        RouteWatch {
            new: named
                && self
                    .known_routes
                    .as_ref()
                    .is_some_and(|known| !known.contains(&Limits::hash(self.seed, template))),
        }
    }

    /// Counts an exchange towards the limits.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.counted.add(outcome);
    }

    /// What rules may refer to, for an exchange that was counted, or is `one` more request.
    pub(crate) fn learned(&self, route: RouteWatch, one: u32) -> Learned {
        let mut counted = self.counted;
        counted.requests = counted.requests.saturating_add(one);
        Learned {
            counted,
            typical: self.typical,
            new_pair: self.new,
            new_route: route.new,
            hours: self.hours,
        }
    }

    /// Adds what is held against an exchange.
    pub(crate) fn judge(
        &self,
        exchange: &Exchange<'_>,
        learned: &Learned,
        judgement: &mut Judgement,
    ) {
        if self.new && self.odd {
            judgement.add(first_seen(Kind::NewPair));
        }
        if let Some(incident) = self.incident {
            judgement.add(incident.verdict(Subject::Pair));
        }
        if let Some(identity) = exchange.identity.map(bounded)
            && let Some((_, standing)) = self.identities.iter().find(|(i, _)| **i == *identity)
        {
            judgement.add(standing.verdict(Subject::Identity));
        }
        let Some(limits) = &self.limits else {
            return;
        };
        if learned.new_route && self.routes_odd {
            judgement.add(first_seen(Kind::NewRoute));
        }
        if let Some((kind, severity)) = past(limits, &learned.counted) {
            judgement.add(Verdict {
                score: PAST_LIMIT,
                kind,
                severity,
                subject: Subject::Pair,
                since: self.incident.map(|i| i.since),
                rule: None,
            });
        }
    }
}

/// What a pair shows whose counts are past their limits, as severe as the signals say of their smallest effects.
fn past(limits: &Tallies, n: &Tallies) -> Option<(Kind, Severity)> {
    if n.auth_failures >= limits.auth_failures {
        return Some((Kind::AuthFailures, Severity::Medium));
    }
    if n.server_errors >= limits.server_errors {
        return Some((Kind::ServerErrors, Severity::Medium));
    }
    if n.not_found.saturating_add(n.client_errors) >= limits.client_errors {
        return Some((Kind::ClientErrors, Severity::Low));
    }
    (n.requests >= limits.requests).then_some((Kind::RateSpike, Severity::Low))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::verdicts::Rulebook;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Time = Time(1_000_000);

    fn call(identity: Option<&str>) -> Exchange<'_> {
        Exchange {
            source: "web",
            destination: "accounts",
            identity,
            address: None,
            method: b"POST",
            path: b"/login",
            status: 200,
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 0,
            duration_us: 0,
        }
    }

    fn worker(pair: PairLimits) -> Counters {
        let mut counters = Counters::new(10, 8, 1 << 20, 1, NOW);
        counters.observe(&call(None));
        counters.apply(&Limits {
            window: NOW,
            length: 10_000,
            pairs: vec![PairLimits {
                source: "web".to_owned(),
                destination: "accounts".to_owned(),
                counts: Tallies {
                    requests: u32::MAX,
                    server_errors: u32::MAX,
                    auth_failures: u32::MAX,
                    not_found: u32::MAX,
                    client_errors: u32::MAX,
                },
                ..pair
            }],
            ..Limits::default()
        });
        counters
    }

    fn standing(score: u8) -> Standing {
        Standing {
            score,
            kind: Kind::CredentialStuffing,
            severity: Severity::High,
            since: NOW,
        }
    }

    #[test]
    fn what_an_identity_did_is_held_against_its_own_requests_only() {
        let alice = vec![("alice".to_owned(), standing(90))];
        let counters = worker(PairLimits {
            identities: alice,
            ..PairLimits::default()
        });
        let rules = Rulebook::default();
        let held = counters.foresee(&call(Some("alice")), &rules);
        let worst = held.worst().unwrap();
        assert_eq!((worst.score, worst.subject), (90, Subject::Identity));
        for other in [Some("bob"), None] {
            assert_eq!(
                counters.foresee(&call(other), &rules).score(),
                0,
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_is_open_against_a_pair_is_held_against_all_its_requests_until_it_is_stale() {
        let mut counters = worker(PairLimits {
            incident: Some(standing(70)),
            ..PairLimits::default()
        });
        let rules = Rulebook::default();
        assert_eq!(counters.foresee(&call(Some("bob")), &rules).score(), 70);
        counters.tick(Time(NOW.0 + 23_000));
        assert_eq!(counters.foresee(&call(None), &rules).score(), 70);
        counters.tick(Time(NOW.0 + 23_001));
        assert_eq!(counters.foresee(&call(None), &rules).score(), 0);
    }

    #[test]
    fn a_count_past_its_limit_is_as_old_as_the_incident_it_belongs_to() {
        let mut counters = worker(PairLimits {
            incident: Some(standing(60)),
            ..PairLimits::default()
        });
        let mut limits = Limits {
            window: Time(NOW.0 + 10_000),
            length: 10_000,
            ..Limits::default()
        };
        limits.pairs = vec![PairLimits {
            source: "web".to_owned(),
            destination: "accounts".to_owned(),
            incident: Some(standing(60)),
            counts: Tallies {
                requests: 3,
                server_errors: u32::MAX,
                auth_failures: u32::MAX,
                not_found: u32::MAX,
                client_errors: u32::MAX,
            },
            ..PairLimits::default()
        }];
        counters.apply(&limits);
        let scores: Vec<u8> = (0..4)
            .map(|_| counters.observe(&call(None)).score())
            .collect();
        assert_eq!(scores, [60, 60, 80, 80]);
        let held = counters.foresee(&call(None), &Rulebook::default());
        assert!(held.iter().all(|v| v.since == Some(NOW)), "{held:?}");
    }
}
