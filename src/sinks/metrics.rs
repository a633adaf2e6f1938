//! What becomes of alerts on their way to one sink. The label is a name out of the configuration.

use crate::host;
use pairwatch_engine::sinks::Counts;
use proxy_wasm::types::MetricType::Counter;

#[derive(Debug)]
pub(super) struct SinkMetrics {
    sent: Option<u32>,
    failed: Option<u32>,
    held_back: Option<u32>,
    lost: Option<u32>,
    before: Counts,
}

impl SinkMetrics {
    pub(super) fn new(sink: &str) -> Self {
        let counter = |name: &str| host::metric(Counter, &format!("{name}sink=.={sink};.;"));
        Self {
            sent: counter("pairwatch_sink_sent_total"),
            failed: counter("pairwatch_sink_failed_total"),
            held_back: counter("pairwatch_sink_held_back_total"),
            lost: counter("pairwatch_sink_lost_total"),
            before: Counts::default(),
        }
    }

    pub(super) fn tell(&mut self, counts: Counts) {
        let before = std::mem::replace(&mut self.before, counts);
        let more = |now: u64, before: u64| now.saturating_sub(before);
        host::count(self.sent, more(counts.sent, before.sent));
        host::count(self.failed, more(counts.failed, before.failed));
        host::count(self.held_back, more(counts.held_back, before.held_back));
        host::count(self.lost, more(counts.lost, before.lost));
    }
}
