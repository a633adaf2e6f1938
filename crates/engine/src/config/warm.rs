//! Where a proxy that starts with nothing gets a baseline from.

use super::sinks::{authority, check, visible};
use super::{ConfigError, Span, span_in_range};
use crate::base64;
use crate::table::fnv;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Bytes of a snapshot inside a configuration: each worker's VM holds a copy of the configuration, and control planes hand
/// it out whole. Some 500 pairs.
const MAX_INLINE: usize = 2 << 20;
/// How often is put back what was learned, where nothing is said: what a restart may cost of it.
const SAVE_EVERY: Span = Span::secs(600);
const TIMEOUT: Span = Span::secs(5);

/// A baseline to start with: a snapshot either in the configuration itself (`inline`) or in an HTTP store behind a cluster
/// (`cluster` and `path`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WarmStart {
    /// The snapshot itself, as base64: `base64 -w0` of what `pairwatch train` wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<Inline>,
    /// The Envoy cluster of the store, which answers GET with what was PUT. Under Istio
    /// `outbound|8080||store.monitoring.svc.cluster.local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub cluster: Option<String>,
    /// Where in the store: one place for each workload. `{node.id}` and `{node.cluster}` stand for the proxy's own; Istio's
    /// node cluster is `workload.namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 1024), regex(pattern = "^/"))
    )]
    pub path: Option<String>,
    /// The request's authority, where the cluster's name is none. Default: the host in the cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub authority: Option<String>,
    /// How often what was learned is put back there; `0s` never does. Default: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_every: Option<Span>,
    /// How long an answer is waited for. Default: `5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// The bytes of a snapshot. What they are is looked at when they are needed: an upgrade that does not know their version is
/// no reason to refuse a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Inline(Arc<[u8]>);

impl Inline {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Inline {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&base64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Inline {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Inline;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a snapshot as base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Inline, E> {
                base64::decode(text)
                    .map(|bytes| Inline(bytes.into()))
                    .map_err(|e| {
                        E::custom(format_args!(
                            "found {} characters that are no base64 ({e}), allowed is a snapshot as base64",
                            text.len()
                        ))
                    })
            }
        }
        d.deserialize_str(Text)
    }
}

#[cfg(feature = "schema")]
impl JsonSchema for Inline {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Inline".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A snapshot as base64.",
            "contentEncoding": "base64",
            "pattern": r"^[A-Za-z0-9+/\s]+[=\s]*$"
        })
    }
}

impl WarmStart {
    /// The request's authority: Istio's clusters end in `||host`.
    pub fn authority(&self) -> &str {
        let cluster = self.cluster.as_deref().unwrap_or_default();
        authority(cluster, self.authority.as_deref())
    }

    /// How often what was learned is put back; zero is never.
    pub fn save_every(&self) -> Span {
        self.save_every.unwrap_or(SAVE_EVERY)
    }

    /// How long an answer is waited for.
    pub fn timeout(&self) -> Span {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// A number that another baseline, or the same elsewhere, has not: tells whether it was taken in already.
    pub fn fingerprint(&self) -> u64 {
        let inline = self.inline.as_ref().map_or(&[][..], Inline::bytes);
        let texts = [&self.cluster, &self.path, &self.authority];
        let texts = texts.into_iter().flatten();
        // Zero stands between the parts: no text has one.
        let texts = texts.flat_map(|t| t.bytes().chain([0]));
        fnv(texts.chain(inline.iter().copied()))
    }

    /// Refuses what can't be meant.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let at = |field: &str| format!("learning.warm_start.{field}");
        let Some(inline) = &self.inline else {
            return self.validate_store();
        };
        let size = inline.0.len();
        check(
            size > 0 && size <= MAX_INLINE,
            &at("inline"),
            &format!("{size} bytes"),
            "a snapshot of 1 to 2097152 bytes; a larger one from a store",
        )?;
        let others = [
            ("cluster", self.cluster.is_some()),
            ("path", self.path.is_some()),
            ("authority", self.authority.is_some()),
            ("save_every", self.save_every.is_some()),
            ("timeout", self.timeout.is_some()),
        ];
        for (field, given) in others {
            check(
                !given,
                &at(field),
                "a store's field beside inline",
                "either inline, or a store's cluster and path",
            )?;
        }
        Ok(())
    }

    fn validate_store(&self) -> Result<(), ConfigError> {
        let at = |field: &str| format!("learning.warm_start.{field}");
        for (field, given) in [("cluster", &self.cluster), ("path", &self.path)] {
            check(
                given.is_some(),
                &at(field),
                "nothing",
                "either inline, or a store's cluster and path",
            )?;
        }
        let cluster = self.cluster.as_deref().unwrap_or_default();
        for (field, text) in [("cluster", cluster), ("authority", self.authority())] {
            check(
                !text.is_empty() && text.len() <= 253 && visible(text),
                &at(field),
                text,
                "1 to 253 visible ASCII characters",
            )?;
        }
        let path = self.path.as_deref().unwrap_or_default();
        check(
            path.starts_with('/') && path.len() <= 1024 && visible(path),
            &at("path"),
            path,
            "a path that begins with /, up to 1024 visible ASCII characters",
        )?;
        let rest = path.replace("{node.id}", "").replace("{node.cluster}", "");
        check(
            !rest.contains(['{', '}', '#']),
            &at("path"),
            path,
            "a path with no # and no braces but {node.id} and {node.cluster}",
        )?;
        if self.save_every() != Span::secs(0) {
            span_in_range(&at("save_every"), self.save_every(), 1, 86_400)?;
        }
        span_in_range(&at("timeout"), self.timeout(), 1, 60)
    }
}
