//! Faults on demand, for the tests of recovery; compiled out of releases.
//!
//! A request with the header `x-pairwatch-fault: worker` traps the VM that serves it; one with `leader` traps whichever VM
//! leads, at its next tick.
#![allow(clippy::panic, reason = "a trap is what this is for")]

use crate::host;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

const FAULT: &str = "pairwatch.fault";

pub(crate) fn on_request() {
    let wanted = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "x-pairwatch-fault");
    match wanted.ok().flatten().as_deref() {
        Some(b"worker") => panic!("fault injected: worker"),
        Some(b"leader") => {
            host::share(FAULT, b"leader", None);
        }
        _ => {}
    }
}

pub(crate) fn on_tick(leads: bool) {
    if leads && host::shared(FAULT).0 == b"leader" {
        host::share(FAULT, b"", None);
        panic!("fault injected: leader");
    }
}
