//! `pairwatch replay`.
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

use common::{Said, pairwatch, scratch};
use flate2::{Compression, write::GzEncoder};
use logs::{START, STUFFING, case, log, text};
use pairwatch_engine::Time;
use pairwatch_engine::aggregator::Aggregator;
use pairwatch_engine::config::Config;
use serde_json::json;
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A replay of the stuffing case's configuration over these logs.
fn replay(logs: &[&str]) -> Said {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    pairwatch(
        ["replay", "--config", &config]
            .into_iter()
            .chain(logs.iter().copied()),
    )
    .succeeds()
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            let case = case(include_str!(concat!("../../../tests/cases/", stringify!($name), ".json")));
            let config = scratch("config.json", case.config.to_string().as_bytes());
            let file = scratch("access.log", &text(&log(&case)));
            let said = pairwatch(["replay", "--config", &config, &file]).succeeds();
            case.judge(START, said.stdout.lines(), 0).unwrap();
        }
    )*};
}

mod the_same_cases_as_in_the_engine {
    use super::*;
    pairwatch_cases::for_each!(cases);
    pairwatch_cases::for_each_of_identities!(cases);
}

#[test]
fn however_the_same_log_comes_in_the_same_bytes_come_out() {
    let lines = log(&case(STUFFING));
    let plain = text(&lines);
    let (half, rest) = lines.split_at(lines.len() / 2);
    let members = [gzip(&text(half)), gzip(&text(rest))].concat();
    let file = scratch("access.log", &plain);
    let wanted = replay(&[&file]).stdout;
    assert!(!wanted.is_empty(), "an empty answer is the same too easily");
    assert_eq!(replay(&[&file]).stdout, wanted, "twice");
    assert_eq!(
        replay(&[&scratch("access.log.gz", &gzip(&plain))]).stdout,
        wanted,
        "gzip"
    );
    assert_eq!(
        replay(&[&scratch("rotated.gz", &members)]).stdout,
        wanted,
        "two gzip members"
    );
    let zst = zstd::encode_all(&*plain, 1).unwrap();
    assert_eq!(
        replay(&[&scratch("access.zst", &zst)]).stdout,
        wanted,
        "zstd"
    );
    for threads in ["1", "7"] {
        let said = replay(&["--threads", threads, &file]).stdout;
        assert_eq!(said, wanted, "on {threads} threads");
    }
    let crlf = String::from_utf8(plain.clone())
        .unwrap()
        .replace('\n', "\r\n\r\n");
    assert_eq!(
        replay(&[&scratch("crlf.log", crlf.as_bytes())]).stdout,
        wanted,
        "other line ends, blank lines"
    );
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let piped = pairwatch(["replay", "--config", &config, "-"]).given(&gzip(&plain));
    assert_eq!(piped.succeeds().stdout, wanted, "gzip on standard input");
    let out = scratch("alerts.jsonl", b"of an earlier run");
    let said = pairwatch([
        "replay",
        "--config",
        &config,
        "--format",
        "envoy-json",
        "--alerts",
        &out,
        &file,
    ])
    .succeeds();
    assert_eq!(said.stdout, "", "the alerts are in their file");
    assert_eq!(std::fs::read_to_string(out).unwrap(), wanted, "to a file");
}

#[test]
fn several_logs_are_read_as_one_in_time_order() {
    let lines = log(&case(STUFFING));
    let wanted = replay(&[&scratch("all.log", &text(&lines))]).stdout;
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    for (i, line) in lines.into_iter().enumerate() {
        // Uneven, so that each log has stretches with no line.
        parts[(i / 7 + i % 2) % 3].push(line);
    }
    let files: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(i, part)| scratch(&format!("{i}.log"), &text(part)))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    assert_eq!(replay(&files).stdout, wanted);
}

