//! HTTP calls to a cluster. The test takes them from the host and answers them.

use std::time::Duration;

use wasmtime::Linker;

use crate::context::first;
use crate::guest::Status;
use crate::host::{HttpCall, State};
use crate::value::parse_pairs;

/// Tokens of HTTP calls are the multiples of four; gRPC has the rest.
const TOKEN_STEP: u32 = 4;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_http_call(guest, cluster: u32, cluster_size: u32, headers: u32, headers_size: u32, body: u32,
            body_size: u32, trailers: u32, trailers_size: u32, milliseconds: u32, at: u32)
        {
            let cluster = String::from_utf8_lossy(&guest.read(cluster, cluster_size)?).into_owned();
            let headers = parse_pairs(&guest.read(headers, headers_size)?);
            let body = guest.read(body, body_size)?;
            guest.read(trailers, trailers_size)?;
            let complete = [":method", ":path", ":authority"]
                .iter()
                .all(|name| first(&headers, name.as_bytes()).is_some());
            if !complete || !guest.state().shared().clusters.contains(&cluster) {
                return Err(Status::BadArgument.into());
            }
            let (root, _) = guest.root()?;
            let timeout = Duration::from_millis(u64::from(milliseconds));
            let state = guest.state();
            state.http_calls = state.http_calls.wrapping_add(TOKEN_STEP);
            let token = state.http_calls;
            state.shared().calls.push(HttpCall { vm: state.vm, root, token, cluster, headers, body, timeout });
            guest.put(at, &token.to_le_bytes())
        }
    }
    Ok(())
}
