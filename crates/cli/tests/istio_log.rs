//! The access log that `istio/telemetry` sets up, written by a real Envoy, is one that a replay reads in full.
#![allow(clippy::indexing_slicing, reason = "what panics in a test fails it")]

use pairwatch_testbed::{
    Backend, Bootstrap, Client, Context, Result, istio, paths, run, wait_until,
};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

/// Requests sent; the log is flushed a fifth of a second after the last.
const REQUESTS: usize = 12;

#[test]
fn every_line_of_the_access_log_that_istio_is_told_to_write_is_replayed() -> Result<()> {
    let values = paths::workspace().join("istio/telemetry/istiod-values.yaml");
    let values = istio::read_yaml(&std::fs::read_to_string(values)?)?;
    let provider = &values[0]["meshConfig"]["extensionProviders"][0];
    let objects = istio::build(&paths::workspace().join("istio/telemetry"))?;
    assert_eq!(
        objects[0]["spec"]["accessLogging"][0]["providers"][0]["name"], provider["name"],
        "the Telemetry names the provider that the values define"
    );

    let folder = tempfile::tempdir()?;
    let log = folder.path().join("access.jsonl");
    let logger = json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": log,
            "log_format": { "json_format": provider["envoyFileAccessLog"]["logFormat"]["labels"] },
        },
    }]);
    let text = run(async {
        let backend = Backend::start().await?;
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .set(&format!("{manager}/access_log"), logger)
            .start()
            .await?;
        let client = Client::new();
        for status in [200, 404, 503] {
            for _ in 0..REQUESTS / 3 {
                client.get(&envoy.url(&format!("/status/{status}"))).await?;
            }
        }
        wait_until("the log's lines", Duration::from_secs(20), async || {
            let text = std::fs::read_to_string(&log).context("reading the log")?;
            Ok((text.lines().count() >= REQUESTS).then_some(text))
        })
        .await
    })?;
    let said = Command::new(env!("CARGO_BIN_EXE_pairwatch"))
        .arg("replay")
        .arg(&log)
        .output()?;
    let stderr = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{stderr}");
    assert!(
        stderr.contains(&format!("{REQUESTS} lines")),
        "{stderr}\n{text}"
    );
    assert!(
        !stderr.contains("bad ") && !stderr.contains("no JSON"),
        "{stderr}\n{text}"
    );
    Ok(())
}
