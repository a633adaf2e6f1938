//! The configuration: one JSON object for both roles, as it stands in a WasmPlugin's `pluginConfig`.
//!
//! Everything has a default, so that an empty configuration is a whole one. What can't be meant is refused: an unknown
//! field, a wrong type, a value out of range. The message names the JSON path, what was found and what is allowed, and
//! is the same from the plugin, the command and the tests, because all of them call [`Config::from_json`].
//!
//! The JSON Schema in `filter-config/` is generated from these types (`make schema`); a test keeps it current.

mod error;
mod glob;
mod identity;
mod moment;
mod network;
mod requests;
mod rules;
mod schedule;
mod sinks;
mod span;
mod verdicts;
mod warm;

pub use error::ConfigError;
pub use glob::Glob;
pub use identity::{Claim, Identity, MAX_NAMED_NETWORKS, NamedNetwork, Privacy};
pub use moment::Moment;
pub use network::Network;
pub use requests::{AllowedPair, CountedSignal, MAX_REQUEST_RULES, RequestRule, RequestRuleType};
pub use rules::{About, MAX_RULES, Maintenance, Rule, Suppression};
pub use schedule::{Schedule, TimeOfDay, UtcOffset, Weekday};
pub use sinks::{MAX_SINKS, Sink, SinkFormat, SinkKind};
pub use span::Span;
pub use verdicts::{Action, Denial, DenialScope, Exemption, MAX_DENIALS, Verdicts};
pub use warm::{Inline, WarmStart};

use crate::Time;
use crate::alerts::Severity;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Pairwatch's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What this instance does: `filter` counts the traffic of a listener (and elects an aggregator where there is none),
    /// `aggregator` only learns and alerts, as a bootstrap WasmService.
    pub role: Role,
    /// `stateful` learns what is normal; `stateless` keeps nothing between requests and knows only `rules`.
    pub mode: Mode,
    /// How many false alerts a week this proxy may raise, over all its pairs and signals. Fewer means later and surer.
    /// More than the default of two a day finds hardly more (`docs/detection.md` has the figures). Who has many proxies sets less.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.001, max = 1000.0)))]
    pub false_alerts_per_week: f64,
    /// Lengths of the windows traffic is judged in, shortest first. Short ones see bursts in seconds, long ones see
    /// what is slow or thin. Each must be a whole multiple of the one before it. Counts arrive once a second, so that
    /// windows of less than three may hold some of their neighbours' requests.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 4)))]
    pub windows: Vec<Span>,
    /// How normal is learned.
    pub learning: Learning,
    /// Who the caller and the called are taken to be.
    pub names: Names,
    /// Who a request speaks for.
    pub identity: Identity,
    /// What is looked at.
    pub signals: Signals,
    /// When alerts are written and closed.
    pub alerts: Alerts,
    /// What requests must keep to, whatever was learned, or in its terms.
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub rules: Vec<RequestRule>,
    /// What is done about a request that is flagged.
    pub verdicts: Verdicts,
    /// Alerts that are known and not worth a line, each until a day on which somebody looks again. What they hide is
    /// counted and can be listed.
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub suppressions: Vec<Suppression>,
    /// Times in which a scope behaves oddly and nobody wants to hear of it.
    #[cfg_attr(feature = "schema", schemars(length(max = 100)))]
    pub maintenance: Vec<Maintenance>,
    /// Who is sent alerts, beside the log, which has them all.
    #[cfg_attr(feature = "schema", schemars(length(max = 8)))]
    pub sinks: Vec<Sink>,
    /// Caps on memory. What a cap turns away is counted in a metric.
    pub limits: Caps,
}

/// What an instance of the plugin does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An HTTP filter on a listener.
    #[default]
    Filter,
    /// A bootstrap WasmService, one per Envoy.
    Aggregator,
}

/// What is kept between requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Counts, and what was learned from them.
    #[default]
    Stateful,
    /// Nothing: requests are held against configured rules, one by one.
    Stateless,
}

/// How normal is learned.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Learning {
    /// How long a proxy, and then each new pair, is watched before what was never seen before is worth an alert.
    pub warmup: Span,
    /// How long the learned request rate remembers: shorter follows a daily curve more closely, longer is steadier.
    pub memory: Span,
    /// How often what was learned is put where it outlives its VM. What comes in between is kept in a journal.
    pub snapshot_every: Span,
    /// What a proxy that starts with nothing begins with: a trained snapshot, or one that was put back by the last process.
    pub warm_start: Option<WarmStart>,
}