#[test]
fn lines_that_are_out_of_order_within_the_window_change_nothing() {
    let lines = log(&case(STUFFING));
    let wanted = replay(&[&scratch("sorted.log", &text(&lines))]).stdout;
    // Each stretch of lines backwards; none of them is longer than the window.
    let mut shuffled = lines.clone();
    for stretch in shuffled.chunks_mut(100) {
        stretch.reverse();
    }
    assert_ne!(shuffled, lines);
    let said = replay(&[&scratch("shuffled.log", &text(&shuffled))]);
    assert_eq!(said.stdout, wanted);
    assert!(
        said.stderr.contains(" 0 of them not counted"),
        "{}",
        said.stderr
    );
}

#[test]
fn lines_of_a_clock_that_ran_ahead_cost_themselves_and_no_others() {
    let lines = log(&case(STUFFING));
    let wanted = replay(&[&scratch("all.log", &text(&lines))]).stdout;
    assert!(!wanted.is_empty(), "an empty answer is the same too easily");
    let ahead =
        json!({"start_time": "2031-01-01T00:00:00Z", "upstream_cluster": "shop"}).to_string();
    let middle = lines.len() / 2;
    for (at, count) in [(0, 1), (0, 15), (middle, 1), (middle, 15)] {
        let mut strayed = lines.clone();
        strayed.splice(at..at, vec![ahead.clone(); count]);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for (i, line) in strayed.iter().enumerate() {
            let log = if *line == ahead || i % 3 == 0 {
                &mut one
            } else {
                &mut other
            };
            log.push(line.clone());
        }
        let file = |name: &str, lines: &[String]| scratch(name, &text(lines));
        let alone = file("alone.log", &strayed);
        let (one, other) = (file("one.log", &one), file("other.log", &other));
        for logs in [vec![&*alone], vec![&one, &other], vec![&other, &one]] {
            let said = replay(&logs);
            assert_eq!(said.stdout, wanted, "{count} at {at} of {logs:?}");
            let told = format!(" {count} of them not counted");
            assert!(said.stderr.contains(&told), "{}", said.stderr);
        }
        let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
        let piped = pairwatch(["replay", "--config", &config, "-"]).given(&text(&strayed));
        assert_eq!(piped.succeeds().stdout, wanted, "{count} at {at} of a pipe");
    }
}

#[test]
fn a_log_that_goes_on_after_a_hole_is_read_to_its_end() {
    let lines = log(&case(STUFFING));
    let later = |line: &String| line.replace("2026-11-20", "2026-11-23");
    for count in 1..4 {
        let after = lines.iter().take(count).map(later);
        let holed: Vec<String> = lines.iter().cloned().chain(after).collect();
        assert_ne!(holed.get(lines.len()), lines.first());
        let said = replay(&[&scratch("holed.log", &text(&holed))]);
        let all = format!("{} lines, 0 of them not counted", holed.len());
        assert!(said.stderr.contains(&all), "{}", said.stderr);
    }
}

/// The same requests as Istio's text, and as a web server's log.
fn as_text(lines: &[String]) -> [Vec<String>; 2] {
    let fields: Vec<serde_json::Value> = lines
        .iter()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let word = |v: &serde_json::Value, key: &str| v[key].as_str().unwrap_or("-").to_owned();
    let istio = fields.iter().map(|v| {
        format!(
            r#"[{}] "{} {} HTTP/1.1" {} - via_upstream - "-" 0 {} {} - "-" "a "b" c" "id" "host" "10.0.0.1:80" outbound|80||{} 10.0.0.2:1 10.0.0.1:80 10.0.0.3:2 - default"#,
            word(v, "start_time"), word(v, "method"), word(v, "path"), v["response_code"], v["bytes_sent"], v["duration"],
            word(v, "upstream_cluster"),
        )
    });
    let combined = fields.iter().map(|v| {
        let time = word(v, "start_time");
        let (_, clock) = time.split_once('T').unwrap();
        let clock = clock.split('.').next().unwrap();
        format!(
            r#"192.0.2.1 - - [20/Nov/2026:{clock} +0000] "{} {} HTTP/1.1" {} {} "-" "agent""#,
            word(v, "method"),
            word(v, "path"),
            v["response_code"],
            v["bytes_sent"],
        )
    });
    [istio.collect(), combined.collect()]
}

