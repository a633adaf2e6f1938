//! The built module on a real Envoy with two workers: counting, alerting, and what a fault costs.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "what panics in a test fails it"
)]

use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::mesh::Options;
use pairwatch_testbed::stats::{
    COUNTED, DROPPED, ELECTIONS, HEARTBEAT, MATURITY, MERGED, PAIRS, PAIRS_EVICTED, UNREAD,
};
use pairwatch_testbed::{
    Alert, Backend, Bootstrap, Client, DEADLINE, Envoy, Load, Mesh, Result, Update, anyhow, ensure,
    paths, raw, run, wait_until,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Windows of seconds and hardly any warm-up, so that a test learns in seconds.
fn quick() -> Value {
    json!({
        "windows": ["1s", "4s"],
        "learning": {"warmup": "5s", "snapshot_every": "2s"},
        // A busy machine may send its first request when the warm-up is over, and whoever calls then is new.
        "signals": {"new_pair": false},
        "alerts": {"resolve_after": "3s"},
        "names": {"trusted_source_header": "x-source"}
    })
}

async fn proxy(backend: &Backend) -> Result<Envoy> {
    Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .plugin_config(quick())
        .start()
        .await
}

/// A proxy of either form: the aggregator elected, or a service of the bootstrap.
fn either_form(bootstrap: &str, backend: &Backend) -> Result<Bootstrap> {
    let open = Bootstrap::open(bootstrap)?
        .backend(backend.address())
        .plugin_config(quick());
    if !bootstrap.contains("singleton") {
        return Ok(open);
    }
    let mut config = quick();
    config["role"] = json!("aggregator");
    Ok(open.aggregator_config(config))
}

fn faulty_module() -> PathBuf {
    paths::workspace().join("target/pairwatch-faults.wasm")
}

/// Sends `count` requests one after another; each must be answered with `status`.
async fn send(envoy: &Envoy, count: u64, source: &str, path: &str, status: u16) -> Result<()> {
    let client = Client::new();
    for _ in 0..count {
        let get = request(Method::GET, &envoy.url(path), &[("x-source", source)], "")?;
        let reply = client.send(get).await?;
        ensure!(reply.status == status, "{path} answered {}", reply.status);
    }
    Ok(())
}

async fn merged(envoy: &Envoy, wanted: u64) -> Result<u64> {
    envoy
        .admin()
        .wait_for_stat(MERGED, DEADLINE, |n| n >= wanted)
        .await
}

/// No VM of this Envoy trapped.
async fn no_trap(envoy: &Envoy) -> Result<()> {
    let reloads = envoy.admin().stat("wasm.pairwatch.vm_reload_success");
    let reloads = reloads.await?;
    ensure!(
        reloads.unwrap_or(0) == 0,
        "a VM was reloaded {reloads:?} times"
    );
    ensure!(
        !envoy.log().tail().contains("panicked"),
        "a VM trapped:\n{}",
        envoy.log().tail()
    );
    Ok(())
}

#[test]
fn a_run_of_401s_is_told_in_both_forms_of_aggregator() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        for bootstrap in ["proxy.yaml", "proxy-singleton.yaml"] {
            let envoy = either_form(bootstrap, &backend)?.start().await?;
            let load = Load::get(Load::ATTACK, 1, envoy.url("/status/401"));
            let alert = envoy
                .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
                .await?;
            load.stop().await;
            assert_eq!(
                alert.source.as_deref(),
                Some("external"),
                "{bootstrap}: no certificate, no header"
            );
            assert_eq!(
                alert.destination.as_deref(),
                Some("backend"),
                "{bootstrap}: named by its cluster"
            );
            assert_eq!(alert.state, "open");
            assert!(
                (50.0..=100.0).contains(&alert.score),
                "{bootstrap}: score {}",
                alert.score
            );
            assert!(
                !alert.evidence.is_empty() && !alert.id.is_empty() && !alert.message.is_empty()
            );
            let labels = [("kind", "auth_failures"), ("state", "open")];
            let counted = envoy
                .admin()
                .metrics()
                .await?
                .sum("pairwatch_alerts_total", &labels);
            assert_eq!(
                counted,
                Some(1.0),
                "{bootstrap}: and counted for Prometheus"
            );
            let resolved = envoy
                .wait_for_alert(DEADLINE, |a| a.state == "resolved")
                .await?;
            assert_eq!(resolved.id, alert.id, "{bootstrap}: the same incident");
            no_trap(&envoy).await?;
        }
        Ok(())
    })
}

