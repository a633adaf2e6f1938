//! Trims a proxy-wasm module to the callbacks it uses.
//!
//! The SDK exports every callback there is, and Envoy calls what a module exports: for each request about ten calls into
//! the guest that find nothing to do. Envoy looks each callback up by name when it makes the VM and skips what isn't
//! there, so dropping the export is all it takes; the code that only it reached goes with it.
//!
//! What Envoy demands of a module: the marker `proxy_abi_version_0_2_1` and an allocator (`malloc`, or
//! `proxy_on_memory_allocate` in older SDKs). No callback is demanded. Without `proxy_on_done` a context counts as done
//! at once. What the Rust SDK demands beyond: `proxy_on_context_create`, as it panics on a context it doesn't know, and
//! `proxy_on_delete`, without which the context of each stream stays for ever. `proxy_on_queue_ready`,
//! `proxy_on_http_call_response` and the gRPC callbacks are the only way to learn of what they tell: a module that makes
//! HTTP calls must keep theirs.

use std::fmt;

/// What Pairwatch uses. The network filter's callbacks aren't among it.
pub const DEFAULT_KEEP: &str = "proxy_on_context_create,proxy_on_vm_start,proxy_on_configure,proxy_on_tick,\
     proxy_on_request_headers,proxy_on_log,\
     proxy_on_http_call_response,proxy_on_delete,proxy_on_memory_allocate";

/// Only exports with this prefix are callbacks; memory, start functions and the ABI marker always stay.
const CALLBACK: &str = "proxy_on_";

/// Named like a callback, but it is the allocator: it always stays, and `malloc` stands in for it.
const ALLOCATOR: &str = "proxy_on_memory_allocate";

/// A trimmed module, and what it lost.
#[derive(Debug)]
pub struct Trimmed {
    /// The module's bytes.
    pub wasm: Vec<u8>,
    /// The callbacks that are no longer exported, in the module's order.
    pub dropped: Vec<String>,
}

/// Why a module could not be trimmed.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Drops every callback that `keep` doesn't name, the code that becomes unreachable, and the custom sections (names,
/// producers, debug information).
///
/// # Errors
/// When `wasm` is no module, or `keep` names a callback that it doesn't export.
pub fn trim(wasm: &[u8], keep: &[impl AsRef<str>]) -> Result<Trimmed, Error> {
    let mut module = walrus::ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse(wasm)
        .map_err(|error| {
            // The parser's message spans lines.
            let why: Vec<String> = format!("{error:#}")
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            Error(format!("not a WebAssembly module: {}", why.join(" ")))
        })?;

    let keep: Vec<&str> = keep.iter().map(AsRef::as_ref).collect();
    let exported: Vec<&str> = module
        .exports
        .iter()
        .map(|export| export.name.as_str())
        .collect();
    if let Some(name) = keep
        .iter()
        .find(|name| **name != ALLOCATOR && !exported.contains(name))
    {
        let callbacks: Vec<&str> = exported
            .into_iter()
            .filter(|e| e.starts_with(CALLBACK))
            .collect();
        return Err(Error(format!(
            "--keep names `{name}`, which the module doesn't export; its callbacks: {}",
            callbacks.join(", ")
        )));
    }

    let unwanted =
        |name: &str| name.starts_with(CALLBACK) && name != ALLOCATOR && !keep.contains(&name);
    let doomed = module
        .exports
        .iter()
        .filter(|export| unwanted(&export.name));
    let (ids, dropped): (Vec<_>, Vec<_>) = doomed.map(|e| (e.id(), e.name.clone())).unzip();
    for id in ids {
        module.exports.delete(id);
    }
    let customs: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for id in customs {
        module.customs.delete(id);
    }
    walrus::passes::gc::run(&mut module);
    Ok(Trimmed {
        wasm: module.emit_wasm(),
        dropped,
    })
}
