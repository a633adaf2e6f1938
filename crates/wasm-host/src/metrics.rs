//! Metrics: ids belong to a VM, values to the whole host.

use std::collections::BTreeMap;

use crate::guest::Status;

/// The low bits of an id are the metric's kind, and the rest counts up for each kind, from one.
const KIND_BITS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

impl Kind {
    pub(crate) fn from_abi(kind: u32) -> Result<Self, Status> {
        [Self::Counter, Self::Gauge, Self::Histogram]
            .into_iter()
            .find(|known| *known as u32 == kind)
            .ok_or(Status::BadArgument)
    }
}

/// One VM's ids. Defining a name again gives a new id for the same value.
#[derive(Debug, Default)]
pub(crate) struct Ids(BTreeMap<u32, (Kind, Vec<u8>)>);

impl Ids {
    pub(crate) fn define(&mut self, kind: Kind, name: Vec<u8>) -> u32 {
        let defined = self.0.values().filter(|(other, _)| *other == kind).count();
        let number = u32::try_from(defined).unwrap_or(u32::MAX).saturating_add(1);
        let id = number.wrapping_shl(KIND_BITS) | kind as u32;
        self.0.insert(id, (kind, name));
        id
    }

    pub(crate) fn get(&self, id: u32) -> Result<&(Kind, Vec<u8>), Status> {
        self.0.get(&id).ok_or(Status::NotFound)
    }
}

/// The host's values, by kind and name. A counter and a gauge of one name are two metrics.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: BTreeMap<(Kind, Vec<u8>), u64>,
    recorded: BTreeMap<Vec<u8>, Vec<u64>>,
}

impl Metrics {
    pub(crate) fn define(&mut self, kind: Kind, name: &[u8]) {
        self.values.entry((kind, name.to_vec())).or_default();
    }

    pub(crate) fn increment(&mut self, kind: Kind, name: &[u8], by: i64) -> Result<(), Status> {
        if kind == Kind::Histogram || (kind == Kind::Counter && by <= 0) {
            return Err(Status::BadArgument);
        }
        let value = self.values.entry((kind, name.to_vec())).or_default();
        *value = value.wrapping_add_signed(by); // A gauge below zero wraps, as in Envoy.
        Ok(())
    }

    pub(crate) fn record(&mut self, kind: Kind, name: &[u8], recorded: u64) {
        let value = self.values.entry((kind, name.to_vec())).or_default();
        match kind {
            Kind::Counter => *value = value.wrapping_add(recorded),
            Kind::Gauge => *value = recorded,
            Kind::Histogram => self
                .recorded
                .entry(name.to_vec())
                .or_default()
                .push(recorded),
        }
    }

    pub(crate) fn value(&self, kind: Kind, name: &[u8]) -> Result<u64, Status> {
        if kind == Kind::Histogram {
            return Err(Status::BadArgument);
        }
        self.values
            .get(&(kind, name.to_vec()))
            .copied()
            .ok_or(Status::NotFound)
    }

    pub(crate) fn recorded(&self, name: &[u8]) -> &[u64] {
        self.recorded.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.values.keys().map(|(_, name)| name.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_that_envoy_gives() {
        let mut ids = Ids::default();
        let kinds = [
            Kind::Counter,
            Kind::Gauge,
            Kind::Histogram,
            Kind::Counter,
            Kind::Counter,
        ];
        let given = kinds.map(|kind| ids.define(kind, b"same".to_vec()));
        assert_eq!(given, [4, 5, 6, 8, 12]);
    }

    #[test]
    fn a_counter_only_goes_up_and_a_gauge_wraps() {
        let mut metrics = Metrics::default();
        assert_eq!(
            metrics.increment(Kind::Counter, b"c", 0),
            Err(Status::BadArgument)
        );
        assert_eq!(
            metrics.increment(Kind::Counter, b"c", -1),
            Err(Status::BadArgument)
        );
        metrics.increment(Kind::Gauge, b"g", -2).unwrap();
        assert_eq!(
            metrics.value(Kind::Gauge, b"g"),
            Ok(18_446_744_073_709_551_614)
        );
    }
}
