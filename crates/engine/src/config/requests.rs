//! Rules that requests must keep to: configured ones, and ones that refer to what was learned.
//!
//! Each rule is of one type, has a scope (all requests where none is given), and is broken by what its type says. The types
//! from `pairs` to `identity` need no memory and hold in the mode `stateless` too; `typical`, `known_pair`, `known_route` and
//! `learned_hours` compare with what was learned of the pair and follow as it changes. One of these is silent until enough
//! was learned: the unknown is not odd.
//!
//! There is no expression language: a typed list is checked as a whole before it is taken, and each refusal names the field.

use super::schedule::{Schedule, TimeOfDay, UtcOffset, Weekday};
use super::{ConfigError, Glob, Network, Signals, in_range};
use crate::alerts::{Kind, Severity};
use crate::exchange::route;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Rules at most: all are looked at for each request.
pub const MAX_REQUEST_RULES: usize = 100;
/// Entries of one rule's list.
const MAX_ENTRIES: usize = 200;
/// Bytes of a pattern: of a route with its method, or of a name.
const MAX_PATTERN: usize = crate::exchange::principal::MAX_NAME;

/// A rule that requests must keep to.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestRule {
    /// What it asks for.
    #[serde(rename = "type")]
    pub of: RequestRuleType,
    /// What it is called in verdict lines and alerts.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64)))]
    pub name: String,
    /// Scope: who calls; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// Scope: what is called; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Glob>,
    /// Scope: the identity the request speaks for; `*` stands for anyone, but not for no one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Glob>,
    /// Scope: routes, as method and path template: `POST /orders/*`, `* /admin/*`. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 200)))]
    pub routes: Vec<Glob>,
    /// How urgent it is when it is broken.
    #[serde(default = "medium")]
    pub severity: Severity,
    /// `pairs`: the pairs that may be; any other in scope breaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Vec<AllowedPair>>,
    /// `routes`: what may be asked for, as method and path template; anything else in scope breaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Glob>>,
    /// `size`: bytes of a request's body at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_bytes: Option<u64>,
    /// `size`: bytes of an answer's body at most; known when the answer is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_response_bytes: Option<u64>,
    /// `schedule`: the days of the week on which requests may come. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<Weekday>>,
    /// `schedule`: from when on. Default: `00:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeOfDay>,
    /// `schedule`: until when; if not after `from`, on the next day. Default: `24:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeOfDay>,
    /// `schedule`: how far the local clock is ahead of UTC. Default: `Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset: Option<UtcOffset>,
    /// `networks`: where clients may come from. Where the address is not known the rule is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<Network>>,
    /// `identity`: who it may be. Default: anyone whom the proxy knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identities: Option<Vec<Glob>>,
    /// `typical`: what is counted in the shortest window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<CountedSignal>,
    /// `typical`: how many times the typical count breaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = 1000.0)))]
    pub times: Option<f64>,
    /// `typical`: fewer than these in a window never break it. Default: 20, as for the signal's own alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RequestRuleType {
    /// Only listed pairs call one another.
    Pairs,
    /// Only listed methods and routes are asked for.
    Routes,
    /// Bodies are no larger.
    Size,
    /// Requests come at these times only.
    Schedule,
    /// Clients come from these networks only.
    Networks,
    /// Requests speak for a known identity.
    Identity,
    /// A count stays below a multiple of what is typical for the pair.
    Typical,
    /// The pair was seen before.
    KnownPair,
    /// The route was seen on this pair before.
    KnownRoute,
    /// The pair keeps to the hours of the day it was seen at.
    LearnedHours,
}

/// A pair that may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllowedPair {
    /// Who may call; `*` stands for anything.
    pub source: Glob,
    /// What may be called; `*` stands for anything.
    pub destination: Glob,
}

/// What is counted per pair and window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CountedSignal {
    /// All requests.
    RequestRate,
    /// 5xx answers and their gRPC equivalents.
    ServerErrors,
    /// 4xx answers other than 401 and 403, and their gRPC equivalents.
    ClientErrors,
    /// 401 and 403 answers, gRPC 16 and 7.
    AuthFailures,
}