#[test]
fn every_request_is_merged_once_whichever_worker_served_it() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = proxy(&backend).await?;
        let load = Load::get(300.0, 2, envoy.url("/products/17"));
        load.wait_for(DEADLINE, |c| c.responses() >= 900).await?;
        let counts = load.stop().await;
        let total = merged(&envoy, counts.responses()).await?;
        assert_eq!(total, counts.responses(), "counted as often as answered");
        assert_eq!(envoy.admin().stat(COUNTED).await?, Some(total));
        assert_eq!(envoy.admin().stat(DROPPED).await?, Some(0));
        assert_eq!(envoy.admin().stat(UNREAD).await?, Some(0));
        Ok(())
    })
}

#[test]
fn steady_traffic_that_is_well_gives_no_alert() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        // Not what a busy test machine really does to durations, and to a load's pace.
        let mut config = quick();
        config["signals"] = json!({"latency": false, "request_rate": false});
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config)
            .start()
            .await?;
        let load = Load::get(60.0, 5, envoy.url("/products/17/bytes/300"));
        merged(&envoy, 60 * 30).await?;
        load.stop().await;
        assert_eq!(
            envoy
                .alerts()?
                .iter()
                .map(|a| &a.message)
                .collect::<Vec<_>>(),
            Vec::<&String>::new()
        );
        Ok(())
    })
}

#[test]
fn a_grpc_status_counts_though_the_http_status_is_200() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = proxy(&backend).await?;
        let url = envoy.url("/grpc/16");
        let load = Load::start(40.0, 6, move |visitor| {
            let call = request(
                Method::POST,
                &url,
                &[("content-type", "application/grpc")],
                "",
            );
            async move {
                visitor.send(call).await;
            }
        });
        envoy
            .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
            .await?;
        load.stop().await;
        Ok(())
    })
}

#[test]
fn a_leader_that_traps_is_replaced_and_nothing_counted_is_lost() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        for bootstrap in ["proxy.yaml", "proxy-singleton.yaml"] {
            let envoy = either_form(bootstrap, &backend)?
                .module(faulty_module())
                .start()
                .await?;
            // Over so many connections that both workers serve: one that does not may lead, and would trap with its own counts.
            for _ in 0..20 {
                send(&envoy, 10, "frontend", "/products/1", 200).await?;
            }
            merged(&envoy, 200).await?;
            // In which it leaves the lease to a VM that serves none.
            let now = envoy.admin().stat(HEARTBEAT).await?.unwrap_or(0);
            let later = envoy
                .admin()
                .wait_for_stat(HEARTBEAT, DEADLINE, |n| n >= now + 4);
            later.await?;
            let elections = envoy.admin().stat(ELECTIONS).await?.unwrap_or(0);
            let trap = request(
                Method::GET,
                &envoy.url("/products/1"),
                &[("x-source", "frontend"), ("x-pairwatch-fault", "leader")],
                "",
            )?;
            assert_eq!(
                Client::new().send(trap).await?.status,
                200,
                "the trap is not in a worker"
            );
            // Held while there is no leader, delivered to the next.
            send(&envoy, 100, "frontend", "/products/1", 200).await?;
            envoy
                .admin()
                .wait_for_stat(ELECTIONS, DEADLINE, |n| n > elections)
                .await?;
            let total = merged(&envoy, 301).await?;
            assert_eq!(
                total, 301,
                "{bootstrap}: nothing lost, nothing counted twice"
            );
            assert_eq!(envoy.admin().stat(DROPPED).await?, Some(0), "{bootstrap}");
            assert_eq!(
                envoy.admin().stat(PAIRS).await?,
                Some(1),
                "{bootstrap}: the pair is remembered"
            );
        }
        Ok(())
    })
}

