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
            r#"{"learning":{"warm_start":{"inline":"UFdTT"}}}"#,
            ["learning.warm_start.inline", "5 characters", "base64"],
        ),
        (
            r#"{"learning":{"warm_start":{"inline":""}}}"#,
            ["learning.warm_start.inline", "0 bytes", "1 to 2097152"],
        ),
        (
            r#"{"learning":{"warm_start":{"inline":"UFdT","save_every":"1m"}}}"#,
            ["learning.warm_start.save_every", "beside inline", "either"],
        ),
        (
            r#"{"learning":{"warm_start":{}}}"#,
            ["learning.warm_start.cluster", "nothing", "either inline"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"store"}}}"#,
            ["learning.warm_start.path", "nothing", "cluster and path"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"store","path":"baselines"}}}"#,
            ["learning.warm_start.path", "baselines", "begins with /"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"store","path":"/{pod}"}}}"#,
            ["learning.warm_start.path", "{pod}", "{node.id}"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"a store","path":"/"}}}"#,
            ["learning.warm_start.cluster", "a store", "1 to 253"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"a","path":"/","authority":""}}}"#,
            ["learning.warm_start.authority", "\"\"", "1 to 253"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"a","path":"/","save_every":"2d"}}}"#,
            ["learning.warm_start.save_every", "2d", "1s to 1d"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"a","path":"/","timeout":"0s"}}}"#,
            ["learning.warm_start.timeout", "0ms", "1s to 1m"],
        ),
        (
            r#"{"learning":{"warm_start":{"cluster":"a","path":"/","every":"1m"}}}"#,
            ["learning.warm_start.every", "every", "`save_every`"],
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
        (
            r#"{"mode":"forgetful"}"#,
            ["mode", "forgetful", "`stateless`"],
        ),
        (
            r#"{"mode":"stateless","role":"aggregator"}"#,
            ["mode", "stateless", "stateful"],
        ),
        (
            r#"{"mode":"stateless","rules":[{"type":"known_pair","name":"a"}]}"#,
            ["rules[0].type", "known_pair", "needs no memory"],
        ),
        (
            r#"{"rules":[{"type":"cel","name":"a"}]}"#,
            ["rules[0].type", "cel", "`learned_hours`"],
        ),
        (
            r#"{"rules":[{"type":"size"}]}"#,
            ["rules[0]", "missing field", "`name`"],
        ),
        (
            r#"{"rules":[{"type":"size","name":"a"}]}"#,
            [
                "rules[0]",
                "no size",
                "max_request_bytes, max_response_bytes",
            ],
        ),
        (
            r#"{"rules":[{"type":"pairs","name":"a"}]}"#,
            ["rules[0].pairs", "nothing", "of type pairs needs it"],
        ),
        (
            r#"{"rules":[{"type":"pairs","name":"a","pairs":[]}]}"#,
            ["rules[0].pairs", "0 entries", "1 to 200"],
        ),
        (
            r#"{"rules":[{"type":"pairs","name":"a","pairs":[{"source":"a","destination":""}]}]}"#,
            ["rules[0].pairs[0].destination", "\"\"", "1 to 253"],
        ),
        (
            r#"{"rules":[{"type":"identity","name":"a","networks":["10.0.0.0/8"]}]}"#,
            [
                "rules[0].networks",
                "of type identity",
                "scope, severity, identities",
            ],
        ),
        (
            r#"{"rules":[{"type":"networks","name":"a","networks":["10.0.0.1/8"]}]}"#,
            [
                "rules[0].networks[0]",
                "10.0.0.1/8",
                "no bits after the prefix",
            ],
        ),
        (
            r#"{"rules":[{"type":"schedule","name":"a","from":"8"}]}"#,
            ["rules[0].from", "\"8\"", "from \"00:00\" to \"24:00\""],
        ),
        (
            r#"{"rules":[{"type":"schedule","name":"a","utc_offset":"CET"}]}"#,
            ["rules[0].utc_offset", "CET", "+01:00"],
        ),
        (
            r#"{"rules":[{"type":"schedule","name":"a","days":["monday"]}]}"#,
            ["rules[0].days[0]", "monday", "`mon`"],
        ),
        (
            r#"{"rules":[{"type":"typical","name":"a","signal":"request_rate","times":0.5}]}"#,
            ["rules[0].times", "0.5", "1 to 1000"],
        ),
        (
            r#"{"signals":{"client_errors":false},"rules":[{"type":"typical","name":"a","signal":"client_errors","times":2}]}"#,
            ["rules[0].signal", "client_errors", "a signal that is on"],
        ),
        (
            r#"{"rules":[{"type":"identity","name":"a"},{"type":"identity","name":"a"}]}"#,
            ["rules[1].name", "\"a\"", "no other rule"],
        ),
        (
            r#"{"verdicts":{"action":"block"}}"#,
            ["verdicts.action", "block", "`enforce`"],
        ),
        (
            r#"{"verdicts":{"deny":[{}]}}"#,
            ["verdicts.deny[0]", "missing field", "`kinds`"],
        ),
        (
            r#"{"verdicts":{"deny":[{"kinds":["scanning"],"status":500}]}}"#,
            ["verdicts.deny[0].status", "500", "403 or 429"],
        ),
        (
            r#"{"verdicts":{"deny":[{"kinds":["scanning"],"retry_after":"5s"}]}}"#,
            [
                "verdicts.deny[0].retry_after",
                "5s",
                "unless the status is 429",
            ],
        ),
        (
            r#"{"verdicts":{"deny":[{"kinds":["scanning"],"for":"2d"}]}}"#,
            ["verdicts.deny[0].for", "2d", "1s to 1d"],
        ),
        (
            r#"{"verdicts":{"exempt":[{}]}}"#,
            [
                "verdicts.exempt[0]",
                "nothing",
                "source, destination, identity, route",
            ],
        ),
        (
            r#"{"verdicts":{"max_denied_percent":0}}"#,
            ["verdicts.max_denied_percent", "0", "0.1 to 100"],
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

#[test]
fn a_warm_start_is_written_as_it_was_read() {
    for warm_start in [
        r#"{"inline":"UFdTTg=="}"#,
        r#"{"cluster":"store","path":"/{node.id}/{node.cluster}?a=b","save_every":"0ms"}"#,
    ] {
        let text = format!(r#"{{"learning":{{"warm_start":{warm_start}}}}}"#);
        let config = Config::from_json(text.as_bytes()).unwrap();
        let written = serde_json::to_string(&config).unwrap();
        assert!(written.contains(warm_start), "{written}");
        assert_eq!(Config::from_json(written.as_bytes()).unwrap(), config);
    }
}
