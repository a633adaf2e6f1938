//! Who a request speaks for, and how much of that is written down.
//!
//! All of it is off until it is configured, and then costs no further call to the host: it is read with the rest.

use super::{ConfigError, Network};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

#[cfg(feature = "schema")]
use schemars::JsonSchema;

/// Steps into a claim at most: deeper tokens are not made.
const MAX_STEPS: usize = 8;
/// Bytes of a step of a claim, or of a metadata key.
const MAX_STEP: usize = 128;
/// Bytes of a key for pseudonyms at least: of random letters and digits these are 95 bits.
const MIN_KEY: usize = 16;
const MAX_KEY: usize = 256;
/// Named networks at most: each request from elsewhere is held against all.
pub const MAX_NAMED_NETWORKS: usize = 64;

/// Who a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// The claim of a token that Envoy's `jwt_authn` filter verified which names the user: `"sub"`, nested as
    /// `"realm_access.sub"`, or a list of steps where a step has dots: `["https://example.com/user"]`. Only text counts.
    pub claim: Option<Claim>,
    /// The key under which `jwt_authn` puts the verified claims (its `payload_in_metadata`; Istio's is `payload`).
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 128)))]
    pub payload: String,
    /// A request header that names the user where no verified claim does. Only for a proxy behind something that sets it,
    /// or takes it away from clients: anyone who can set it can be anyone.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))
    )]
    pub trusted_user_header: Option<String>,
    /// Whether client addresses are looked at, as Envoy's connection manager finds them. Where nothing is said the proxy does not;
    /// the command does, in a log that has them.
    pub addresses: Option<bool>,
    /// What alerts and logs show of a user.
    pub privacy: Privacy,
    /// What pseudonyms are made with: the same key on all proxies gives a user the same pseudonym on all, for as long as it
    /// stays. Without one each proxy draws its own when it starts. A secret: who has it can try names.
    #[cfg_attr(feature = "schema", schemars(length(min = 16, max = 256)))]
    pub key: Option<String>,
}

/// What alerts and logs show of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// The name as the token or header has it.
    Plain,
    /// A pseudonym: the same for the same user, and nobody's name.
    #[default]
    Hash,
    /// Nothing: habits are learned under pseudonyms, and alerts don't say whose.
    Drop,
}

/// A name for who comes from a network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedNetwork {
    /// The network, or one address.
    pub network: Network,
    /// What a source there is called.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub name: String,
}

/// The way to a claim: one step or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(Vec<String>);

impl Claim {
    /// Its steps, outermost first. They hold nothing that an expression would have to quote.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    fn new(steps: Vec<String>) -> Result<Self, String> {
        if (1..=MAX_STEPS).contains(&steps.len()) && steps.iter().all(|s| is_plain(s)) {
            return Ok(Self(steps));
        }
        Err(format!(
            "found {steps:?}, allowed is a claim such as \"sub\" or \"realm_access.sub\", or a list of its steps: 1 to \
             {MAX_STEPS}, each 1 to {MAX_STEP} printable ASCII characters without quotes and backslashes"
        ))
    }
}

/// Whether a text can stand in an expression's quotes as it is.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && !matches!(b, b'\'' | b'"' | b'\\');
    (1..=MAX_STEP).contains(&text.len()) && text.bytes().all(plain)
}

impl<'de> Deserialize<'de> for Claim {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Steps;
        impl<'de> Visitor<'de> for Steps {
            type Value = Claim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claim such as \"sub\", or a list of its steps")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Claim, E> {
                Claim::new(text.split('.').map(str::to_owned).collect()).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Claim, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = list.next_element()? {
                    steps.push(step);
                }
                Claim::new(steps).map_err(de::Error::custom)
            }
        }
        d.deserialize_any(Steps)
    }
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

#[cfg(feature = "schema")]
impl JsonSchema for Claim {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Claim".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let step = r#"^[ -~]*$"#;
        schemars::json_schema!({
            "description": "The way to a claim: its steps with dots between them, or a list of them.",
            "anyOf": [
                {"type": "string", "minLength": 1, "pattern": step},
                {"type": "array", "minItems": 1, "maxItems": MAX_STEPS,
                 "items": {"type": "string", "minLength": 1, "maxLength": MAX_STEP, "pattern": step}}
            ],
            "examples": ["sub", "realm_access.sub", ["https://example.com/user"]]
        })
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            claim: None,
            payload: "payload".to_owned(),
            trusted_user_header: None,
            addresses: None,
            privacy: Privacy::Hash,
            key: None,
        }
    }
}

impl Identity {
    /// Whether users are read at all.
    pub fn has_users(&self) -> bool {
        self.claim.is_some() || self.trusted_user_header.is_some()
    }

    /// Whether client addresses are looked at.
    pub fn has_addresses(&self) -> bool {
        self.addresses.unwrap_or(false)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !is_plain(&self.payload) {
            return Err(ConfigError::refused(
                "identity.payload",
                format!("{:?}", self.payload),
                format!(
                    "1 to {MAX_STEP} printable ASCII characters without quotes and backslashes"
                ),
            ));
        }
        header(
            "identity.trusted_user_header",
            self.trusted_user_header.as_deref(),
        )?;
        match self.key.as_deref().map(str::len) {
            // The key itself is nothing to be written to a log.
            Some(n) if !(MIN_KEY..=MAX_KEY).contains(&n) => Err(ConfigError::refused(
                "identity.key",
                format!("{n} bytes"),
                format!("{MIN_KEY} to {MAX_KEY} bytes"),
            )),
            _ => Ok(()),
        }
    }
}

/// Refuses what is no name of a header.
pub(super) fn header(path: &str, name: Option<&str>) -> Result<(), ConfigError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match name {
        Some(h) if h.is_empty() || h.len() > 64 || !h.bytes().all(token) => {
            Err(ConfigError::refused(
                path,
                format!("{h:?}"),
                "a header's name: 1 to 64 letters, digits, - and _".to_owned(),
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn networks(path: &str, named: &[NamedNetwork]) -> Result<(), ConfigError> {
    if named.len() > MAX_NAMED_NETWORKS {
        return Err(ConfigError::refused(
            path,
            format!("{} networks", named.len()),
            format!("at most {MAX_NAMED_NETWORKS}"),
        ));
    }
    for (i, network) in named.iter().enumerate() {
        let name = &network.name;
        if name.is_empty() || name.len() > 253 || !name.is_ascii() {
            return Err(ConfigError::refused(
                &format!("{path}[{i}].name"),
                format!("{name:?}"),
                "1 to 253 ASCII characters".to_owned(),
            ));
        }
    }
    Ok(())
}