fn medium() -> Severity {
    Severity::Medium
}

/// Fewer too many trouble nobody: the floor of the request rate's own alerts.
const AT_LEAST: u32 = 20;

impl RequestRuleType {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "pairs",
            Self::Routes => "routes",
            Self::Size => "size",
            Self::Schedule => "schedule",
            Self::Networks => "networks",
            Self::Identity => "identity",
            Self::Typical => "typical",
            Self::KnownPair => "known_pair",
            Self::KnownRoute => "known_route",
            Self::LearnedHours => "learned_hours",
        }
    }

    /// Whether it compares with what was learned.
    pub fn is_adaptive(self) -> bool {
        matches!(
            self,
            Self::Typical | Self::KnownPair | Self::KnownRoute | Self::LearnedHours
        )
    }

    /// The fields it must have, and those it may have, beside name, scope and severity.
    fn fields(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Pairs => (&["pairs"], &[]),
            Self::Routes => (&["allow"], &[]),
            Self::Size => (&[], &["max_request_bytes", "max_response_bytes"]),
            Self::Schedule => (&[], &["days", "from", "until", "utc_offset"]),
            Self::Networks => (&["networks"], &[]),
            Self::Identity => (&[], &["identities"]),
            Self::Typical => (&["signal", "times"], &["at_least"]),
            Self::KnownPair | Self::KnownRoute | Self::LearnedHours => (&[], &[]),
        }
    }
}

impl CountedSignal {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestRate => "request_rate",
            Self::ServerErrors => "server_errors",
            Self::ClientErrors => "client_errors",
            Self::AuthFailures => "auth_failures",
        }
    }

    /// Whether it is looked at.
    pub fn is_on(self, signals: &Signals) -> bool {
        match self {
            Self::RequestRate => signals.request_rate,
            Self::ServerErrors => signals.server_errors,
            Self::ClientErrors => signals.client_errors,
            Self::AuthFailures => signals.auth_failures,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::RequestRate => Kind::RateSpike,
            Self::ServerErrors => Kind::ServerErrors,
            Self::ClientErrors => Kind::ClientErrors,
            Self::AuthFailures => Kind::AuthFailures,
        }
    }
}

impl RequestRule {
    /// What it looks like when it is broken: the kind that the same behaviour has where it was learned.
    pub fn kind(&self) -> Kind {
        match self.of {
            RequestRuleType::Pairs | RequestRuleType::KnownPair => Kind::NewPair,
            RequestRuleType::Routes | RequestRuleType::KnownRoute => Kind::NewRoute,
            RequestRuleType::Size => Kind::RequestSize,
            RequestRuleType::Schedule | RequestRuleType::LearnedHours => Kind::OffHours,
            RequestRuleType::Networks => Kind::NewAddress,
            RequestRuleType::Identity => Kind::AuthFailures,
            RequestRuleType::Typical => self.signal.map_or(Kind::RateSpike, CountedSignal::kind),
        }
    }

