//! The Pairwatch plugin: proxy-wasm glue around `pairwatch-engine`, and nothing else.
//!
//! One module, two roles. A *filter* root reads each finished request from the host ([`reading`]) and counts it; once a
//! second its VM sends the counts ([`vm`]). An *aggregator* root only leads. Which VM leads is decided by a lease
//! ([`election`]): a bootstrap service with role `aggregator` where there is one, otherwise a VM among the filters', best
//! the main thread's, which serves no streams. The leader ([`leader`]) drains the queue, learns, judges, writes alerts to
//! the log and to whoever is to be told ([`sinks`]), and publishes limits. What it begins with after a restart of Envoy, and
//! where what it learned is put for the next, is [`warm`]'s.
//!
//! ```text
//! on_log ─▶ reading ─▶ Counters ──each second──▶ queue pairwatch.deltas ─▶ leader ─▶ alert lines, metrics
//!                         ▲                                                  │
//!                         └────────── shared data pairwatch.limits ◀─────────┘
//! ```
//!
//! For streams `on_log` is where requests are counted: by then request, response and timings can all be read at once, in
//! one call to the host. Where flagged requests are to be tagged or refused ([`verdicts`]), they are judged by their headers
//! before that; where they are only observed that callback returns at once. Others are not exported: a callback that a
//! module does not have costs its users nothing.
//!
//! What is kept, is kept per VM and not per root context, because a configuration update makes a new root in the same
//! VM: counters and baselines go on as they are. See [`vm::Vm`] for which root drives.
#![allow(
    unsafe_code,
    missing_docs,
    reason = "proxy_wasm::main! defines the module's exported entry point, host::random has an import; there is no other \
              unsafe code, nor public item"
)]

mod election;
#[cfg(feature = "fault-injection")]
mod fault;
mod host;
mod leader;
mod metrics;
mod reading;
mod risk;
mod root;
mod sinks;
mod verdicts;
mod vm;
mod warm;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
