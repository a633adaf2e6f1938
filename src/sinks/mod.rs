//! Alerts out: the host's HTTP calls around [`pairwatch_engine::sinks`], which decides what is sent and when.
//!
//! The leader hands alerts in and once a second asks each sink for a request. The answer comes back to the root that asked
//! ([`crate::root`]), or never, when that root is gone meanwhile: the engine then counts it as a failed try.

mod metrics;

use crate::host;
use metrics::SinkMetrics;
use pairwatch_engine::Time;
use pairwatch_engine::alerts::Alert;
use pairwatch_engine::config::Config;
use pairwatch_engine::sinks::Delivery;
use proxy_wasm::types::LogLevel;

#[derive(Debug)]
pub(crate) struct Sinks {
    all: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    delivery: Delivery,
    metrics: SinkMetrics,
    /// The request under way.
    token: Option<u32>,
}

impl Sinks {
    pub(crate) fn new(config: &Config, seed: u64, now: Time) -> Self {
        let run = |sink: &pairwatch_engine::config::Sink| Running {
            metrics: SinkMetrics::new(sink.name()),
            delivery: Delivery::new(sink.clone(), &config.alerts, seed, now),
            token: None,
        };
        Self {
            all: config.sinks.iter().map(run).collect(),
        }
    }

    /// Goes on by another configuration. What waits is lost only where a sink changed.
    pub(crate) fn reconfigure(&mut self, config: &Config, seed: u64, now: Time) {
        let mut before = std::mem::take(&mut self.all);
        let mut after = Self::new(config, seed, now);
        for running in &mut after.all {
            let same = |old: &Running| old.delivery.sink() == running.delivery.sink();
            if let Some(place) = before.iter().position(same) {
                *running = before.swap_remove(place);
            }
        }
        *self = after;
    }

    /// Takes in an alert.
    pub(crate) fn offer(&mut self, alert: &Alert, now: Time) {
        for running in &mut self.all {
            running.delivery.offer(alert, now);
        }
    }

    /// Sends what is due.
    pub(crate) fn send(&mut self, now: Time) {
        for running in &mut self.all {
            if let Some(request) = running.delivery.next(now) {
                running.token = host::call(
                    request.cluster,
                    request.headers,
                    request.body.as_bytes(),
                    request.timeout,
                );
                // No such cluster, or none of its hosts is up: as good as no answer.
                if running.token.is_none() {
                    running.answered(None, now);
                }
            }
            running.metrics.tell(running.delivery.counts());
        }
    }

    /// Takes in an answer, or that there was none.
    pub(crate) fn answered(&mut self, token: u32, status: Option<u16>) {
        let running = self.all.iter_mut().find(|r| r.token == Some(token));
        if let Some(running) = running {
            running.token = None;
            running.answered(status, host::now());
        }
    }
}

impl Running {
    fn answered(&mut self, status: Option<u16>, now: Time) {
        if let Some(said) = self.delivery.answered(status, now) {
            host::log(LogLevel::Warn, &format!("pairwatch: {said}"));
        }
    }
}
