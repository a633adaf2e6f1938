//! What can't be meant is refused, by path, with what was found and what is allowed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::config::Config;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn an_empty_configuration_is_all_defaults() {
    for text in ["", "  \n", "{}"] {
        assert_eq!(
            Config::from_json(text.as_bytes()).unwrap(),
            Config::default(),
            "of {text:?}"
        );
    }
}

#[test]
fn a_refusal_names_path_found_and_allowed() {
    let cases = [
        (r#"{"rol":"filter"}"#, ["rol", "unknown field", "`role`"]),
        (r#"{"role":"boss"}"#, ["role", "boss", "`aggregator`"]),
        (
            r#"{"learning":{"warmup":"soon"}}"#,
            ["learning.warmup", "soon", "10s"],
        ),
        (
            r#"{"learning":{"warmup":"900days"}}"#,
            ["learning.warmup", "900d", "1s to 90d"],
        ),
        (
            r#"{"learning":{"memry":"1h"}}"#,
            ["learning.memry", "memry", "`memory`"],
        ),
        (
            r#"{"false_alerts_per_week":0}"#,
            ["false_alerts_per_week", "0", "0.001 to 1000"],
        ),
        (
            r#"{"false_alerts_per_week":"one"}"#,
            ["false_alerts_per_week", "one", "f64"],
        ),
        (r#"{"windows":[]}"#, ["windows", "0 windows", "1 to 4"]),
        (
            r#"{"windows":["10s","15s"]}"#,
            ["windows[1]", "15s", "multiple of 10s"],
        ),
        (
            r#"{"identity":{"claim":""}}"#,
            ["identity.claim", "[\"\"]", "\"realm_access.sub\""],
        ),
        (
            r#"{"identity":{"claim":["it's"]}}"#,
            ["identity.claim", "it's", "without quotes"],
        ),
        (
            r#"{"identity":{"claim":7}}"#,
            ["identity.claim", "7", "a list of its steps"],
        ),
        (
            r#"{"identity":{"payload":"']['"}}"#,
            ["identity.payload", "']['", "without quotes"],
        ),
        (
            r#"{"identity":{"trusted_user_header":"x y"}}"#,
            ["identity.trusted_user_header", "x y", "letters, digits"],
        ),
        (
            r#"{"identity":{"privacy":"none"}}"#,
            ["identity.privacy", "none", "`drop`"],
        ),
        (
            r#"{"identity":{"key":"short"}}"#,
            ["identity.key", "5 bytes", "16 to 256"],
        ),
        (
            r#"{"names":{"addresses":[{"network":"10.0.0.1/8","name":"a"}]}}"#,
            [
                "names.addresses[0].network",
                "10.0.0.1/8",
                "after the prefix",
            ],
        ),
        (
            r#"{"names":{"addresses":[{"network":"10.0.0.0/8","name":""}]}}"#,
            ["names.addresses[0].name", "\"\"", "1 to 253"],
        ),
        (
            r#"{"limits":{"pairs":3}}"#,
            ["limits.pairs", "3", "10 to 100000"],
        ),
        (
            r#"{"names":{"service":""}}"#,
            ["names.service", "", "1 to 253"],
        ),
        (
            r#"{"names":{"trusted_source_header":"x'y"}}"#,
            ["names.trusted_source_header", "x'y", "letters, digits"],
        ),
        (
            r#"{"signals":{"latency":"yes"}}"#,
            ["signals.latency", "yes", "boolean"],
        ),
        (
            r#"{"alerts":{"min_severity":"loud"}}"#,
            ["alerts.min_severity", "loud", "`critical`"],
        ),
        (
            r#"{"suppressions":[{"source":"a","reason":"x"}]}"#,
            ["suppressions[0]", "missing field", "`until`"],
        ),
        (
            r#"{"suppressions":[{"source":"a","until":"2026-11-21T00:00:00Z"}]}"#,
            ["suppressions[0]", "missing field", "`reason`"],
        ),
        (
            r#"{"suppressions":[{"source":"a","reason":" ","until":"2026-11-21T00:00:00Z"}]}"#,
            ["suppressions[0].reason", "\" \"", "1 to 200"],
        ),
        (
            r#"{"suppressions":[{"source":"a","reason":"x","until":"tomorrow"}]}"#,
            ["suppressions[0].until", "tomorrow", "RFC 3339"],
        ),
        (
            r#"{"suppressions":[{"reason":"x","until":"2026-11-21T00:00:00Z"}]}"#,
            [
                "suppressions[0]",
                "everything",
                "source, destination, kind, identity",
            ],
        ),
        (
            r#"{"suppressions":[{"source":"**","reason":"x","until":"2026-11-21T00:00:00Z"}]}"#,
            ["suppressions[0]", "everything", "other than \"*\""],
        ),
        (
            r#"{"suppressions":[{"source":"","reason":"x","until":"2026-11-21T00:00:00Z"}]}"#,
            ["suppressions[0].source", "\"\"", "1 to 253"],
        ),
        (
            r#"{"suppressions":[{"kind":"noise","reason":"x","until":"2026-11-21T00:00:00Z"}]}"#,
            ["suppressions[0].kind", "noise", "`rate_spike`"],
        ),
        (
            r#"{"maintenance":[{"reason":"x","from":"2026-11-21T00:00:00Z","until":"2026-11-20T00:00:00Z"}]}"#,
            ["maintenance[0].until", "2026-11-20", "after 2026-11-21"],
        ),
        (
            r#"{"sinks":[{"type":"pager","cluster":"a"}]}"#,
            ["sinks[0].type", "pager", "`alertmanager`"],
        ),
        (
            r#"{"sinks":[{"type":"otlp"}]}"#,
            ["sinks[0]", "missing field", "`cluster`"],
        ),
        (
            r#"{"sinks":[{"type":"otlp","cluster":"a b"}]}"#,
            ["sinks[0].cluster", "a b", "visible ASCII"],
        ),
        (
            r#"{"sinks":[{"type":"otlp","cluster":"a"},{"type":"otlp","cluster":"b"}]}"#,
            ["sinks[1].name", "otlp", "no other sink"],
        ),
        (
            r#"{"sinks":[{"type":"otlp","cluster":"a","format":"ocsf"}]}"#,
            ["sinks[0].format", "ocsf", "webhook only"],
        ),
        (
            r#"{"sinks":[{"type":"webhook","cluster":"a","path":"hook"}]}"#,
            ["sinks[0].path", "hook", "begins with /"],
        ),
        (
            r#"{"sinks":[{"type":"webhook","cluster":"a","headers":{"Bad:":"x"}}]}"#,
            ["sinks[0].headers.Bad:", "lower case", ""],
        ),
        (
            r#"{"sinks":[{"type":"webhook","cluster":"a","per_minute":0}]}"#,
            ["sinks[0].per_minute", "0", "1 to 6000"],
        ),
        (
            r#"{"sinks":[{"type":"webhook","cluster":"a","timeout":"2m"}]}"#,
            ["sinks[0].timeout", "2m", "1s to 1m"],
        ),
        ("{} {}", ["configuration", "trailing", ""]),
        ("[1]", ["configuration", "", ""]),
        ("not json", ["configuration", "expected", ""]),
    ];
    for (text, wanted) in cases {
        let error = Config::from_json(text.as_bytes())
            .expect_err(text)
            .to_string();
        for want in wanted {
            assert!(
                error.contains(want),
                "{text}: {error:?} does not say {want:?}"
            );
        }
    }
}

#[test]
fn a_secret_in_a_sinks_header_is_not_told_when_it_is_refused() {
    let text = r#"{"sinks":[{"type":"webhook","cluster":"a","headers":{"authorization":"s3cret\u0007"}}]}"#;
    let error = Config::from_json(text.as_bytes())
        .expect_err(text)
        .to_string();
    assert!(error.contains("sinks[0].headers.authorization"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn a_claim_is_a_path_with_dots_or_a_list_of_steps() {
    let steps = |text: &str| {
        let config = Config::from_json(text.as_bytes()).unwrap();
        config.identity.claim.unwrap().steps().join(" > ")
    };
    assert_eq!(
        steps(r#"{"identity":{"claim":"realm_access.sub"}}"#),
        "realm_access > sub"
    );
    assert_eq!(
        steps(r#"{"identity":{"claim":["https://example.com/user"]}}"#),
        "https://example.com/user"
    );
}

#[test]
fn a_key_that_is_refused_is_not_shown() {
    let error = Config::from_json(br#"{"identity":{"key":"hunter2"}}"#).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
