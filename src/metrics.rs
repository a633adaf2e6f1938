//! The metrics: a fixed set of series, whatever the traffic.
//!
//! Series defined by a plugin are not freed by the host while it is loaded, so none here carries a name out of traffic; the one that does,
//! capped, is [`crate::risk`]'s. Labels are written as
//! `label=.=value;.;`, which Istio's `extraStatTags` and Envoy's `stats_tags` take out of the name again.

use crate::host;
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Totals;
use pairwatch_engine::alerts::{Alert, Kind, Severity, State};
use pairwatch_engine::verdicts;
use proxy_wasm::types::MetricType::{Counter, Gauge};
use std::collections::BTreeMap;

/// Requests a cap on memory turned away, or a journal nobody trusted any more.
const DROPPED: &str = "pairwatch_dropped_total";
/// When somebody last aggregated, or had not to.
const HEARTBEAT: &str = "pairwatch_aggregator_heartbeat_seconds";

/// What each filter VM tells.
#[derive(Debug)]
pub(crate) struct FilterMetrics {
    pub(crate) requests: Option<u32>,
    pub(crate) flagged: Option<u32>,
    pub(crate) unread: Option<u32>,
    pub(crate) batches: Option<u32>,
    pub(crate) dropped: Option<u32>,
    pub(crate) up: Option<u32>,
    pub(crate) unlogged: Option<u32>,
    verdicts: BTreeMap<(Kind, verdicts::State), Option<u32>>,
    evicted: Option<u32>,
    evicted_before: u64,
}

/// That nobody has to aggregate. A heartbeat that another mode left would stand still, as a dead aggregator's does.
pub(crate) fn without_aggregator(now: Time) {
    host::gauge(host::metric(Gauge, HEARTBEAT), now.0 / 1000);
}

impl FilterMetrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: host::metric(Counter, "pairwatch_requests_total"),
            flagged: host::metric(Counter, "pairwatch_flagged_total"),
            unread: host::metric(Counter, "pairwatch_unread_total"),
            batches: host::metric(Counter, "pairwatch_batches_sent_total"),
            dropped: host::metric(Counter, DROPPED),
            up: host::metric(Gauge, "pairwatch_aggregator_up"),
            unlogged: host::metric(Counter, "pairwatch_verdicts_unlogged_total"),
            verdicts: BTreeMap::new(),
            evicted: host::metric(Counter, "pairwatch_counters_evicted_total"),
            evicted_before: 0,
        }
    }

    /// Flagged requests of a kind of which the same became.
    pub(crate) fn verdicts(&mut self, kind: Kind, state: verdicts::State, count: u64) {
        let id = *self.verdicts.entry((kind, state)).or_insert_with(|| {
            let state = state.name();
            let name = format!("pairwatch_verdicts_totalkind=.={kind};.;state=.={state};.;");
            host::metric(Counter, &name)
        });
        host::count(id, count);
    }

    pub(crate) fn evicted(&mut self, total: u64) {
        host::count(self.evicted, total.saturating_sub(self.evicted_before));
        self.evicted_before = total;
    }
}

/// What the leader tells.
#[derive(Debug)]
pub(crate) struct LeaderMetrics {
    pub(crate) elections: Option<u32>,
    pub(crate) snapshots: Option<u32>,
    pub(crate) snapshots_refused: Option<u32>,
    pub(crate) warm_starts: Option<u32>,
    pub(crate) store_saved: Option<u32>,
    pub(crate) store_failed: Option<u32>,
    pub(crate) batches_refused: Option<u32>,
    pub(crate) dropped: Option<u32>,
    batches: Option<u32>,
    merged: Option<u32>,
    evicted: Option<u32>,
    overflowed: Option<u32>,
    suppressed: Option<u32>,
    unsighted: Option<u32>,
    identities: Option<u32>,
    identities_evicted: Option<u32>,
    pairs: Option<u32>,
    incidents: Option<u32>,
    maturity: Option<u32>,
    heartbeat: Option<u32>,
    alerts: BTreeMap<(Kind, Severity, State), Option<u32>>,
    before: Totals,
}

