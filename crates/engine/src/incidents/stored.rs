//! Evidence as an incident's snapshot holds it.
//!
//! In an alert line what is unknown is absent. The snapshot's format has no names, so that what is left out there would put
//! all that follows out of place: here every field is written.

use crate::alerts::Evidence;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Fields = (
    String,
    String,
    Option<f64>,
    Option<f64>,
    Option<[f64; 2]>,
    f64,
);

pub(super) fn serialize<S: Serializer>(evidence: &[Evidence], s: S) -> Result<S::Ok, S::Error> {
    let fields: Vec<Fields> = evidence
        .iter()
        .map(|e| {
            (
                e.signal.clone(),
                e.unit.clone(),
                e.actual,
                e.typical,
                e.band,
                e.contribution,
            )
        })
        .collect();
    fields.serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Evidence>, D::Error> {
    let fields = Vec::<Fields>::deserialize(d)?;
    Ok(fields
        .into_iter()
        .map(
            |(signal, unit, actual, typical, band, contribution)| Evidence {
                signal,
                unit,
                actual,
                typical,
                band,
                contribution,
            },
        )
        .collect())
}
