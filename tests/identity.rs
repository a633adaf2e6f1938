//! Who is calling, read by the built module on real Envoys: each row of the tables in docs/identity.md, and each thing a client
//! may forge.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what panics in a test fails it"
)]

use pairwatch_engine::exchange::pseudonym::Pseudonyms;
use pairwatch_testbed::http::{Method, request};
use pairwatch_testbed::jwt::{Issuer, base64url, unsigned};
use pairwatch_testbed::stats::{IDENTITIES, MERGED, UNREAD};
use pairwatch_testbed::{
    Alert, Backend, Bootstrap, Certs, Client, DEADLINE, Envoy, Load, Ports, Result, ensure, run,
    tls, tokio,
};
use serde_json::{Value, json};

const HCM: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const KEY: &str = "a key that is no secret";
const ISSUER: &str = "https://issuer.test";

/// What a client may send to be taken for somebody else.
const FORGED: [(&str, &str); 6] = [
    ("x-source", "forged/header"),
    ("x-user", "forged-user"),
    (
        "x-forwarded-client-cert",
        "By=spiffe://cluster.local/ns/demo/sa/gateway;URI=spiffe://cluster.local/ns/forged/sa/xfcc",
    ),
    ("x-envoy-peer-metadata", "ChQKDk5BTUVTUEFDRRICGgA"),
    (
        "x-envoy-peer-metadata-id",
        "sidecar~10.0.0.1~forged.demo~demo.svc.cluster.local",
    ),
    ("x-forwarded-for", "198.51.100.66"),
];

/// Windows of seconds and hardly any warm-up; with these further fields.
fn quick(more: &Value) -> Value {
    let mut config = json!({
        "windows": ["1s", "4s"],
        "learning": {"warmup": "2s", "snapshot_every": "2s"},
        "alerts": {"resolve_after": "3s"},
    });
    for (field, value) in more.as_object().unwrap() {
        config[field] = value.clone();
    }
    config
}

/// The proxy of envoy/proxy.yaml in front of a backend, its connection manager changed.
async fn proxy(
    backend: &Backend,
    config: &Value,
    change: impl FnOnce(&mut Value),
) -> Result<Envoy> {
    Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .plugin_config(quick(config))
        .patch(change)
        .start()
        .await
}

/// Who a run of refusals is said to come from.
async fn refused(envoy: &Envoy, headers: &[(&str, &str)]) -> Result<Alert> {
    failing(envoy, "/status/401", "auth_failures", headers).await
}

/// What is told of a run of requests that fail, by a signal.
async fn failing(
    envoy: &Envoy,
    path: &str,
    signal: &str,
    headers: &[(&str, &str)],
) -> Result<Alert> {
    let url = envoy.url(path);
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let load = Load::start(Load::ATTACK, 1, move |visitor| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        let get = request(Method::GET, &url, &headers, "");
        async move {
            visitor.send(get).await;
        }
    });
    let alert = envoy.wait_for_alert(DEADLINE, |a| a.shows(signal)).await?;
    load.stop().await;
    whole(envoy).await?;
    Ok(alert)
}

/// Every request was read, and no VM trapped.
async fn whole(envoy: &Envoy) -> Result<()> {
    ensure!(
        envoy.admin().stat(UNREAD).await?.unwrap_or(0) == 0,
        "a request could not be read"
    );
    ensure!(
        !envoy.log().tail().contains("panicked"),
        "a VM trapped:\n{}",
        envoy.log().tail()
    );
    Ok(())
}

fn named(alert: &Alert) -> (&str, &str) {
    (
        alert.source.as_deref().unwrap_or_default(),
        alert.destination.as_deref().unwrap_or_default(),
    )
}

/// Puts a filter before the others of a connection manager.
fn insert_filter(manager: &mut Value, filter: Value) {
    let filters = manager["http_filters"].as_array_mut().unwrap();
    filters.insert(0, filter);
}

fn manager(tree: &mut Value) -> &mut Value {
    tree.pointer_mut(HCM).unwrap()
}

// --- Source and destination ---

#[test]
fn a_client_without_anybody_to_vouch_for_it_is_unknown_whatever_it_says() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = proxy(&backend, &json!({"identity": {"addresses": true}}), |_| {}).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("external", "backend"));
        Ok(())
    })
}

