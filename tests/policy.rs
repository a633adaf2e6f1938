//! Verdicts on a real Envoy: what access logs and later filters see of them, and who is refused.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::stats::ELECTIONS;
use pairwatch_testbed::{
    Backend, Bootstrap, Client, Context, DEADLINE, Envoy, Load, Reply, Result, Update, anyhow,
    ensure, istio, paths, run, wait_until,
};
use serde_json::{Value, json};
use std::path::Path;

const FILTERS: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// A rule that `/admin` breaks, and `/headers`.
fn config(verdicts: &Value) -> Value {
    json!({
        "rules": [{"type": "routes", "name": "no admin", "allow": ["* /products*"], "severity": "high"}],
        "verdicts": verdicts,
        "names": {"trusted_source_header": "x-source"},
    })
}

/// Refuses whoever breaks it, as soon as it is seen.
fn refusing(more: Value) -> Value {
    let mut deny = json!({"kinds": ["new_route"], "shadow": false});
    for (key, value) in more.as_object().into_iter().flatten() {
        deny[key] = value.clone();
    }
    json!({"action": "enforce", "deny": [deny], "min_requests": 0, "max_denied_percent": 100})
}

async fn proxy(backend: &Backend, config: &Value) -> Result<Envoy> {
    let bootstrap = Bootstrap::open("proxy.yaml")?;
    bootstrap
        .backend(backend.address())
        .plugin_config(config)
        .start()
        .await
}

async fn get(envoy: &Envoy, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let get = request(Method::GET, &envoy.url(path), headers, "")?;
    Client::new().send(get).await
}

async fn counted(envoy: &Envoy, kind: &str, state: &str) -> Result<f64> {
    let labels = [("kind", kind), ("state", state)];
    let metrics = envoy.admin().metrics().await?;
    Ok(metrics
        .sum("pairwatch_verdicts_total", &labels)
        .unwrap_or(0.0))
}

async fn wait_for_count(envoy: &Envoy, kind: &str, state: &str) -> Result<()> {
    wait_until(state, DEADLINE, async || {
        let count = counted(envoy, kind, state).await?;
        Ok((count > 0.0).then_some(()))
    })
    .await
}

/// Puts Envoy's own RBAC filter after Pairwatch: it refuses what has this filter state.
fn with_rbac(bootstrap: Bootstrap, key: &str, value: &str) -> Bootstrap {
    let filter = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {"@type": RBAC, "rules": {"action": "DENY", "policies": {"pairwatch": {
            "permissions": [{"any": true}],
            "principals": [{"filter_state": {"key": key, "string_match": {"exact": value}}}],
        }}}},
    });
    bootstrap.patch(|tree| {
        if let Some(Value::Array(filters)) = tree.pointer_mut(FILTERS) {
            filters.insert(1, filter);
        }
    })
}

/// The access log's lines, once there are so many.
async fn access_log(path: &Path, count: usize) -> Result<Vec<Value>> {
    wait_until("the access log", DEADLINE, async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        Ok((lines.len() >= count).then_some(lines))
    })
    .await
}

#[test]
fn a_tag_is_seen_by_the_access_log_and_by_a_later_rbac_filter() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("access.log");
        let fields = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/access_log/0/typed_config/log_format/json_format";
        let mut bootstrap = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config(&json!({"action": "tag"})))
            .access_log(&log);
        for name in ["score", "kind", "severity", "verdict"] {
            let format = format!("%FILTER_STATE(wasm.pairwatch.{name}:PLAIN)%");
            bootstrap = bootstrap.set(&format!("{fields}/{name}"), format);
        }
        let envoy = with_rbac(bootstrap, "wasm.pairwatch.severity", "high")
            .start()
            .await?;
        let usual = get(&envoy, "/products/1", &[]).await?;
        let flagged = get(&envoy, "/admin", &[]).await?;
        assert_eq!((usual.status, flagged.status), (200, 403));
        assert_eq!(backend.requests(), 1, "RBAC kept the other");
        let lines = access_log(&log, 2).await?;
        let tag = |line: &Value| {
            ["score", "kind", "severity", "verdict"].map(|n| line[n].as_str().map(str::to_owned))
        };
        assert_eq!(tag(&lines[0]), [None, None, None, None]);
        let wanted = ["80", "new_route", "high", "flagged"];
        assert_eq!(tag(&lines[1]), wanted.map(|w| Some(w.to_owned())));
        assert_eq!(
            lines[1]["response_code_details"],
            "rbac_access_denied_matched_policy[pairwatch]"
        );
        Ok(())
    })
}

