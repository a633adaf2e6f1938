//! `benches/counts.json`: what each scenario cost when somebody last looked, a line each.
//!
//! Calls and bytes hang on the source alone and are compared exactly. Fuel, which is instructions, also hangs on the compiler, and
//! the module may be built by one of two (rustup's or Debian's, a version apart): it may differ by [`FUEL_TOLERANCE`].

use pairwatch_testbed::paths;
use pairwatch_wasm_host::Counts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Set to write the file instead of comparing with it: what `make counts` does.
const WRITE: &str = "PAIRWATCH_COUNTS_WRITE";

/// The share by which fuel may differ. Rust 1.96 (Debian's) makes a module whose fuel is between 5 % below and 6 % above that of
/// 1.95's in these scenarios, 3 % above in the median.
const FUEL_TOLERANCE: f64 = 0.1;

/// What a scenario costs: of a request or a tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figures {
    pub(crate) host_calls: BTreeMap<String, u64>,
    pub(crate) guest_calls: BTreeMap<String, u64>,
    /// Copied into the module.
    pub(crate) bytes_in: u64,
    /// Copied out of it.
    pub(crate) bytes_out: u64,
    pub(crate) fuel: u64,
}

impl From<Counts> for Figures {
    fn from(counts: Counts) -> Self {
        Self {
            host_calls: counts.host_calls,
            guest_calls: counts.guest_calls,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            fuel: counts.fuel,
        }
    }
}

impl Figures {
    pub(crate) fn host_calls_total(&self) -> u64 {
        self.host_calls.values().sum()
    }

    /// Whether all but fuel is the same.
    pub(crate) fn same_counts(&self, other: &Self) -> bool {
        let fuel = self.fuel;
        *self
            == Self {
                fuel,
                ..other.clone()
            }
    }

    /// What differs from what was committed, a line each.
    fn differences(&self, old: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, old, new) in [
            ("host calls", &old.host_calls, &self.host_calls),
            ("guest calls", &old.guest_calls, &self.guest_calls),
        ] {
            let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let of = |calls: &BTreeMap<String, u64>| calls.get(name).copied().unwrap_or(0);
                if of(old) != of(new) {
                    lines.push(format!("{what}, {name}: {} → {}", of(old), of(new)));
                }
            }
        }
        for (what, old, new) in [
            ("bytes in", old.bytes_in, self.bytes_in),
            ("bytes out", old.bytes_out, self.bytes_out),
        ] {
            if old != new {
                lines.push(format!("{what}: {old} → {new}"));
            }
        }
        let ratio = self.fuel as f64 / old.fuel.max(1) as f64;
        if (ratio - 1.0).abs() > FUEL_TOLERANCE {
            lines.push(format!(
                "fuel: {} → {} ({:+.1} %, beyond ± {:.0} %)",
                old.fuel,
                self.fuel,
                (ratio - 1.0) * 100.0,
                FUEL_TOLERANCE * 100.0
            ));
        }
        lines
    }
}

fn file() -> PathBuf {
    paths::workspace().join("benches/counts.json")
}

/// Fails with old and new where a scenario costs something else than what is committed.
pub(crate) fn compare(found: &BTreeMap<String, Figures>) {
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(file(), text(found)).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(file()).unwrap_or_else(|_| "{}".to_owned());
    let committed: BTreeMap<String, Figures> = serde_json::from_str(&committed).unwrap();
    let mut report = String::new();
    for (name, figures) in found {
        let lines = match committed.get(name) {
            Some(old) => figures.differences(old),
            None => vec!["is new".to_owned()],
        };
        for line in lines {
            writeln!(report, "  {name}: {line}").unwrap();
        }
    }
    for name in committed.keys().filter(|name| !found.contains_key(*name)) {
        writeln!(report, "  {name}: is gone").unwrap();
    }
    assert!(
        report.is_empty(),
        "the module does not cost what {} says (committed → found):\n{report}\
         If that is what the change is meant to do, `make counts` writes the file anew; commit it with the change.",
        file().display()
    );
}

/// JSON with a scenario a line, so that a change of one is a change of one line.
fn text(found: &BTreeMap<String, Figures>) -> String {
    let lines: Vec<String> = found
        .iter()
        .map(|(name, figures)| {
            let figures = serde_json::to_string(figures).unwrap();
            format!("{}: {figures}", serde_json::to_string(name).unwrap())
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}
