//! The statistics that tests wait for and add up, by the names Envoy's `/stats` page has them.

/// Streams that the proxy of `envoy/proxy.yaml` began, whatever became of them.
pub const RECEIVED: &str = "http.proxy.downstream_rq_total";
/// Those of them answered 5xx.
pub const FAILED: &str = "http.proxy.downstream_rq_5xx";

/// Requests counted by the filters.
pub const COUNTED: &str = "wasmcustom.pairwatch_requests_total";
/// Requests that were too broken to be counted.
pub const UNREAD: &str = "wasmcustom.pairwatch_unread_total";
/// Requests in the aggregator's windows.
pub const MERGED: &str = "wasmcustom.pairwatch_requests_merged_total";
/// Requests that the filters' bounds, or a missing aggregator, kept out of them.
pub const DROPPED: &str = "wasmcustom.pairwatch_dropped_total";
/// Aggregators that took the lead.
pub const ELECTIONS: &str = "wasmcustom.pairwatch_elections_total";
/// When the aggregator last looked, in seconds since the epoch.
pub const HEARTBEAT: &str = "wasmcustom.pairwatch_aggregator_heartbeat_seconds";
/// Pairs that the aggregator knows.
pub const PAIRS: &str = "wasmcustom.pairwatch_pairs";
/// How well it knows them, in percent, on average.
pub const MATURITY: &str = "wasmcustom.pairwatch_maturity_percent";
/// Pairs that it forgot for others.
pub const PAIRS_EVICTED: &str = "wasmcustom.pairwatch_pairs_evicted_total";
/// Identities that it knows.
pub const IDENTITIES: &str = "wasmcustom.pairwatch_identities";
/// Snapshots of what was learned, taken for whoever leads next.
pub const SNAPSHOTS: &str = "wasmcustom.pairwatch_snapshots_total";