/// What istiod makes of an AuthorizationPolicy's conditions on one header: each value a prefix or a whole.
fn rbac_of(policy: &Value) -> Result<Value> {
    let when = &policy["spec"]["rules"][0]["when"][0];
    let key = when["key"].as_str().unwrap_or_default();
    let header = key
        .strip_prefix("request.headers[")
        .and_then(|k| k.strip_suffix(']'));
    let matches = when["values"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| {
            let text = value.as_str().unwrap_or_default();
            let string = match text.strip_suffix('*') {
                Some(prefix) => json!({"prefix": prefix}),
                None => json!({"exact": text}),
            };
            json!({"header": {"name": header, "string_match": string}})
        });
    ensure!(header.is_some(), "{key} is no header");
    Ok(
        json!({"action": policy["spec"]["action"], "policies": {"pairwatch": {
            "permissions": [{"any": true}],
            "principals": [{"or_ids": {"ids": matches.collect::<Vec<_>>()}}],
        }}}),
    )
}

#[test]
fn the_authorization_policy_refuses_what_is_flagged_and_no_header_of_a_client() -> Result<()> {
    let folder = tempfile::tempdir()?;
    run(async {
        let backend = Backend::start().await?;
        let objects = istio::build(&paths::workspace().join("istio/policy/authorization"))?;
        let of = |kind: &str| {
            let found = objects.iter().find(|o| o["kind"] == kind).cloned();
            found.with_context(|| format!("no {kind}"))
        };
        let (mut plugin, policy) = (of("WasmPlugin")?, of("AuthorizationPolicy")?);
        assert_eq!(plugin["spec"]["phase"], "AUTHZ", "before Istio's RBAC");
        plugin["spec"]["pluginConfig"]["rules"] = config(&json!({}))["rules"].clone();
        let rules = rbac_of(&policy)?;
        let bootstrap = Bootstrap::open("proxy.yaml")?.backend(backend.address());
        let envoy = istio::install(bootstrap, &plugin, folder.path())?
            .patch(|tree| {
                if let Some(Value::Array(filters)) = tree.pointer_mut(FILTERS) {
                    let rbac =
                        json!({"name": "rbac", "typed_config": {"@type": RBAC, "rules": rules}});
                    filters.insert(1, rbac);
                }
            })
            .start()
            .await?;
        for (path, header, status) in [
            ("/products/1", "0", 200),
            ("/products/1", "90", 200),
            ("/admin", "0", 403),
        ] {
            let reply = get(&envoy, path, &[("x-pairwatch-score", header)]).await?;
            assert_eq!(
                reply.status, status,
                "{path}, of a client that says {header}"
            );
        }
        Ok(())
    })
}

#[test]
fn the_envoy_filter_counts_in_shadow_and_refuses_once_its_rules_are_promoted() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let objects = istio::build(&paths::workspace().join("istio/envoyfilter/deny-by-verdict"))?;
        for promoted in [false, true] {
            let folder = tempfile::tempdir()?;
            let mut object = objects[0].clone();
            let patches = &mut object["spec"]["configPatches"];
            let rbac = &mut patches[1]["patch"]["value"]["typed_config"];
            if promoted {
                rbac["rules"] = rbac["shadow_rules"].take();
            }
            let plugin =
                &mut patches[2]["patch"]["value"]["typed_config"]["config"]["configuration"];
            let mut configured: Value =
                serde_json::from_str(plugin["value"].as_str().unwrap_or_default())?;
            configured["rules"] = config(&json!({}))["rules"].clone();
            plugin["value"] = json!(configured.to_string());
            let bootstrap = Bootstrap::open("proxy.yaml")?.backend(backend.address());
            let envoy = istio::install(bootstrap, &object, folder.path())?
                .start()
                .await?;
            assert_eq!(get(&envoy, "/products/1", &[]).await?.status, 200);
            let status = get(&envoy, "/admin", &[]).await?.status;
            assert_eq!(status, if promoted { 403 } else { 200 });
            if !promoted {
                envoy
                    .admin()
                    .wait_for_stat("http.proxy.rbac.shadow_denied", DEADLINE, |n| n == 1)
                    .await?;
            }
        }
        Ok(())
    })
}

