//! Istio's part, played for a test: manifests to objects, objects to the Envoy configuration that Istio would send.
//!
//! Kustomizations are built by kubectl or kustomize and checked against Istio's CRDs (`scripts/setup-istio`). What is in a
//! WasmPlugin or an EnvoyFilter then goes into a bootstrap of `envoy/` the way Istio and its agent would put it there, so
//! that what is shipped is what is run:
//!
//! * A WasmPlugin is a filter whose configuration is a resource of its own (ECDS), named `<namespace>.<name>`; its
//!   `pluginConfig` is JSON in a StringValue, absent where it is empty; its VM has no id.
//! * Of an EnvoyFilter: `HTTP_FILTER` with `INSERT_BEFORE` the router, and `EXTENSION_CONFIG` with `ADD`.
//! * Where Istio streams a resource (`ads`), the testbed serves a file; where its agent fetches an image, the testbed names
//!   the built module.
//!
//! What a match selects (context, labels, references) is Istio's to decide, and not played here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bootstrap::{Bootstrap, set_module};
use crate::paths;

const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";
const ROUTER: &str = "envoy.filters.http.router";

/// The folders under `istio/` that build: every kustomization but the components, sorted.
///
/// # Errors
/// When a folder can't be read.
pub fn kustomizations() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![paths::workspace().join("istio")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        let file = folder.join("kustomization.yaml");
        if file.is_file() && !std::fs::read_to_string(&file)?.contains("kind: Component") {
            found.push(folder);
        }
    }
    found.sort();
    Ok(found)
}

/// The objects a kustomization builds.
///
/// # Errors
/// When it doesn't build, or no builder is set up.
pub fn build(folder: &Path) -> Result<Vec<Value>> {
    let output = Command::new(paths::istio_tool("kustomize")?)
        .arg(folder)
        .output()
        .context("running the kustomization's builder")?;
    ensure!(
        output.status.success(),
        "{} does not build: {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    read_yaml(&String::from_utf8(output.stdout)?)
}

/// The documents of a YAML text.
///
/// # Errors
/// When it is none.
pub fn read_yaml(text: &str) -> Result<Vec<Value>> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).context("reading YAML"))
        .collect()
}

/// What Istio's CRDs have against each object: an empty list where nothing.
///
/// # Errors
/// When the check can't be run.
pub fn check(objects: &[Value]) -> Result<Vec<Vec<String>>> {
    let mut child = Command::new(paths::istio_tool("check")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the check")?;
    let mut input = child.stdin.take().context("the check's input")?;
    // It reads all before it writes.
    input.write_all(&serde_json::to_vec(objects)?)?;
    drop(input);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the check ended with an error");
    serde_json::from_slice(&output.stdout).context("reading the check's answer")
}

/// A bootstrap of `envoy/` with its own Pairwatch filter taken out and this WasmPlugin or EnvoyFilter put in. Resources
/// that Istio would stream are written to `folder`.
///
/// # Errors
/// On an object that is neither, or holds what is not played here.
pub fn install(bootstrap: Bootstrap, object: &Value, folder: &Path) -> Result<Bootstrap> {
    let module = paths::plugin_module()?;
    let mut filters = Vec::new();
    match object["kind"].as_str() {
        Some("WasmPlugin") => {
            let name = format!(
                "{}.{}",
                text(object, "/metadata/namespace")?,
                text(object, "/metadata/name")?
            );
            serve(&name, &plugin(&name, object)?, &module, folder)?;
            filters.push(discovered(&name, folder));
        }
        Some("EnvoyFilter") => {
            let patches = object.pointer("/spec/configPatches");
            for patch in patches.and_then(Value::as_array).into_iter().flatten() {
                let value = patch
                    .pointer("/patch/value")
                    .context("a patch has a value")?;
                let operation = (
                    text(patch, "/applyTo")?,
                    text(patch, "/patch/operation")?,
                    patch
                        .pointer("/match/listener/filterChain/filter/subFilter/name")
                        .and_then(Value::as_str),
                );
                match operation {
                    ("HTTP_FILTER", "INSERT_BEFORE", Some(ROUTER)) => {
                        let name = text(value, "/name")?;
                        filters.push(if value.get("config_discovery").is_some() {
                            discovered(name, folder)
                        } else {
                            value.clone()
                        });
                    }
                    ("EXTENSION_CONFIG", "ADD", None) => {
                        let name = text(value, "/name")?;
                        let config = value.get("typed_config").context("a typed_config")?;
                        serve(name, config, &module, folder)?;
                    }
                    other => bail!("{other:?} is not played by the testbed"),
                }
            }
        }
        other => bail!("{other:?} is no filter"),
    }
    ensure!(!filters.is_empty(), "it brings no filter");
    let mut placed = false;
    let bootstrap = bootstrap.patch(|tree| {
        let here =
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
        if let Some(Value::Array(all)) = tree.pointer_mut(here) {
            all.retain(|filter| filter["name"] != "pairwatch");
            let router = all.iter().position(|filter| filter["name"] == ROUTER);
            placed = router.is_some();
            // In their order: each comes right before the router.
            let at = router.unwrap_or_default();
            all.splice(at..at, filters);
        }
    });
    ensure!(placed, "the bootstrap has no router to be put before");
    Ok(bootstrap)
}

/// The filter's configuration that Istio makes of a WasmPlugin.
fn plugin(name: &str, object: &Value) -> Result<Value> {
    let policy = match object.pointer("/spec/failStrategy").and_then(Value::as_str) {
        None | Some("FAIL_CLOSE") => "FAIL_CLOSED",
        Some(other) => other,
    };
    let mut config = json!({
        "name": name,
        "root_id": object.pointer("/spec/pluginName").and_then(Value::as_str).unwrap_or_default(),
        "failure_policy": policy,
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "remote": { "http_uri": { "uri": text(object, "/spec/url")? } } },
        },
    });
    let given = object
        .pointer("/spec/pluginConfig")
        .and_then(Value::as_object)
        .filter(|given| !given.is_empty());
    if let (Some(given), Some(config)) = (given, config.as_object_mut()) {
        let value = serde_json::to_string(given)?;
        config.insert(
            "configuration".into(),
            json!({ "@type": STRING_VALUE, "value": value }),
        );
    }
    Ok(json!({ "@type": WASM_FILTER, "config": config }))
}

/// Writes a filter's configuration where [`discovered`] finds it, with the module in place of an image.
fn serve(name: &str, config: &Value, module: &Path, folder: &Path) -> Result<()> {
    let mut config = config.clone();
    if let Some(Value::Object(vm)) = config.pointer_mut("/config/vm_config")
        && vm
            .get("code")
            .is_some_and(|code| code.get("remote").is_some())
    {
        vm.insert("code".into(), json!({ "local": { "filename": module } }));
    }
    set_module(&mut config, module);
    let response = json!({
        "version_info": "1",
        "resources": [{ "@type": EXTENSION, "name": name, "typed_config": config }],
    });
    std::fs::write(resource(name, folder), response.to_string())
        .with_context(|| format!("writing the resource {name}"))
}

fn discovered(name: &str, folder: &Path) -> Value {
    json!({
        "name": name,
        "config_discovery": {
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": { "path": resource(name, folder) },
            },
            "type_urls": [WASM_FILTER],
        },
    })
}

fn resource(name: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("a text at {pointer}"))
}