#[test]
fn a_worker_that_traps_costs_its_own_requests_and_no_more() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(quick())
            .module(faulty_module())
            .start()
            .await?;
        send(&envoy, 50, "frontend", "/", 200).await?;
        merged(&envoy, 50).await?;
        let trap = request(
            Method::GET,
            &envoy.url("/"),
            &[("x-source", "frontend"), ("x-pairwatch-fault", "worker")],
            "",
        )?;
        // The trap is in on_log, after the answer: the user has it already.
        assert_eq!(Client::new().send(trap).await?.status, 200);
        // The VM is reloaded with the next stream after a back-off; until then Envoy may refuse.
        wait_until("the worker to serve again", DEADLINE, async || {
            let client = Client::new();
            for _ in 0..8 {
                if client.get(&envoy.url("/")).await?.status != 200 {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await?;
        let before = envoy.admin().stat(MERGED).await?.unwrap_or(0);
        send(&envoy, 50, "frontend", "/", 200).await?;
        merged(&envoy, before + 50).await?;
        Ok(())
    })
}

#[test]
fn a_configuration_update_under_traffic_keeps_what_was_learned() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut config = quick();
        let mut envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(&config)
            .listener_from_file()
            .start()
            .await?;
        let url = envoy.url("/products/1");
        let steady = Load::start(30.0, 3, move |visitor| {
            let get = request(Method::GET, &url, &[("x-source", "frontend")], "");
            async move {
                visitor.send(get).await;
            }
        });
        let known = |percent| percent >= 90;
        envoy
            .admin()
            .wait_for_stat(MATURITY, DEADLINE, known)
            .await?;
        config["false_alerts_per_week"] = json!(2);
        assert_eq!(envoy.update_plugin_config(&config).await?, Update::Accepted);
        let before = envoy.admin().stat(MERGED).await?.unwrap_or(0);
        merged(&envoy, before + 60).await?;
        // Had anything been forgotten, these two windows would be all it knows.
        let after = envoy.admin().stat(MATURITY).await?;
        assert!(after.is_some_and(known), "{after:?} %");
        let sent = steady.stop().await;
        assert_eq!(
            sent.status(200),
            sent.responses(),
            "no request failed for the update: {sent:?}"
        );
        // The listener before closes its connections, and with one of them maybe the answer to what was counted.
        let answered = sent.responses();
        let total = merged(&envoy, answered).await?;
        let sent = answered..=answered + sent.errors;
        assert!(sent.contains(&total), "{total} were counted of {sent:?}");
        Ok(())
    })
}

#[test]
fn a_bad_configuration_is_refused_with_its_path_and_the_old_one_stays() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(quick())
            .listener_from_file()
            .start()
            .await?;
        let update = envoy
            .update_plugin_config(json!({"learning": {"warmup": "soon"}}))
            .await?;
        assert!(matches!(update, Update::Rejected(_)), "{update:?}");
        envoy
            .wait_for_log(DEADLINE, |l| {
                l.message.contains("configuration, learning.warmup") && l.message.contains("soon")
            })
            .await?;
        send(&envoy, 20, "frontend", "/", 200).await?;
        merged(&envoy, 20).await?;
        Ok(())
    })
}

/// Removes every field of that name.
fn remove(tree: &mut Value, name: &str) {
    match tree {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|v| remove(v, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| remove(v, name)),
        _ => {}
    }
}

#[test]
fn a_plugin_without_any_configuration_runs_by_the_defaults() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        // Istio sends none where pluginConfig is empty.
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .patch(|tree| remove(tree, "configuration"))
            .start()
            .await?;
        send(&envoy, 20, "frontend", "/", 200).await?;
        merged(&envoy, 20).await?;
        no_trap(&envoy).await
    })
}

#[test]
fn requests_that_reach_no_backend_are_read_all_the_same() -> Result<()> {
    run(async {
        // Nobody listens there: Envoy answers 503 by itself.
        let nobody = Backend::start().await?.address();
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(nobody)
            .plugin_config(quick())
            .start()
            .await?;
        send(&envoy, 30, "frontend", "/", 503).await?;
        // No route, no cluster, no request worth the name.
        let malformed = b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: no\r\n\r\n";
        raw::send(envoy.listener_address(), malformed, Duration::from_secs(5)).await?;
        merged(&envoy, 30).await?;
        envoy
            .wait_for_alert(DEADLINE, |a| a.kind == "server_errors")
            .await?;
        assert_eq!(envoy.admin().stat(UNREAD).await?, Some(0));
        no_trap(&envoy).await
    })
}

