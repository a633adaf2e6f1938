//! What a Prometheus makes of Pairwatch: labels, rules, dashboard, on real Envoys under attack.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::stats::MATURITY;
use pairwatch_testbed::{
    Backend, Bootstrap, Context, DEADLINE, Daemon, Envoy, Load, Result, ensure, istio, paths, run,
    wait_until,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The caller that misbehaves at every proxy.
const EVERYWHERE: &str = "shop/cart";
/// One that does so at the first alone.
const ONCE: &str = "shop/frontend";

fn file(name: &str) -> PathBuf {
    paths::workspace().join("observability").join(name)
}

fn yaml(name: &str) -> Result<Value> {
    let text = std::fs::read_to_string(file(name))?;
    istio::read_yaml(&text)?.pop().context("an empty file")
}

fn promtool(arguments: &[&str]) -> Result<()> {
    let output = Command::new(paths::observability_tool("promtool")?)
        .args(arguments)
        .current_dir(paths::workspace())
        .output()?;
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn the_rules_pass_promtools_check_and_their_own_tests() -> Result<()> {
    promtool(&["check", "rules", "observability/prometheus/rules.yaml"])?;
    promtool(&["test", "rules", "observability/prometheus/rules.test.yaml"])
}

#[test]
fn every_alerting_rule_has_a_test_and_a_place_in_the_runbook() -> Result<()> {
    let rules = yaml("prometheus/rules.yaml")?;
    let tests = std::fs::read_to_string(file("prometheus/rules.test.yaml"))?;
    let runbook = std::fs::read_to_string(paths::workspace().join("docs/runbook.md"))?;
    let headings: BTreeSet<String> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| {
            heading
                .to_lowercase()
                .replace(' ', "-")
                .replace(['`', '’', ','], "")
        })
        .collect();
    let mut seen = 0;
    for rule in rules["groups"].as_array().unwrap().iter() {
        for rule in rule["rules"].as_array().unwrap() {
            let Some(name) = rule["alert"].as_str() else {
                continue;
            };
            seen += 1;
            assert!(
                tests.contains(&format!("alertname: {name}")),
                "{name} has no test"
            );
            let link = rule["annotations"]["runbook"].as_str().unwrap();
            let anchor = link.strip_prefix("docs/runbook.md#").unwrap();
            assert!(headings.contains(anchor), "{name}: no heading for {link}");
        }
    }
    assert!(seen >= 9, "{seen} alerting rules");
    Ok(())
}

#[test]
fn every_kind_of_alert_has_a_place_in_the_runbook() -> Result<()> {
    let kinds = paths::workspace().join("crates/engine/src/alerts/kind.rs");
    let kinds = std::fs::read_to_string(kinds)?;
    let runbook = std::fs::read_to_string(paths::workspace().join("docs/runbook.md"))?;
    let (_, kinds) = kinds.split_once("impl Kind").context("the kinds")?;
    let names = kinds.split("=> \"").skip(1);
    let mut seen = 0;
    for name in names.filter_map(|rest| rest.split('"').next()) {
        seen += 1;
        assert!(runbook.contains(&format!("## {name}\n")), "{name}");
    }
    assert!(seen >= 10, "{seen} kinds");
    Ok(())
}

/// Every word of a text that is a metric's name.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    // A recording rule's name has a colon, a header's a dash: they are no metrics of the module's.
    text.replace("pairwatch:", "rule:")
        .replace("x-pairwatch", "header")
        .split(word)
        .filter(|word| word.starts_with("pairwatch_") && *word != "pairwatch_engine")
        // Written with its first label, which is no part of the name.
        .map(|word| {
            word.trim_end_matches("source")
                .trim_end_matches("kind")
                .trim_end_matches("sink")
                .into()
        })
        .collect()
}