    /// The times of the week a rule of type `schedule` allows.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(
            self.days.as_deref().unwrap_or_default(),
            self.from.unwrap_or(TimeOfDay::MIDNIGHT),
            self.until.unwrap_or(TimeOfDay::END),
            self.utc_offset.unwrap_or_default(),
        )
    }

    /// The count from which on a rule of type `typical` is broken, where `typical` is what a window usually has.
    pub fn limit(&self, typical: f64) -> u32 {
        let most = typical * self.times.unwrap_or(1.0);
        // A float turned into an integer saturates.
        let beyond = (most.floor() as u32).saturating_add(1);
        beyond.max(self.at_least.unwrap_or(AT_LEAST))
    }

    /// The fields of its type that are given.
    fn given(&self) -> [(&'static str, bool); 13] {
        [
            ("pairs", self.pairs.is_some()),
            ("allow", self.allow.is_some()),
            ("max_request_bytes", self.max_request_bytes.is_some()),
            ("max_response_bytes", self.max_response_bytes.is_some()),
            ("days", self.days.is_some()),
            ("from", self.from.is_some()),
            ("until", self.until.is_some()),
            ("utc_offset", self.utc_offset.is_some()),
            ("networks", self.networks.is_some()),
            ("identities", self.identities.is_some()),
            ("signal", self.signal.is_some()),
            ("times", self.times.is_some()),
            ("at_least", self.at_least.is_some()),
        ]
    }

    fn validate(&self, path: &str, stateless: bool) -> Result<(), ConfigError> {
        let at = |field: &str| format!("{path}.{field}");
        let of = self.of.name();
        let name = &self.name;
        let plain = |b: u8| (0x20..=0x7E).contains(&b);
        if name.trim().is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(refused(
                &at("name"),
                name,
                "1 to 64 printable ASCII characters",
            ));
        }
        if stateless && self.of.is_adaptive() {
            return Err(refused(
                &at("type"),
                of,
                "a type that needs no memory, as the mode is stateless",
            ));
        }
        let (needed, optional) = self.of.fields();
        for (field, given) in self.given() {
            if given && !needed.contains(&field) && !optional.contains(&field) {
                return Err(ConfigError::refused(
                    &at(field),
                    format!("{field} in a rule of type {of}"),
                    allowed_fields(needed, optional),
                ));
            }
            if !given && needed.contains(&field) {
                return Err(ConfigError::refused(
                    &at(field),
                    "nothing".to_owned(),
                    format!("a value: a rule of type {of} needs it"),
                ));
            }
        }
        if self.max_request_bytes.is_none()
            && self.max_response_bytes.is_none()
            && self.of == RequestRuleType::Size
        {
            return Err(ConfigError::refused(
                path,
                "no size".to_owned(),
                "max_request_bytes, max_response_bytes or both".to_owned(),
            ));
        }
        if let Some(times) = self.times {
            in_range(&at("times"), times, 1.0, 1000.0)?;
        }
        if let Some(0) = self.at_least {
            return Err(refused(&at("at_least"), "0", "a number from 1"));
        }
        self.validate_lists(path)
    }

    fn validate_lists(&self, path: &str) -> Result<(), ConfigError> {
        let counts = [
            ("routes", Some(self.routes.len()).filter(|n| *n > 0)),
            ("pairs", self.pairs.as_ref().map(Vec::len)),
            ("allow", self.allow.as_ref().map(Vec::len)),
            ("days", self.days.as_ref().map(Vec::len)),
            ("networks", self.networks.as_ref().map(Vec::len)),
            ("identities", self.identities.as_ref().map(Vec::len)),
        ];
        for (field, count) in counts {
            if count.is_some_and(|n| n == 0 || n > MAX_ENTRIES) {
                return Err(ConfigError::refused(
                    &format!("{path}.{field}"),
                    format!("{} entries", count.unwrap_or(0)),
                    format!("1 to {MAX_ENTRIES}"),
                ));
            }
        }
        let scope = [
            ("source", &self.source),
            ("destination", &self.destination),
            ("identity", &self.identity),
        ];
        for (field, pattern) in scope {
            if let Some(pattern) = pattern {
                validate_pattern(&format!("{path}.{field}"), pattern)?;
            }
        }
        for (i, pattern) in self.identities.iter().flatten().enumerate() {
            validate_pattern(&format!("{path}.identities[{i}]"), pattern)?;
        }
        let routes = [
            ("routes", Some(&self.routes)),
            ("allow", self.allow.as_ref()),
        ];
        for (field, list) in routes {
            for (i, pattern) in list.into_iter().flatten().enumerate() {
                validate_route(&format!("{path}.{field}[{i}]"), pattern)?;
            }
        }
        for (i, pair) in self.pairs.iter().flatten().enumerate() {
            validate_pattern(&format!("{path}.pairs[{i}].source"), &pair.source)?;
            validate_pattern(&format!("{path}.pairs[{i}].destination"), &pair.destination)?;
        }
        Ok(())
    }
}