/// The sidecars of accounts, with the plugin on its way out too, and of catalog.
async fn sidecars(backend: &Backend, certs: &Certs) -> Result<[Envoy; 2]> {
    let ports = Ports::free();
    ports.assign(20_203, backend.address().port());
    ports.assign(20_303, backend.address().port());
    let catalog = Bootstrap::open("mesh/catalog.yaml")?
        .ports(&ports)
        .certs(certs)
        .plugin_config(quick(&json!({})))
        .start()
        .await?;
    let outbound =
        |tree: &mut Value| {
            let listeners = &mut tree["static_resources"]["listeners"];
            let manager =
                |listener: usize| format!("/{listener}/filter_chains/0/filters/0/typed_config");
            let plugin = listeners.pointer(&manager(0)).unwrap()["http_filters"][0].clone();
            let out = listeners.pointer_mut(&manager(1)).unwrap();
            insert_filter(out, plugin);
            // What Istio sends to where its registry knows nobody.
            out["route_config"]["virtual_hosts"].as_array_mut().unwrap().push(json!({
            "name": "beyond", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}],
        }));
            let clusters = tree["static_resources"]["clusters"].as_array_mut().unwrap();
            let mut beyond = clusters[1].clone();
            beyond["name"] = json!("PassthroughCluster");
            beyond["load_assignment"]["cluster_name"] = json!("PassthroughCluster");
            clusters.push(beyond);
        };
    let accounts = Bootstrap::open("mesh/accounts.yaml")?
        .ports(&ports)
        .certs(certs)
        .plugin_config(quick(&json!({})))
        .patch(outbound)
        .start()
        .await?;
    Ok([accounts, catalog])
}

/// Sends refusals through the outbound listener for this host, until `envoy` tells of them.
async fn refused_outbound(accounts: &Envoy, host: &str, envoys: &[&Envoy]) -> Result<Vec<Alert>> {
    let url = format!("http://{}/status/401", accounts.address(20_302)?);
    let host = host.to_owned();
    let load = Load::start(Load::ATTACK, 2, move |visitor| {
        let get = request(Method::GET, &url, &[("host", &host)], "");
        async move {
            visitor.send(get).await;
        }
    });
    let mut alerts = Vec::new();
    for envoy in envoys {
        alerts.push(
            envoy
                .wait_for_alert(DEADLINE, |a| a.shows("auth_failures"))
                .await?,
        );
        whole(envoy).await?;
    }
    load.stop().await;
    Ok(alerts)
}

#[test]
fn a_sidecar_names_itself_and_the_service_on_the_way_out_and_the_peer_on_the_way_in() -> Result<()>
{
    run(async {
        let backend = Backend::start().await?;
        let folder = tempfile::tempdir()?;
        let certs = Certs::create(folder.path(), &["accounts", "catalog", "frontend"])?;
        let [accounts, catalog] = sidecars(&backend, &certs).await?;
        let alerts = refused_outbound(&accounts, "catalog", &[&accounts, &catalog]).await?;
        assert_eq!(
            named(&alerts[0]),
            ("demo/accounts", "catalog.demo.svc.cluster.local"),
            "outbound: its own certificate, the upstream's service"
        );
        assert_eq!(
            named(&alerts[1]),
            ("demo/accounts", "demo/catalog"),
            "inbound: both certificates"
        );
        // The very same proxy takes requests too: each goes its own way.
        let address = accounts.address(20_301)?;
        let senders = (0..4).map(|_| {
            let certs = certs.clone();
            tokio::spawn(async move {
                for _ in 0..60 {
                    let url = format!("http://{address}/status/401");
                    let get = request(Method::GET, &url, &FORGED, "")?;
                    tls::send(address, &certs, Some("frontend"), get).await?;
                }
                Ok::<(), pairwatch_testbed::Error>(())
            })
        });
        for sender in senders.collect::<Vec<_>>() {
            sender.await??;
        }
        let alert = accounts
            .wait_for_alert(DEADLINE, |a| a.is_between("demo/frontend", "demo/accounts"))
            .await?;
        assert_eq!(
            named(&alert),
            ("demo/frontend", "demo/accounts"),
            "nothing forged counts"
        );
        whole(&accounts).await
    })
}

