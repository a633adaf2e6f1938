//! Least-privilege policies out of what was seen.
//!
//! While a log is replayed [`Seen`] notes which source was served on which routes of which destination; [`istio`] writes
//! that down as AuthorizationPolicies, and whatever it can't vouch for as a list of what it leaves out and why. What the
//! engine raised an alert for as never seen before is left out as well: a policy learned from a log with an intruder in
//! it should not let the intruder in.
//!
//! The engine takes `/a` and `/a/` for one route, a policy does not: each is noted as it was asked for. So that what was served is
//! served on, and nothing else.

pub mod istio;

use crate::record::{Line, UNKNOWN};
use crate::replay::Watcher;
use crate::summary::Summary;
use pairwatch_engine::Time;
use pairwatch_engine::alerts::{Alert, Kind};
use pairwatch_engine::exchange::Outcome;
use pairwatch_engine::exchange::path::{is_plain, without_query};
use pairwatch_engine::exchange::route::Template;
use std::collections::{BTreeMap, BTreeSet};

/// Pairs noted at most; what comes after is counted.
const PAIRS: usize = 10_000;

/// How a template ends that stands for all that is deeper.
const REST: &str = "{rest}";

/// Whether Istio may match a path as another: it resolves what is not plain, and tells doubled slashes from single ones.
fn is_odd(path: &[u8]) -> bool {
    !is_plain(path) || path.windows(2).any(|w| w == b"//")
}

/// Who was served on which routes.
#[derive(Debug, Default)]
pub struct Seen {
    pairs: BTreeMap<(String, String), Pair>,
    routes_per_pair: usize,
    unknown_source: String,
    /// Requests of pairs that were too many to note.
    more: u64,
    lines: u64,
    /// Lines of the logs that are in no pair, by reason.
    missed: Vec<(String, u64)>,
}

/// What was seen of a pair.
#[derive(Debug, Default)]
struct Pair {
    /// Served requests, by method and path template, with the slash at the end where the path had one.
    routes: BTreeMap<(String, String), u64>,
    requests: u64,
    /// Served requests on more routes than are noted.
    other: u64,
    /// Requests that were refused or failed: they show no right to what they asked for, unless others had it.
    unserved: BTreeMap<(String, String), u64>,
    /// The same on more routes than are noted.
    unserved_other: u64,
    /// Served requests whose paths a policy reads as others.
    odd: u64,
    /// Requests without a method: connections that are no HTTP.
    not_http: u64,
    alerted: bool,
    alerted_routes: BTreeSet<String>,
}

impl Pair {
    /// Whether an alert told of a route as never seen.
    fn has_alerted(&self, method: &str, path: &str) -> bool {
        let template = Some(path.trim_end_matches('/')).filter(|p| !p.is_empty());
        let route = format!("{method} {}", template.unwrap_or("/"));
        self.alerted_routes.contains(&route)
    }

    /// Requests that were refused or failed on routes where none was served.
    fn unserved(&self) -> u64 {
        let never = self
            .unserved
            .iter()
            .filter(|(route, _)| !self.routes.contains_key(*route));
        never.fold(self.unserved_other, |n, (_, count)| {
            n.saturating_add(*count)
        })
    }
}

impl Seen {
    /// Nothing yet. Sources called `unknown_source` are nobody.
    pub fn new(routes_per_pair: u32, unknown_source: &str) -> Self {
        Self {
            routes_per_pair: usize::try_from(routes_per_pair).unwrap_or(usize::MAX),
            unknown_source: unknown_source.to_owned(),
            ..Self::default()
        }
    }

    /// Notes what the logs hold beyond what was seen.
    pub fn end(&mut self, summary: &Summary) {
        self.lines = summary.lines;
        let bad = summary.bad.by_reason();
        self.missed = bad.map(|(r, count)| (r.to_string(), count)).collect();
        let nowhere = summary.unnamed.destinations();
        if nowhere > 0 {
            self.missed
                .push(("no destination named".to_owned(), nowhere));
        }
    }

    fn missed(&self) -> u64 {
        let counts = self.missed.iter().map(|(_, count)| count);
        counts.fold(0, |n, count| n.saturating_add(*count))
    }

    fn pair(&mut self, source: &str, destination: &str) -> Option<&mut Pair> {
        let key = (source.to_owned(), destination.to_owned());
        let full = self.pairs.len() >= PAIRS;
        if full && !self.pairs.contains_key(&key) {
            return None;
        }
        Some(self.pairs.entry(key).or_default())
    }
}

impl Watcher for Seen {
    fn line(&mut self, _at: Time, line: &Line<'_>) {
        // No policy is about nobody; the summary counts them.
        if line.destination == UNKNOWN {
            return;
        }
        let cap = self.routes_per_pair;
        let Some(pair) = self.pair(line.source, line.destination) else {
            self.more = self.more.saturating_add(1);
            return;
        };
        pair.requests = pair.requests.saturating_add(1);
        let template = Template::of(line.method.as_bytes(), line.path.as_bytes());
        let (method, path) = template.as_str().split_once(' ').unwrap_or_default();
        let served = Outcome::of(line.status, line.grpc_status) == Outcome::Served;
        if method.is_empty() {
            pair.not_http = pair.not_http.saturating_add(1);
            return;
        }
        let asked = without_query(line.path.as_bytes());
        if is_odd(asked) {
            let odd = if served {
                &mut pair.odd
            } else {
                &mut pair.unserved_other
            };
            *odd = odd.saturating_add(1);
            return;
        }
        let slash = asked.ends_with(b"/") && path != "/" && !path.ends_with(REST);
        let (routes, other) = if served {
            (&mut pair.routes, &mut pair.other)
        } else {
            (&mut pair.unserved, &mut pair.unserved_other)
        };
        let full = routes.len() >= cap;
        let end = if slash { "/" } else { "" };
        let route = (method.to_owned(), format!("{path}{end}"));
        let count = match routes.get_mut(&route) {
            Some(count) => count,
            None if full => other,
            None => routes.entry(route).or_default(),
        };
        *count = count.saturating_add(1);
    }

    fn alert(&mut self, alert: &Alert, _written: bool) {
        let Some(pair) = self.pair(&alert.source, &alert.destination) else {
            return;
        };
        // Whatever else the incident shows is told by its kind; what was new is in its evidence.
        for evidence in &alert.evidence {
            if evidence.signal == Kind::NewPair.name() {
                pair.alerted = true;
            } else if evidence.signal == Kind::NewRoute.name() {
                pair.alerted_routes.insert(evidence.unit.clone());
            }
        }
    }
}
