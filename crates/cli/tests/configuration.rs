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
    pairwatch(["check", "-", "-"]).given(b"{}").fails();
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_configuration() {
    for text in [r#"{"false_alerts_per_week":3}"#, MANIFESTS] {
        let text = format!("\u{feff}{text}");
        let said = pairwatch(["check"]).given(text.as_bytes()).succeeds();
        assert!(said.stdout.contains("tolerated"), "{said:?}");
    }
}

#[test]
fn what_does_nothing_as_it_stands_is_told_of() {
    let deny = |action: &str, shadow: bool| {
        format!(
            r#"{{"verdicts":{{"action":"{action}","deny":[{{"kinds":["scanning"],"shadow":{shadow}}}]}}}}"#
        )
    };
    let suppressed = |until: &str| {
        format!(
            r#"{{"suppressions":[{{"source":"loadtest","reason":"weekly","until":"{until}T00:00:00Z"}}]}}"#
        )
    };
    let networks = |identity: &str| {
        format!(
            r#"{{"rules":[{{"type":"networks","name":"a","networks":["10.0.0.0/8"]}}],"identity":{{{identity}}}}}"#
        )
    };
    for (text, words) in [
        (networks(""), Some("hold nobody")),
        (networks(r#""addresses":false"#), Some("hold nobody")),
        (networks(r#""addresses":true"#), None),
        (deny("observe", false), Some("refuses nothing")),
        (deny("enforce", true), Some("1 of 1 in shadow")),
        (deny("enforce", false), None),
        (suppressed("2020-01-01"), Some("hides nothing any more")),
        (suppressed("2999-01-01"), None),
    ] {
        let said = pairwatch(["check"])
            .given(text.as_bytes())
            .succeeds()
            .stdout;
        let idle = [
            "refuses nothing",
            "in shadow",
            "hides nothing any more",
            "hold nobody",
        ];
        let told: Vec<_> = idle.into_iter().filter(|w| said.contains(w)).collect();
        let wanted = idle
            .into_iter()
            .filter(|w| words.is_some_and(|words| words.contains(w)));
        assert_eq!(told, wanted.collect::<Vec<_>>(), "{text}: {said}");
    }
}

#[test]
fn a_refused_configuration_is_told_by_file_and_field() {
    let file = scratch("bad.json", br#"{"learning":{"warmup":"soon"}}"#);
    let said = pairwatch(["check", &file]).fails();
    for part in ["bad.json", "learning.warmup", "soon"] {
        assert!(said.contains(part), "{said:?} does not say {part:?}");
    }
    let said = pairwatch(["replay", "--config", &file, "any.log"]).fails();
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

/// A WasmPlugin and an EnvoyFilter, each with a configuration inside.
const MANIFESTS: &str = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: pairwatch}
spec:
  url: oci://registry.example/pairwatch
  pluginConfig:
    false_alerts_per_week: 2
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
          config:
            vm_config: {vm_id: pairwatch}
            configuration:
              "@type": type.googleapis.com/google.protobuf.StringValue
              value: '{"learning":{"warmup":"2d"}}'
"#;

#[test]
fn configurations_inside_of_yaml_are_found_and_refused_as_the_plugin_would() {
    let said = pairwatch(["check"])
        .given(MANIFESTS.as_bytes())
        .succeeds()
        .stdout;
    for words in [
        "standard input: document 1: WasmPlugin pairwatch: spec.pluginConfig: fine",
        "standard input: document 2: spec.configPatches[0].patch.value.typed_config.config.configuration.value: fine",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    for (from, to, path, words) in [
        (
            "week: 2",
            "week: 0",
            "spec.pluginConfig",
            "false_alerts_per_week: found 0",
        ),
        (
            "false_alerts_per_week",
            "false_alarms",
            "spec.pluginConfig",
            "unknown field `false_alarms`",
        ),
        (
            "\"2d\"",
            "\"soon\"",
            "configuration.value",
            "learning.warmup: invalid value: string \"soon\"",
        ),
    ] {
        let file = scratch("manifests.yaml", MANIFESTS.replace(from, to).as_bytes());
        let said = pairwatch(["check", &file]).fails();
        for part in ["manifests.yaml", path, words] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
        let position = path == "configuration.value";
        assert_eq!(
            said.contains(" at line 1 "),
            position,
            "of the text as written only: {said}"
        );
    }
}

#[test]
fn the_repositorys_own_manifests_and_presets_are_good() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for file in [
        "istio/base/wasmplugin.yaml",
        "istio/envoyfilter/extension-config/envoyfilter.yaml",
        "istio/envoyfilter/local-module/envoyfilter.yaml",
        "istio/bootstrap/custom_bootstrap.json",
        "filter-config/rules.json",
        "envoy/proxy.yaml",
        "envoy/proxy-singleton.yaml",
        "filter-config/strict.json",
    ] {
        pairwatch(["check", &format!("{root}{file}")]).succeeds();
    }
}

#[test]
fn a_configuration_inside_of_a_config_map_is_found() {
    let inner = MANIFESTS
        .split_once("---")
        .unwrap()
        .0
        .trim()
        .replace('\n', "\n    ");
    let map = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  plugin.yaml: |\n    {inner}\n");
    let said = pairwatch(["check"]).given(map.as_bytes()).succeeds().stdout;
    assert!(
        said.contains("data.plugin.yaml: WasmPlugin pairwatch: spec.pluginConfig: fine"),
        "{said}"
    );
}

#[test]
fn everything_that_is_refused_is_told_and_nothing_beside_it_is_called_fine() {
    let plugin = |name: &str, week: u32| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{namespace: shop, name: {name}}}\n\
             spec: {{pluginConfig: {{false_alerts_per_week: {week}}}}}\n"
        )
    };
    let bad = [plugin("a", 0), plugin("b", 1), plugin("c", 0)].join("---\n");
    let items = |name, week| plugin(name, week).trim_end().replace('\n', "\n  ");
    let list = format!(
        "kind: List\nitems:\n- {}\n- {}\n",
        items("d", 1),
        items("e", 0)
    );
    let files = [
        scratch("bad.yaml", bad.as_bytes()),
        scratch("list.yaml", list.as_bytes()),
        scratch("good.yaml", plugin("good", 1).as_bytes()),
        "no-such-file.yaml".to_owned(),
        scratch("bad.json", br#"{"false_alerts_per_week":0}"#),
    ];
    let args = ["check"]
        .into_iter()
        .chain(files.iter().map(String::as_str));
    let said = pairwatch(args).exits(2);
    for words in [
        "bad.yaml: document 1: WasmPlugin shop/a: spec.pluginConfig: configuration, false_alerts_per_week",
        "bad.yaml: document 3: WasmPlugin shop/c: spec.pluginConfig: configuration, false_alerts_per_week",
        "list.yaml: items[1]: WasmPlugin shop/e: spec.pluginConfig: configuration, false_alerts_per_week",
        "no-such-file.yaml: No such file",
        "bad.json: configuration, false_alerts_per_week",
    ] {
        assert!(said.stderr.contains(words), "no {words:?} in {said:?}");
    }
    assert_eq!(said.stdout.matches(": fine").count(), 1, "{said:?}");
    assert!(
        said.stdout.contains("good.yaml: WasmPlugin shop/good: "),
        "{said:?}"
    );
}

#[test]
fn a_file_without_any_is_told_so() {
    let said = pairwatch(["check"])
        .given(b"apiVersion: v1\nkind: Service\n")
        .fails();
    assert!(
        said.contains("no configuration of a Wasm plugin inside"),
        "{said}"
    );
    let said = pairwatch(["check"]).given(b"a: [").fails();
    assert!(said.contains("standard input: "), "{said}");
}

#[test]
fn the_memory_a_configuration_allows_is_told() {
    let said = |pairs: u32, routes: u32| {
        let text = format!(
            r#"{{"limits":{{"pairs":{pairs},"routes_per_pair":{routes},"hold_bytes":2097152}}}}"#
        );
        pairwatch(["check"])
            .given(text.as_bytes())
            .succeeds()
            .stdout
    };
    let of = |pairs, routes, vm: &str| {
        let said = said(pairs, routes);
        let line = said
            .lines()
            .find(|line| line.contains(vm))
            .map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {vm} in {said}"))
    };
    let worker = of(100, 4, "worker's VM");
    assert!(
        worker.contains("its counters at most 2.0 MiB (limits.hold_bytes)"),
        "{worker}"
    );
    for vm in ["worker's VM", "aggregator's VM"] {
        assert_ne!(of(100, 4, vm), of(1000, 4, vm), "pairs take memory");
        assert_ne!(of(1000, 4, vm), of(1000, 32, vm), "routes take memory");
    }
}

#[test]
fn no_aggregator_is_spoken_of_where_there_is_none() {
    let stateless = br#"{"mode":"stateless"}"#;
    let said = pairwatch(["check"]).given(stateless).succeeds().stdout;
    assert!(said.contains("there is no aggregator"), "{said}");
    for words in ["aggregator's VM", "what is learned", "a week tolerated"] {
        assert!(!said.contains(words), "{words} in {said}");
    }
}