impl LeaderMetrics {
    pub(crate) fn new() -> Self {
        Self {
            elections: host::metric(Counter, "pairwatch_elections_total"),
            snapshots: host::metric(Counter, "pairwatch_snapshots_total"),
            snapshots_refused: host::metric(Counter, "pairwatch_snapshots_refused_total"),
            warm_starts: host::metric(Counter, "pairwatch_warm_starts_total"),
            store_saved: host::metric(Counter, "pairwatch_store_saved_total"),
            store_failed: host::metric(Counter, "pairwatch_store_failed_total"),
            batches_refused: host::metric(Counter, "pairwatch_batches_refused_total"),
            dropped: host::metric(Counter, DROPPED),
            batches: host::metric(Counter, "pairwatch_batches_merged_total"),
            merged: host::metric(Counter, "pairwatch_requests_merged_total"),
            evicted: host::metric(Counter, "pairwatch_pairs_evicted_total"),
            overflowed: host::metric(Counter, "pairwatch_incidents_overflowed_total"),
            suppressed: host::metric(Counter, "pairwatch_suppressed_total"),
            unsighted: host::metric(Counter, "pairwatch_unsighted_total"),
            identities: host::metric(Gauge, "pairwatch_identities"),
            identities_evicted: host::metric(Counter, "pairwatch_identities_evicted_total"),
            pairs: host::metric(Gauge, "pairwatch_pairs"),
            incidents: host::metric(Gauge, "pairwatch_incidents_open"),
            maturity: host::metric(Gauge, "pairwatch_maturity_percent"),
            heartbeat: host::metric(Gauge, HEARTBEAT),
            alerts: BTreeMap::new(),
            before: Totals::default(),
        }
    }

    /// Begins to tell where the last leader left off. What it did not live to tell of its last tick, and the journal kept, is
    /// more than the counters say.
    pub(crate) fn begin(&mut self, totals: &Totals) {
        self.before = Totals {
            requests: totals.requests.min(host::counted(self.merged)),
            batches: totals.batches.min(host::counted(self.batches)),
            ..*totals
        };
    }

    /// An alert that no rule hides, written or not.
    pub(crate) fn alert(&mut self, alert: &Alert) {
        let (kind, severity, state) = (alert.kind, alert.severity, alert.state);
        let id = *self
            .alerts
            .entry((kind, severity, state))
            .or_insert_with(|| {
                let state = match state {
                    State::Open => "open",
                    State::Updated => "updated",
                    State::Resolved => "resolved",
                };
                let name = format!(
                    "pairwatch_alerts_totalkind=.={kind};.;severity=.={severity};.;state=.={state};.;"
                );
                host::metric(Counter, &name)
            });
        host::count(id, 1);
    }

    /// That nothing is known any more. Who aggregates next says it anew.
    pub(crate) fn rest(&self) {
        for gauge in [self.identities, self.pairs, self.incidents, self.maturity] {
            host::gauge(gauge, 0);
        }
    }

    /// The totals as they are now.
    pub(crate) fn tell(&mut self, totals: &Totals, now: Time) {
        let before = std::mem::replace(&mut self.before, *totals);
        let more = |now: u64, before: u64| now.saturating_sub(before);
        host::count(self.batches, more(totals.batches, before.batches));
        host::count(self.merged, more(totals.requests, before.requests));
        host::count(self.evicted, more(totals.evicted, before.evicted));
        host::count(self.overflowed, more(totals.overflowed, before.overflowed));
        host::count(self.suppressed, more(totals.suppressed, before.suppressed));
        host::count(self.unsighted, more(totals.unsighted, before.unsighted));
        host::count(
            self.identities_evicted,
            more(totals.identities_evicted, before.identities_evicted),
        );
        host::gauge(
            self.identities,
            u64::try_from(totals.identities).unwrap_or(0),
        );
        host::gauge(self.pairs, u64::try_from(totals.pairs).unwrap_or(0));
        host::gauge(self.incidents, u64::try_from(totals.incidents).unwrap_or(0));
        // A gauge holds whole numbers.
        host::gauge(
            self.maturity,
            (totals.maturity * 100.0).clamp(0.0, 100.0) as u64,
        );
        host::gauge(self.heartbeat, now.0 / 1000);
    }
}
