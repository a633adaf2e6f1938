//! Where the command writes: what is refused before a log is read, and what `-` means.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

mod common;
#[path = "common/logs.rs"]
mod logs;

use common::{pairwatch, scratch};
use logs::{STUFFING, case, log, text};
use std::path::Path;

/// The commands, and their options that name an output.
const OUTPUTS: [(&str, &str); 7] = [
    ("replay", "--alerts"),
    ("replay", "--report"),
    ("replay", "--baseline-out"),
    ("report", "--out"),
    ("report", "--access"),
    ("train", "--out"),
    ("policy", "--out"),
];

fn access_log() -> (String, Vec<u8>) {
    let lines = text(&log(&case(STUFFING)));
    (scratch("access.log", &lines), lines)
}

#[test]
fn an_output_that_is_an_input_is_refused_and_the_input_stays() {
    let (file, lines) = access_log();
    let link = format!("{file}.link");
    let _ = std::fs::remove_file(&link);
    std::fs::hard_link(&file, &link).unwrap();
    for (command, option) in OUTPUTS {
        for output in [&file, &link] {
            let said = pairwatch([command, option, output, &file]).fails();
            let words = format!("as {option} it is the same file as LOG {file}");
            assert!(said.contains(&words), "{said}");
            assert!(std::fs::read(&file).unwrap() == lines, "{command} {option}");
        }
    }
    let config = scratch("config.json", b"{}");
    let args = ["train", "--config", &config, "-o", &config, &file];
    let said = pairwatch(args).fails();
    assert!(said.contains("the same file as --config "), "{said}");
}

#[test]
fn a_baseline_can_be_brought_up_to_date_where_it_stands() {
    let (file, _) = access_log();
    for (command, option) in [("train", "--out"), ("replay", "--baseline-out")] {
        let (known, twice) = (scratch("known.pw", b""), scratch("twice.pw", b""));
        pairwatch(["train", "-o", &known, &file]).succeeds();
        for out in [&twice, &known] {
            pairwatch([command, "--baseline", &known, option, out, &file]).succeeds();
        }
        let [known, twice] = [known, twice].map(|f| std::fs::read(f).unwrap());
        assert!(known == twice, "{command} learned something else");
    }
    let baseline = scratch("known.pw", b"");
    let args = [
        "replay",
        "--baseline",
        &baseline,
        "--alerts",
        &baseline,
        &file,
    ];
    let said = pairwatch(args).fails();
    assert!(
        said.contains("as --alerts it is the same file as --baseline"),
        "{said}"
    );
}

#[test]
fn two_outputs_that_are_one_file_are_refused() {
    let (file, _) = access_log();
    let out = Path::new(&file).with_file_name("both.out");
    let _ = std::fs::remove_file(&out);
    let out = out.to_str().unwrap();
    let other = out.replace("both.out", "./both.out");
    let said = pairwatch(["replay", "--alerts", out, "--report", &other, &file]).fails();
    assert!(
        said.contains("as --report it is the same file as --alerts"),
        "{said}"
    );
    assert!(!Path::new(out).exists());
    let args = ["replay", "--alerts", "/dev/null", "--report", "/dev/null"];
    pairwatch(args.into_iter().chain([&*file])).succeeds();
}

#[test]
fn an_input_that_is_given_twice_is_refused() {
    let (file, lines) = access_log();
    let said = pairwatch(["replay", "-", "-"]).given(&lines).fails();
    assert!(
        said.contains("standard input: as LOG it is the same file as LOG standard input"),
        "{said}"
    );
    let said = pairwatch(["replay", "--config", "-", "-"])
        .given(b"{}")
        .fails();
    assert!(
        said.contains("the same file as --config standard input"),
        "{said}"
    );
    let other = file.replace("access.log", "./access.log");
    let said = pairwatch(["replay", &file, &other]).fails();
    let words = format!("the same file as LOG {file}");
    assert!(said.contains(&words), "{said}");
}

#[test]
fn an_output_that_can_not_be_written_is_refused_before_a_log_is_read() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let missing = format!("{folder}/no-such-folder/out");
    for (command, option) in OUTPUTS {
        for (output, words) in [(&*missing, "No such file"), (folder, "Is a directory")] {
            // Whether the log was looked for tells which comes first.
            let said = pairwatch([command, option, output, "no-such.log"]).fails();
            let words = format!("{output}: {words}");
            assert!(said.contains(&words), "{command} {option}: {said}");
        }
    }
}

#[test]
fn looking_at_an_output_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("page.html");
    pairwatch(["report", "--out", out.to_str().unwrap(), "no-such.log"]).fails();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_dash_is_standard_output_for_every_output() {
    let (file, _) = access_log();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").to_str().unwrap().to_owned();
    for (command, option, others) in [
        ("replay", "--alerts", &[][..]),
        ("replay", "--report", &["--alerts", "/dev/null"]),
        ("replay", "--baseline-out", &["--alerts", "/dev/null"]),
        ("report", "--out", &[]),
        ("report", "--access", &["--out", "/dev/null"]),
        ("train", "--out", &["--base64"]),
        ("policy", "--out", &["--namespace", "shop"]),
    ] {
        let run = |out: &str| {
            let args = [&[command, option, out], others, &[&*file]].concat();
            pairwatch(args).succeeds_in_bytes()
        };
        assert!(run(&out).is_empty(), "{command} {option}");
        let written = std::fs::read(&out).unwrap();
        assert!(!written.is_empty(), "{command} {option}");
        assert!(run("-") == written, "{command} {option}");
    }
}
