//! Where things are: the workspace, Envoy, the plugin's module.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The workspace's root.
#[must_use]
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).unwrap_or(here)
}

/// The Envoy to run: `PAIRWATCH_ENVOY`, else `.tools/envoy`.
///
/// # Errors
/// When there is no such file; the message says how to get one.
pub fn envoy_binary() -> Result<PathBuf> {
    file(
        "PAIRWATCH_ENVOY",
        ".tools/envoy",
        "an Envoy",
        "run scripts/setup-envoy",
    )
}

/// The plugin's module: `PAIRWATCH_WASM`, else `target/pairwatch.wasm`.
///
/// # Errors
/// When there is no such file; the message says how to build it.
pub fn plugin_module() -> Result<PathBuf> {
    file(
        "PAIRWATCH_WASM",
        "target/pairwatch.wasm",
        "the plugin's module",
        "run `make wasm`",
    )
}

/// A tool of the manifests' tests: `kustomize` builds a folder, `check` asks Istio's CRDs.
///
/// # Errors
/// When there is no such file; the message says how to get one.
pub fn istio_tool(name: &str) -> Result<PathBuf> {
    tool("istio", name, "run scripts/setup-istio")
}

/// `prometheus`, `promtool` or `alertmanager`.
///
/// # Errors
/// When there is no such file; the message says how to get one.
pub fn observability_tool(name: &str) -> Result<PathBuf> {
    tool("observability", name, "run scripts/setup-prometheus")
}

fn tool(folder: &str, name: &str, remedy: &str) -> Result<PathBuf> {
    let path = workspace().join(".tools").join(folder).join(name);
    if !path.is_file() {
        bail!("{name} is needed at {}: {remedy}", path.display());
    }
    Ok(path)
}

fn file(variable: &str, default: &str, what: &str, remedy: &str) -> Result<PathBuf> {
    let (path, origin) = match env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => (PathBuf::from(value), format!("{variable} names it")),
        None => (workspace().join(default), format!("{variable} is not set")),
    };
    match path.canonicalize() {
        Ok(found) if found.is_file() => Ok(found),
        _ => bail!(
            "{what} is needed at {} ({origin}): {remedy}, or set {variable} to one",
            path.display()
        ),
    }
}
