//! What the tests in the counting host share.

use pairwatch_wasm_host::{Exchange, Value};

/// Evaluates the module's two expressions as Envoy would, out of the exchange's properties and headers.
pub(crate) fn evaluate(expression: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    let property = |path: [&str; 2]| exchange.get(path).unwrap_or_default().to_vec();
    if expression.contains("grpc_status") {
        return Some((-1i64).to_le_bytes().to_vec());
    }
    let texts: Vec<Vec<u8>> = if expression.contains("uri_san_peer_certificate") {
        vec![Vec::new(), Vec::new(), 0i64.to_le_bytes().to_vec()]
    } else {
        let header = |name: &str| {
            let found = exchange
                .request_headers
                .iter()
                .find(|(n, _)| n == name.as_bytes());
            found.map(|(_, v)| v.clone()).unwrap_or_default()
        };
        vec![
            property(["connection", "id"]),
            property(["request", "method"]),
            property(["request", "path"]),
            property(["response", "code"]),
            0i64.to_le_bytes().to_vec(),
            property(["response", "size"]),
            property(["request", "duration"]),
            property(["xds", "cluster_name"]),
            header("x-source"),
        ]
    };
    Some(Value::List(texts.into_iter().map(Value::Bytes).collect()).encode())
}
