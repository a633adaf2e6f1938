//! The testbed itself: what every other test on real Envoys leans on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pairwatch_testbed::http::{Method, get_for, request};
use pairwatch_testbed::mesh::Options;
use pairwatch_testbed::{
    Backend, Bootstrap, Client, Context, Load, Mesh, Result, Update, certs, ensure, json, raw, run,
    tls, wait_until,
};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_request_passes_through_the_proxy_with_the_module_loaded() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        for bootstrap in ["proxy.yaml", "proxy-singleton.yaml"] {
            let envoy = Bootstrap::open(bootstrap)?
                .backend(backend.address())
                .start()
                .await?;
            let before = backend.requests();
            let reply = Client::new()
                .get(&envoy.url("/status/418/bytes/1000"))
                .await?;
            assert_eq!(
                (reply.status, reply.body.len()),
                (418, 1000),
                "{bootstrap}: the backend's answer comes back"
            );
            assert_eq!(
                backend.requests(),
                before + 1,
                "{bootstrap}: the backend was asked once"
            );
            let vms = envoy
                .admin()
                .stat("wasm.envoy.wasm.runtime.v8.active")
                .await?;
            assert!(
                vms.is_some_and(|vms| vms > 0),
                "{bootstrap}: the module runs in V8, in {vms:?} VMs"
            );
        }
        Ok(())
    })
}

#[test]
fn load_comes_at_its_rate_and_hostile_bytes_get_an_answer() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .start()
            .await?;
        let load = Load::get(200.0, 1, envoy.url("/delay/5"));
        load.wait_for(SOON, |counts| counts.status(200) >= 100)
            .await?;
        let counts = load.stop().await;
        assert_eq!(
            (counts.errors, counts.dropped),
            (0, 0),
            "nothing is lost: {counts:?}"
        );
        assert_eq!(
            counts.responses(),
            backend.requests(),
            "every response is the backend's"
        );

        let bytes = b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n";
        assert_eq!(
            raw::statuses(envoy.listener_address(), bytes, SOON).await?,
            [400],
            "Envoy refuses what is not HTTP"
        );
        Ok(())
    })
}

#[test]
fn the_mesh_comes_up_and_a_request_through_the_gateway_reaches_catalog() -> Result<()> {
    run(async {
        let mesh = Mesh::start(Options::default()).await?;
        let client = Client::new();

        let page = client.get(&mesh.gateway_url("/")?).await?;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(
            page.text().contains("a product's details"),
            "the page is catalog's: {}",
            page.text()
        );
        let stat = "cluster.inbound|20203||.upstream_rq_200";
        assert_eq!(
            mesh.envoy("catalog")?.admin().stat(stat).await?,
            Some(1),
            "catalog's sidecar passed it on"
        );
        let handshakes = mesh
            .envoy("catalog")?
            .admin()
            .metrics()
            .await?
            .sum("envoy_listener_ssl_handshake", &[]);
        assert!(
            handshakes.is_some_and(|count| count >= 1.0),
            "it came over TLS: {handshakes:?}"
        );

        let login = client
            .post(&mesh.gateway_url("/login")?, "user=7&password=wrong")
            .await?;
        assert_eq!(
            login.status, 401,
            "accounts refuses a wrong password, and the gateway's caller sees it"
        );
        let outbound = mesh.outbound_url("catalog", "/charge")?;
        let charge = request(Method::POST, &outbound, &[("host", "payments")], "")?;
        assert_eq!(
            client.send(charge).await?.status,
            200,
            "any service can call any other"
        );
        Ok(())
    })
}

#[test]
fn a_sidecar_refuses_a_client_without_a_certificate_of_the_mesh() -> Result<()> {
    run(async {
        let mesh = Mesh::start(Options::default()).await?;
        let catalog = mesh.inbound_address("catalog")?;
        let get = || get_for("catalog", "/products/1");

        let reply = tls::send(catalog, mesh.certs(), Some("frontend"), get()?).await?;
        assert_eq!(
            reply.status, 200,
            "the same request with a certificate of the mesh is answered"
        );
        let nobody = tls::send(catalog, mesh.certs(), None, get()?).await;
        assert!(nobody.is_err(), "without a certificate: {nobody:?}");

        let folder = tempfile()?;
        let strangers = certs::Certs::create(folder.join("certs"), &["frontend"])?;
        let stranger = tls::send(catalog, &strangers, Some("frontend"), get()?).await;
        assert!(
            stranger.is_err(),
            "with the right name from another authority: {stranger:?}"
        );
        std::fs::remove_dir_all(folder)?;

        let plain =
            raw::statuses(catalog, b"GET / HTTP/1.1\r\nhost: catalog\r\n\r\n", SOON).await?;
        assert!(plain.is_empty(), "without TLS: {plain:?}");
        Ok(())
    })
}