/// Where names come from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// The name of the service behind this proxy, the destination of inbound requests. Default: from its own mTLS
    /// certificate, else from the upstream cluster.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub service: Option<String>,
    /// The version of the service behind this proxy. Default: of its pod's labels the one that Istio takes for its revision, in
    /// the node's metadata. A level that shifts when a new version answers is learned at once.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub version: Option<String>,
    /// A request header that names the source where the peer shows no certificate. Only for a proxy whose every client
    /// is trusted to tell the truth: anyone who can set the header can be anyone.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))
    )]
    pub trusted_source_header: Option<String>,
    /// Whether the header `x-forwarded-client-cert` names the source where the peer shows no certificate: its last element,
    /// which whoever is directly in front of this proxy wrote. Only where that is a proxy of yours that verifies
    /// certificates and is the only one that can connect.
    pub trusted_xfcc: bool,
    /// Whether Istio's peer metadata names the source where the peer shows no certificate, and tells the version of what is
    /// called. Peers send it themselves: only where every one is trusted to tell the truth.
    pub trusted_peer_metadata: bool,
    /// Names for sources by their address, where nothing better names them. The first that fits counts.
    #[cfg_attr(feature = "schema", schemars(length(max = 64)))]
    pub addresses: Vec<NamedNetwork>,
    /// What a source is called that shows no certificate and no trusted header.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub unknown_source: String,
}

/// One switch a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Signals {
    /// Requests per window: bursts, and traffic that falls silent.
    pub request_rate: bool,
    /// 5xx answers and their gRPC equivalents, as a share of requests.
    pub server_errors: bool,
    /// 4xx answers other than 401 and 403, and their gRPC equivalents.
    pub client_errors: bool,
    /// 401 and 403 answers, gRPC 16 and 7.
    pub auth_failures: bool,
    /// Bytes of request bodies against what the same routes usually take.
    pub request_bytes: bool,
    /// Bytes of response bodies against what the same routes usually give.
    pub response_bytes: bool,
    /// Duration of requests against what the same routes usually take.
    pub latency: bool,
    /// A source that calls a destination for the first time.
    pub new_pair: bool,
    /// A method and route template that is new on a known pair.
    pub new_route: bool,
    /// An identity that acts at an hour of the day it never acts at.
    pub off_hours: bool,
    /// An identity that comes from a network it never used.
    pub new_address: bool,
    /// An identity that asks for several services it never asked for. What a source does of the kind is `new_pair`'s.
    pub lateral_movement: bool,
    /// Requests at a fixed period that began on a pair that is known.
    pub beaconing: bool,
    /// Credentials that are tried: refusals of those who were never let in, or come from where they never came from.
    pub credential_stuffing: bool,
}

/// When alerts are written and closed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// Alerts below this are counted, not written.
    pub min_severity: Severity,
    /// How long an open incident keeps quiet between two lines about it.
    pub update_every: Span,
    /// How long an incident must have shown nothing odd to be resolved.
    pub resolve_after: Span,
    /// Whether what suppressions and maintenance hide is written all the same, with their reason in a field `suppressed`.
    pub show_suppressed: bool,
}

/// Caps on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Pairs an aggregator learns, and pairs a worker counts. The least known makes room for a newcomer.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 100_000)))]
    pub pairs: u32,
    /// Routes learned per pair; what comes after is counted together.
    #[cfg_attr(feature = "schema", schemars(range(min = 4, max = 256)))]
    pub routes_per_pair: u32,
    /// Identities whose habits are learned. Who acted oddly stays, then who is known best.
    #[cfg_attr(feature = "schema", schemars(range(min = 10, max = 1_000_000)))]
    pub identities: u32,
    /// Bytes a worker's counters may take, counts that are held while there is no aggregator included.
    #[cfg_attr(feature = "schema", schemars(range(min = 16_384, max = 67_108_864)))]
    pub hold_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            role: Role::Filter,
            mode: Mode::Stateful,
            false_alerts_per_week: 14.0,
            windows: vec![Span::secs(10), Span::secs(60), Span::secs(600)],
            learning: Learning::default(),
            names: Names::default(),
            identity: Identity::default(),
            signals: Signals::default(),
            alerts: Alerts::default(),
            rules: Vec::new(),
            verdicts: Verdicts::default(),
            suppressions: Vec::new(),
            maintenance: Vec::new(),
            sinks: Vec::new(),
            limits: Caps::default(),
        }
    }
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            // A whole day, so that what happens once a day has been seen once.
            warmup: Span::secs(24 * 3600),
            // Long enough to be steady, short enough to follow a daily curve.
            memory: Span::secs(2 * 3600),
            snapshot_every: Span::secs(30),
            warm_start: None,
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            service: None,
            version: None,
            trusted_source_header: None,
            trusted_xfcc: false,
            trusted_peer_metadata: false,
            addresses: Vec::new(),
            unknown_source: "external".to_owned(),
        }
    }
}

