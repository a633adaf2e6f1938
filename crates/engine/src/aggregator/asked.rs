//! What each service is asked, by route, in the windows that are open: over all who call it.
//!
//! It is what the calls of a service follow from ([`crate::baselines::calls`]), and only seen where one Envoy, or a log of many,
//! sees both who calls a service and what that calls.
//!
//! A service is known by the hash of what it is called, and a route by its place, which it keeps: what its requests bring is known
//! by place in each pair. The last place is that of all routes that found none left. Services that nobody calls any more are
//! forgotten, and what their requests brought with them.

use crate::baselines::calls::ROUTES;
use crate::counters::RouteCounts;
use crate::exchange::route;
use crate::table::fnv;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What services are asked. In order, so that the same traffic makes the same snapshot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Asked {
    services: BTreeMap<u64, Service>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Service {
    /// Hashes of their templates.
    routes: Vec<u64>,
    /// For each window length, the requests that were served in the open window on each of them.
    windows: Vec<Vec<u32>>,
    /// Whether somebody was seen to call it since the start.
    heard: bool,
}

impl Service {
    /// The place of a route, found or made.
    fn place(&mut self, route: u64) -> usize {
        if let Some(at) = self.routes.iter().position(|r| *r == route) {
            return at;
        }
        if self.routes.len() < ROUTES {
            self.routes.push(route);
            for window in &mut self.windows {
                window.push(0);
            }
        }
        self.routes.len().saturating_sub(1)
    }

    fn add(&mut self, level: usize, at: usize, requests: u32) {
        let window = self.windows.get_mut(level);
        if let Some(n) = window.and_then(|window| window.get_mut(at)) {
            *n = n.saturating_add(requests);
        }
    }

    /// Makes it one of so many window lengths, with what was counted of each where they are the `same`.
    fn fit(&mut self, levels: usize, same: bool) {
        self.routes.truncate(ROUTES);
        if !same {
            self.windows.clear();
        }
        self.windows.resize(levels, Vec::new());
        for window in &mut self.windows {
            window.resize(self.routes.len(), 0);
        }
    }
}

impl Asked {
    /// Takes in a batch's counts of a pair, which calls the service. At most so many services are known.
    pub(super) fn take(&mut self, called: u64, counts: &[RouteCounts], levels: usize, cap: u32) {
        let room = self.services.len() < usize::try_from(cap).unwrap_or(usize::MAX);
        if !room && !self.services.contains_key(&called) {
            return;
        }
        let service = self.services.entry(called).or_default();
        service.fit(levels, true);
        service.heard = true;
        for counted in counts {
            let served = counted.cell.tallies.served();
            if served > 0 && counted.route != route::UNROUTED {
                let at = service.place(fnv(counted.route.bytes()));
                service.add(0, at, served);
            }
        }
    }

    /// What a service was asked in the open window of a length, by route; `None` where nobody is seen to call it.
    pub(super) fn of(&self, service: u64, level: usize) -> Option<&[u32]> {
        let service = self.services.get(&service).filter(|s| s.heard)?;
        service.windows.get(level).map(Vec::as_slice)
    }

    /// Ends the windows of a length, which are part of the next longer ones.
    pub(super) fn close(&mut self, level: usize) {
        for service in self.services.values_mut() {
            for at in 0..service.routes.len() {
                let window = service.windows.get_mut(level);
                let closed = window
                    .and_then(|window| window.get_mut(at))
                    .map(std::mem::take);
                service.add(level.saturating_add(1), at, closed.unwrap_or_default());
            }
        }
    }

    /// Forgets all but those services.
    pub(super) fn retain(&mut self, called: impl Fn(u64) -> bool) {
        self.services.retain(|service, _| called(*service));
    }

    /// Makes it fit a configuration.
    pub(super) fn fit(mut self, levels: usize, same: bool) -> Self {
        for service in self.services.values_mut() {
            service.fit(levels, same);
        }
        self
    }

    /// Puts it to rest: its routes stay, what was of the moment is forgotten.
    pub(super) fn rest(mut self, levels: usize) -> Self {
        for service in self.services.values_mut() {
            service.fit(levels, false);
            service.heard = false;
        }
        self
    }

    /// Takes over what is counted in the windows open in `other`.
    pub(super) fn count_as(&mut self, other: &Self, levels: usize) {
        for (called, theirs) in &other.services {
            let service = self.services.entry(*called).or_default();
            service.fit(levels, true);
            service.heard |= theirs.heard;
            for (level, window) in theirs.windows.iter().enumerate() {
                for (route, n) in theirs.routes.iter().zip(window) {
                    let at = service.place(*route);
                    service.add(level, at, *n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Cell, Tallies};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn served(route: &str, requests: u32) -> RouteCounts {
        RouteCounts {
            route: route.to_owned(),
            cell: Cell {
                tallies: Tallies {
                    requests,
                    ..Tallies::default()
                },
                served: requests,
                ..Cell::default()
            },
        }
    }

    #[test]
    fn what_is_asked_in_a_window_is_asked_in_the_longer_one_that_it_is_part_of() {
        let mut asked = Asked::default();
        for requests in [1, 2] {
            asked.take(7, &[served("GET /a", requests), served("GET /b", 5)], 2, 10);
            assert_eq!(asked.of(7, 0), Some([requests, 5].as_slice()));
            asked.close(0);
        }
        assert_eq!(asked.of(7, 1), Some([3, 10].as_slice()));
        asked.close(1);
        assert_eq!(asked.of(7, 1), Some([0, 0].as_slice()));
    }

    #[test]
    fn services_and_routes_beyond_the_caps_are_not_told_apart() {
        let mut asked = Asked::default();
        for n in 0..1_000u64 {
            asked.take(n % 500, &[served(&format!("GET /{n}"), 1)], 1, 10);
        }
        for n in 0..1_000 {
            asked.take(1, &[served(&format!("GET /{n}"), 1)], 1, 10);
        }
        assert_eq!(asked.services.len(), 10);
        let window = asked.of(1, 0).unwrap();
        assert_eq!((window.len(), window.iter().sum::<u32>()), (ROUTES, 1_002));
    }
}
