//! `pairwatch explain`, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics is a test that fails"
)]

mod common;
#[path = "common/logs.rs"]
mod logs;

use common::{Said, pairwatch, scratch};
use logs::{STUFFING, case, log, text};
use pairwatch_engine::Time;
use serde_json::Value;

/// The answer about `frontend shop` of the stuffing case.
fn explain(more: &[&str]) -> common::Call {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let mut args = vec!["explain", "--config", &config];
    args.extend_from_slice(more);
    args.push(&file);
    pairwatch(args)
}

fn alerts() -> Vec<Value> {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let Said { stdout, .. } = pairwatch(["replay", "--config", &config, &file]).succeeds();
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    stdout.lines().map(parse).collect()
}

fn answer(more: &[&str]) -> Value {
    let mut args = vec!["--json", "--pair", "frontend", "shop"];
    args.extend_from_slice(more);
    serde_json::from_str(&explain(&args).succeeds().stdout).unwrap()
}

fn signals(answer: &Value) -> impl Iterator<Item = &Value> {
    let windows = answer["windows"].as_array().unwrap();
    windows
        .iter()
        .flat_map(|w| w["signals"].as_array().unwrap())
}

#[test]
fn what_alarmed_is_what_the_replay_told() {
    let alerts = alerts();
    let answer = answer(&[]);
    assert_eq!(answer["incidents"][0]["last"], alerts[alerts.len() - 1]);
    assert_eq!(answer["incidents"][0]["raised"], alerts[0]["time"]);
    for heard in signals(&answer) {
        let alarmed = heard["alarmed"].as_bool().unwrap();
        assert_eq!(alarmed, heard["signal"] == "auth_failures", "{heard}");
        let number = |at: &str| heard["evidence"][at].as_f64().unwrap();
        let mean = f64::midpoint(number("spike"), number("drift"));
        assert!((mean - number("mean")).abs() <= 1e-9 * mean, "{heard}");
        assert!(!alarmed || number("mean") >= number("needed"), "{heard}");
    }
}

#[test]
fn the_windows_that_hold_the_time_are_the_ones_told() {
    let at = alerts()[0]["since"].as_str().unwrap().to_owned();
    let answer = answer(&["--at", &at]);
    let windows = answer["windows"].as_array().unwrap();
    assert!(windows.len() >= 2, "one of each length: {answer}");
    for window in windows {
        let start = Time::parse(window["start"].as_str().unwrap()).unwrap();
        let asked = Time::parse(&at).unwrap();
        let length = window["seconds"].as_f64().unwrap();
        assert!(
            start <= asked && asked.since(start).as_secs_f64() < length,
            "{window}"
        );
    }
}

#[test]
fn a_quiet_time_is_told_to_be_quiet_and_when_it_was_not() {
    let quiet = "2026-11-20T10:02:00Z";
    let said = explain(&["--pair", "frontend", "shop", "--at", quiet]).succeeds();
    for part in [
        "It did not alert then; it has 1 incident at other times",
        "auth_failures ↑",
        "usual band",
    ] {
        assert!(said.stdout.contains(part), "no {part:?} in {}", said.stdout);
    }
    assert!(!said.stdout.contains("ALARM"), "{}", said.stdout);
}

#[test]
fn a_pair_that_is_not_there_is_answered_with_its_likes() {
    let said = explain(&["--pair", "frontent", "shop"]).fails();
    assert!(
        said.contains(r#"--pair "frontent" "shop": no request of it in the log"#)
            && said.contains("the nearest of the 2 pairs there: frontend shop, batch shop"),
        "{said}"
    );
}

#[test]
fn a_time_outside_of_the_log_is_answered_with_its_span() {
    for at in ["2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"] {
        let said = explain(&["--pair", "frontend", "shop", "--at", at]).fails();
        assert!(
            said.contains("is outside of the log, which spans 2026-11-20T10:00:00"),
            "{said}"
        );
    }
    let said = explain(&["--pair", "frontend", "shop", "--at", "noon"]).fails();
    assert!(said.contains("expected a time such as"), "{said}");
}

#[test]
fn what_a_rule_hides_is_part_of_the_answer() {
    let mut config = case(STUFFING).config;
    config["suppressions"] = serde_json::json!([
        {"kind": "auth_failures", "reason": "a test of ours", "until": "2027-01-01T00:00:00Z"},
    ]);
    let config = scratch("rules.json", config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let said = pairwatch([
        "explain", "--config", &config, "--pair", "frontend", "shop", &file,
    ])
    .succeeds();
    assert!(
        said.stdout.contains("hidden by a rule: a test of ours"),
        "{}",
        said.stdout
    );
}
