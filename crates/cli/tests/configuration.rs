//! `pairwatch schema` and `pairwatch check`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    reason = "a test that panics is a test that fails"
)]

mod common;

use common::{pairwatch, scratch};
use pairwatch_engine::config::Config;

const SCHEMA: &str = include_str!("../../../filter-config/schema.json");

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_printed() {
    let printed = pairwatch(["schema"]).succeeds().stdout;
    assert!(
        printed == SCHEMA,
        "filter-config/schema.json is not current: run `make schema`"
    );
}

#[test]
fn the_schema_knows_every_field_and_its_default() {
    fn compare(
        schema: &serde_json::Value,
        at: &serde_json::Value,
        value: &serde_json::Value,
        path: &str,
    ) {
        let at = at["$ref"].as_str().map_or(at, |r| {
            schema
                .pointer(r.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("{path}: no {r}"))
        });
        let Some(fields) = value.as_object() else {
            return;
        };
        assert_eq!(
            at["additionalProperties"], false,
            "{path}: takes fields the engine refuses"
        );
        let properties = at["properties"]
            .as_object()
            .unwrap_or_else(|| panic!("{path}: no object"));
        assert!(
            properties.keys().eq(fields.keys()),
            "{path}: {:?}",
            properties.keys()
        );
        for (name, default) in fields {
            let path = format!("{path}.{name}");
            let property = &properties[name];
            assert_eq!(&property["default"], default, "{path}");
            assert!(
                property["description"].is_string(),
                "{path} says nothing of itself"
            );
            compare(schema, property, default, &path);
        }
    }
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let defaults = serde_json::to_value(Config::default()).unwrap();
    compare(&schema, &schema, &defaults, "config");
    assert_eq!(schema["title"], "Pairwatch configuration");
}

#[test]
fn the_defaults_as_written_are_the_defaults() {
    let text = serde_json::to_string(&Config::default()).unwrap();
    assert_eq!(
        Config::from_json(text.as_bytes()).unwrap(),
        Config::default()
    );
}

#[test]
fn a_configuration_is_checked_from_a_file_and_from_standard_input() {
    let file = scratch("good.json", br#"{"false_alerts_per_week":3}"#);
    pairwatch(["check", &file]).succeeds();
    pairwatch(["check", "-"]).given(b"{}").succeeds();
    pairwatch(["check"]).given(b"").succeeds();
}

#[test]
fn a_refused_configuration_is_told_by_file_and_field() {
    let file = scratch("bad.json", br#"{"learning":{"warmup":"soon"}}"#);
    let said = pairwatch(["check", &file]).fails();
    for part in ["bad.json", "learning.warmup", "soon"] {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    let said = pairwatch(["replay", "--config", &file, &file]).fails();
    assert!(
        said.contains("learning.warmup"),
        "a replay says so too: {said}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let said = pairwatch(["check", "no-such-file.json"]).fails();
    assert!(said.contains("no-such-file.json"), "{said}");
}