#[test]
fn what_only_the_answer_shows_is_in_the_access_log_too() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("access.log");
        let mut config = config(&json!({"action": "tag"}));
        config["rules"] = json!([{"type": "size", "name": "small", "max_response_bytes": 1000}]);
        let fields = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/access_log/0/typed_config/log_format/json_format";
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config)
            .access_log(&log)
            .set(
                &format!("{fields}/kind"),
                "%FILTER_STATE(wasm.pairwatch.kind:PLAIN)%",
            )
            .start()
            .await?;
        get(&envoy, "/bytes/5000", &[]).await?;
        let lines = access_log(&log, 1).await?;
        assert_eq!(lines[0]["kind"], "request_size");
        Ok(())
    })
}

#[test]
fn the_upstream_hears_the_score_and_never_what_a_client_says_of_it() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        for (header, path, heard) in [(false, "/headers", None), (true, "/headers", Some("80"))] {
            let verdicts = json!({"action": "tag", "header": header});
            let envoy = proxy(&backend, &config(&verdicts)).await?;
            let reply = get(
                &envoy,
                path,
                &[("x-pairwatch-score", "1"), ("X-Pairwatch-Score", "2")],
            )
            .await?;
            let headers: Value = serde_json::from_str(&reply.text())?;
            assert_eq!(headers["x-pairwatch-score"].as_str(), heard, "{headers}");
        }
        // What nothing is held against says nothing.
        let mut quiet = config(&json!({"action": "tag", "header": true}));
        quiet["rules"] = json!([]);
        let envoy = proxy(&backend, &quiet).await?;
        let reply = get(&envoy, "/headers", &[("x-pairwatch-score", "1")]).await?;
        let headers: Value = serde_json::from_str(&reply.text())?;
        assert!(headers["x-pairwatch-score"].is_null(), "{headers}");
        Ok(())
    })
}

#[test]
fn a_refusal_is_403_or_429_with_a_time_to_try_again_and_a_status_of_its_own_for_grpc() -> Result<()>
{
    run(async {
        let backend = Backend::start().await?;
        let answers = [
            (json!({}), 403, None, "7", None),
            (
                json!({"status": 429, "retry_after": "90s"}),
                429,
                Some("90"),
                "8",
                Some("90000"),
            ),
        ];
        for (answer, status, retry, grpc, pushback) in answers {
            let envoy = proxy(&backend, &config(&refusing(answer))).await?;
            let reply = get(&envoy, "/admin", &[]).await?;
            assert_eq!((reply.status, reply.header("retry-after")), (status, retry));
            let headers = [("content-type", "application/grpc")];
            let call = request(Method::POST, &envoy.url("/shop.Cart/Add"), &headers, "")?;
            let reply = Client::new().send(call).await?;
            assert_eq!(
                (reply.status, reply.header("grpc-status")),
                (200, Some(grpc))
            );
            assert_eq!(reply.header("grpc-retry-pushback-ms"), pushback);
            let before = backend.requests();
            assert_eq!(
                get(&envoy, "/products/1/status/204", &[]).await?.status,
                204
            );
            assert_eq!(backend.requests() - before, 1, "what is not refused passes");
            wait_for_count(&envoy, "new_route", "denied").await?;
            let log = envoy.log().tail();
            ensure!(!log.contains("panicked"), "a VM trapped:\n{log}");
        }
        Ok(())
    })
}