#[test]
fn text_formats_are_told_by_themselves_and_say_the_same() {
    let [istio, combined] = as_text(&log(&case(STUFFING)));
    let mut with_start = vec!["2026-11-20T09:59:00.000000Z info Envoy proxy is ready".to_owned()];
    with_start.extend(istio);
    let file = scratch("istio.log", &text(&with_start));
    let said = replay(&["--source", "frontend", &file]);
    assert!(said.stdout.contains("auth_failures"), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("1 line not counted, messages of the proxy"),
        "{}",
        said.stderr
    );
    let told = replay(&["--source", "frontend", "--format", "istio-text", &file]);
    assert_eq!(told.stdout, said.stdout, "the format given");
    let file = scratch("web.log", &text(&combined));
    let said = replay(&["--service", "shop", &file]);
    assert!(said.stdout.contains("auth_failures"), "{}", said.stderr);
    assert!(
        said.stdout.contains(r#""destination":"shop""#),
        "{}",
        said.stdout
    );
    assert!(
        said.stderr.contains("no line names its source"),
        "{}",
        said.stderr
    );
}

#[test]
fn keys_of_their_own_are_mapped() {
    let lines: Vec<String> = log(&case(STUFFING))
        .iter()
        .map(|l| {
            l.replace("start_time", "ts")
                .replace(r#""downstream_peer":"#, r#""client":"#)
        })
        .collect();
    let file = scratch("own.jsonl", &text(&lines));
    let plain = scratch("plain.jsonl", &text(&log(&case(STUFFING))));
    let said = replay(&["--field", "time=ts", "--field", "source=client", &file]);
    assert_eq!(said.stdout, replay(&[&plain]).stdout);
    pairwatch(["replay", "--field", "tome=ts", &file]).fails();
}

#[test]
fn a_pipeline_can_stop_at_a_severe_alert() {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    for (level, code) in [("critical", 0), ("high", 1), ("info", 1)] {
        let args = ["replay", "--config", &config, "--fail-on", level, &file];
        pairwatch(args).exits(code);
    }
}

/// What is said of a log beside a good one, which is read all the same.
fn beside_a_good_one(name: &str, content: &[u8]) -> String {
    let wanted = replay(&[&scratch("good.log", &text(&log(&case(STUFFING))))]).stdout;
    let file = scratch(name, content);
    let said = replay(&[&scratch("good.log", &text(&log(&case(STUFFING)))), &file]);
    assert_eq!(said.stdout, wanted, "{name} changed the alerts");
    said.stderr
}

#[test]
fn a_log_that_is_none_is_named_and_the_others_are_read() {
    for (name, content, words) in [
        ("empty.log", &b""[..], "empty.log: empty"),
        ("tool", b"\x7fELF\x02\x01\x01\x00", "tool:1: a binary file"),
        ("old.xz", b"\xfd7zXZ\x00", "old.xz:1: xz-compressed"),
        (
            "notes.txt",
            b"milk\neggs\n",
            "2 lines not counted, in no format that is known; first ",
        ),
        (
            "other.json",
            b"{\"a\":1}\n",
            "other.json:1: start_time missing",
        ),
    ] {
        let said = beside_a_good_one(name, content);
        assert!(said.contains(words), "{name}: no {words:?} in {said}");
        pairwatch(["replay", &scratch(name, content)]).fails();
    }
}

#[test]
fn a_line_of_ten_megabytes_is_counted_as_bad_and_costs_no_other() {
    let lines = log(&case(STUFFING));
    let wanted = replay(&[&scratch("good.log", &text(&lines))]).stdout;
    let mut long = lines;
    long.insert(7, format!(r#"{{"path":"{}"}}"#, "x".repeat(10 << 20)));
    let said = replay(&[&scratch("long.log", &text(&long))]);
    assert_eq!(said.stdout, wanted);
    for words in [
        "1 line not counted, too long; first ",
        "long.log:8: more than 262144 bytes",
    ] {
        assert!(
            said.stderr.contains(words),
            "no {words:?} in {}",
            said.stderr
        );
    }
    assert!(
        said.stderr
            .starts_with(&format!("{} lines, 1 of them", long.len())),
        "{}",
        said.stderr
    );
}

#[test]
fn a_bad_line_is_counted_and_shown_and_changes_nothing() {
    let lines = log(&case(STUFFING));
    let wanted = replay(&[&scratch("good.log", &text(&lines))]);
    let mut spoilt = lines.clone();
    spoilt.insert(0, "[2026-11-20 10:00:00.000][1][info] starting".to_owned());
    spoilt.insert(
        2,
        lines[5].replace(r#""duration":"#, r#""duration":"long","was":"#),
    );
    spoilt.insert(4, "[2026-11-20 10:00:00.000][1][info] started".to_owned());
    spoilt.insert(6, lines[5].replace("start_time", "begin_time"));
    let said = replay(&[&scratch("spoilt.log", &text(&spoilt))]);
    assert_eq!(said.stdout, wanted.stdout);
    for part in [
        "4 of them not counted",
        "2 lines not counted, messages of the proxy about itself; first ",
        "spoilt.log:1: ",
        "1 line not counted, bad duration; first ",
        "spoilt.log:3: ",
        "1 line not counted, bad start_time; first ",
        "spoilt.log:7: ",
    ] {
        assert!(said.stderr.contains(part), "no {part:?} in {}", said.stderr);
    }
}

#[test]
fn a_log_that_is_mostly_not_read_is_no_answer() {
    let lines = log(&case(STUFFING));
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let wanted = replay(&[&scratch("good.log", &text(&lines))]).stdout;
    let with = |line: &str, times: usize| {
        let mut lines = lines.clone();
        lines.extend(vec![line.to_owned(); times]);
        scratch("access.log", &text(&lines))
    };
    let of_another_format = r#"{"when":"2026-11-20T10:00:00Z","method":"GET"}"#;
    let file = with(of_another_format, lines.len());
    assert_eq!(replay(&[&file]).stdout, wanted, "half is read");
    let file = with(of_another_format, lines.len() + 1);
    let said = pairwatch(["replay", "--config", &config, &file]).exits(2);
    assert_eq!(said.stdout, wanted, "what was found is written");
    let first = format!("access.log:{}: start_time missing", lines.len() + 1);
    let last = said.stderr.lines().rev().take(2).collect::<String>();
    for words in ["less than half of the log", "bad start_time; first", &first] {
        assert!(last.contains(words), "no {words:?} in {}", said.stderr);
    }
    let severe = ["replay", "--config", &config, "--fail-on", "high", &file];
    let said = pairwatch(severe).exits(1);
    assert!(said.stderr.contains("less than half"), "{}", said.stderr);
    let out = scratch("out", b"");
    pairwatch(["train", "--out", &out, &file]).exits(2);
    pairwatch(["report", "--out", &out, &file]).exits(2);
    pairwatch(["policy", "--out", &out, &file]).exits(2);
    let message = "[2026-11-20 10:00:00.000][1][info] idle";
    let file = with(message, 3 * lines.len());
    assert_eq!(replay(&[&file]).stdout, wanted, "a quiet sidecar's log");
}

#[test]
fn a_log_that_is_cut_off_is_read_as_far_as_it_goes() {
    let lines = log(&case(STUFFING));
    let whole = gzip(&text(&lines));
    let cut = scratch("cut.gz", &whole[..whole.len() - whole.len() / 50]);
    let said = replay(&[&cut]);
    assert!(
        said.stderr.contains("the file is cut off"),
        "{}",
        said.stderr
    );
    assert!(
        said.stdout.contains("auth_failures"),
        "what came before is judged"
    );
}

#[test]
fn a_line_of_a_long_request_is_counted_though_it_began_long_ago() {
    let mut lines = log(&case(STUFFING));
    let late = |took: u64| {
        let began = Time(START + 1000).rfc3339();
        json!({"start_time": began, "upstream_cluster": "shop", "downstream_peer": "frontend", "duration": took}).to_string()
    };
    lines.push(late(230_000));
    let said = replay(&[&scratch("long.log", &text(&lines))]);
    assert!(
        said.stderr.contains(" 0 of them not counted"),
        "{}",
        said.stderr
    );
    lines.push(late(5));
    let said = replay(&[&scratch("late.log", &text(&lines))]);
    assert!(
        said.stderr.contains("1 line not counted, out of order"),
        "{}",
        said.stderr
    );
}

#[test]
fn silence_at_the_end_of_a_log_or_in_a_hole_is_no_drop() {
    let quiet = case(include_str!("../../../tests/cases/quiet.json"));
    let mut lines = log(&quiet);
    let later = |line: &String| {
        // The same traffic, three days on.
        line.replace("2026-11-20", "2026-11-23")
    };
    lines.extend(lines.clone().iter().map(later));
    let config = scratch("config.json", quiet.config.to_string().as_bytes());
    let said = pairwatch([
        "replay",
        "--config",
        &config,
        &scratch("hole.log", &text(&lines)),
    ])
    .succeeds();
    assert_eq!(said.stdout, "", "nobody watched meanwhile");
}

#[test]
fn silence_in_a_log_is_data() {
    let quiet = case(include_str!("../../../tests/cases/quiet.json"));
    let lines = log(&quiet);
    let mut broken = lines[..lines.len() / 2].to_vec();
    // One line, an hour on.
    broken.extend(lines.last().map(|l| l.replace("T10:", "T11:")));
    let config = scratch("config.json", quiet.config.to_string().as_bytes());
    let said = pairwatch([
        "replay",
        "--config",
        &config,
        &scratch("silent.log", &text(&broken)),
    ])
    .succeeds();
    assert!(said.stdout.contains("rate_drop"), "{}", said.stderr);
}

#[test]
fn input_that_can_not_be_used_is_named_and_touches_nothing() {
    let kept = scratch("alerts.jsonl", b"of an earlier run");
    let said = pairwatch(["replay", "--alerts", &kept, "no-such.log"]).fails();
    assert!(said.contains("no-such.log"), "{said}");
    let noise = scratch("noise.log", b"\x00\xff\xfe\nnoise\n");
    let said = pairwatch(["replay", "--alerts", &kept, &noise]).fails();
    assert!(
        said.contains("noise.log:1: "),
        "the first bad line is shown: {said}"
    );
    let empty = scratch("empty.log", b"");
    pairwatch(["replay", &empty]).fails();
    pairwatch(["replay"]).fails();
    pairwatch(["replay", "--format", "klingon", &noise]).fails();
    assert_eq!(std::fs::read(kept).unwrap(), b"of an earlier run");
}

#[test]
fn more_logs_than_may_be_open_are_refused_with_the_limit_to_raise() {
    let line = text(&log(&case(STUFFING))[..1]);
    let logs = (0..40).map(|i| scratch(&format!("{i}.log"), &line));
    let out = std::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 20; exec "$@""#, "sh"])
        .args([env!("CARGO_BIN_EXE_pairwatch"), "replay"])
        .args(logs)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{said}");
    for words in [" of 40 logs are open", "`ulimit -n 72`"] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[test]
fn the_summary_says_what_was_read_and_found() {
    let lines = log(&case(STUFFING));
    let said = replay(&[&scratch("access.log", &text(&lines))]);
    for part in [
        &format!(
            "{} lines, 0 of them not counted, 2 pairs, 2026-11-20T10:00:00",
            lines.len()
        ),
        "auth_failures",
        "lines a second",
    ] {
        assert!(said.stderr.contains(part), "no {part:?} in {}", said.stderr);
    }
}

#[test]
fn the_summary_lists_what_rules_hid_and_which_have_ended() {
    let mut config = case(STUFFING).config;
    config["suppressions"] = json!([
        {"kind": "auth_failures", "reason": "a test of ours", "until": "2027-01-01T00:00:00Z"},
        {"source": "old-*", "reason": "long gone", "until": "2026-01-01T00:00:00Z"},
    ]);
    let log = scratch("access.log", &text(&log(&case(STUFFING))));
    let replay = |config: &serde_json::Value| {
        let config = scratch("rules.json", config.to_string().as_bytes());
        pairwatch(["replay", "--config", &config, &log]).succeeds()
    };
    let said = replay(&config);
    config["alerts"]["show_suppressed"] = true.into();
    let shown = replay(&config).stdout;
    let is_hidden = |l: &str| l.contains(r#""suppressed":"a test of ours""#);
    assert!(
        shown.lines().count() >= 2 && shown.lines().all(is_hidden),
        "{shown}"
    );
    assert_eq!(said.stdout, "");
    for part in [
        "0 incidents in 0 alert lines",
        &format!(
            r#"{} alert lines hidden: "a test of ours""#,
            shown.lines().count()
        ),
        r#"the last: {"pairwatch":"alert""#,
        "ended at 2026-01-01T00:00:00.000Z",
        "long gone",
    ] {
        let count = said.stderr.matches(part).count();
        assert_eq!(count, 1, "{part:?} in {}", said.stderr);
    }
}

#[test]
fn what_is_trained_is_what_a_replay_learned_and_an_engine_starts_from_it() {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let (trained, beside) = (scratch("trained.pw", b""), scratch("beside.pw", b""));
    let said = pairwatch(["train", "--config", &config, "-o", &trained, &file]).succeeds();
    assert!(said.stderr.contains("2 pairs learned"), "{}", said.stderr);
    pairwatch([
        "replay",
        "--config",
        &config,
        "--baseline-out",
        &beside,
        &file,
    ])
    .succeeds();
    let bytes = std::fs::read(&trained).unwrap();
    assert_eq!(bytes, std::fs::read(&beside).unwrap());
    let config = Config::from_json(case(STUFFING).config.to_string().as_bytes()).unwrap();
    let later = Time(START + 86_400_000);
    let (engine, _) = Aggregator::restore(config, 1, &bytes, later).unwrap();
    assert_eq!(engine.totals().pairs, 2);
    assert!(engine.totals().maturity > 0.9, "{:?}", engine.totals());
}

#[test]
fn a_replay_with_a_trained_baseline_is_mature_from_its_first_window() {
    let config = scratch("config.json", case(STUFFING).config.to_string().as_bytes());
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let trained = scratch("trained.pw", b"");
    pairwatch(["train", "--config", &config, "-o", &trained, &file]).succeeds();
    // The first minute of a later day.
    let later: Vec<String> = log(&case(STUFFING))
        .into_iter()
        .map(|line| line.replace("2026-11-20T", "2026-11-21T"))
        .collect();
    let first = |line: &String| line.contains("T10:00:");
    let later: Vec<String> = later.into_iter().filter(first).collect();
    assert!(later.len() > 10, "{} lines", later.len());
    let later = scratch("later.log", &text(&later));
    let maturity = |more: &[&str]| {
        let args = [
            "explain",
            "--config",
            &config,
            "--json",
            "--at",
            "2026-11-21T10:00:01Z",
            "--from",
            "frontend",
            "--to",
        ];
        let args = args
            .into_iter()
            .chain(["shop", &*later])
            .chain(more.iter().copied());
        let said = pairwatch(args.collect::<Vec<_>>()).succeeds().stdout;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let signals = said["signals"].as_array().unwrap().clone();
        // Of the shortest window: longer ones have seen more by their end.
        let seconds = |s: &serde_json::Value| s["window"]["seconds"].as_f64().unwrap();
        let signals = signals.iter().filter(|s| s["signal"] == "auth_failures");
        let shortest = signals.min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        shortest.unwrap()["gates"]["maturity"]["value"]
            .as_f64()
            .unwrap()
    };
    assert!(maturity(&[]) < 0.9, "without, {}", maturity(&[]));
    assert_eq!(maturity(&["--baseline", &trained]), 1.0);
}

#[test]
fn a_baseline_that_is_none_is_refused_by_name() {
    let file = scratch("access.log", &text(&log(&case(STUFFING))));
    let none = scratch("none.pw", b"no snapshot");
    let said = pairwatch(["replay", "--baseline", &none, &file]).fails();
    assert!(said.contains("none.pw: "), "{said}");
}

#[test]
fn a_baseline_as_base64_or_in_the_configuration_is_as_good_as_the_file() {
    let mut config = case(STUFFING).config;
    let lines = log(&case(STUFFING));
    let attack = lines.iter().position(|l| l.contains("T10:03:00")).unwrap();
    let (quiet, attack) = lines.split_at(attack);
    let (quiet, attack) = (
        scratch("quiet.log", &text(quiet)),
        scratch("attack.log", &text(attack)),
    );
    let file = scratch("config.json", config.to_string().as_bytes());
    let (trained, base64) = (scratch("trained.pw", b""), scratch("trained.b64", b""));
    pairwatch(["train", "--config", &file, "-o", &trained, &quiet]).succeeds();
    pairwatch([
        "train", "--base64", "--config", &file, "-o", &base64, &quiet,
    ])
    .succeeds();

    let cold = pairwatch(["replay", "--config", &file, &attack]).succeeds();
    assert!(
        !cold.stdout.contains(r#""maturity":1.0"#),
        "known without a baseline: {}",
        cold.stdout
    );
    let from = |baseline: &str| {
        let args = ["replay", "--config", &file, "--baseline", baseline, &attack];
        pairwatch(args).succeeds().stdout
    };
    let warm = from(&trained);
    let first: serde_json::Value = serde_json::from_str(warm.lines().next().unwrap()).unwrap();
    assert_eq!(first["kind"], "auth_failures", "{warm}");
    assert_eq!(first["maturity"], 1.0, "{warm}");
    assert!(
        first["time"].as_str().unwrap() <= "2026-11-20T10:03:10",
        "{warm}"
    );

    assert_eq!(from(&base64), warm, "as base64");
    config["learning"]["warm_start"]["inline"] = std::fs::read_to_string(&base64).unwrap().into();
    let inline = scratch("inline.json", config.to_string().as_bytes());
    let told = pairwatch(["replay", "--config", &inline, &attack]).succeeds();
    assert_eq!(told.stdout, warm, "out of the configuration");
    let said = pairwatch(["check", &inline]).succeeds();
    assert!(
        said.stdout.contains("starts with 2 pairs known"),
        "{said:?}"
    );
}

/// What was told of a caller by address: the rule, and who is called the source.
fn told_by(config: &[&str]) -> String {
    let line = |second: u64| {
        json!({
            "start_time": Time(START + second * 1000).rfc3339(), "method": "GET", "path": "/", "response_code": 200,
            "x_forwarded_for": "198.51.100.1, 192.0.2.7", "upstream_cluster": "shop",
        })
        .to_string()
    };
    let lines: Vec<String> = (0..60).map(line).collect();
    let log = scratch("access.log", &text(&lines));
    let args = ["replay"].iter().chain(config).copied();
    pairwatch(args.chain([&*log])).succeeds().stdout
}

#[test]
fn addresses_are_looked_at_unless_the_configuration_says_not_to() {
    let config = |more: serde_json::Value| {
        let rules = json!([{"type": "networks", "name": "inside", "networks": ["10.0.0.0/8"]}]);
        let config = json!({"rules": rules, "identity": more});
        scratch("config.json", config.to_string().as_bytes())
    };
    for more in [json!({}), json!({"addresses": true})] {
        let said = told_by(&["--config", &config(more)]);
        assert!(said.contains("new_address"), "{said}");
    }
    let off = config(json!({"addresses": false}));
    assert_eq!(told_by(&["--config", &off]), "");
}

#[test]
fn a_source_without_a_name_is_called_as_its_network_is() {
    let config = json!({
        "names": {"addresses": [{"network": "192.0.2.0/24", "name": "office"}]},
        "rules": [{"type": "pairs", "name": "nobody", "pairs": [{"source": "none", "destination": "none"}]}],
    });
    let config = scratch("config.json", config.to_string().as_bytes());
    let said = told_by(&["--config", &config]);
    assert!(said.contains(r#""source":"office""#), "{said}");
}
