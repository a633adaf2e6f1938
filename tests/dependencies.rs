//! What is built upon: each direct dependency is in docs/dependencies.md with its reason, pinned, out of crates.io, with
//! features chosen one by one, and all of them under licences that deny.toml allows. What cargo-deny checks, but for
//! advisories, is checked here as far as `cargo metadata` tells: it may not be had everywhere.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::paths;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A direct dependency of one of our crates.
#[derive(Debug)]
struct Direct {
    name: String,
    /// Of the crate that has it.
    of: String,
    tests_only: bool,
    requirement: String,
    default_features: bool,
}

impl Direct {
    /// Whether a package is what it asks for: the version it is pinned to.
    fn is(&self, package: &Value) -> bool {
        let version = self.requirement.trim_start_matches('=');
        text(&package["name"]) == self.name && text(&package["version"]) == version
    }
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(paths::workspace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What our own crates depend on, but for one another.
fn direct(metadata: &Value) -> Vec<Direct> {
    let ours = list(&metadata["packages"])
        .iter()
        .filter(|p| p["source"].is_null());
    let all = ours.flat_map(|package| {
        let of = text(&package["name"]);
        list(&package["dependencies"]).iter().map(move |d| Direct {
            name: text(&d["name"]).to_owned(),
            of: of.to_owned(),
            tests_only: d["kind"] == "dev",
            requirement: text(&d["req"]).to_owned(),
            default_features: d["uses_default_features"] == true,
        })
    });
    let all = all.filter(|d| !d.name.starts_with("pairwatch"));
    all.collect()
}

/// Where a dependency of one of our crates runs: what the table's second column says.
fn runs(direct: &Direct) -> &'static str {
    match direct.of.as_str() {
        _ if direct.tests_only => "tests",
        "pairwatch" | "pairwatch-engine" => "module",
        "pairwatch-cli" => "command",
        "wasm-trim" => "build",
        // The benchmarks' control, and what drives tests.
        _ => "tests",
    }
}

/// The table of docs/dependencies.md: name, where it runs, licence.
fn table() -> BTreeMap<String, (String, String)> {
    let page = std::fs::read_to_string(paths::workspace().join("docs/dependencies.md")).unwrap();
    let rows = page.lines().filter(|l| l.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_matches('`').to_owned();
        assert!(cells[3].len() > 10, "{name}: why is it there?");
        (name, (cells[1].to_owned(), cells[2].to_owned()))
    })
    .collect()
}

#[test]
fn the_table_of_dependencies_says_where_each_runs_and_its_licence() {
    let metadata = metadata();
    let direct = direct(&metadata);
    let packages = list(&metadata["packages"]);
    let mut want: BTreeMap<String, (BTreeSet<&str>, String)> = BTreeMap::new();
    for dependency in &direct {
        let package = packages.iter().find(|p| dependency.is(p));
        // What only another platform needs may not be here.
        let licence = package.map_or("", |p| text(&p["license"]));
        let row = want.entry(dependency.name.clone()).or_default();
        row.0.insert(runs(dependency));
        row.1 = licence.to_owned();
    }
    let want: BTreeMap<String, (String, String)> = want
        .into_iter()
        .map(|(name, (places, licence))| {
            // Whoever runs in the module is tested too.
            let order = ["module", "command", "build", "tests"];
            let place = order.iter().filter(|p| places.contains(*p));
            let place: Vec<&str> = place.copied().collect();
            (name, (place.join(", "), licence))
        })
        .collect();
    let found = table();
    for (name, (place, licence)) in &want {
        let row = found.get(name).map(|(p, l)| (p.as_str(), l.as_str()));
        assert_eq!(
            row,
            Some((place.as_str(), licence.as_str())),
            "docs/dependencies.md should have | `{name}` | {place} | {licence} | WHY |"
        );
    }
    for name in found.keys() {
        assert!(want.contains_key(name), "{name} is nobody's dependency");
    }
}

#[test]
fn every_direct_dependency_is_pinned() {
    for dependency in direct(&metadata()) {
        let Direct {
            name,
            of,
            requirement,
            ..
        } = &dependency;
        let exact = requirement.starts_with('=') && requirement.matches('.').count() == 2;
        assert!(exact, "{of} takes {name} {requirement}, not one version");
    }
}

/// What a crate may have by default: the standard library, and derives. Anything more is chosen by name.
const BY_DEFAULT: [&str; 3] = ["std", "alloc", "derive"];
/// What only tests take by default all the same: wasmtime brings the reader of components along anyway.
const OF_TESTS: [(&str, &str); 1] = [("wat", "component-model")];

#[test]
fn features_are_chosen_one_by_one() {
    let metadata = metadata();
    let packages = list(&metadata["packages"]);
    for dependency in direct(&metadata).iter().filter(|d| d.default_features) {
        let package = packages.iter().find(|p| dependency.is(p));
        let features = package.map_or(&[][..], |p| list(&p["features"]["default"]));
        for feature in features.iter().map(text) {
            let excepted =
                dependency.tests_only && OF_TESTS.contains(&(dependency.name.as_str(), feature));
            assert!(
                excepted || BY_DEFAULT.contains(&feature),
                "{} takes {} with {feature}, which nobody asked for",
                dependency.of,
                dependency.name
            );
        }
    }
}

/// What is quoted in a list of deny.toml.
fn allowed() -> BTreeSet<String> {
    let policy = std::fs::read_to_string(paths::workspace().join("deny.toml")).unwrap();
    let (_, list) = policy.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let quoted = list.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met by licences that are allowed: one of what `OR` joins, all of what `AND` does.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    // Older crates write `/` for `OR`.
    let old = expression.replace('/', " OR ");
    let (mut depth, mut ors, mut ands, mut part) = (0i32, vec![], vec![], String::new());
    for word in old
        .replace('(', " ( ")
        .replace(')', " ) ")
        .split_whitespace()
    {
        match word {
            "(" => depth = depth.saturating_add(1),
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (word, depth) {
            ("OR", 0) => {
                ands.push(std::mem::take(&mut part));
                ors.push(std::mem::take(&mut ands));
            }
            ("AND", 0) => ands.push(std::mem::take(&mut part)),
            _ => {
                part.push_str(word);
                part.push(' ');
            }
        }
    }
    ands.push(part);
    ors.push(ands);
    let one = |licence: &String| {
        let licence = licence.trim();
        match licence.strip_prefix('(').and_then(|l| l.strip_suffix(')')) {
            Some(inner) => is_met(inner, allowed),
            None => allowed.contains(licence),
        }
    };
    ors.iter().any(|all| all.iter().all(one))
}

#[test]
fn every_package_is_of_crates_io_under_a_licence_that_deny_toml_allows() {
    let allowed = allowed();
    assert!(allowed.contains("Apache-2.0") && !is_met("GPL-3.0 OR (MIT AND GPL-3.0)", &allowed));
    for package in list(&metadata()["packages"]) {
        let (name, licence) = (text(&package["name"]), text(&package["license"]));
        assert!(is_met(licence, &allowed), "{name} is under {licence:?}");
    }
}

#[test]
fn lock_files_name_crates_io_and_no_other_place() {
    for file in ["Cargo.lock", "fuzz/Cargo.lock"] {
        let lock = std::fs::read_to_string(paths::workspace().join(file)).unwrap();
        let sources = lock.lines().filter(|l| l.starts_with("source = "));
        for source in sources {
            assert_eq!(
                source, r#"source = "registry+https://github.com/rust-lang/crates.io-index""#,
                "{file}"
            );
        }
    }
}