/// Refuses what can't be meant.
pub(super) fn validate(rules: &[RequestRule], stateless: bool) -> Result<(), ConfigError> {
    if rules.len() > MAX_REQUEST_RULES {
        return Err(ConfigError::refused(
            "rules",
            format!("{} rules", rules.len()),
            format!("at most {MAX_REQUEST_RULES}"),
        ));
    }
    let mut names = BTreeSet::new();
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("rules[{i}]");
        rule.validate(&path, stateless)?;
        if !names.insert(&rule.name) {
            return Err(refused(
                &format!("{path}.name"),
                &rule.name,
                "a name that no other rule has",
            ));
        }
    }
    Ok(())
}

pub(super) fn validate_pattern(path: &str, pattern: &Glob) -> Result<(), ConfigError> {
    let p = pattern.as_str();
    if p.is_empty() || p.len() > MAX_PATTERN {
        return Err(ConfigError::refused(
            path,
            format!("{p:?}"),
            format!("1 to {MAX_PATTERN} bytes"),
        ));
    }
    Ok(())
}

/// A pattern of routes fits one at least: what fits none switches its rule off, or holds all requests against it, without a word.
pub(super) fn validate_route(field: &str, pattern: &Glob) -> Result<(), ConfigError> {
    validate_pattern(field, pattern)?;
    let p = pattern.as_str();
    let refused = |allowed: &str| Err(refused(field, p, allowed));
    let is_method = |m: &str| {
        m.bytes()
            .all(|b| b.is_ascii_uppercase() || b"*-".contains(&b))
    };
    let no_route = r#"a method and a path, as in "GET /items/{id}" or "* /items*""#;
    let Some((method, path)) = p.split_once(' ') else {
        let before = p.split_once('*').map(|(before, _)| before);
        let fits = before.is_some_and(is_method) || [route::OTHER, route::UNROUTED].contains(&p);
        return if fits { Ok(()) } else { refused(no_route) };
    };
    if !is_method(method) || !path.starts_with(['/', '*']) {
        return refused(no_route);
    }
    // A segment that a star is part of can become anything.
    let whole = match path.split_once('*') {
        Some((before, _)) => before.rsplit_once('/').map_or("", |(whole, _)| whole),
        None => path,
    };
    let template = route::Template::of(method.as_bytes(), whole.as_bytes());
    let named = template.as_str();
    if whole.is_empty() || named == format!("{method} {whole}") {
        return Ok(());
    }
    refused(&format!("how routes are named, here {named:?}"))
}

pub(super) fn refused(path: &str, found: &str, allowed: &str) -> ConfigError {
    ConfigError::refused(path, format!("{found:?}"), allowed.to_owned())
}

fn allowed_fields(needed: &[&str], optional: &[&str]) -> String {
    let all: Vec<&str> = needed.iter().chain(optional).copied().collect();
    if all.is_empty() {
        "name, scope and severity only".to_owned()
    } else {
        format!("name, scope, severity, {}", all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn is_accepted(pattern: &str) -> bool {
        validate_route("routes[0]", &Glob::from(pattern)).is_ok()
    }

    #[test]
    fn a_pattern_that_no_route_fits_is_refused() {
        for pattern in [
            "/items",
            "/items*",
            "items",
            "get /items",
            "GET items",
            "GET /items/",
            "GET /items/4711",
            "* /items/4711/*",
            "GET",
        ] {
            assert!(!is_accepted(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_star_stands_for_any_part_of_a_route() {
        for pattern in [
            "*",
            "GET *",
            "* *",
            "* /items*",
            "GET /items/*",
            "*/items",
            "P* /items/{id}",
            "* /v1/it*/x",
        ] {
            assert!(is_accepted(pattern), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_its_route_can_be_named(method in "[A-Z]{1,20}", path in "(/[a-z0-9{}%. -]{0,30}){0,12}") {
            let template = route::Template::of(method.as_bytes(), path.as_bytes());
            prop_assert!(is_accepted(template.as_str()), "{}", template.as_str());
        }
    }
}
