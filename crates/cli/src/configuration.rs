//! The configuration as the command reads and describes it. What it means, and what is refused, is the engine's.
//!
//! A configuration stands alone as JSON, or inside of YAML: as `spec.pluginConfig` of a WasmPlugin, as the
//! `configuration` of a Wasm filter or service in an EnvoyFilter or one of Envoy's own files, or as one of these in the
//! text of a ConfigMap. What is found inside is handed to the engine as the plugin would get it, so the refusals are the
//! same, with the place in front.

use crate::Failure;
use crate::input::{BYTE_ORDER_MARK, STDIN, place};
use pairwatch_engine::config::Config;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::io::Read;

/// A configuration, and where it was found.
#[derive(Debug)]
pub struct Found {
    /// File, and the path inside.
    pub place: String,
    /// What it says.
    pub config: Config,
}

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Search {
    /// What is good.
    pub found: Vec<Found>,
    /// Why the rest is not.
    pub refused: Vec<Failure>,
}

/// The configuration in a file, or on standard input for `-`. Where it stands inside of YAML it must be the only one.
///
/// # Errors
/// The file can't be read, or the engine refuses what it says.
pub fn read(file: &str) -> Result<Config, Failure> {
    let mut found = search(file)?.all()?;
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one.config),
        _ => Err(Failure::at(
            place(file),
            "holds more than one configuration",
        )),
    }
}

/// All configurations in the text of a file: at least one.
///
/// # Errors
/// The text holds none, or the engine refuses what it says.
pub fn find_in(name: &str, text: &[u8]) -> Result<Vec<Found>, Failure> {
    search_in(name, text)?.all()
}

/// What is in a file, or on standard input for `-`: good or refused, something.
///
/// # Errors
/// The file can't be read, or holds none.
pub fn search(file: &str) -> Result<Search, Failure> {
    let text = if file == STDIN {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    let text = text.map_err(|e| Failure::at(place(file), e))?;
    search_in(place(file), &text)
}

fn search_in(name: &str, text: &[u8]) -> Result<Search, Failure> {
    let mut search = Search::default();
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if is_alone(text) {
        search.add(name, Config::from_json(text));
        return Ok(search);
    }
    let text = std::str::from_utf8(text).map_err(|e| Failure::at(name, e))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|e| Failure::at(name, e))?;
    let several = documents.len() > 1;
    for (index, document) in documents.iter().enumerate() {
        let path = if several {
            format!("{name}: document {}: ", index.saturating_add(1))
        } else {
            format!("{name}: ")
        };
        search.inside(document, &path);
    }
    if search.found.is_empty() && search.refused.is_empty() {
        let why = "no configuration of a Wasm plugin inside: neither spec.pluginConfig nor a Wasm filter's configuration";
        return Err(Failure::at(name, why));
    }
    Ok(search)
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

/// The path to what is in a Kubernetes object, with its name: documents are counted by nobody.
fn named(object: &Map<String, Value>, path: &str) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = object.get("metadata")?;
    let (kind, name) = (
        object.get("kind").and_then(text)?,
        metadata.get("name").and_then(text)?,
    );
    let namespace = metadata.get("namespace").and_then(text);
    let namespace = namespace.map_or_else(String::new, |n| n + "/");
    let path = path.trim_end_matches(": ");
    Some(format!("{path}: {kind} {namespace}{name}: "))
}

impl Search {
    /// All that was found, if nothing was refused.
    fn all(self) -> Result<Vec<Found>, Failure> {
        Failure::any(&self.refused).map(|()| self.found)
    }

    fn add(&mut self, place: &str, read: Result<Config, impl Display>) {
        match read {
            Ok(config) => self.found.push(Found {
                place: place.to_owned(),
                config,
            }),
            Err(e) => self.refused.push(Failure::at(place, e)),
        }
    }

    /// Looks through a document.
    fn inside(&mut self, value: &Value, path: &str) {
        match value {
            Value::Array(list) => {
                let path = path.trim_end_matches('.');
                for (index, item) in list.iter().enumerate() {
                    self.inside(item, &format!("{path}[{index}]"));
                }
            }
            Value::Object(object) => {
                let path = &named(object, path).unwrap_or_else(|| path.to_owned());
                let separator = if path.ends_with(' ') { "" } else { "." };
                let kind = object.get("kind").and_then(Value::as_str);
                // Without one it is a reference to a WasmPlugin, as the targets of kustomizations are.
                if let (Some("WasmPlugin"), Some(spec)) = (kind, object.get("spec")) {
                    let config = spec.get("pluginConfig").unwrap_or(&Value::Null);
                    self.take(config, &format!("{path}{separator}spec.pluginConfig"));
                    return;
                }
                for (key, item) in object {
                    let path = format!("{path}{separator}{key}");
                    match (key.as_str(), item) {
                        ("configuration", Value::Object(any))
                            if object.contains_key("vm_config") =>
                        {
                            let config = any.get("value").unwrap_or(item);
                            self.take(config, &format!("{path}.value"));
                        }
                        (name, Value::String(text)) if is_file(name) => self.file(text, &path),
                        _ => self.inside(item, &path),
                    }
                }
            }
            _ => {}
        }
    }

    /// Looks through a file of a ConfigMap.
    fn file(&mut self, text: &str, path: &str) {
        match serde_saphyr::from_multiple::<Value>(text) {
            Ok(documents) => {
                for document in documents {
                    self.inside(&document, &format!("{path}: "));
                }
            }
            Err(e) => self.refused.push(Failure::at(path, e)),
        }
    }

    /// A configuration as the plugin gets it: the text of a string, the JSON of anything else, nothing of nothing.
    fn take(&mut self, config: &Value, place: &str) {
        let read = match config {
            Value::Null => Ok(Config::default()),
            Value::String(text) => Config::from_json(text.as_bytes()).map_err(|e| e.to_string()),
            other => Config::from_json(other.to_string().as_bytes())
                // Line and column would be those of a text nobody wrote.
                .map_err(|e| without_position(&e.to_string()).to_owned()),
        };
        self.add(place, read);
    }
}

/// Whether a key of a ConfigMap names a file that may hold more.
fn is_file(name: &str) -> bool {
    [".json", ".yaml", ".yml"]
        .iter()
        .any(|end| name.ends_with(end))
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
