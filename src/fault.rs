//! Faults on demand, for the tests of recovery; compiled out of releases.
//!
//! A request with the header `x-pairwatch-fault` asks for one:
//!
//! | Value | Then |
//! |---|---|
//! | `request` | the VM that serves it traps before the request is passed on |
//! | `worker` | the same, once the request is answered |
//! | `leader` | whichever VM leads traps at its next tick, before it sends its own counts |
//! | `leading` | it traps in the middle of its work: counts are off the queue and in the journal, and not yet merged |
//! | `stall=N` | its next tick takes N seconds, in which its thread does nothing else |
//! | `nobody` | no VM leads any more nor tries to, while all go on as filters |
//! | `clock=N` | every VM's clock is N seconds ahead of the host's, or behind it |
//! | `heal` | ends `nobody` |
//!
//! Each VM also tells at its ticks how many roots live in it and how large its memory is: of what Envoy itself tells of its VMs,
//! neither is part.
#![allow(clippy::panic, reason = "a trap is what this is for")]

use crate::host;
use pairwatch_engine::Time;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{MapType, MetricType};

const FAULT: &str = "pairwatch.fault";
const CLOCK: &str = "pairwatch.fault.clock";
/// A page of linear memory.
const PAGE: u64 = 65536;

fn wanted() -> Vec<u8> {
    let wanted = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "x-pairwatch-fault");
    wanted.ok().flatten().unwrap_or_default()
}

/// While the request's headers are at hand, and it has not been passed on.
pub(crate) fn on_request() {
    if wanted() == b"request" {
        panic!("fault injected: request");
    }
}

/// Once it has been answered.
pub(crate) fn on_answer() {
    let _noted = match wanted().as_slice() {
        b"" | b"request" => false,
        b"worker" => panic!("fault injected: worker"),
        other => match other.strip_prefix(b"clock=") {
            Some(seconds) => host::share(CLOCK, seconds, None),
            None => host::share(FAULT, other, None),
        },
    };
}

/// The wall clock, in nanoseconds, as it is to be taken for.
pub(crate) fn clock(nanos: u128) -> u128 {
    let (seconds, _) = host::shared(CLOCK);
    let ahead = String::from_utf8_lossy(&seconds)
        .parse::<i128>()
        .unwrap_or(0);
    nanos.saturating_add_signed(ahead.saturating_mul(1_000_000_000))
}

/// Whether this fault was asked for; it happens once.
fn is_due(fault: &[u8]) -> bool {
    let due = host::shared(FAULT).0 == fault;
    if due {
        host::share(FAULT, b"", None);
    }
    due
}

/// At the beginning of a tick.
pub(crate) fn on_tick(leads: bool) {
    if !leads {
        return;
    }
    if is_due(b"leader") {
        panic!("fault injected: leader");
    }
    let (fault, _) = host::shared(FAULT);
    let seconds = fault.strip_prefix(b"stall=").map(String::from_utf8_lossy);
    if let Some(seconds) = seconds.and_then(|s| s.parse::<u64>().ok()) {
        host::share(FAULT, b"", None);
        let until = Time(host::now().0.saturating_add(seconds.saturating_mul(1000)));
        while host::now() < until {}
    }
}

/// Between journal and merge.
pub(crate) fn on_lead() {
    if is_due(b"leading") {
        panic!("fault injected: leading");
    }
}

/// Whether nobody is to lead.
pub(crate) fn nobody_leads() -> bool {
    host::shared(FAULT).0 == b"nobody"
}

/// What VM `number` holds.
pub(crate) fn tell(number: u32, roots: usize) {
    let gauge = |what: &str, value: u64| {
        let name = format!("pairwatch_fault_{what}_{number}");
        host::gauge(host::metric(MetricType::Gauge, &name), value);
    };
    gauge("roots", u64::try_from(roots).unwrap_or(u64::MAX));
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0;
    gauge(
        "memory",
        u64::try_from(pages)
            .unwrap_or(u64::MAX)
            .saturating_mul(PAGE),
    );
}
