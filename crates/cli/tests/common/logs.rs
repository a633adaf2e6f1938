//! Cases as access logs.
#![allow(dead_code, reason = "each file of tests uses its part of this")]

use pairwatch_cases::Case;
use pairwatch_engine::Time;
use serde_json::json;

/// 2026-11-20 10:00:00.4 UTC: the log's seconds are not the clock's.
pub(crate) const START: u64 = 1_795_168_800_400;

pub(crate) const STUFFING: &str = include_str!("../../../../tests/cases/stuffing.json");

pub(crate) fn case(text: &str) -> Case {
    Case::from_json(text).unwrap()
}

/// A case's requests as an access log.
pub(crate) fn log(case: &Case) -> Vec<String> {
    let line = |r: pairwatch_cases::Request| {
        json!({
            "start_time": Time(START + r.at).rfc3339(),
            "method": r.method,
            "path": r.path,
            "protocol": "HTTP/1.1",
            "response_code": r.status,
            "response_flags": "-",
            "bytes_received": 0,
            "bytes_sent": r.bytes,
            "duration": r.duration_us / 1000,
            "x_forwarded_for": r.address,
            "user": r.identity,
            "downstream_peer": r.source,
            "upstream_cluster": r.destination,
        })
        .to_string()
    };
    case.requests().into_iter().map(line).collect()
}

/// Lines as a file holds them.
pub(crate) fn text(lines: &[String]) -> Vec<u8> {
    (lines.join("\n") + "\n").into_bytes()
}
