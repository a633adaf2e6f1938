//! What is known of one identity: some 250 bytes, whatever it does.
//!
//! Time passes in *sessions*: an hour of the day in which the identity acted, or, where that hour is strange to it, that
//! hour and the next, so that a visit across the full hour is one. Within a session what it does is compared with what was
//! known before; when the next begins, the session is learned.

use super::hours::{HOURS, Hours};
use super::networks::{INSIDE, Networks};
use super::pool::Pool;
use super::reach::{Reach, Services, is_movement};
use super::tail::Tail;
use crate::Time;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Active hours after which an identity's habits are compared at all: with fewer nearly every hour is new.
pub(super) const KNOWN: u32 = 5;
/// Active hours after which it is as well known as it gets.
const MATURE: f64 = 20.0;
/// Active hours the pool's usual volume counts for beside its own.
const POOLED_VOLUME: f64 = 3.0;
/// Active hours its usual volume is averaged over.
const VOLUME_MEMORY: f64 = 50.0;
const HOUR: u64 = 3_600_000;

/// What is known of one identity.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Profile {
    pub(super) hours: Hours,
    pub(super) networks: Networks,
    reach: Reach,
    /// Mean logarithm of what an active hour asks for.
    volume: f32,
    first: Time,
    last: Time,
    /// When it last acted oddly.
    pub(super) odd: Option<Time>,
    session: Session,
}

/// What an identity does in the hour that has begun.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Session {
    /// Hours since the epoch at its start, and how many of them it spans.
    start: u32,
    spans: u8,
    /// Whether the identity was well enough known at its start to be compared with its habits.
    pub(super) compared: bool,
    /// The pair it was first seen on, and its requests there.
    pub(super) pair: u64,
    pub(super) requests: u32,
    /// Seconds in which it acted, and its requests that came in from outside: a request that goes on from service to
    /// service is one act, however many it passes.
    acts: u32,
    entries: u32,
    /// How odd the hour is, in nats; 0 where it is not strange to it.
    surprise: f32,
    /// Whether the hour was told.
    pub(super) hour_told: bool,
    /// Networks it knew that it used, as a mask.
    used: u64,
    /// A network it did not know: requests from it, and how odd it is.
    pub(super) stranger: u32,
    pub(super) stranger_requests: u32,
    stranger_score: f32,
    pub(super) stranger_told: bool,
    /// Services it asked for that it did not know; how many of them are strange, how odd those are together, and whether that
    /// was told.
    reached: Services,
    pub(super) strange_services: u8,
    reach_score: f32,
    pub(super) reach_told: bool,
}

/// The scores of all identities.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Tails {
    pub(super) hours: Tail,
    pub(super) networks: Tail,
    pub(super) reach: Tail,
}

impl Profile {
    pub(super) fn new(at: Time) -> Self {
        Self {
            first: at,
            last: at,
            ..Self::default()
        }
    }

    /// Who is worth more stays: who acted oddly, then who is known best, then who asks for most, then who was seen last.
    pub(super) fn worth(&self) -> (bool, u32, u32, Time) {
        let hour = self.session.acts;
        (self.odd.is_some(), self.hours.seen(), hour, self.last)
    }

