//! The presets of `filter-config/` are configurations, and say what their names promise.

use pairwatch_engine::alerts::Severity;
use pairwatch_engine::config::{Action, Config, Mode};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

macro_rules! preset {
    ($name:literal) => {
        Config::from_json(include_bytes!(concat!(
            "../../../filter-config/",
            $name,
            ".json"
        )))
        .expect(concat!("filter-config/", $name, ".json"))
    };
}

#[test]
fn the_default_preset_spells_out_the_defaults() {
    assert_eq!(preset!("default"), Config::default());
}

#[test]
fn the_gateway_preset_has_room_for_the_internet_and_calls_it_by_name() {
    let (gateway, default) = (preset!("gateway"), Config::default());
    assert_eq!(gateway.names.unknown_source, "internet");
    assert!(gateway.limits.pairs > default.limits.pairs);
    assert!(gateway.limits.routes_per_pair > default.limits.routes_per_pair);
    assert!(gateway.limits.hold_bytes > default.limits.hold_bytes);
}

#[test]
fn the_rules_preset_shows_each_sort_of_rule_and_what_else_is_default() {
    let rules = preset!("rules");
    assert_eq!((rules.suppressions.len(), rules.maintenance.len()), (2, 1));
    let rest = Config {
        suppressions: Vec::new(),
        maintenance: Vec::new(),
        ..rules
    };
    assert_eq!(rest, Config::default());
}

#[test]
fn the_stateless_preset_has_a_rule_of_each_type_that_needs_no_memory() {
    let preset = preset!("stateless");
    assert_eq!(preset.mode, Mode::Stateless);
    let types: Vec<_> = preset.rules.iter().map(|r| r.of.name()).collect();
    let wanted = [
        "pairs", "routes", "size", "schedule", "networks", "identity",
    ];
    assert_eq!(types, wanted);
    assert!(
        preset.identity.has_addresses() && preset.identity.has_users(),
        "its rules of networks and identities have something to look at"
    );
    assert_eq!(preset.verdicts.action, Action::Tag);
}

#[test]
fn the_enforce_preset_refuses_nothing_until_a_rule_leaves_its_shadow() {
    let preset = preset!("enforce");
    assert_eq!(preset.verdicts.action, Action::Enforce);
    assert!(!preset.verdicts.deny.is_empty());
    assert!(preset.verdicts.deny.iter().all(|d| d.shadow));
    assert!(preset.rules.iter().all(|r| r.of.is_adaptive()));
}

#[test]
fn the_strict_preset_tells_more_and_sooner() {
    let (strict, default) = (preset!("strict"), Config::default());
    assert!(strict.false_alerts_per_week > default.false_alerts_per_week);
    assert!(strict.learning.warmup < default.learning.warmup);
    assert_eq!(strict.alerts.min_severity, Severity::Info);
}
