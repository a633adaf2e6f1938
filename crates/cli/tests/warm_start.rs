//! What the command trained is what the plugin on a real Envoy begins with.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

mod common;

use common::{pairwatch, scratch};
use pairwatch_engine::Time;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::{Backend, Bootstrap, Client, Result, ensure, run};
use serde_json::{Value, json};
use std::time::Duration;

/// Long enough for a machine that builds something else meanwhile.
const DEADLINE: Duration = Duration::from_secs(60);
/// 2026-11-20 10:00:00 UTC.
const START: u64 = 1_795_168_800_000;

/// Five minutes of `cart` at `backend`, ten requests a second.
fn log() -> Vec<u8> {
    let line = |i: u64| {
        json!({
            "start_time": Time(START + i * 100).rfc3339(),
            "method": "GET",
            "path": "/login",
            "response_code": 200,
            "duration": 3,
            "downstream_peer": "cart",
            "upstream_cluster": "backend",
        })
        .to_string()
            + "\n"
    };
    (0..3000).map(line).collect::<String>().into_bytes()
}

#[test]
fn a_baseline_trained_on_a_log_makes_the_first_windows_of_an_envoy_mature() -> Result<()> {
    let mut config: Value = json!({
        "windows": ["1s", "4s"],
        "learning": {"warmup": "20s"},
        "names": {"trusted_source_header": "x-source"},
    });
    let file = scratch("config.json", config.to_string().as_bytes());
    let (log, trained) = (scratch("access.log", &log()), scratch("trained.b64", b""));
    pairwatch(["train", "--base64", "--config", &file, "-o", &trained, &log]).succeeds();
    config["learning"]["warm_start"] = json!({ "inline": std::fs::read_to_string(&trained)? });
    let alert = run(async {
        let backend = Backend::start().await?;
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(&config)
            .start()
            .await?;
        let client = Client::new();
        for _ in 0..60 {
            let url = envoy.url("/status/401");
            let reply = client
                .send(request(Method::GET, &url, &[("x-source", "cart")], "")?)
                .await?;
            ensure!(reply.status == 401, "answered {}", reply.status);
        }
        let wanted = |kind: &str| kind == "auth_failures";
        envoy.wait_for_alert(DEADLINE, |a| wanted(&a.kind)).await
    })?;
    let maturity = alert.maturity.as_ref().and_then(Value::as_f64);
    assert_eq!(maturity, Some(1.0), "{alert:?}");
    Ok(())
}
