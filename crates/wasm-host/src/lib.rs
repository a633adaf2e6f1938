//! A proxy-wasm host for tests that counts what a plugin asks of it.
//!
//! On a real Envoy a test can't hold the clock, can't say which worker took a request, and can't see how many host calls
//! a request cost. This host runs the built module under Wasmtime and does all three: time stands still until the test
//! moves it, each VM does what the test says when the test says it, and every call in either direction, every byte
//! copied and every instruction (as fuel) is counted. Several [`Vm`]s of one [`Host`] share its shared data, queues and
//! metrics, so that workers and an aggregator run in one process and one thread.
//!
//! ```no_run
//! use pairwatch_wasm_host::{Exchange, Host, Plugin};
//!
//! let host = Host::new();
//! let module = host.load("target/pairwatch.wasm")?;
//! let mut worker = module.vm()?;
//! let root = worker.root(&Plugin::configured(r#"{"role":"filter"}"#))?;
//! let before = host.counts();
//! worker.exchange(root, &Exchange::new("GET", "/items", 200))?;
//! assert!(host.counts().since(&before).host_calls_total() <= 3);
//! # Ok::<(), pairwatch_wasm_host::Error>(())
//! ```
//!
//! What each function answers, down to the status codes, is what Envoy 1.40.0 answered to a probe module: the Rust SDK
//! panics on a status it doesn't expect, so a kinder host would hide traps. Left out, and answered with the status for
//! *unimplemented* (on which the SDK panics): gRPC calls and WASI. Simpler than Envoy: a body arrives in one piece, and
//! expressions are evaluated by the test ([`Host::evaluate_expressions`]).

mod calls;
mod context;
mod counts;
mod error;
mod exchange;
mod guest;
mod host;
mod metrics;
mod module;
mod shared;
mod value;
mod vm;

pub use counts::Counts;
pub use error::Error;
pub use exchange::{Exchange, Headers, LocalResponse, Outcome, Plugin, Properties};
pub use host::{Host, HttpAnswer, HttpCall, LogLine};
pub use module::{Module, VmOptions};
pub use value::Value;
pub use vm::{Root, Stream, Vm};
