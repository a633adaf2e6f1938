//! A point in time as people write it: `"2026-11-21T09:30:00Z"`.

use crate::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A point in time, written as RFC 3339: `"2026-11-21T09:30:00Z"`, `"2026-11-21T10:30:00+01:00"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Time);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.rfc3339())
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"2026-11-21T09:30:00Z\" (RFC 3339)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                Time::parse(text)
                    .map(Moment)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(Text)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "A point in time, RFC 3339.",
            "examples": ["2026-11-21T09:30:00Z"]
        })
    }
}
