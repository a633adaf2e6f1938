//! What must hold of whatever bytes others make: one function a decoder, each told of any bytes at all, and it panics where
//! a property does not hold. The folder `fuzz/` feeds them with what libFuzzer finds; the tests beside this crate with what
//! is kept of it, and the plugin's tests give the same inputs to the built module.
//!
//! | file | what is decoded, and who could have made it |
//! |---|---|
//! | [`config`] | a configuration as the plugin is given it, and as the command finds it inside of YAML: an operator |
//! | [`wire`] | frames on the queue and in shared data: any other plugin of the proxy |
//! | [`state`] | a snapshot out of shared data, and one to start with: the same, a file, an HTTP store |
//! | [`engine`] | no decoder: a made-up life of filters and aggregator, whose sums must come out |
//! | [`names`] | paths, certificates' URIs, `x-forwarded-client-cert`, users: clients |
//! | [`host`] | lists of attributes, and what stands in them: the proxy, out of what clients sent |
//! | [`answers`] | what stores and sinks answer: whoever runs them |
//! | [`logs`] | access logs, plain or compressed, and what is written about them: a file from anywhere |
//! | [`text`] | base64, times, addresses |
//!
//! Formats with a checksum would be closed to a fuzzer, so these targets take the bytes for the payload and put a true
//! header in front ([`framed`]); where the order of calls matters, the bytes are the choices that `arbitrary` makes.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a panic here is what is looked for"
)]

pub mod answers;
pub mod config;
pub mod engine;
pub mod host;
mod life;
pub mod logs;
pub mod names;
pub mod state;
pub mod text;
pub mod wire;

use pairwatch_engine::frame::Framed;
use std::fs;
use std::path::Path;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the program in `fuzz/`, and of the folders of its corpus and regressions.
    pub name: &'static str,
    /// What it asserts of any bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 20] = [
    target("attributes", host::attributes),
    target("batch", wire::batch),
    target("config", config::json),
    target("config_yaml", config::yaml),
    target("engine", engine::life),
    target("journal", wire::journal),
    target("lease", wire::lease),
    target("limits", wire::limits),
    target("log_line", logs::line),
    target("log_pages", logs::pages),
    target("log_stream", logs::stream),
    target("path", names::path),
    target("sink", answers::sink),
    target("snapshot", state::snapshot),
    target("spiffe", names::spiffe),
    target("store", answers::store),
    target("text", text::text),
    target("user", names::user),
    target("warm_start", state::warm_start),
    target("xfcc", names::xfcc),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// A payload in a `T`'s envelope, with a true header.
pub fn framed<T: Framed>(payload: &[u8]) -> Vec<u8> {
    let mut frame = b"PW".to_vec();
    frame.extend(T::TAG);
    frame.extend(T::VERSION.to_le_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend(payload);
    frame
}

/// The inputs that are committed for a target: its corpus, and what once was a finding. Each with its path below `fuzz/`, in
/// order.
pub fn kept(target: &str) -> Vec<(String, Vec<u8>)> {
    let fuzz = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"));
    let mut inputs = Vec::new();
    for folder in ["corpus", "regressions"] {
        // A target without a finding has no folder.
        let Ok(files) = fs::read_dir(fuzz.join(folder).join(target)) else {
            continue;
        };
        for file in files {
            let path = file.expect("a folder can be read").path();
            let name = path
                .strip_prefix(fuzz)
                .unwrap_or(&path)
                .display()
                .to_string();
            inputs.push((name, fs::read(&path).expect("an input can be read")));
        }
    }
    inputs.sort();
    inputs
}
