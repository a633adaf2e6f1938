//! How Envoy writes property values, lists and maps.
//!
//! Numbers, durations and timestamps (nanoseconds) are eight bytes, little-endian; a bool is one byte; strings are raw.
//! A map is a u32 count, then for each entry the lengths of key and value as u32, then `key\0value\0` for each. A list is
//! a map whose keys are the elements and whose values are empty. Header maps are written the same way.

use std::time::Duration;

/// A property's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `response.code`, sizes, ports, flags.
    Int(i64),
    /// `connection.id`.
    Uint(u64),
    /// Written as its bits.
    Double(f64),
    /// `connection.mtls`.
    Bool(bool),
    /// Paths, hosts, addresses, principals.
    String(String),
    /// Raw bytes, or a message in protobuf's encoding.
    Bytes(Vec<u8>),
    /// `request.duration`.
    Duration(Duration),
    /// The answer to a list expression.
    List(Vec<Value>),
    /// A map with string keys.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// The bytes that the module gets.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Int(int) => int.to_le_bytes().to_vec(),
            Self::Uint(uint) => uint.to_le_bytes().to_vec(),
            Self::Double(double) => double.to_le_bytes().to_vec(),
            Self::Bool(bool) => vec![u8::from(*bool)],
            Self::String(string) => string.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Duration(duration) => i64::try_from(duration.as_nanos())
                .unwrap_or(i64::MAX)
                .to_le_bytes()
                .to_vec(),
            Self::List(list) => pairs(list.iter().map(|value| (value.encode(), Vec::new()))),
            Self::Map(map) => pairs(
                map.iter()
                    .map(|(key, value)| (key.as_bytes().to_vec(), value.encode())),
            ),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident $(($convert:expr))?),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant($($convert)?(value.into()))
            }
        }
    )*};
}
from!(i64 => Int, i32 => Int, u16 => Int, u64 => Uint, f64 => Double, bool => Bool, &str => String, String => String,
    &[u8] => Bytes, Vec<u8> => Bytes, Duration => Duration);

impl From<Vec<Value>> for Value {
    fn from(list: Vec<Value>) -> Self {
        Self::List(list)
    }
}

/// A map, as the host hands it over.
pub(crate) fn pairs<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    entries: impl Iterator<Item = (K, V)>,
) -> Vec<u8> {
    let entries: Vec<(K, V)> = entries.collect();
    let mut bytes = length(entries.len()).to_vec();
    for (key, value) in &entries {
        bytes.extend(length(key.as_ref().len()));
        bytes.extend(length(value.as_ref().len()));
    }
    for (key, value) in &entries {
        for part in [key.as_ref(), value.as_ref()] {
            bytes.extend(part);
            bytes.push(0);
        }
    }
    bytes
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// A map as the module hands it over. Bytes that aren't one give an empty map, as in Envoy.
pub(crate) fn parse_pairs(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    parse(bytes).unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (lengths, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut lengths = lengths.chunks_exact(4).map(|chunk| {
        chunk
            .try_into()
            .map_or(0, |chunk| u32::from_le_bytes(chunk) as usize)
    });
    let mut part = || -> Option<Vec<u8>> {
        let (part, after) = rest.split_at_checked(lengths.next()?)?;
        rest = after.split_first()?.1;
        Some(part.to_vec())
    };
    (0..count).map(|_| Some((part()?, part()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `expr_evaluate` of `[response.code, request.duration, request.path, 'a']` returned on Envoy 1.40.0.
    const FROM_ENVOY: &[u8] = &[
        4, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0,
        0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 126, 149, 29, 0, 0, 0, 0, 0, 0, 0, 47,
        97, 98, 99, 0, 0, 97, 0, 0,
    ];

    #[test]
    fn a_list_is_written_as_envoy_writes_it() {
        let list = vec![
            200.into(),
            Duration::from_nanos(1_938_814).into(),
            "/abc".into(),
            "a".into(),
        ];
        assert_eq!(Value::List(list).encode(), FROM_ENVOY);
    }

    #[test]
    fn a_map_is_written_as_envoy_writes_it() {
        let map = Value::Map(vec![("a".to_owned(), 1.into())]);
        let from_envoy = [
            1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 97, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(map.encode(), from_envoy);
        assert_eq!(Value::List(Vec::new()).encode(), [0, 0, 0, 0]);
    }

    #[test]
    fn pairs_read_back_as_written() {
        let headers = vec![
            (b":path".to_vec(), b"/".to_vec()),
            (b"x".to_vec(), Vec::new()),
        ];
        assert_eq!(parse_pairs(&pairs(headers.iter().cloned())), headers);
    }

    #[test]
    fn bytes_that_are_no_map_give_an_empty_one() {
        for bytes in [
            &[][..],
            &[1, 0],
            &[255; 4],
            &[1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 1],
        ] {
            assert_eq!(parse_pairs(bytes), [], "{bytes:?}");
        }
    }
}
