//! The configuration as the command reads and describes it. What it means, and what is refused, is the engine's.

use crate::Failure;
use crate::input::{STDIN, place};
use pairwatch_engine::config::Config;
use std::io::Read;

/// The configuration in a file, or on standard input for `-`.
///
/// # Errors
/// The file can't be read, or the engine refuses what it says.
pub fn read(file: &str) -> Result<Config, Failure> {
    let text = if file == STDIN {
        let mut text = Vec::new();
        std::io::stdin().lock().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(file)
    };
    let text = text.map_err(|e| Failure::at(place(file), e))?;
    Config::from_json(&text).map_err(|e| Failure::at(place(file), e))
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
