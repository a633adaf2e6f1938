//! One worker and the aggregator beside it, which looks once a second.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    dead_code,
    unreachable_pub,
    reason = "what panics in a test fails it; not every test uses every part"
)]

use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::Config;
use pairwatch_engine::counters::Counters;
use pairwatch_engine::exchange::Exchange;

/// Of callers of `shop`.
pub struct Proxy {
    pub engine: Aggregator,
    pub counters: Counters,
    /// Milliseconds since the epoch.
    pub now: u64,
    /// All so far.
    pub alerts: Vec<Alert>,
}

impl Proxy {
    pub fn new(config: Config, now: u64) -> Self {
        Self {
            engine: Aggregator::new(config, 7, Time(now)),
            counters: Counters::new(100, 32, 1 << 20, 7, Time(now)),
            now,
            alerts: Vec::new(),
        }
    }

    /// A second of so many requests from each source, answered so. Returns its alerts.
    pub fn second(&mut self, calls: &[(&str, u64, u16)]) -> Vec<Alert> {
        for (source, requests, status) in calls {
            for _ in 0..*requests {
                self.counters.observe(&Exchange {
                    source,
                    destination: "shop",
                    identity: None,
                    address: None,
                    method: b"GET",
                    path: b"/cart",
                    status: *status,
                    grpc_status: None,
                    request_bytes: 100,
                    response_bytes: 1000,
                    duration_us: 5000,
                });
            }
        }
        self.now += 1000;
        if let Some(batch) = self.counters.drain(Time(self.now)) {
            self.engine.merge(batch, Time(self.now));
        }
        self.engine.advance(Time(self.now));
        let alerts = self.engine.drain_alerts();
        self.alerts.extend(alerts.iter().cloned());
        alerts
    }

    /// So many requests of each of these sources each second, answered so.
    pub fn seconds(&mut self, seconds: u64, sources: &[&str], rate: u64, status: u16) {
        for _ in 0..seconds {
            // The numbers vary as independent requests would.
            let more = (self.now / 1000 * 7) % 5;
            let requests = rate.saturating_sub(2) + more.min(rate);
            let calls: Vec<_> = sources.iter().map(|s| (*s, requests, status)).collect();
            self.second(&calls);
        }
    }
}
