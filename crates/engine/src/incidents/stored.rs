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

pub(super) fn serialize<S: Serializer>(
    evidence: &[(Evidence, f64)],
    s: S,
) -> Result<S::Ok, S::Error> {
    let fields: Vec<(Fields, f64)> = evidence
        .iter()
        .map(|(e, weight)| {
            let fields = (
                e.signal.clone(),
                e.unit.clone(),
                e.actual,
                e.typical,
                e.band,
                e.contribution,
            );
            (fields, *weight)
        })
        .collect();
    fields.serialize(s)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Vec<(Evidence, f64)>, D::Error> {
    let fields = Vec::<(Fields, f64)>::deserialize(d)?;
    let evidence = fields.into_iter().map(|(fields, weight)| {
        let (signal, unit, actual, typical, band, contribution) = fields;
        let evidence = Evidence {
            signal,
            unit,
            actual,
            typical,
            band,
            contribution,
        };
        (evidence, weight)
    });
    Ok(evidence.collect())
}
