//! Configurations.

use crate::life;
use pairwatch_cli::configuration;
use pairwatch_engine::aggregator::{Aggregator, Memory};
use pairwatch_engine::config::Config;
use pairwatch_engine::store::Store;

/// The longest refusal: a person reads it in a log. What is longer only repeats what was written.
const MAX_REFUSAL: usize = 4096;

/// As the plugin is given it. What is accepted is written and read as the same, and no call that follows panics; what is
/// refused says why, in one line that can be read.
pub fn json(text: &[u8]) {
    match Config::from_json(text) {
        Ok(config) => accepted(config),
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("configuration"), "{error}");
            assert!(
                error.len() <= MAX_REFUSAL,
                "a refusal of {} bytes",
                error.len()
            );
        }
    }
}

/// As the command finds it in a file: alone, or inside of YAML.
pub fn yaml(text: &[u8]) {
    match configuration::find_in("file", text) {
        Ok(found) => {
            assert!(!found.is_empty(), "a file without one is refused");
            for one in found {
                assert!(one.place.starts_with("file"), "{}", one.place);
                same(&one.config);
            }
        }
        Err(failure) => assert!(failure.to_string().starts_with("file"), "{failure}"),
    }
}

fn same(config: &Config) {
    let written = serde_json::to_vec(config).expect("a configuration can be written");
    let read = Config::from_json(&written).expect("what was written is accepted");
    assert_eq!(&read, config, "a configuration is read as it was written");
}

fn accepted(config: Config) {
    same(&config);
    let memory = Memory::of(&config);
    assert!(memory.pair > 0, "a pair takes memory");
    if let Some(warm) = config
        .learning
        .warm_start
        .as_ref()
        .filter(|w| w.inline.is_none())
    {
        let mut store = Store::new(warm.clone(), ("id", "../cluster"), 1, false, life::NOW);
        let ask = store.due(life::NOW).expect("a store is read at once");
        let request = store.ask(ask, life::NOW);
        assert!(!request.cluster.is_empty(), "it goes somewhere");
    }
    let mut engine = Aggregator::new(config, 1, life::NOW);
    life::go_on(&mut engine, life::NOW);
}
