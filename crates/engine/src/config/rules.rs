//! Rules that hide alerts: suppressions and maintenance.
//!
//! A *suppression* says that something is known and not worth a line: for a scope, for a reason, and until a day on which
//! somebody looks again. A rule without an end is how real attacks stay unseen for years, so there is none.
//!
//! *Maintenance* says that a scope will behave oddly between two times. Its alerts are hidden too, and what it shows
//! is learned at reduced weight: a load test must not become what is usual.
//!
//! Nothing hidden is lost: it is judged, grouped and counted as ever, per rule, and can be listed.

use super::{ConfigError, Glob, Moment};
use crate::Time;
use crate::alerts::Kind;
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Rules of either sort: more than a person keeps in mind, and all are looked at for each alert.
pub const MAX_RULES: usize = 100;
/// Bytes of a reason: a sentence and a link.
const MAX_REASON: usize = 200;
/// Bytes of a pattern, as of a name.
const MAX_PATTERN: usize = crate::exchange::principal::MAX_NAME;

/// Alerts that are known and not worth a line, until somebody looks again. At least one of source, destination, kind and
/// identity; those given must all match.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// Who calls, as in the alert; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// What is called, as in the alert; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Glob>,
    /// Kind of alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The identity an alert is about, where it is about one; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Glob>,
    /// Why, for whoever finds it in a year.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200)))]
    pub reason: String,
    /// When it ends.
    pub until: Moment,
}

/// A time in which a scope behaves oddly and nobody wants to hear of it: alerts are hidden, and what is seen is learned
/// at reduced weight. Without source and destination it is for everything.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Who calls, as in the alert; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Glob>,
    /// What is called, as in the alert; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Glob>,
    /// When it begins.
    pub from: Moment,
    /// When it ends.
    pub until: Moment,
    /// What is done.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 200)))]
    pub reason: String,
}

/// What a rule is held against.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Who called.
    pub source: &'a str,
    /// What was called.
    pub destination: &'a str,
    /// What it looks like.
    pub kind: Kind,
    /// Whose requests, where that is known.
    pub identity: Option<&'a str>,
    /// When it began.
    pub since: Time,
}

/// A rule of either sort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule<'a> {
    /// See [`Suppression`].
    Suppression(&'a Suppression),
    /// See [`Maintenance`].
    Maintenance(&'a Maintenance),
}

impl Suppression {
    fn hides(&self, about: &About<'_>, now: Time) -> bool {
        now < self.until.0
            && self.kind.is_none_or(|k| k == about.kind)
            && Glob::fits(self.source.as_ref(), Some(about.source))
            && Glob::fits(self.destination.as_ref(), Some(about.destination))
            && Glob::fits(self.identity.as_ref(), about.identity)
    }

    pub(super) fn validate(&self, path: &str) -> Result<(), ConfigError> {
        let names = [&self.source, &self.destination, &self.identity];
        validate_patterns(path, &self.source, &self.destination)?;
        validate_pattern(path, "identity", self.identity.as_ref())?;
        validate_reason(path, &self.reason)?;
        let narrow = names.into_iter().flatten().any(|p| !p.is_everything());
        if self.kind.is_none() && !narrow {
            return Err(ConfigError::refused(
                path,
                "a scope of everything".to_owned(),
                "at least one of source, destination, kind, identity, other than \"*\"".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Maintenance {
    /// Whether a pair is in its scope.
    pub fn covers(&self, source: &str, destination: &str) -> bool {
        Glob::fits(self.source.as_ref(), Some(source))
            && Glob::fits(self.destination.as_ref(), Some(destination))
    }

    /// Whether it is on at any time from `since` to `until`.
    pub fn is_between(&self, since: Time, until: Time) -> bool {
        self.from.0 <= until && since < self.until.0
    }

    pub(super) fn validate(&self, path: &str) -> Result<(), ConfigError> {
        validate_patterns(path, &self.source, &self.destination)?;
        validate_reason(path, &self.reason)?;
        if self.until <= self.from {
            return Err(ConfigError::refused(
                &format!("{path}.until"),
                self.until.to_string(),
                format!("a time after {}", self.from),
            ));
        }
        Ok(())
    }
}

impl<'a> Rule<'a> {
    /// Whether it hides something. Maintenance hides what began in it, even if its last window ends a little later.
    pub fn hides(self, about: &About<'_>, now: Time) -> bool {
        match self {
            Self::Suppression(s) => s.hides(about, now),
            Self::Maintenance(m) => {
                m.covers(about.source, about.destination) && m.is_between(about.since, now)
            }
        }
    }

    /// Why.
    pub fn reason(self) -> &'a str {
        match self {
            Self::Suppression(s) => &s.reason,
            Self::Maintenance(m) => &m.reason,
        }
    }

    /// When it ends.
    pub fn until(self) -> Time {
        match self {
            Self::Suppression(s) => s.until.0,
            Self::Maintenance(m) => m.until.0,
        }
    }

    /// The rule as JSON: what it is known by where only text is kept.
    pub fn text(self) -> String {
        // Strings only: writing them can't fail.
        serde_json::to_string(&self).unwrap_or_default()
    }
}

fn validate_patterns(
    path: &str,
    source: &Option<Glob>,
    destination: &Option<Glob>,
) -> Result<(), ConfigError> {
    validate_pattern(path, "source", source.as_ref())?;
    validate_pattern(path, "destination", destination.as_ref())
}

fn validate_pattern(path: &str, field: &str, pattern: Option<&Glob>) -> Result<(), ConfigError> {
    match pattern.map(Glob::as_str) {
        Some(p) if p.is_empty() || p.len() > MAX_PATTERN => Err(ConfigError::refused(
            &format!("{path}.{field}"),
            format!("{p:?}"),
            format!("1 to {MAX_PATTERN} bytes"),
        )),
        _ => Ok(()),
    }
}

fn validate_reason(path: &str, reason: &str) -> Result<(), ConfigError> {
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(ConfigError::refused(
            &format!("{path}.reason"),
            format!("{reason:?}"),
            format!("1 to {MAX_REASON} bytes that say why"),
        ));
    }
    Ok(())
}
