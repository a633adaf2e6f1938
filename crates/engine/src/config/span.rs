//! A length of time as people write it: `"10s"`, `"1h 30m"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::time::Duration;

/// A length of time, written as numbers with units: `"500ms"`, `"10s"`, `"5m"`, `"1h 30m"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// So many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Of the standard library's duration.
    pub const fn of(duration: Duration) -> Self {
        Self(duration)
    }

    /// As the standard library's duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In whole milliseconds.
    pub fn millis(self) -> u64 {
        crate::time::millis(self.0)
    }
}

/// In the largest unit that leaves no fraction, as a person would write it: `90d`, not months and days.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1000, "s"),
        ];
        let millis = self.millis();
        let unit = UNITS.iter().find(|(size, _)| millis.is_multiple_of(*size));
        match unit.and_then(|(size, name)| Some((millis.checked_div(*size)?, name))) {
            Some((count, name)) if millis > 0 => write!(f, "{count}{name}"),
            _ => write!(f, "{millis}ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span such as \"10s\", \"5m\" or \"24h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                humantime::parse_duration(text)
                    .map(Span)
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_str(Text)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: numbers with units ms, s, m, h, d.",
            "pattern": r"^\s*(\d+\s*(ms|millis|s|sec|secs|seconds?|m|min|mins|minutes?|h|hr|hrs|hours?|d|days?)\s*)+$",
            "examples": ["10s", "5m", "24h"]
        })
    }
}