impl Signals {
    /// Nothing is looked at.
    pub const NONE: Self = Self {
        request_rate: false,
        server_errors: false,
        client_errors: false,
        auth_failures: false,
        request_bytes: false,
        response_bytes: false,
        latency: false,
        new_pair: false,
        new_route: false,
        off_hours: false,
        new_address: false,
        lateral_movement: false,
        beaconing: false,
        credential_stuffing: false,
    };
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            request_rate: true,
            server_errors: true,
            client_errors: true,
            auth_failures: true,
            request_bytes: true,
            response_bytes: true,
            latency: true,
            new_pair: true,
            new_route: true,
            off_hours: true,
            new_address: true,
            lateral_movement: true,
            beaconing: true,
            credential_stuffing: true,
        }
    }
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            min_severity: Severity::Low,
            update_every: Span::secs(600),
            resolve_after: Span::secs(600),
            show_suppressed: false,
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            pairs: 2_000,
            routes_per_pair: 32,
            // Some 2.5 MB where all are taken.
            identities: 10_000,
            hold_bytes: 1 << 20,
        }
    }
}

impl Config {
    /// Reads a configuration. Nothing at all, or white space, is all defaults.
    ///
    /// # Errors
    /// The first thing that can't be meant: its JSON path, what was found, what is allowed.
    pub fn from_json(text: &[u8]) -> Result<Self, ConfigError> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let config: Self =
            serde_path_to_error::deserialize(&mut reader).map_err(ConfigError::from_reading)?;
        reader.end().map_err(ConfigError::trailing)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        in_range(
            "false_alerts_per_week",
            self.false_alerts_per_week,
            0.001,
            1000.0,
        )?;
        self.validate_windows()?;
        let spans = [
            ("learning.warmup", self.learning.warmup, 1, 90 * 86_400),
            ("learning.memory", self.learning.memory, 10, 90 * 86_400),
            (
                "learning.snapshot_every",
                self.learning.snapshot_every,
                1,
                3600,
            ),
            ("alerts.update_every", self.alerts.update_every, 1, 86_400),
            ("alerts.resolve_after", self.alerts.resolve_after, 1, 86_400),
        ];
        for (path, span, min, max) in spans {
            span_in_range(path, span, min, max)?;
        }
        if let Some(warm_start) = &self.learning.warm_start {
            warm_start.validate()?;
        }
        let texts = [
            ("names.service", self.names.service.as_deref(), 253),
            ("names.version", self.names.version.as_deref(), 253),
            (
                "names.trusted_source_header",
                self.names.trusted_source_header.as_deref(),
                64,
            ),
            (
                "names.unknown_source",
                Some(self.names.unknown_source.as_str()),
                64,
            ),
        ];
        for (path, text, max) in texts {
            if text.is_some_and(|t| t.is_empty() || t.len() > max || !t.is_ascii()) {
                return Err(ConfigError::refused(
                    path,
                    format!("{:?}", text.unwrap_or_default()),
                    format!("1 to {max} ASCII characters"),
                ));
            }
        }
        identity::header(
            "names.trusted_source_header",
            self.names.trusted_source_header.as_deref(),
        )?;
        identity::networks("names.addresses", &self.names.addresses)?;
        self.identity.validate()?;
        self.validate_rules()?;
        self.validate_mode()?;
        sinks::validate(&self.sinks)?;
        in_range("limits.pairs", self.limits.pairs, 10, 100_000)?;
        in_range(
            "limits.routes_per_pair",
            self.limits.routes_per_pair,
            4,
            256,
        )?;
        in_range("limits.identities", self.limits.identities, 10, 1_000_000)?;
        in_range(
            "limits.hold_bytes",
            self.limits.hold_bytes,
            16_384,
            64 << 20,
        )
    }

    fn validate_rules(&self) -> Result<(), ConfigError> {
        let counts = [
            ("suppressions", self.suppressions.len()),
            ("maintenance", self.maintenance.len()),
        ];
        for (path, count) in counts {
            if count > MAX_RULES {
                return Err(ConfigError::refused(
                    path,
                    format!("{count} rules"),
                    format!("at most {MAX_RULES}"),
                ));
            }
        }
        for (i, rule) in self.suppressions.iter().enumerate() {
            rule.validate(&format!("suppressions[{i}]"))?;
        }
        for (i, rule) in self.maintenance.iter().enumerate() {
            rule.validate(&format!("maintenance[{i}]"))?;
        }
        Ok(())
    }

    fn validate_mode(&self) -> Result<(), ConfigError> {
        let stateless = self.mode == Mode::Stateless;
        if stateless && self.role == Role::Aggregator {
            return Err(ConfigError::refused(
                "mode",
                "\"stateless\"".to_owned(),
                "\"stateful\" for an aggregator, which has nothing else to do".to_owned(),
            ));
        }
        requests::validate(&self.rules, stateless)?;
        for (i, rule) in self.rules.iter().enumerate() {
            // What is not looked at is not learned either.
            if let Some(signal) = rule.signal.filter(|s| !s.is_on(&self.signals)) {
                return Err(ConfigError::refused(
                    &format!("rules[{i}].signal"),
                    format!("{:?}, which is off in signals", signal.name()),
                    "a signal that is on".to_owned(),
                ));
            }
        }
        self.verdicts.validate()
    }

    fn validate_windows(&self) -> Result<(), ConfigError> {
        let windows = &self.windows;
        if windows.is_empty() || windows.len() > MAX_WINDOWS {
            return Err(ConfigError::refused(
                "windows",
                format!("{} windows", windows.len()),
                format!("1 to {MAX_WINDOWS} window lengths"),
            ));
        }
        let mut shorter: Option<Span> = None;
        for (i, window) in windows.iter().enumerate() {
            let path = format!("windows[{i}]");
            span_in_range(&path, *window, 1, 86_400)?;
            let whole = window.millis().is_multiple_of(1000)
                && shorter
                    .is_none_or(|s| *window > s && window.millis().is_multiple_of(s.millis()));
            if !whole {
                let allowed = shorter.map_or_else(
                    || "whole seconds".to_owned(),
                    |s| format!("a longer span that is a whole multiple of {s}"),
                );
                return Err(ConfigError::refused(&path, window.to_string(), allowed));
            }
            shorter = Some(*window);
        }
        Ok(())
    }

    /// Whether a rule needs to know what was learned of one of these.
    pub fn has_rule_of(&self, of: RequestRuleType) -> bool {
        self.rules.iter().any(|r| r.of == of)
    }

    /// All rules that hide alerts: suppressions, then maintenance.
    pub fn rules(&self) -> impl Iterator<Item = Rule<'_>> {
        let suppressions = self.suppressions.iter().map(Rule::Suppression);
        suppressions.chain(self.maintenance.iter().map(Rule::Maintenance))
    }

    /// The place among [`Config::rules`] of the first that hides something now, and the rule.
    pub fn hidden_by(&self, about: &About<'_>, now: Time) -> Option<(usize, Rule<'_>)> {
        self.rules()
            .enumerate()
            .find(|(_, rule)| rule.hides(about, now))
    }

    /// Whether a pair is under maintenance.
    pub fn in_maintenance(&self, source: &str, destination: &str, now: Time) -> bool {
        let mut on = self.maintenance.iter().filter(|m| m.is_between(now, now));
        on.any(|m| m.covers(source, destination))
    }

    /// The window lengths, shortest first.
    pub fn window_lengths(&self) -> impl Iterator<Item = Duration> + '_ {
        self.windows.iter().map(|w| w.duration())
    }
}

/// More window lengths than this cost memory in every pair and see nothing more.
pub const MAX_WINDOWS: usize = 4;

fn in_range<T: PartialOrd + std::fmt::Display>(
    path: &str,
    found: T,
    min: T,
    max: T,
) -> Result<(), ConfigError> {
    // Written so that NaN, which compares with nothing, is refused.
    if found >= min && found <= max {
        return Ok(());
    }
    Err(ConfigError::refused(
        path,
        found.to_string(),
        format!("a number from {min} to {max}"),
    ))
}

fn span_in_range(path: &str, found: Span, min: u64, max: u64) -> Result<(), ConfigError> {
    let (min, max) = (Span::secs(min), Span::secs(max));
    if found >= min && found <= max {
        return Ok(());
    }
    Err(ConfigError::refused(
        path,
        found.to_string(),
        format!("a span from {min} to {max}"),
    ))
}