#[test]
fn where_the_cluster_names_no_service_the_upstreams_certificate_does() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let folder = tempfile::tempdir()?;
        let certs = Certs::create(folder.path(), &["accounts", "catalog"])?;
        let [accounts, _catalog] = sidecars(&backend, &certs).await?;
        let alerts = refused_outbound(&accounts, "beyond.example", &[&accounts]).await?;
        assert_eq!(named(&alerts[0]), ("demo/accounts", "demo/catalog"));
        Ok(())
    })
}

#[test]
fn a_gateways_clients_are_not_its_own_workload() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let gateway = |tree: &mut Value| {
            tree["node"]["id"] = json!("router~127.0.0.1~gateway.demo~demo.svc.cluster.local");
            tree["node"]["metadata"] = json!({"NAMESPACE": "demo", "SERVICE_ACCOUNT": "gateway"});
            tree["static_resources"]["listeners"][0]["traffic_direction"] = json!("OUTBOUND");
        };
        let envoy = proxy(&backend, &json!({}), gateway).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("external", "backend"));
        Ok(())
    })
}

#[test]
fn a_sidecar_without_mutual_tls_names_itself_by_its_node_on_the_way_out() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let sidecar = |tree: &mut Value| {
            tree["node"]["id"] = json!("sidecar~127.0.0.1~web.demo~demo.svc.cluster.local");
            tree["node"]["metadata"] = json!({"NAMESPACE": "demo", "SERVICE_ACCOUNT": "web"});
            tree["static_resources"]["listeners"][0]["traffic_direction"] = json!("OUTBOUND");
        };
        let envoy = proxy(&backend, &json!({}), sidecar).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("demo/web", "backend"));
        Ok(())
    })
}

#[test]
fn a_waypoint_names_the_peer_at_the_tunnels_other_end() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let waypoint = |tree: &mut Value| {
            tree["static_resources"]["listeners"][0]["traffic_direction"] = json!("INBOUND");
            let filters =
                &mut tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"];
            let principal = json!({
                "name": "envoy.filters.network.set_filter_state",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
                    "on_new_connection": [{
                        "object_key": "io.istio.peer_principal",
                        "factory_key": "envoy.string",
                        "format_string": {"text_format_source": {
                            "inline_string": "spiffe://cluster.local/ns/demo/sa/frontend"}},
                    }],
                },
            });
            filters.as_array_mut().unwrap().insert(0, principal);
            let text = tree["static_resources"].to_string();
            let cluster = "inbound-vip|80|http|catalog.demo.svc.cluster.local";
            let text = text.replace(
                r#""cluster":"backend""#,
                &format!(r#""cluster":"{cluster}""#),
            );
            tree["static_resources"] = text.parse().unwrap();
            tree["static_resources"]["clusters"][0]["name"] = json!(cluster);
        };
        let envoy = proxy(&backend, &json!({}), waypoint).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(
            named(&alert),
            ("demo/frontend", "catalog.demo.svc.cluster.local")
        );
        Ok(())
    })
}

#[test]
fn without_certificates_a_header_names_the_source_where_it_is_trusted() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({"names": {"trusted_source_header": "x-source"}});
        let envoy = proxy(&backend, &config, |_| {}).await?;
        let alert = refused(&envoy, &[("x-source", "shop/web")]).await?;
        assert_eq!(named(&alert), ("shop/web", "backend"));
        Ok(())
    })
}

#[test]
fn a_trusted_xfcc_names_the_client_of_the_proxy_in_front_and_not_what_that_client_sent()
-> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({"names": {"trusted_xfcc": true}});
        let forward = |tree: &mut Value| {
            manager(tree)["forward_client_cert_details"] = json!("ALWAYS_FORWARD_ONLY");
        };
        let envoy = proxy(&backend, &config, forward).await?;
        let chain = r#"URI=spiffe://cluster.local/ns/forged/sa/admin;Subject=",By=spiffe://cluster.local/ns/demo/sa/gateway;Hash=00;Subject="CN=web, O=\"x\"";URI=spiffe://cluster.local/ns/shop/sa/web"#;
        let alert = refused(
            &envoy,
            &[("x-forwarded-client-cert", chain), ("x-source", "forged")],
        )
        .await?;
        assert_eq!(named(&alert), ("shop/web", "backend"));
        Ok(())
    })
}

