//! What the tests in the counting host share: the module's expressions, evaluated as Envoy would.

use pairwatch_wasm_host::{Exchange, Value};

/// Evaluates an expression of the module out of the exchange's properties and headers: a list of elements, or one element. As
/// much of CEL as the module uses, told apart by what an element reads.
pub(crate) fn evaluate(expression: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    let Some(list) = expression
        .strip_prefix('[')
        .and_then(|e| e.strip_suffix(']'))
    else {
        return element(expression, exchange);
    };
    let elements: Option<Vec<Value>> = split(list)
        .into_iter()
        .map(|e| Some(Value::Bytes(element(e.trim(), exchange)?)))
        .collect();
    Some(Value::List(elements?).encode())
}

/// An expression's elements: what stands between commas outside all brackets and quotes.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut quoted) = (0, false);
    list.split(|c: char| {
        match c {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0 && !quoted
    })
    .collect()
}

fn element(text: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    if text.contains("grpc_status") {
        return Some((-1i64).to_le_bytes().to_vec());
    }
    if text.contains("request.headers") {
        // Either a header's value, or whether one of some headers is there.
        let mut names = text.split('\'').skip(1).step_by(2);
        let found = names.find_map(|name| {
            let mut all = exchange.request_headers.iter();
            all.find(|(n, _)| n == name.as_bytes())
        });
        return Some(match text.contains('?') {
            true => found.map(|(_, v)| v.clone()).unwrap_or_default(),
            false => vec![u8::from(found.is_some())],
        });
    }
    let maps = ["filter_metadata", "filter_state", "node.metadata['LABELS']"];
    if maps.iter().any(|map| text.contains(map)) {
        // The values of a chain of alternatives, `… ? value : …`: the first that is there.
        let values = text.split(" ? ").skip(1).map(|v| {
            let value = v.split(" : ").next().unwrap_or_default();
            indexed(value, exchange)
        });
        return Some(values.flatten().next().unwrap_or_default());
    }
    let guarded = text.split_once(" ? ").map(|(_, branches)| branches);
    let name = guarded.unwrap_or(text).split(" : ").next()?;
    Some(match name {
        "''" => Vec::new(),
        "0" | "0u" | "duration('0s')" => vec![0; 8],
        // Absent reads as empty, where Envoy fails the list: what these tests ask is always there.
        _ => property(&name.split('.').collect::<Vec<_>>(), exchange).unwrap_or_default(),
    })
}

/// `a.b['c']['d']`: a property by its path.
fn indexed(value: &str, exchange: &Exchange) -> Option<Vec<u8>> {
    let (head, steps) = value.split_once('[')?;
    let steps = steps.split('\'').skip(1).step_by(2);
    let path: Vec<&str> = head.split('.').chain(steps).collect();
    property(&path, exchange)
}

fn property(path: &[&str], exchange: &Exchange) -> Option<Vec<u8>> {
    let path = path.join("\0").into_bytes();
    exchange.properties.get(&path).cloned()
}
