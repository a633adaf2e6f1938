//! Which key of a JSON line says what.
//!
//! The defaults are the keys of Istio's own JSON access log, with `downstream_peer`, `user`, `grpc_status` and
//! `destination_version` beside them. `--field NAME=KEY` maps another: the key then is looked for in place of the default. A key with dots
//! (`http.request.method`) is found both as it stands and nested.

use std::str::FromStr;

/// Something a line can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// When the request began.
    Time,
    /// Who called.
    Source,
    /// Cluster or name of what was called.
    Destination,
    /// HTTP method.
    Method,
    /// Path.
    Path,
    /// HTTP status.
    Status,
    /// gRPC status, by number or name.
    GrpcStatus,
    /// Body bytes from the caller.
    RequestBytes,
    /// Body bytes to the caller.
    ResponseBytes,
    /// How long it took.
    Duration,
    /// The user or service it speaks for.
    Identity,
    /// The addresses it was forwarded for.
    ForwardedFor,
    /// The peer's address.
    RemoteAddress,
    /// The version of what was called.
    Version,
}

/// How many there are.
pub const SLOTS: usize = 14;

/// Slot, its name on the command line, its default key. In the order of [`Slot`].
const NAMES: [(Slot, &str, &str); SLOTS] = [
    (Slot::Time, "time", "start_time"),
    (Slot::Source, "source", "downstream_peer"),
    (Slot::Destination, "destination", "upstream_cluster"),
    (Slot::Method, "method", "method"),
    (Slot::Path, "path", "path"),
    (Slot::Status, "status", "response_code"),
    (Slot::GrpcStatus, "grpc_status", "grpc_status"),
    (Slot::RequestBytes, "request_bytes", "bytes_received"),
    (Slot::ResponseBytes, "response_bytes", "bytes_sent"),
    (Slot::Duration, "duration", "duration"),
    (Slot::Identity, "identity", "user"),
    (Slot::ForwardedFor, "forwarded_for", "x_forwarded_for"),
    (
        Slot::RemoteAddress,
        "remote_address",
        "downstream_remote_address",
    ),
    (Slot::Version, "version", "destination_version"),
];

impl Slot {
    /// Its place in a list of all.
    pub fn place(self) -> usize {
        self as usize
    }

    /// The key it has in Istio's access log; faults are told by it.
    pub fn key(self) -> &'static str {
        NAMES.get(self.place()).map_or("", |(_, _, key)| key)
    }
}

/// `NAME=KEY`, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    slot: Slot,
    key: String,
    /// Microseconds in one, where the slot is a duration.
    unit_us: u64,
}

impl FromStr for Mapping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, key) = text
            .split_once('=')
            .filter(|(_, key)| !key.is_empty())
            .ok_or("expected NAME=KEY, for example source=client_id")?;
        let (base, unit_us) = match name {
            "duration_s" => ("duration", 1_000_000),
            "duration_us" => ("duration", 1),
            other => (other, MILLISECOND_US),
        };
        let slot = NAMES.iter().find(|(_, n, _)| *n == base);
        let &(slot, ..) = slot.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(_, n, _)| *n).collect();
            format!(
                "no field {name:?}; there are {}, duration_s, duration_us",
                names.join(", ")
            )
        })?;
        Ok(Self {
            slot,
            key: key.to_owned(),
            unit_us,
        })
    }
}

/// Access logs give durations in milliseconds unless mapped otherwise.
const MILLISECOND_US: u64 = 1000;

/// Keys to slots.
#[derive(Clone, Debug)]
pub struct FieldMap {
    /// By the key's length, because most keys of a line are wanted by nobody and differ in length already.
    by_length: Vec<Vec<(Box<str>, Slot)>>,
    unit_us: u64,
}

impl FieldMap {
    /// The defaults, with these in place of some of them.
    pub fn new(mappings: &[Mapping]) -> Self {
        let mut map = Self {
            by_length: Vec::new(),
            unit_us: MILLISECOND_US,
        };
        for (slot, _, default) in NAMES {
            let mut keys = mappings.iter().filter(|m| m.slot == slot).peekable();
            if keys.peek().is_none() {
                map.add(default, slot);
            }
            for mapping in keys {
                map.add(&mapping.key, slot);
                if slot == Slot::Duration {
                    map.unit_us = mapping.unit_us;
                }
            }
        }
        map
    }

    fn add(&mut self, key: &str, slot: Slot) {
        let length = key.len();
        if self.by_length.len() <= length {
            self.by_length.resize(length.saturating_add(1), Vec::new());
        }
        if let Some(keys) = self.by_length.get_mut(length) {
            keys.push((key.into(), slot));
        }
    }

    /// What a key says, if anything that is wanted.
    pub fn slot(&self, key: &str) -> Option<Slot> {
        let keys = self.by_length.get(key.len())?;
        keys.iter()
            .find(|(k, _)| **k == *key)
            .map(|(_, slot)| *slot)
    }

    /// Microseconds in one of the log's units of duration.
    pub fn unit_us(&self) -> u64 {
        self.unit_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_stands_at_its_place() {
        for (place, (slot, ..)) in NAMES.iter().enumerate() {
            assert_eq!(slot.place(), place);
        }
    }

    #[test]
    fn a_mapped_key_takes_the_place_of_the_default() {
        let map = FieldMap::new(&["source=client.id".parse().unwrap()]);
        assert_eq!(map.slot("client.id"), Some(Slot::Source));
        assert_eq!(map.slot("downstream_peer"), None);
        assert_eq!(map.slot("upstream_cluster"), Some(Slot::Destination));
    }

    #[test]
    fn a_mapping_nobody_knows_is_refused_with_those_there_are() {
        let said = "sauce=x".parse::<Mapping>().unwrap_err();
        assert!(said.contains("sauce") && said.contains("source"), "{said}");
        assert!("source=".parse::<Mapping>().is_err());
    }
}