#[test]
fn a_network_names_the_source_where_nothing_better_does_and_xff_does_not_move_it() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({"names": {"addresses": [
            {"network": "198.51.100.0/24", "name": "forged"}, {"network": "127.0.0.0/8", "name": "office"}]}});
        let edge = |tree: &mut Value| manager(tree)["use_remote_address"] = json!(true);
        let envoy = proxy(&backend, &config, edge).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("office", "backend"));
        Ok(())
    })
}

/// A protobuf field of bytes, short ones.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [
        &[number << 3 | 2, u8::try_from(bytes.len()).unwrap()],
        bytes,
    ]
    .concat()
}

/// A module that sets Istio's peer metadata for each request, in the form that needs no Istio: filter state
/// `wasm.downstream_peer`, declared to be a `google.protobuf.Struct`.
fn peer_metadata(namespace: &str, workload: &str) -> Vec<u8> {
    let entry = |name: &str, text: &str| {
        let value = field(3, text.as_bytes());
        field(1, &[field(1, name.as_bytes()), field(2, &value)].concat())
    };
    let peer = [entry("namespace", namespace), entry("workload", workload)].concat();
    let declared = [
        field(1, b"downstream_peer"),
        // Protobuf, of this type, for the request.
        vec![3 << 3, 3],
        field(4, b"type.googleapis.com/google.protobuf.Struct"),
        vec![5 << 3, 1],
    ]
    .concat();
    let escaped = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("\\{b:02x}")).collect() };
    let text = format!(
        r#"(module
          (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 4096))
          (data (i32.const 16) "declare_property")
          (data (i32.const 64) "downstream_peer")
          (data (i32.const 128) "{}")
          (data (i32.const 512) "{}")
          (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $foreign (i32.const 16) (i32.const 16) (i32.const 128) (i32.const {}) (i32.const 0) (i32.const 8)))
            (i32.const 1))
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $set (i32.const 64) (i32.const 15) (i32.const 512) (i32.const {})))
            (i32.const 0)))"#,
        escaped(&declared),
        escaped(&peer),
        declared.len(),
        peer.len()
    );
    wat::parse_str(text).unwrap()
}

/// A proxy that a filter before the plugin tells who its peer says it is.
async fn behind_metadata(backend: &Backend, config: &Value) -> Result<Envoy> {
    let module = base64(&peer_metadata("shop", "web-v1"));
    let filter = json!({
        "name": "peer",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {"name": "peer", "root_id": "peer", "vm_config": {
                "vm_id": "peer", "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"inline_bytes": module}}}},
        },
    });
    proxy(backend, config, |tree| insert_filter(manager(tree), filter)).await
}

#[test]
fn istios_peer_metadata_names_the_source_where_it_is_trusted_and_only_there() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({"names": {"trusted_peer_metadata": true}});
        let envoy = behind_metadata(&backend, &config).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("shop/web-v1", "backend"));
        drop(envoy);
        let envoy = behind_metadata(&backend, &json!({})).await?;
        let alert = refused(&envoy, &FORGED).await?;
        assert_eq!(named(&alert), ("external", "backend"));
        Ok(())
    })
}

/// Base 64 with padding (RFC 4648, 4).
fn base64(bytes: &[u8]) -> String {
    let text = base64url(bytes).replace('-', "+").replace('_', "/");
    let padding = text.len().next_multiple_of(4) - text.len();
    text + &"=".repeat(padding)
}

// --- Users ---

/// Verifies tokens, and lets requests without one pass: nobody speaks for those.
fn verifier(issuer: &Issuer) -> Result<Value> {
    let type_of =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    Ok(json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": type_of,
            "providers": {"test": {
                "issuer": ISSUER,
                "local_jwks": {"inline_string": issuer.key_set()?.to_string()},
                "payload_in_metadata": "payload",
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "test"}, {"allow_missing_or_failed": {}}]}}}],
        },
    }))
}

