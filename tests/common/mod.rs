//! What the tests in the counting host share.

use pairwatch_wasm_host::{Exchange, Value};

/// Evaluates the module's expressions as Envoy would, out of the exchange's properties and headers.
pub(crate) fn evaluate(expression: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    let property = |path: [&str; 2]| exchange.get(path).unwrap_or_default().to_vec();
    if expression.contains("grpc_status") {
        return Some((-1i64).to_le_bytes().to_vec());
    }
    let header = |name: &str| {
        let found = exchange
            .request_headers
            .iter()
            .find(|(n, _)| n == name.as_bytes());
        found.map(|(_, v)| v.clone()).unwrap_or_default()
    };
    // By the request's headers no more is known.
    let early = expression.contains("x-pairwatch-score");
    let answer = |path| {
        if early {
            0i64.to_le_bytes().to_vec()
        } else {
            property(path)
        }
    };
    let mut texts: Vec<Vec<u8>> = if expression.contains("uri_san_peer_certificate") {
        vec![Vec::new(), Vec::new(), 0i64.to_le_bytes().to_vec()]
    } else {
        vec![
            property(["connection", "id"]),
            property(["request", "method"]),
            property(["request", "path"]),
            answer(["response", "code"]),
            property(["request", "size"]),
            answer(["response", "size"]),
            answer(["request", "duration"]),
            property(["xds", "cluster_name"]),
        ]
    };
    if expression.contains("x-source") {
        texts.push(header("x-source"));
    }
    if early {
        texts.push(vec![u8::from(!header("x-pairwatch-score").is_empty())]);
    }
    Some(Value::List(texts.into_iter().map(Value::Bytes).collect()).encode())
}