#[test]
fn a_rule_refuses_once_somebody_takes_it_out_of_its_shadow() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let shadow = config(&refusing(json!({"shadow": true})));
        let mut envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(&shadow)
            .listener_from_file()
            .start()
            .await?;
        assert_eq!(get(&envoy, "/admin", &[]).await?.status, 200);
        wait_for_count(&envoy, "new_route", "shadow").await?;
        let line = envoy
            .wait_for_log(DEADLINE, |l| l.message.contains(r#""pairwatch":"verdict""#))
            .await?;
        // Envoy puts the plugin's name before it.
        let json = line.message.find('{').and_then(|at| line.message.get(at..));
        let line: Value = serde_json::from_str(json.unwrap_or_default())?;
        assert_eq!(line["state"], "shadow", "{line}");
        assert_eq!(line["rule"], "no admin", "{line}");
        let promoted = config(&refusing(json!({})));
        assert_eq!(
            envoy.update_plugin_config(&promoted).await?,
            Update::Accepted
        );
        wait_until("the rule is in force", DEADLINE, async || {
            let reply = get(&envoy, "/admin", &[]).await?;
            Ok((reply.status == 403).then_some(()))
        })
        .await
    })
}

#[test]
fn cap_floor_and_exemptions_let_pass_what_a_rule_would_refuse() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut verdicts = refusing(json!({}));
        verdicts["max_denied_percent"] = json!(50);
        verdicts["min_requests"] = json!(10);
        verdicts["exempt"] = json!([{"source": "probe"}, {"route": "GET /healthz"}]);
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config(&verdicts))
            // One worker, as each counts for itself.
            .concurrency(1)
            .start()
            .await?;
        let client = Client::new();
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(client.get(&envoy.url("/admin")).await?.status);
        }
        assert_eq!(statuses[..9], [200; 9], "below the floor");
        assert_eq!(statuses[9], 403, "then it is refused");
        let refused = statuses.iter().filter(|s| **s == 403).count();
        assert!((2..=20).contains(&refused), "half at most: {statuses:?}");
        for exempt in [("/admin", "probe"), ("/healthz", "anybody")] {
            let reply = get(&envoy, exempt.0, &[("x-source", exempt.1)]).await?;
            assert_eq!(reply.status, 200, "{exempt:?}");
        }
        for state in ["thin", "denied", "capped", "exempt"] {
            wait_for_count(&envoy, "new_route", state).await?;
        }
        Ok(())
    })
}

#[test]
fn an_incident_that_was_learned_refuses_until_its_time_is_over() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({
            "windows": ["1s", "4s"],
            "learning": {"warmup": "5s"},
            // A busy machine may send its first request when the warm-up is over, and whoever calls then is new.
            "signals": {"new_pair": false},
            "verdicts": {
                "action": "enforce", "min_requests": 0, "max_denied_percent": 100,
                "deny": [{"kinds": ["auth_failures", "credential_stuffing"], "min_severity": "medium",
                    "shadow": false, "for": "20s"}],
            },
        });
        let envoy = proxy(&backend, &config).await?;
        let load = Load::get(Load::ATTACK, 2, envoy.url("/status/401"));
        envoy
            .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
            .await?;
        wait_for_count(&envoy, "auth_failures", "denied").await?;
        let reply = get(&envoy, "/status/401", &[]).await?;
        ensure!(
            reply.status == 403 || reply.status == 401,
            "{}",
            reply.status
        );
        wait_for_count(&envoy, "auth_failures", "expired").await?;
        let counts = load.stop().await;
        ensure!(counts.responses() > 0, "{counts:?}");
        Ok(())
    })
}

#[test]
fn stateless_needs_no_aggregator_and_refuses_by_rules_alone() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut config = config(&refusing(json!({})));
        config["mode"] = json!("stateless");
        let envoy = proxy(&backend, &config).await?;
        assert_eq!(get(&envoy, "/products/1", &[]).await?.status, 200);
        assert_eq!(get(&envoy, "/admin", &[]).await?.status, 403);
        wait_for_count(&envoy, "new_route", "denied").await?;
        let elections = envoy.admin().stat(ELECTIONS).await?;
        assert_eq!(elections.unwrap_or(0), 0);
        Ok::<_, anyhow::Error>(())
    })
}