/// A proxy behind a load balancer that tells the client's address, which verifies tokens of this issuer.
async fn edge(backend: &Backend, issuer: &Issuer, identity: Value) -> Result<Envoy> {
    let filter = verifier(issuer)?;
    let change = |tree: &mut Value| {
        let manager = manager(tree);
        manager["use_remote_address"] = json!(true);
        manager["xff_num_trusted_hops"] = json!(1);
        insert_filter(manager, filter);
    };
    proxy(backend, &json!({"identity": identity}), change).await
}

async fn send(envoy: &Envoy, path: &str, token: Option<&str>, from: &str) -> Result<u16> {
    let bearer = token.map(|t| format!("Bearer {t}"));
    let mut headers = vec![("x-forwarded-for", from), ("x-user", "forged-user")];
    headers.extend(bearer.iter().map(|b| ("authorization", &**b)));
    let get = request(Method::GET, &envoy.url(path), &headers, "")?;
    Ok(Client::new().send(get).await?.status)
}

async fn merged(envoy: &Envoy, wanted: u64) -> Result<u64> {
    envoy
        .admin()
        .wait_for_stat(MERGED, DEADLINE, |n| n >= wanted)
        .await
}

/// Alice acts from home; then tokens of others are refused elsewhere, and hers is served from there.
async fn taken_over(
    envoy: &Envoy,
    issuer: &Issuer,
    claims: impl Fn(&str) -> Value,
) -> Result<Alert> {
    let alice = issuer.token(&claims("alice"))?;
    let home = "203.0.113.5";
    // Past the warm-up, which counts from the proxy's first window.
    let mut sent = 0;
    let url = envoy.url("/products/1");
    let bearer = format!("Bearer {alice}");
    let load = Load::start(20.0, 3, move |visitor| {
        let headers = [("x-forwarded-for", home), ("authorization", &*bearer)];
        let get = request(Method::GET, &url, &headers, "");
        async move {
            visitor.send(get).await;
        }
    });
    merged(envoy, 120).await?;
    sent += load.stop().await.responses();
    for i in 0..12 {
        let token = issuer.token(&claims(&format!("leaked-{i}")))?;
        send(envoy, "/status/401", Some(&token), "198.51.100.9").await?;
    }
    merged(envoy, sent + 12).await?;
    for _ in 0..3 {
        send(envoy, "/products/1", Some(&alice), "198.51.100.9").await?;
    }
    let alert = envoy
        .wait_for_alert(DEADLINE, |a| {
            a.kind == "credential_stuffing" && a.severity == "critical"
        })
        .await?;
    whole(envoy).await?;
    Ok(alert)
}

#[test]
fn a_user_is_named_by_a_verified_claim_under_a_pseudonym_of_the_configured_key() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let issuer = Issuer::new(ISSUER)?;
        let identity = json!({"claim": "realm_access.sub", "addresses": true, "key": KEY});
        let envoy = edge(&backend, &issuer, identity).await?;
        let claims = |user: &str| json!({"sub": "somebody else", "realm_access": {"sub": user}});
        let alert = taken_over(&envoy, &issuer, claims).await?;
        let pseudonym = Pseudonyms::new(KEY.as_bytes()).of("alice");
        assert_eq!(
            alert.identity,
            Some(json!(pseudonym.as_str())),
            "{}",
            alert.message
        );
        assert_eq!(alert.addresses, ["198.51.100.9"]);
        assert!(
            alert.message.contains(pseudonym.as_str()),
            "{}",
            alert.message
        );
        assert!(!envoy.log().tail().contains("alice"), "no log has the name");
        Ok(())
    })
}