    /// 0 to 1.
    pub(super) fn maturity(&self) -> f64 {
        (f64::from(self.hours.seen()) / MATURE).min(1.0)
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The identity acted on a pair: lets the session that is over be learned and begins another.
    pub(super) fn act(
        &mut self,
        at: Time,
        pair: u64,
        requests: u32,
        warmup: Duration,
        pool: &mut Pool,
        tails: &mut Tails,
    ) {
        let hour = u32::try_from(at.0.checked_div(HOUR).unwrap_or(0)).unwrap_or(u32::MAX);
        let another = at > self.last;
        self.last = self.last.max(at);
        let s = &mut self.session;
        let runs = s.start.saturating_add(u32::from(s.spans));
        if hour >= runs || hour < s.start {
            if s.surprise > 0.0 && s.spans == 1 && hour == runs {
                s.spans = 2;
            } else {
                self.close(at, pool, tails);
                let compared = self.hours.seen() >= KNOWN && at.since(self.first) >= warmup;
                let of_day = of_day(hour);
                let surprise = if compared && self.hours.is_strange(of_day) {
                    self.hours.surprise(of_day, pool)
                } else {
                    0.0
                };
                self.session = Session {
                    start: hour,
                    spans: 1,
                    compared,
                    pair,
                    surprise: surprise as f32,
                    ..Session::default()
                };
            }
        }
        if another || self.session.acts == 0 {
            self.session.acts = self.session.acts.saturating_add(1);
        }
        if self.session.pair == pair {
            self.session.requests = self.session.requests.saturating_add(requests);
        }
    }

    /// Learns the session that is over.
    fn close(&mut self, at: Time, pool: &mut Pool, tails: &mut Tails) {
        let s = self.session;
        if s.spans == 0 {
            return;
        }
        let volume = self.session_volume();
        if s.compared {
            tails.hours.trial(at);
            // What was told was entered when it was.
            if !s.hour_told {
                tails.hours.score(self.hour_score(pool));
            }
            tails.reach.trial(at);
            if !s.reach_told {
                tails.reach.score(self.reach_score());
            }
            if s.used != 0 || s.stranger != 0 {
                tails.networks.trial(at);
                if !s.stranger_told {
                    tails.networks.score(self.network_score(pool));
                }
            }
        }
        let seen = f64::from(self.hours.seen()).min(VOLUME_MEMORY);
        self.volume += ((volume - f64::from(self.volume)) / (seen + 1.0)) as f32;
        for hour in s.start..s.start.saturating_add(u32::from(s.spans)) {
            self.hours.learn(of_day(hour));
            pool.active(of_day(hour), volume);
        }
        let established = self.hours.seen() >= KNOWN;
        self.reach.learn(s.reached, established, &mut pool.reached);
        if s.stranger != 0 {
            self.networks.learn(s.stranger, pool);
        } else if s.used != 0 {
            self.networks.settle(pool);
        }
        self.session = Session::default();
    }

    /// The logarithm of how much the session asked for: requests from outside where there were any, else seconds in which
    /// it acted.
    fn session_volume(&self) -> f64 {
        let s = &self.session;
        let acts = if s.entries > 0 { s.entries } else { s.acts };
        f64::from(acts.max(1)).ln()
    }

    /// How odd the session's hour and volume are together, in nats; 0 where the hour is not strange.
    pub(super) fn hour_score(&self, pool: &Pool) -> f64 {
        let s = &self.session;
        if s.surprise <= 0.0 {
            return 0.0;
        }
        f64::from(s.surprise) + self.more(self.session_volume(), pool)
    }

    /// How many nats more than usual in an hour a volume is, given as a logarithm.
    fn more(&self, volume: f64, pool: &Pool) -> f64 {
        let seen = f64::from(self.hours.seen()).min(VOLUME_MEMORY);
        let usual = (f64::from(self.volume) * seen + pool.volume() * POOLED_VOLUME)
            / (seen + POOLED_VOLUME);
        (volume - usual).max(0.0)
    }

    /// The hour of the day the session began in.
    pub(super) fn session_hour(&self) -> usize {
        of_day(self.session.start)
    }

    /// The identity acted from a network: learned at once where it is known, held against the session's end where not.
    /// Returns whether it is strange.
    pub(super) fn comes_from(&mut self, network: u32, requests: u32, pool: &mut Pool) -> bool {
        if network != INSIDE {
            self.session.entries = self.session.entries.saturating_add(requests);
        }
        if self.networks.knows(network) || self.networks.roams() || self.networks.count() == 0 {
            // A bit a network: two that share one are counted as one hour instead of two.
            let bit = 1u64.wrapping_shl(network & 63);
            if self.session.used & bit == 0 {
                self.session.used |= bit;
                self.networks.learn(network, pool);
            }
            return false;
        }
        if self.session.stranger != network {
            if self.session.stranger != 0 {
                // A second one in one session: the first is learned at once.
                self.networks.learn(self.session.stranger, pool);
            }
            let score = self.networks.surprise(network, pool);
            self.session.stranger = network;
            self.session.stranger_requests = 0;
            self.session.stranger_score = score as f32;
            self.session.stranger_told = false;
        }
        let s = &mut self.session;
        s.stranger_requests = s.stranger_requests.saturating_add(requests);
        true
    }

    /// The identity asks for a service, over a pair that is `young` or not. Returns whether it is the session's next strange one.
    pub(super) fn asks_for(&mut self, service: Services, young: bool, pool: &Pool) -> bool {
        let s = &mut self.session;
        if self.reach.knows(service) || s.reached & service != 0 {
            return false;
        }
        s.reached |= service;
        if young || !s.compared {
            return false;
        }
        s.strange_services = s.strange_services.saturating_add(1);
        s.reach_score += pool.reached.surprise(service) as f32;
        true
    }

    /// How odd the services are that the session asked for and the identity did not know, in nats; 0 where they are too few
    /// to be movement.
    pub(super) fn reach_score(&self) -> f64 {
        let s = &self.session;
        if !is_movement(s.strange_services) {
            return 0.0;
        }
        f64::from(s.reach_score) + self.reach.surprise()
    }

    /// How odd the network is that the session was seen on and the identity did not know, and how much it asks for from
    /// there, in nats; 0 where there is none.
    pub(super) fn network_score(&self, pool: &Pool) -> f64 {
        let s = &self.session;
        if s.stranger == 0 {
            return 0.0;
        }
        f64::from(s.stranger_score) + self.more(f64::from(s.stranger_requests.max(1)).ln(), pool)
    }
}

fn of_day(hour: u32) -> usize {
    let day = u32::try_from(HOURS).unwrap_or(1);
    usize::try_from(hour.checked_rem(day).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn who_is_known_or_acted_oddly_outlasts_who_came_just_now() {
        let (mut pool, mut tails) = (Pool::default(), Tails::default());
        let mut known = Profile::new(Time(0));
        for hour in 0..10 {
            known.act(
                Time(hour * HOUR),
                1,
                1,
                Duration::ZERO,
                &mut pool,
                &mut tails,
            );
        }
        let new = Profile::new(Time(100 * HOUR));
        let mut odd = Profile::new(Time(0));
        odd.odd = Some(Time(0));
        assert!(new.worth() < known.worth() && known.worth() < odd.worth());
    }

    #[test]
    fn a_profile_is_small() {
        assert!(
            size_of::<Profile>() <= 256,
            "{} bytes",
            size_of::<Profile>()
        );
    }
}