#[test]
fn rules_and_dashboard_read_only_metrics_that_the_module_defines_and_the_docs_tell_of() -> Result<()>
{
    let mut defined = BTreeSet::new();
    let mut folders = vec![paths::workspace().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("fault.rs") {
                // That one is not in what users run.
                defined.extend(metrics_in(&std::fs::read_to_string(path)?));
            }
        }
    }
    let documented = std::fs::read_to_string(paths::workspace().join("docs/metrics.md"))?;
    let documented = metrics_in(&documented);
    for name in &defined {
        assert!(
            documented.contains(name),
            "{name} is not in docs/metrics.md"
        );
    }
    for name in &documented {
        assert!(defined.contains(name), "{name} is in docs/metrics.md alone");
    }
    for name in ["prometheus/rules.yaml", "grafana/dashboard.json"] {
        for used in metrics_in(&std::fs::read_to_string(file(name))?) {
            assert!(defined.contains(&used), "{name} reads {used}");
        }
    }
    Ok(())
}

/// A proxy that learns in seconds. `tags` in place of the bootstrap's own.
async fn proxy(backend: &Backend, tags: Option<Value>) -> Result<Envoy> {
    let config = json!({
        "windows": ["1s", "4s"],
        "learning": {"warmup": "5s", "snapshot_every": "2s"},
        // A busy machine may send its first request when the warm-up is over, and whoever calls then is new.
        "signals": {"new_pair": false},
        // Each stays open long enough to be open at all three at once.
        "alerts": {"resolve_after": "20s"},
        "names": {"trusted_source_header": "x-source"},
        // A path that the backend answers with 200, as it does all it does not know.
        "sinks": [{ "type": "webhook", "cluster": "backend" }],
    });
    let mut bootstrap = Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .plugin_config(config);
    if let Some(tags) = tags {
        bootstrap = bootstrap.set("/stats_config/stats_tags", tags);
    }
    bootstrap.start().await
}

/// The tags that Istio's bootstrap makes of `extraStatTags`.
fn istios_tags() -> Result<Value> {
    let values = paths::workspace().join("istio/telemetry/istiod-values.yaml");
    let values = istio::read_yaml(&std::fs::read_to_string(values)?)?;
    let names = values[0]["meshConfig"]["defaultConfig"]["extraStatTags"].as_array();
    let tag = |name: &Value| {
        let name = name.as_str().unwrap();
        json!({ "tag_name": name, "regex": format!(r"({name}=\.=(.*?);\.;)") })
    };
    Ok(names.context("extraStatTags")?.iter().map(tag).collect())
}

/// Prometheus as `observability/prometheus` has it: these targets, and everything each second.
async fn prometheus(envoys: &[Envoy]) -> Result<Daemon> {
    let mut config = yaml("prometheus/scrape.yaml")?;
    let targets: Vec<&str> = envoys
        .iter()
        .map(|e| e.admin().url().trim_start_matches("http://"))
        .collect();
    config["global"] = json!({ "scrape_interval": "1s", "evaluation_interval": "1s" });
    config["rule_files"] = json!([file("prometheus/rules.yaml")]);
    let mut jobs = config["scrape_configs"].take();
    let job = jobs
        .as_array_mut()
        .and_then(|jobs| jobs.iter_mut().find(|job| job["job_name"] == "envoy"))
        .context("a job for plain Envoy")?;
    job["static_configs"] = json!([{ "targets": targets }]);
    config["scrape_configs"] = json!([job.take()]);
    Daemon::prometheus(&config).await
}

/// GETs of one path by one source.
fn load(envoy: &Envoy, path: &str, source: &'static str) -> Load {
    let url = envoy.url(path);
    Load::start(30.0, 1, move |visitor| {
        let get = request(Method::GET, &url, &[("x-source", source)], "");
        async move {
            visitor.send(get).await;
        }
    })
}