#[test]
fn hostile_bytes_in_headers_and_paths_trap_nothing() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = proxy(&backend).await?;
        let close = b"connection: close\r\n\r\n";
        let mut hostile: Vec<Vec<u8>> = vec![
            b"GET / HTTP/1.1\r\nhost: a\r\nx-source: \xff\xfe\x80 \xc3\x28\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nhost: \xff\xfe\r\n".to_vec(),
            b"GET /%00%ff/\xc3\x28 HTTP/1.1\r\nhost: a\r\n".to_vec(),
            b"BREW /pot HTTP/1.1\r\nhost: a\r\n".to_vec(),
            [
                b"GET /".as_slice(),
                &vec![b'a'; 30_000],
                b" HTTP/1.1\r\nhost: a\r\n",
            ]
            .concat(),
            [
                b"GET / HTTP/1.1\r\nhost: a\r\nx-source: ".as_slice(),
                &vec![b'x'; 50_000],
                b"\r\n",
            ]
            .concat(),
            [
                b"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: ".as_slice(),
                &vec![0xe9; 40_000],
                b"\r\n",
            ]
            .concat(),
        ];
        for bytes in &mut hostile {
            bytes.extend_from_slice(close);
            // Answered or refused by Envoy: what counts is that the plugin lives.
            raw::send(envoy.listener_address(), bytes, Duration::from_secs(5)).await?;
        }
        send(&envoy, 20, "frontend", "/", 200).await?;
        envoy
            .admin()
            .wait_for_stat(MERGED, DEADLINE, |n| n >= 20)
            .await?;
        no_trap(&envoy).await
    })
}

#[test]
fn ten_thousand_made_up_pairs_stay_within_the_cap() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut config = quick();
        config["limits"] = json!({"pairs": 100, "routes_per_pair": 8});
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .plugin_config(config)
            .start()
            .await?;
        let total = 10_000u64;
        let mut senders = Vec::new();
        for part in 0..8u64 {
            let url = envoy.url("/");
            senders.push(pairwatch_testbed::tokio::spawn(async move {
                let client = Client::new();
                for i in (part..total).step_by(8) {
                    let name = format!("made-up-{i}");
                    let get = request(Method::GET, &url, &[("x-source", &name)], "")?;
                    let reply = client.send(get).await?;
                    ensure!(reply.status == 200, "answered {}", reply.status);
                }
                anyhow::Ok(())
            }));
        }
        for sender in senders {
            sender.await??;
        }
        let admin = envoy.admin();
        wait_until(
            "all to be merged or counted as dropped",
            DEADLINE,
            async || {
                let merged = admin.stat(MERGED).await?.unwrap_or(0);
                let dropped = admin.stat(DROPPED).await?.unwrap_or(0);
                ensure!(
                    merged + dropped <= total,
                    "{merged} merged and {dropped} dropped of {total}"
                );
                Ok((merged + dropped == total).then_some(()))
            },
        )
        .await?;
        assert!(
            admin.stat(PAIRS).await?.is_some_and(|n| n <= 100),
            "pairs are capped"
        );
        let evicted = admin.stat(PAIRS_EVICTED).await?.unwrap_or(0);
        assert!(evicted > 0, "and the evicted are counted");
        no_trap(&envoy).await
    })
}

#[test]
fn a_sidecar_names_both_ends_by_their_certificates() -> Result<()> {
    run(async {
        let mesh = Mesh::start(Options::default()).await?;
        let url = mesh.gateway_url("/login")?;
        let load = Load::start(25.0, 4, move |visitor| {
            let post = request(Method::POST, &url, &[], "user=eve&password=wrong");
            async move {
                visitor.send(post).await;
            }
        });
        let refused = |a: &Alert| a.shows("auth_failures");
        let alert = mesh
            .envoy("accounts")?
            .wait_for_alert(DEADLINE, refused)
            .await?;
        assert_eq!(
            alert.source.as_deref(),
            Some("demo/frontend"),
            "{}",
            alert.message
        );
        assert_eq!(alert.destination.as_deref(), Some("demo/accounts"));
        let alert = mesh
            .envoy("frontend")?
            .wait_for_alert(DEADLINE, refused)
            .await?;
        assert_eq!(
            alert.source.as_deref(),
            Some("demo/gateway"),
            "{}",
            alert.message
        );
        let alert = mesh
            .envoy("gateway")?
            .wait_for_alert(DEADLINE, refused)
            .await?;
        assert_eq!(
            alert.source.as_deref(),
            Some("external"),
            "clients show no certificate"
        );
        assert_eq!(
            alert.destination.as_deref(),
            Some("frontend.demo.svc.cluster.local")
        );
        load.stop().await;
        Ok(())
    })
}
