//! What is done about a flagged request, in the host's terms: filter state, a header, an answer.
//!
//! A request that nothing is held against costs nothing here. One that is flagged gets four texts of filter state, which
//! access logs read as `%FILTER_STATE(wasm.pairwatch.score:PLAIN)%` and later filters match.

use crate::host;
use crate::reading::SCORE_HEADER;
use pairwatch_engine::config::Verdicts;
use pairwatch_engine::verdicts::{Ruling, State};
use proxy_wasm::types::GrpcStatusCode;

/// Marks the current stream with a ruling.
pub(crate) fn tag(ruling: &Ruling) {
    let verdict = &ruling.verdict;
    host::tag("pairwatch.score", &verdict.score.to_string());
    host::tag("pairwatch.kind", verdict.kind.name());
    host::tag("pairwatch.severity", verdict.severity.name());
    host::tag("pairwatch.verdict", ruling.state.name());
}

/// Tells the upstream, and answers in its place where the ruling is so. Returns whether it did.
pub(crate) fn act(ruling: &Ruling, policy: &Verdicts) -> bool {
    let denial = ruling.denial.and_then(|at| policy.deny.get(at));
    let (State::Denied, Some(denial)) = (ruling.state, denial) else {
        if policy.header {
            let score = ruling.verdict.score.to_string();
            host::request_header(SCORE_HEADER, Some(&score));
        }
        return false;
    };
    let seconds = denial.retry_after();
    if host::is_grpc() {
        // What gRPC clients wait by (gRFC A6).
        let pushback = seconds.map(|s| s.saturating_mul(1000).to_string());
        let metadata = pushback
            .iter()
            .map(|p| ("grpc-retry-pushback-ms", p.as_bytes()));
        let status = match seconds {
            Some(_) => GrpcStatusCode::ResourceExhausted,
            None => GrpcStatusCode::PermissionDenied,
        };
        host::refuse_grpc(status, metadata.collect());
    } else {
        let seconds = seconds.map(|s| s.to_string());
        let headers = seconds.iter().map(|s| ("retry-after", s.as_str()));
        host::refuse(denial.status, headers.collect());
    }
    true
}
