//! What is done about a verdict: nothing, a tag for others to act on, or a refusal.
//!
//! Nothing is refused unless the action is `enforce`, a rule of `deny` fits, and that rule's `shadow` was set to false by
//! somebody: until then what it would have refused is counted and logged.

use super::requests::{refused, validate_pattern, validate_route};
use super::{ConfigError, Glob, Span, in_range, span_in_range};
use crate::alerts::{Kind, Severity};
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Rules that refuse, and exemptions, at most: all are looked at for each request that is flagged.
pub const MAX_DENIALS: usize = 50;

/// What is done about verdicts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Verdicts {
    /// `observe`: nothing. `tag`: flagged requests get filter state (and a header) for access logs and later filters.
    /// `enforce`: that, and the rules of `deny` apply.
    pub action: Action,
    /// Whether flagged requests bear `x-pairwatch-score` on their way to the upstream. What clients send of that name is
    /// removed in any case, unless the action is `observe`.
    pub header: bool,
    /// What is refused, by kind, severity and scope. The first that fits and is not in shadow counts.
    #[cfg_attr(feature = "schema", schemars(length(max = 50)))]
    pub deny: Vec<Denial>,
    /// What is never refused.
    #[cfg_attr(feature = "schema", schemars(length(max = 50)))]
    pub exempt: Vec<Exemption>,
    /// Of a worker's requests in the last minute, how many of a hundred may be refused; beyond it they pass.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.1, max = 100.0)))]
    pub max_denied_percent: f64,
    /// Requests a worker must have seen in the last minute before it refuses any.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub min_requests: u32,
}

/// What is done about verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Requests are watched and left alone.
    #[default]
    Observe,
    /// Flagged requests are marked.
    Tag,
    /// Flagged requests are marked, and refused where a rule says so.
    Enforce,
}

/// What a rule that refuses is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DenialScope {
    /// What is held against a request itself or its pair: all requests of that pair.
    #[default]
    Pair,
    /// What is held against an identity: its own requests, and nobody else's.
    Identity,
}

/// A rule that refuses. Kind, severity and names must all fit.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The kinds it is for.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 16)))]
    pub kinds: Vec<Kind>,
    /// Nothing below this.
    #[serde(default = "high")]
    pub min_severity: Severity,
    /// Whether it is about pairs or identities.
    #[serde(default)]
    pub scope: DenialScope,
    /// Who calls; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// What is called; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Glob>,
    /// The identity the request speaks for; `*` stands for anyone, but not for no one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Glob>,
    /// The answer: 403, or 429 with `Retry-After`. A gRPC request gets the status 7 (permission denied) or 8 (resource
    /// exhausted).
    #[serde(default = "forbidden")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [403, 429])))]
    pub status: u16,
    /// With 429: when to try again, in whole seconds. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
    /// How long after an incident began it is refused; then it passes, until the incident is over. What a request itself
    /// breaks is refused as long as it does.
    #[serde(default = "ten_minutes", rename = "for")]
    pub lasts: Span,
    /// Whether what it would refuse is only counted and logged.
    #[serde(default = "yes")]
    pub shadow: bool,
}

/// What is never refused: all that is given must fit.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// Who calls; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// What is called; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Glob>,
    /// The identity the request speaks for; `*` stands for anyone, but not for no one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Glob>,
    /// Method and path template: `GET /healthz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Glob>,
}

fn high() -> Severity {
    Severity::High
}

fn forbidden() -> u16 {
    403
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

fn yes() -> bool {
    true
}

impl Default for Verdicts {
    fn default() -> Self {
        Self {
            action: Action::Observe,
            header: false,
            deny: Vec::new(),
            exempt: Vec::new(),
            // A mistake then costs one request in ten, which is noticed and survived.
            max_denied_percent: 10.0,
            // One in ten of fewer is a handful of requests: not worth the risk.
            min_requests: 100,
        }
    }
}

impl Denial {
    /// Seconds after which to try again, where the status is one that says so.
    pub fn retry_after(&self) -> Option<u64> {
        (self.status == 429).then(|| {
            let span = self.retry_after.unwrap_or(Span::secs(30));
            span.millis().div_ceil(1000)
        })
    }

    fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let at = |field: &str| format!("{path}.{field}");
        if self.kinds.is_empty() {
            return Err(refused(&at("kinds"), "", "at least one kind"));
        }
        if self.status != 403 && self.status != 429 {
            return Err(refused(
                &at("status"),
                &self.status.to_string(),
                "403 or 429",
            ));
        }
        if let Some(span) = self.retry_after {
            if self.status != 429 {
                return Err(refused(
                    &at("retry_after"),
                    &span.to_string(),
                    "nothing unless the status is 429",
                ));
            }
            span_in_range(&at("retry_after"), span, 1, 3600)?;
        }
        span_in_range(&at("for"), self.lasts, 1, 86_400)?;
        let names = [
            ("source", &self.source),
            ("destination", &self.destination),
            ("identity", &self.identity),
        ];
        validate_names(path, names)
    }
}

impl Verdicts {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        in_range(
            "verdicts.max_denied_percent",
            self.max_denied_percent,
            0.1,
            100.0,
        )?;
        in_range("verdicts.min_requests", self.min_requests, 0, 1_000_000)?;
        let counts = [
            ("verdicts.deny", self.deny.len()),
            ("verdicts.exempt", self.exempt.len()),
        ];
        for (path, count) in counts {
            if count > MAX_DENIALS {
                return Err(ConfigError::refused(
                    path,
                    format!("{count} entries"),
                    format!("at most {MAX_DENIALS}"),
                ));
            }
        }
        for (i, denial) in self.deny.iter().enumerate() {
            denial.validate(&format!("verdicts.deny[{i}]"))?;
        }
        for (i, e) in self.exempt.iter().enumerate() {
            let path = format!("verdicts.exempt[{i}]");
            let names = [
                ("source", &e.source),
                ("destination", &e.destination),
                ("identity", &e.identity),
                ("route", &e.route),
            ];
            if names.iter().all(|(_, given)| given.is_none()) {
                return Err(ConfigError::refused(
                    &path,
                    "nothing".to_owned(),
                    "at least one of source, destination, identity, route".to_owned(),
                ));
            }
            validate_names(&path, names)?;
        }
        Ok(())
    }
}

fn validate_names<const N: usize>(
    path: &str,
    names: [(&str, &Option<Glob>); N],
) -> Result<(), ConfigError> {
    for (field, pattern) in names {
        let Some(pattern) = pattern else { continue };
        let path = format!("{path}.{field}");
        if field == "route" {
            validate_route(&path, pattern)?;
        } else {
            validate_pattern(&path, pattern)?;
        }
    }
    Ok(())
}
