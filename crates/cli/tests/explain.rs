//! `pairwatch explain`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics is a test that fails"
)]

mod common;
#[path = "common/logs.rs"]
mod logs;

use common::{pairwatch, scratch};
use logs::{STUFFING, case, log, text};
use serde_json::Value;

/// The stuffing case's configuration and log, and the pair that alarms.
fn stuffing() -> [String; 4] {
    let case = case(STUFFING);
    let config = scratch("config.json", case.config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case)));
    let said = pairwatch(["replay", "--config", &config, &file]).succeeds();
    let alert: Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    let name = |key: &str| alert[key].as_str().unwrap().to_owned();
    [config, file, name("source"), name("destination")]
}

fn explain(more: &[&str]) -> common::Call {
    let [config, file, from, to] = stuffing();
    let args = [
        "explain", "--config", &config, "--from", &from, "--to", &to, &file,
    ];
    pairwatch(args.into_iter().chain(more.iter().copied()))
}

#[test]
fn what_alarmed_comes_first_with_evidence_over_its_threshold_and_every_gate_passed() {
    let said: Value = serde_json::from_str(&explain(&["--json"]).succeeds().stdout).unwrap();
    let first = &said["signals"][0];
    assert_eq!(first["alarmed"], true, "{first}");
    let evidence = first["evidence"]["mean"].as_f64().unwrap();
    assert!(evidence >= first["threshold"].as_f64().unwrap(), "{first}");
    let gates = first["gates"].as_object().unwrap();
    assert!(gates.values().all(|gate| gate["passed"] == true), "{first}");
    assert!(!said["incidents"].as_array().unwrap().is_empty(), "{said}");
}

#[test]
fn evidence_is_the_mean_of_its_two_recursions() {
    let said: Value = serde_json::from_str(&explain(&["--json"]).succeeds().stdout).unwrap();
    for look in said["signals"].as_array().unwrap() {
        let of = |key: &str| look["evidence"][key].as_f64().unwrap();
        let mean = f64::midpoint(of("spikes"), of("drifts"));
        assert!((of("mean") - mean).abs() <= 1e-6 * mean, "{look}");
    }
}

#[test]
fn what_did_not_alarm_says_why() {
    let said: Value = serde_json::from_str(&explain(&["--json"]).succeeds().stdout).unwrap();
    let quiet = said["signals"].as_array().unwrap().iter();
    let quiet: Vec<_> = quiet.filter(|look| look["alarmed"] == false).collect();
    assert!(!quiet.is_empty());
    for look in quiet {
        assert_ne!(look["verdict"], "", "{look}");
    }
}

#[test]
fn a_time_shows_the_windows_that_hold_it() {
    let at = "2026-11-20T10:02:00Z";
    let said: Value =
        serde_json::from_str(&explain(&["--json", "--at", at]).succeeds().stdout).unwrap();
    let looks = said["signals"].as_array().unwrap();
    assert!(!looks.is_empty());
    for look in looks {
        let start = look["window"]["start"].as_str().unwrap();
        assert!(start <= "2026-11-20T10:02:00.000Z", "{look}");
    }
}

#[test]
fn a_table_for_people_names_the_alarm_and_the_incident() {
    let said = explain(&[]).succeeds().stdout;
    for words in [
        "typical",
        "band",
        "threshold",
        "alarm: ",
        "requests in the log",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[test]
fn a_pair_that_is_not_there_is_answered_with_the_closest() {
    let [config, file, from, to] = stuffing();
    let typo = format!("{from}x");
    let said = pairwatch([
        "explain", "--config", &config, "--from", &typo, "--to", &to, &file,
    ])
    .fails();
    assert!(
        said.contains("no such pair in the log; closest are"),
        "{said}"
    );
    assert!(said.contains(&format!("{from} → {to}")), "{said}");
}

#[test]
fn a_time_outside_of_the_log_is_answered_with_its_span() {
    let said = explain(&["--at", "2020-01-01T00:00:00Z"]).fails();
    assert!(
        said.contains("is outside of the log, which is from 2026-11-20T"),
        "{said}"
    );
    let said = explain(&["--at", "yesterday"]).fails();
    assert!(said.contains("is no time such as"), "{said}");
}
