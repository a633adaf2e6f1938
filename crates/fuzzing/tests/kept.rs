//! What fuzzing kept, through the same functions: the seeds in `fuzz/corpus` and what once was a finding in
//! `fuzz/regressions`, without a fuzzer.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_fuzzing::{TARGETS, kept};
use std::collections::BTreeSet;
use std::path::Path;

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz"))
}

#[test]
fn every_input_that_was_kept_does_no_harm() {
    for target in TARGETS {
        let inputs = kept(target.name);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for (name, bytes) in inputs {
            println!("{name}");
            (target.run)(&bytes);
        }
    }
}

#[test]
fn every_target_is_a_program_of_the_fuzzer_and_every_program_a_target() {
    let names: BTreeSet<String> = TARGETS.iter().map(|t| t.name.to_owned()).collect();
    let files = std::fs::read_dir(fuzz().join("fuzz_targets")).unwrap();
    let files = files.map(|f| f.unwrap().path());
    let files = files.filter(|f| f.extension().is_some_and(|e| e == "rs"));
    let programs: BTreeSet<String> = files
        .map(|f| f.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(programs, names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let table = std::fs::read_to_string(fuzz().join("README.md")).unwrap();
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        assert!(
            table.contains(&format!("| `{name}` |")),
            "{name} is not in fuzz/README.md"
        );
    }
}

#[test]
fn what_is_kept_is_small_and_belongs_to_a_target() {
    let mut bytes = 0;
    for folder in ["corpus", "regressions"] {
        for target in std::fs::read_dir(fuzz().join(folder)).unwrap() {
            let target = target.unwrap().path();
            let name = target.file_name().unwrap().to_str().unwrap();
            assert!(
                TARGETS.iter().any(|t| t.name == name),
                "{}",
                target.display()
            );
            for input in std::fs::read_dir(&target).unwrap() {
                bytes += input.unwrap().metadata().unwrap().len();
            }
        }
    }
    // What everybody who clones the repository fetches.
    assert!(bytes < 512 << 10, "{bytes} bytes");
}