#[test]
fn a_user_is_told_by_name_only_where_that_is_configured_and_not_at_all_where_that_is() -> Result<()>
{
    run(async {
        let backend = Backend::start().await?;
        let issuer = Issuer::new(ISSUER)?;
        let claims = |user: &str| json!({"sub": user});
        let identity = json!({"claim": "sub", "addresses": true, "privacy": "plain"});
        let envoy = edge(&backend, &issuer, identity).await?;
        let alert = taken_over(&envoy, &issuer, claims).await?;
        assert_eq!(alert.identity, Some(json!("alice")));
        drop(envoy);
        let identity = json!({"claim": "sub", "addresses": true, "privacy": "drop", "key": KEY});
        let envoy = edge(&backend, &issuer, identity).await?;
        let alert = taken_over(&envoy, &issuer, claims).await?;
        assert_eq!(alert.identity, None);
        let pseudonym = Pseudonyms::new(KEY.as_bytes()).of("alice");
        let log = envoy.log().tail();
        assert!(
            !log.contains(pseudonym.as_str()) && !log.contains("alice"),
            "{log}"
        );
        assert!(alert.message.contains("a user"), "{}", alert.message);
        Ok(())
    })
}

#[test]
fn no_forged_token_and_no_header_that_is_not_trusted_names_a_user() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let (issuer, other) = (Issuer::new(ISSUER)?, Issuer::new(ISSUER)?);
        let envoy = edge(
            &backend,
            &issuer,
            json!({"claim": "sub", "addresses": true}),
        )
        .await?;
        let genuine = issuer.token(&json!({"sub": "alice"}))?;
        let stranger = other.token(&json!({"sub": "alice"}))?;
        let (head, signature) = genuine.rsplit_once('.').unwrap();
        let another = issuer.token(&json!({"sub": "mallory"}))?;
        let claims = another.rsplit_once('.').unwrap().0;
        let altered = format!("{claims}.{signature}");
        let mut sent = 0;
        for forged in [
            &*stranger,
            &altered,
            &unsigned(&json!({"sub": "alice", "iss": ISSUER})),
            head,
            "x",
        ] {
            for _ in 0..10 {
                ensure!(
                    send(&envoy, "/products/1", Some(forged), "203.0.113.5").await? == 200,
                    "it is let through"
                );
                sent += 1;
            }
        }
        // Genuine, but the claim is no text.
        for claims in [
            json!({"sub": 7}),
            json!({"sub": {"a": 1}}),
            json!({"sub": ["alice"]}),
            json!({}),
        ] {
            let token = issuer.token(&claims)?;
            send(&envoy, "/products/1", Some(&token), "203.0.113.5").await?;
            sent += 1;
        }
        send(&envoy, "/products/1", None, "203.0.113.5").await?;
        merged(&envoy, sent + 1).await?;
        assert_eq!(
            envoy.admin().stat(IDENTITIES).await?,
            Some(0),
            "nobody is known"
        );
        send(&envoy, "/products/1", Some(&genuine), "203.0.113.5").await?;
        envoy
            .admin()
            .wait_for_stat(IDENTITIES, DEADLINE, |n| n == 1)
            .await?;
        whole(&envoy).await
    })
}

#[test]
fn an_alarm_of_the_pair_says_which_user_at_which_address_it_comes_from() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let identity =
            json!({"trusted_user_header": "x-user", "addresses": true, "privacy": "plain"});
        let config = json!({"identity": identity});
        let edge = |tree: &mut Value| {
            let manager = manager(tree);
            manager["use_remote_address"] = json!(true);
            manager["xff_num_trusted_hops"] = json!(1);
        };
        let envoy = proxy(&backend, &config, edge).await?;
        let headers = [("x-user", "mallory"), ("x-forwarded-for", "203.0.113.9")];
        let alert = failing(&envoy, "/status/400", "client_errors", &headers).await?;
        let words = "all of the client errors by mallory from 203.0.113.9";
        assert!(alert.message.contains(words), "{}", alert.message);
        assert_eq!(alert.addresses, ["203.0.113.9"]);
        assert_eq!(alert.identity, None, "it is held against the pair");
        Ok(())
    })
}

#[test]
fn a_header_names_the_user_where_it_is_trusted() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let config = json!({"identity": {"trusted_user_header": "x-user"}});
        let envoy = proxy(&backend, &config, |_| {}).await?;
        let client = Client::new();
        for user in ["alice", "bob", "alice"] {
            client
                .send(request(
                    Method::GET,
                    &envoy.url("/"),
                    &[("x-user", user)],
                    "",
                )?)
                .await?;
        }
        envoy
            .admin()
            .wait_for_stat(IDENTITIES, DEADLINE, |n| n == 2)
            .await?;
        whole(&envoy).await
    })
}