/// The dashboard's queries as Grafana would send them, with the panel each is of.
fn queries() -> Result<Vec<(String, String)>> {
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(file("grafana/dashboard.json"))?)?;
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().context("a query")?;
            queries.push((
                panel["title"].as_str().context("a title")?.to_owned(),
                expr.replace("$job", ".*")
                    .replace("$__rate_interval", "10s"),
            ));
        }
    }
    Ok(queries)
}

#[test]
fn one_source_at_three_proxies_is_one_alert_in_prometheus_and_every_panel_has_data() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoys = [
            proxy(&backend, None).await?,
            proxy(&backend, None).await?,
            proxy(&backend, Some(istios_tags()?)).await?,
        ];
        let prometheus = prometheus(&envoys).await?;
        // Well first: windows of seconds may take for usual what is there from the first request on.
        let mut loads: Vec<Load> = envoys.iter().map(|e| load(e, "/", EVERYWHERE)).collect();
        loads.push(load(&envoys[0], "/", ONCE));
        for envoy in &envoys {
            let known = envoy.admin().wait_for_stat(MATURITY, DEADLINE, |n| n >= 50);
            known.await?;
        }
        loads.extend(envoys.iter().map(|e| load(e, "/status/401", EVERYWHERE)));
        loads.push(load(&envoys[0], "/status/401", ONCE));

        let firing = |alert: &str, source: &str| {
            format!(r#"ALERTS{{alertname="{alert}",source="{source}",alertstate="firing"}}"#)
        };
        wait_until("the rule over all proxies", DEADLINE, async || {
            let query = firing("PairwatchSourceOnManySidecars", EVERYWHERE);
            Ok((prometheus.query(&query).await?.len() == 1).then_some(()))
        })
        .await?;
        // By the labels that Istio's convention and the bootstraps' stats_tags both take out.
        let opened = r#"pairwatch_alerts_total{kind="auth_failures",state="open",severity=~".+"}"#;
        let opened = prometheus.query(opened).await?;
        let instances: BTreeSet<_> = opened
            .iter()
            .map(|series| series["metric"]["instance"].as_str().unwrap())
            .collect();
        assert_eq!(instances.len(), 3, "{opened:?}");
        wait_until("the other source's score", DEADLINE, async || {
            let score = format!(r#"pairwatch_source_score{{source="{ONCE}"}}"#);
            let query = format!("max_over_time({score}[5m]) >= 50");
            Ok((prometheus.query(&query).await?.len() == 1).then_some(()))
        })
        .await?;
        let once = firing("PairwatchSourceOnManySidecars", ONCE);
        assert_eq!(
            prometheus.query(&once).await?.len(),
            0,
            "one proxy is no pattern"
        );
        let blind = prometheus.query(r#"ALERTS{alertname="PairwatchBlind"}"#);
        assert_eq!(blind.await?.len(), 0, "all are watched");

        for (panel, query) in queries()? {
            wait_until(
                &format!("data for {panel}: {query}"),
                DEADLINE,
                async || Ok((!prometheus.query(&query).await?.is_empty()).then_some(())),
            )
            .await?;
        }

        for load in loads {
            load.stop().await;
        }
        wait_until("the sources to be well again", DEADLINE, async || {
            let at_risk = prometheus.query("pairwatch_source_score > 0").await?;
            Ok(at_risk.is_empty().then_some(()))
        })
        .await
    })
}

#[test]
fn the_job_for_istio_is_a_scrape_configuration_but_for_its_discovery() -> Result<()> {
    // Debian's promtool is built without Kubernetes' service discovery.
    let mut config = yaml("prometheus/scrape.yaml")?;
    for job in config["scrape_configs"].as_array_mut().unwrap() {
        job.as_object_mut().unwrap().remove("kubernetes_sd_configs");
    }
    config["rule_files"] = json!([file("prometheus/rules.yaml")]);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("prometheus.yml");
    std::fs::write(&path, config.to_string())?;
    promtool(&["check", "config", &path.display().to_string()])
}
