//! The host, as far as the plugin uses it. Every call that may fail says so in its type; none panics.
//!
//! The SDK's own calls trap on a status they do not expect. The ones used here return only statuses the SDK maps:
//! checked against Envoy's `source/extensions/common/wasm/{context,foreign}.cc`.

use pairwatch_engine::Time;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, GrpcStatusCode, LogLevel, MapType, MetricType};
use std::time::{Duration, UNIX_EPOCH};

/// The wall clock.
pub(crate) fn now() -> Time {
    Time(u64::try_from(nanos() / 1_000_000).unwrap_or(u64::MAX))
}

/// Random bytes out of the host's generator; `None` where it gives none. The one call that is no part of the proxy-wasm ABI:
/// Envoy offers it as WASI's.
pub(crate) fn random() -> Option<[u8; 16]> {
    #[cfg(target_arch = "wasm32")]
    {
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        unsafe extern "C" {
            fn random_get(at: *mut u8, size: usize) -> i32;
        }
        let mut bytes = [0; 16];
        // SAFETY: the host writes as many bytes as `bytes` has, where they are.
        let status = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
        (status == 0).then_some(bytes)
    }
    #[cfg(not(target_arch = "wasm32"))]
    None
}

/// The wall clock in nanoseconds.
pub(crate) fn nanos() -> u128 {
    let nanos = hostcalls::get_current_time()
        .ok()
        .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |d| d.as_nanos());
    #[cfg(feature = "fault-injection")]
    let nanos = crate::fault::clock(nanos);
    nanos
}

/// Writes to the proxy's log. A log that can't be written to can't be told so.
pub(crate) fn log(level: LogLevel, message: &str) {
    let _unloggable = hostcalls::log(level, message);
}

/// A value of the data all VMs share, and the number that says whether it changed. An absent key reads as empty.
pub(crate) fn shared(key: &str) -> (Vec<u8>, Option<u32>) {
    let (value, cas) = hostcalls::get_shared_data(key).unwrap_or_default();
    (value.unwrap_or_default(), cas)
}

/// Writes a value of the shared data; where `cas` is given, only if it has not changed since. Says whether it did.
///
/// A key that does not exist can't be compared: create it first.
pub(crate) fn share(key: &str, value: &[u8], cas: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), cas).is_ok()
}

/// The queue of that name, made where there is none.
pub(crate) fn queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Puts an item on a queue; says whether it could.
pub(crate) fn enqueue(queue: u32, item: &[u8]) -> bool {
    hostcalls::enqueue_shared_queue(queue, Some(item)).is_ok()
}

/// Takes the next item off a queue.
pub(crate) fn dequeue(queue: u32) -> Option<Vec<u8>> {
    hostcalls::dequeue_shared_queue(queue).ok().flatten()
}

/// Sends a request to a cluster; the number that its answer will bear, or nothing where it can't be sent.
pub(crate) fn call(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Option<u32> {
    hostcalls::dispatch_http_call(cluster, headers, Some(body), Vec::new(), timeout).ok()
}

/// The status of the answer that is being handed in; nothing where there is none.
pub(crate) fn answer_status() -> Option<u16> {
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status");
    std::str::from_utf8(&status.ok().flatten()?)
        .ok()?
        .parse()
        .ok()
}

/// Puts a text into the current stream's filter state, as `wasm.KEY`. Envoy answers *OK* on any stream.
pub(crate) fn tag(key: &str, value: &str) {
    let _no_stream = hostcalls::set_property(vec![key], Some(value.as_bytes()));
}

/// Takes a header out of the current request, or puts one in the place of all of its name. To be called while the
/// request's headers are at hand: Envoy answers *OK* then, also where there is no such header.
pub(crate) fn request_header(name: &str, value: Option<&str>) {
    let _too_late = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, value);
}

/// Answers the current request in the upstream's place. Envoy answers *OK*.
pub(crate) fn refuse(status: u16, headers: Vec<(&str, &str)>) {
    let _too_late = hostcalls::send_http_response(u32::from(status), headers, None);
}

/// The same for a gRPC request. Only for one: any other would be told 200.
pub(crate) fn refuse_grpc(status: GrpcStatusCode, metadata: Vec<(&str, &[u8])>) {
    let _too_late = hostcalls::send_grpc_response(status, None, metadata);
}

/// Whether Envoy takes the current request for gRPC: by the same rule as Envoy
/// (`Grpc::Common::hasGrpcContentType` in source/common/grpc/common.cc).
pub(crate) fn is_grpc() -> bool {
    let found = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "content-type");
    let found = found.ok().flatten().unwrap_or_default();
    found
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// The first `size` bytes of the answer that is being handed in.
pub(crate) fn answer_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size)
        .ok()
        .flatten()
        .unwrap_or_default()
}

/// A text the proxy says of itself; empty where it says nothing.
pub(crate) fn node(field: &str) -> String {
    let value = hostcalls::get_property(vec!["xds", "node", field]);
    let value = value.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&value).into_owned()
}

/// A counter or gauge by name.
pub(crate) fn metric(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a counter.
pub(crate) fn count(metric: Option<u32>, by: u64) {
    if let (Some(id), Ok(by @ 1..)) = (metric, i64::try_from(by)) {
        let _unknown = hostcalls::increment_metric(id, by);
    }
}

/// Sets a gauge.
pub(crate) fn gauge(metric: Option<u32>, value: u64) {
    if let Some(id) = metric {
        let _unknown = hostcalls::record_metric(id, value);
    }
}

/// What a counter has come to in the life of this process, whichever VM counted.
pub(crate) fn counted(metric: Option<u32>) -> u64 {
    metric
        .and_then(|id| hostcalls::get_metric(id).ok())
        .unwrap_or(0)
}

/// Compiles a CEL expression for the current root context.
pub(crate) fn compile(expression: &str) -> Option<[u8; 4]> {
    hostcalls::call_foreign_function("expr_create", Some(expression.as_bytes()))
        .ok()
        .flatten()?
        .try_into()
        .ok()
}

/// Evaluates a compiled expression on the current stream; `None` where it does not evaluate.
pub(crate) fn evaluate(expression: [u8; 4]) -> Option<Vec<u8>> {
    hostcalls::call_foreign_function("expr_evaluate", Some(&expression))
        .ok()
        .flatten()
}
