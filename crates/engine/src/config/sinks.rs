//! Where alerts are sent, beside the log.

use super::{ConfigError, Span, in_range, span_in_range};
use crate::alerts::Severity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// More receivers than this are a fan-out that belongs behind one of them; each costs its own metrics.
pub const MAX_SINKS: usize = 8;
/// Headers of one sink: authority and authorisation, and what a gateway before the receiver wants.
const MAX_HEADERS: usize = 16;

/// One receiver of alerts.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// What receives: decides the default path and what is sent.
    #[serde(rename = "type")]
    pub kind: SinkKind,
    /// The Envoy cluster it is reached by. Under Istio `outbound|9093||alertmanager.monitoring.svc.cluster.local`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub cluster: String,
    /// Its name in metrics and messages. Default: its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9_-]+$"))
    )]
    pub name: Option<String>,
    /// Path and query of its API. Default: `/api/v2/alerts` for an Alertmanager, `/v1/logs` for OTLP, `/` for a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 1024), regex(pattern = "^/"))
    )]
    pub path: Option<String>,
    /// The request's authority, where the cluster's name is none. Default: the host in the cluster's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub authority: Option<String>,
    /// Further headers, such as `authorization`. They stand in the proxy's configuration for all to read who may read it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What a webhook is sent: Pairwatch's own alerts, or OCSF detection findings.
    #[serde(default)]
    pub format: SinkFormat,
    /// Alerts below this are not sent there.
    #[serde(default = "low")]
    pub min_severity: Severity,
    /// Alerts a minute that it is sent at most; how many more there were is told in a summary.
    #[serde(default = "thirty")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 6000)))]
    pub per_minute: u32,
    /// How long an answer is waited for.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
}

/// What receives alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// A Prometheus Alertmanager, API version 2.
    Alertmanager,
    /// Anything that takes JSON by POST.
    Webhook,
    /// An OpenTelemetry collector: logs over HTTP, as JSON.
    Otlp,
}

/// What a webhook is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SinkFormat {
    /// Alerts with the fields of the log's lines.
    #[default]
    Pairwatch,
    /// Detection Findings of the Open Cybersecurity Schema Framework.
    Ocsf,
}

fn low() -> Severity {
    Severity::Low
}

fn thirty() -> u32 {
    30
}

fn five_seconds() -> Span {
    Span::secs(5)
}

impl SinkKind {
    /// As written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Webhook => "webhook",
            Self::Otlp => "otlp",
        }
    }
}

impl Sink {
    /// Its name in metrics and messages.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }

    /// Path and query of its API.
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(match self.kind {
            SinkKind::Alertmanager => "/api/v2/alerts",
            SinkKind::Webhook => "/",
            SinkKind::Otlp => "/v1/logs",
        })
    }

    /// The authority its requests are for: Istio's clusters end in `||host`.
    pub fn authority(&self) -> &str {
        authority(&self.cluster, self.authority.as_deref())
    }
}

/// The authority of requests to a cluster, where none is given.
pub(super) fn authority<'a>(cluster: &'a str, given: Option<&'a str>) -> &'a str {
    given
        .or_else(|| cluster.rsplit("||").next().filter(|h| !h.is_empty()))
        .unwrap_or(cluster)
}

/// Whether a text is of visible ASCII characters.
pub(super) fn visible(text: &str) -> bool {
    text.bytes().all(|b| (0x21..=0x7E).contains(&b))
}

/// Refuses what can't be meant.
pub(super) fn validate(sinks: &[Sink]) -> Result<(), ConfigError> {
    if sinks.len() > MAX_SINKS {
        return Err(ConfigError::refused(
            "sinks",
            format!("{} sinks", sinks.len()),
            format!("up to {MAX_SINKS}"),
        ));
    }
    let mut names = BTreeSet::new();
    for (i, sink) in sinks.iter().enumerate() {
        let at = |field: &str| format!("sinks[{i}].{field}");
        let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let name = sink.name();
        check(
            name.len() <= 32 && !name.is_empty() && name.bytes().all(named),
            &at("name"),
            name,
            "1 to 32 of a-z, 0-9, - and _",
        )?;
        check(
            names.insert(name),
            &at("name"),
            name,
            "a name that no other sink has",
        )?;
        let texts = [("cluster", &*sink.cluster), ("authority", sink.authority())];
        for (field, text) in texts {
            check(
                !text.is_empty() && text.len() <= 253 && visible(text),
                &at(field),
                text,
                "1 to 253 visible ASCII characters",
            )?;
        }
        let path = sink.path();
        check(
            path.starts_with('/') && path.len() <= 1024 && visible(path),
            &at("path"),
            path,
            "a path that begins with /, up to 1024 visible ASCII characters",
        )?;
        check(
            sink.format == SinkFormat::Pairwatch || sink.kind == SinkKind::Webhook,
            &at("format"),
            "ocsf",
            "ocsf for a webhook only",
        )?;
        check(
            sink.headers.len() <= MAX_HEADERS,
            &at("headers"),
            &format!("{} headers", sink.headers.len()),
            "up to 16",
        )?;
        for (header, value) in &sink.headers {
            // The path names the header; its value may be a secret, and is not told.
            let path = at(&format!("headers.{header}"));
            check(
                !header.is_empty() && header.len() <= 64 && header.bytes().all(named),
                &path,
                header,
                "a header's name in lower case: a-z, 0-9, - and _",
            )?;
            let fit = value.len() <= 4096 && value.bytes().all(|b| (0x20..=0x7E).contains(&b));
            check(
                fit,
                &path,
                "a value that can't be sent",
                "up to 4096 printable ASCII characters",
            )?;
        }
        in_range(&at("per_minute"), sink.per_minute, 1, 6000)?;
        span_in_range(&at("timeout"), sink.timeout, 1, 60)?;
    }
    Ok(())
}

pub(super) fn check(fit: bool, path: &str, found: &str, allowed: &str) -> Result<(), ConfigError> {
    if fit {
        return Ok(());
    }
    Err(ConfigError::refused(
        path,
        format!("{found:?}"),
        allowed.to_owned(),
    ))
}
