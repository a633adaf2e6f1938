//! Where a verified token's subject is found.

/// Where Envoy's jwt_authn filter leaves a verified subject.
pub(crate) const CLAIM: [&str; 5] = [
    "metadata",
    "filter_metadata",
    "envoy.filters.http.jwt_authn",
    "payload",
    "sub",
];
