//! What the built module costs, counted: calls in either direction by name, bytes copied, and fuel.
//!
//! The counts of each of [`scenarios`] are committed in `benches/counts.json`, so that a change of them is seen in review, as a
//! change of that file: [`ledger`] compares. Nothing here is timed; a machine's load changes nothing.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

#[path = "../common/claim.rs"]
mod claim;
#[path = "../common/mod.rs"]
mod common;
mod ledger;
#[path = "../common/proxy.rs"]
mod proxy;
mod scenarios;

use ledger::Figures;
use pairwatch_testbed::paths;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Counted once for all tests.
static FOUND: LazyLock<BTreeMap<String, Figures>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    for (name, figures) in scenarios::requests()
        .into_iter()
        .chain(scenarios::named())
        .chain(scenarios::ticks())
    {
        let twice = found.insert(name.clone(), figures);
        assert!(twice.is_none(), "two scenarios are called {name}");
    }
    found
});

#[test]
fn each_scenario_costs_what_is_committed() {
    ledger::compare(&FOUND);
}

/// Of DESIGN's budgets.
const MOST_HOST_CALLS: u64 = 3;

#[test]
fn a_request_in_steady_state_stays_within_its_budget_of_host_calls() {
    let steady = FOUND.iter().filter(|(name, _)| name.ends_with("steady"));
    for (name, figures) in steady {
        let calls = figures.host_calls_total();
        assert!(calls <= MOST_HOST_CALLS, "{name}: {calls} host calls");
    }
}

#[test]
fn the_table_of_costs_in_the_docs_is_what_is_counted() {
    let text = std::fs::read_to_string(paths::workspace().join("docs/identity.md")).unwrap();
    let calls = |name: &str, when: &str| {
        let name = scenarios::name_of_row(name, when);
        FOUND[&name].host_calls_total()
    };
    let rows = scenarios::rows().into_iter().map(|(name, ..)| {
        let (steady, first) = (
            calls(name, scenarios::STEADY),
            calls(name, scenarios::FIRST),
        );
        format!("| {name} | {steady} | {first} |")
    });
    let missing: Vec<String> = rows.filter(|row| !text.contains(row)).collect();
    assert!(
        missing.is_empty(),
        "docs/identity.md lacks:\n{}",
        missing.join("\n")
    );
}
