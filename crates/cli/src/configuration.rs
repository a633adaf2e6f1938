//! The configuration as the command reads and describes it. What it means, and what is refused, is the engine's.
//!
//! A configuration stands alone as JSON, or inside of YAML: as `spec.pluginConfig` of a WasmPlugin, as the
//! `configuration` of a Wasm filter or service in an EnvoyFilter or one of Envoy's own files, or as one of these in the
//! text of a ConfigMap. What is found inside is handed to the engine as the plugin would get it, so the refusals are the
//! same, with the place in front.

use crate::Failure;
use crate::input::{BYTE_ORDER_MARK, STDIN, place};
use pairwatch_engine::config::Config;
use serde_json::Value;
use std::io::Read;

/// A configuration, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// File, and the path inside.
    pub place: String,
    /// What it says.
    pub config: Config,
}

/// The configuration in a file, or on standard input for `-`. Where it stands inside of YAML it must be the only one.
///
/// # Errors
/// The file can't be read, or the engine refuses what it says.
pub fn read(file: &str) -> Result<Config, Failure> {
    let mut found = find(file)?;
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one.config),
        _ => Err(Failure::at(
            place(file),
            "holds more than one configuration",
        )),
    }
}

/// All configurations in a file, or on standard input for `-`: at least one.
///
/// # Errors
/// The file can't be read, holds none, or the engine refuses what it says.
pub fn find(file: &str) -> Result<Vec<Found>, Failure> {
    let text = if file == STDIN {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    let text = text.map_err(|e| Failure::at(place(file), e))?;
    find_in(place(file), &text)
}

/// All configurations in the text of a file: at least one.
///
/// # Errors
/// The text holds none, or the engine refuses what it says.
pub fn find_in(name: &str, text: &[u8]) -> Result<Vec<Found>, Failure> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if is_alone(text) {
        let config = Config::from_json(text).map_err(|e| Failure::at(name, e))?;
        let place = name.to_owned();
        return Ok(vec![Found { place, config }]);
    }
    let text = std::str::from_utf8(text).map_err(|e| Failure::at(name, e))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|e| Failure::at(name, e))?;
    let mut found = Vec::new();
    let several = documents.len() > 1;
    for (index, document) in documents.iter().enumerate() {
        let path = if several {
            format!("{name}: document {}: ", index.saturating_add(1))
        } else {
            format!("{name}: ")
        };
        inside(document, &path, &mut found)?;
    }
    if found.is_empty() {
        let why = "no configuration of a Wasm plugin inside: neither spec.pluginConfig nor a Wasm filter's configuration";
        return Err(Failure::at(name, why));
    }
    Ok(found)
}

/// Whether a file is one configuration as JSON, and not an object that holds some.
fn is_alone(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let manifest = [
        "apiVersion",
        "static_resources",
        "bootstrap_extensions",
        "items",
    ];
    match serde_json::from_slice::<Value>(text) {
        Ok(Value::Object(object)) => !manifest.iter().any(|key| object.contains_key(*key)),
        // What begins like JSON but is none is best told by who reads JSON.
        _ => text.is_empty() || text.starts_with(b"{"),
    }
}

/// Looks through a document.
fn inside(value: &Value, path: &str, found: &mut Vec<Found>) -> Result<(), Failure> {
    match value {
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                inside(
                    item,
                    &format!("{}[{index}]", path.trim_end_matches('.')),
                    found,
                )?;
            }
        }
        Value::Object(object) => {
            let separator = if path.ends_with(' ') { "" } else { "." };
            let kind = object.get("kind").and_then(Value::as_str);
            // Without one it is a reference to a WasmPlugin, as the targets of kustomizations are.
            if let (Some("WasmPlugin"), Some(spec)) = (kind, object.get("spec")) {
                let config = spec.get("pluginConfig").unwrap_or(&Value::Null);
                found.push(take(
                    config,
                    &format!("{path}{separator}spec.pluginConfig"),
                )?);
                return Ok(());
            }
            for (key, item) in object {
                let path = format!("{path}{separator}{key}");
                match (key.as_str(), item) {
                    ("configuration", Value::Object(any)) if object.contains_key("vm_config") => {
                        let config = any.get("value").unwrap_or(item);
                        found.push(take(config, &format!("{path}.value"))?);
                    }
                    (name, Value::String(text)) if is_file(name) => {
                        let documents: Vec<Value> =
                            serde_saphyr::from_multiple(text).map_err(|e| Failure::at(&path, e))?;
                        for document in documents {
                            inside(&document, &format!("{path}: "), found)?;
                        }
                    }
                    _ => inside(item, &path, found)?,
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a key of a ConfigMap names a file that may hold more.
fn is_file(name: &str) -> bool {
    [".json", ".yaml", ".yml"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// A configuration as the plugin gets it: the text of a string, the JSON of anything else, nothing of nothing.
fn take(config: &Value, place: &str) -> Result<Found, Failure> {
    let read = match config {
        Value::Null => Ok(Config::default()),
        Value::String(text) => Config::from_json(text.as_bytes()).map_err(|e| e.to_string()),
        other => Config::from_json(other.to_string().as_bytes())
            // Line and column would be those of a text nobody wrote.
            .map_err(|e| without_position(&e.to_string()).to_owned()),
    };
    let config = read.map_err(|e| Failure::at(place, e))?;
    Ok(Found {
        place: place.to_owned(),
        config,
    })
}

fn without_position(message: &str) -> &str {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(what, _)| what)
}

/// The configuration's JSON Schema, with all defaults, as indented text.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Pairwatch configuration".into());
    // Objects keep their keys sorted, so the text is the same each time. Writing strings and numbers can't fail.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