#[test]
fn a_listener_changes_while_traffic_flows_and_a_bad_one_is_refused() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .listener_from_file()
            .start()
            .await?;
        let load = Load::get(100.0, 1, envoy.url("/"));
        load.wait_for(SOON, |counts| counts.responses() > 10)
            .await?;

        assert_eq!(
            envoy
                .update_plugin_config(json!({"windows": ["1s", "5s", "20s"]}))
                .await?,
            Update::Accepted
        );
        let before = load.counts().responses();
        load.wait_for(SOON, |counts| counts.responses() > before + 20)
            .await?;
        let bad = envoy
            .update_plugin_module(Path::new("/no/such/module.wasm"))
            .await?;
        assert!(
            matches!(&bad, Update::Rejected(reason) if reason.contains("/no/such/module.wasm")),
            "{bad:?}"
        );
        let before = load.counts().responses();
        load.wait_for(SOON, |counts| counts.responses() > before + 20)
            .await?;

        let counts = load.stop().await;
        assert_eq!(
            counts.status(200),
            counts.responses(),
            "no request suffers from either: {counts:?}"
        );
        assert_eq!(counts.errors, 0, "{counts:?}");
        Ok(())
    })
}

#[test]
fn an_envoy_killed_comes_back_on_its_port_and_one_asked_to_stop_ends_well() -> Result<()> {
    run(async {
        let backend = Backend::start().await?;
        let mut envoy = Bootstrap::open("proxy.yaml")?
            .backend(backend.address())
            .start()
            .await?;
        let url = envoy.url("/");
        envoy.kill()?;
        assert!(Client::new().get(&url).await.is_err(), "nobody listens");
        envoy.restart().await?;
        assert_eq!(
            Client::new().get(&url).await?.status,
            200,
            "it is back at the same address"
        );
        envoy.stop().await?;
        let exiting = envoy
            .wait_for_log(SOON, |line| line.message.starts_with("exiting"))
            .await?;
        assert_eq!(
            (exiting.level.as_str(), exiting.logger.as_str()),
            ("info", "main")
        );
        Ok(())
    })
}

#[test]
fn no_process_is_left_after_a_drop() -> Result<()> {
    run(async {
        let envoy = Bootstrap::open("proxy.yaml")?.start().await?;
        let (id, folder) = (envoy.id().context("it runs")?, envoy.folder().to_owned());
        assert!(runs(id), "the process is there while the handle is");
        drop(envoy);
        assert!(!runs(id), "and gone with it");
        assert!(!folder.exists(), "so is its folder");
        Ok(())
    })
}

/// The test runs itself, waits until that one has an Envoy, and kills it with no chance to clean up.
#[test]
fn no_process_is_left_after_the_parent_is_killed() -> Result<()> {
    const FILE: &str = "PAIRWATCH_TEST_PID_FILE";
    run(async {
        if let Some(file) = std::env::var_os(FILE) {
            let envoy = Bootstrap::open("proxy.yaml")?.start().await?;
            let new = Path::new(&file).with_extension("new");
            std::fs::write(
                &new,
                format!(
                    "{} {}",
                    envoy.id().context("it runs")?,
                    envoy.folder().display()
                ),
            )?;
            std::fs::rename(new, file)?;
            return std::future::pending().await;
        }
        let setpriv = Command::new("setpriv")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !setpriv.is_ok_and(|status| status.success()) {
            eprintln!("skipped: without setpriv (util-linux), a killed parent leaves its Envoys");
            return Ok(());
        }
        let folder = tempfile()?;
        let file = folder.join("pid");
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "no_process_is_left_after_the_parent_is_killed"])
            .env(FILE, &file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let told = wait_until("the child's Envoy", 3 * SOON, async || {
            Ok(std::fs::read_to_string(&file).ok())
        })
        .await;
        child.kill()?;
        child.wait()?;
        let told = told?;
        let (id, left) = told.split_once(' ').context("an id and a folder")?;
        let id = id.parse()?;
        wait_until("Envoy's end", SOON, async || Ok((!runs(id)).then_some(()))).await?;
        std::fs::remove_dir_all(left)?;
        std::fs::remove_dir_all(folder)?;
        Ok(())
    })
}

/// Whether a process of this id runs; one that has ended and isn't yet collected doesn't.
fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}

fn tempfile() -> Result<std::path::PathBuf> {
    let folder = std::env::temp_dir().join(format!(
        "pairwatch-test-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir_all(&folder)?;
    ensure!(folder.is_dir(), "{} is a folder", folder.display());
    Ok(folder)
}
