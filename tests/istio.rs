//! The manifests in `istio/`: they build, Istio's CRDs take them, and what is in them runs on a real Envoy.
#![allow(clippy::indexing_slicing, reason = "what panics in a test fails it")]

use pairwatch_testbed::stats::{ELECTIONS, MERGED};
use pairwatch_testbed::tokio::task::{JoinSet, LocalSet};
use pairwatch_testbed::{
    Backend, Bootstrap, Client, Context, DEADLINE, Envoy, Result, ensure, istio, paths, run,
};
use serde_json::{Value, json};
use std::path::Path;

/// Kinds whose schema is Kubernetes' own: kustomize knows these.
const OF_KUBERNETES: [&str; 2] = ["ConfigMap", "Deployment"];

fn built(folder: &str) -> Result<Vec<Value>> {
    istio::build(&paths::workspace().join("istio").join(folder))
}

fn one(folder: &str) -> Result<Value> {
    let objects = built(folder)?;
    objects.into_iter().next().context("it builds nothing")
}

#[test]
fn every_kustomization_builds_objects_that_istios_crds_take() -> Result<()> {
    let mut objects = Vec::new();
    for folder in istio::kustomizations()? {
        let found = istio::build(&folder)?;
        assert!(!found.is_empty(), "{} builds nothing", folder.display());
        objects.extend(found);
    }
    objects.retain(|object| {
        object["kind"]
            .as_str()
            .is_none_or(|kind| !OF_KUBERNETES.contains(&kind))
    });
    assert!(objects.len() >= 9, "{} objects", objects.len());
    for (object, faults) in objects.iter().zip(istio::check(&objects)?) {
        assert!(
            faults.is_empty(),
            "{} {}: {faults:?}",
            object["kind"],
            object["metadata"]["name"]
        );
    }
    Ok(())
}

#[test]
fn the_check_tells_a_field_or_value_that_istio_does_not_know() -> Result<()> {
    let good = one("overlays/namespace")?;
    let mut value = good.clone();
    value["spec"]["failStrategy"] = json!("FAIL_SAFE");
    let mut field = good.clone();
    field["spec"]["failstrategy"] = json!("FAIL_OPEN");
    let faults = istio::check(&[good, value, field])?;
    assert_eq!(faults[0], Vec::<String>::new());
    assert!(faults[1].iter().any(|f| f.contains("failStrategy")));
    assert_eq!(faults[2], ["/spec/failstrategy: no such field"]);
    Ok(())
}

async fn counts(envoy: &Envoy) -> Result<()> {
    let client = Client::new();
    for _ in 0..20 {
        let reply = client.get(&envoy.url("/products/1")).await?;
        ensure!(reply.status == 200, "answered {}", reply.status);
    }
    envoy
        .admin()
        .wait_for_stat(MERGED, DEADLINE, |n| n >= 20)
        .await?;
    let log = envoy.log().tail();
    ensure!(!log.contains("panicked"), "a VM trapped:\n{log}");
    Ok(())
}

#[test]
fn what_each_plugin_and_filter_holds_counts_on_a_real_envoy() -> Result<()> {
    run(LocalSet::new().run_until(async {
        let backend = Backend::start().await?;
        let mut running = JoinSet::new();
        for folder in istio::kustomizations()? {
            for object in istio::build(&folder)? {
                let is_filter = ["WasmPlugin", "EnvoyFilter"]
                    .iter()
                    .any(|kind| object["kind"] == *kind);
                // Without a namespace it is a base, which an overlay has to say the place of.
                if !is_filter || object["metadata"]["namespace"].is_null() {
                    continue;
                }
                let (folder, address) = (folder.clone(), backend.address());
                running.spawn_local(async move {
                    let temporary = tempfile::tempdir()?;
                    let bootstrap = Bootstrap::open("proxy.yaml")?.backend(address);
                    let envoy = istio::install(bootstrap, &object, temporary.path())?
                        .start()
                        .await?;
                    counts(&envoy)
                        .await
                        .with_context(|| folder.display().to_string())
                });
            }
        }
        ensure!(running.len() >= 8, "only {} were found", running.len());
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(())
    }))
}

/// The ConfigMap's bootstrap, with the module where this machine has it; merged in as Istio's agent does.
fn bootstrap_override(vm_id: Option<&str>) -> Result<String> {
    let map = one("bootstrap")?;
    let text = map["data"]["custom_bootstrap.json"]
        .as_str()
        .context("the ConfigMap's key")?;
    let mut tree: Value = serde_json::from_str(text)?;
    pairwatch_testbed::bootstrap::set_module(&mut tree, &paths::plugin_module()?);
    let vm = "/bootstrap_extensions/0/typed_config/config/vm_config";
    let vm = tree
        .pointer_mut(vm)
        .and_then(Value::as_object_mut)
        .context("the override has a VM")?;
    match vm_id {
        Some(id) => assert_eq!(vm["vm_id"], id),
        None => drop(vm.remove("vm_id")),
    }
    Ok(tree.to_string())
}

async fn runs_with_override(manifest: &str, vm_id: Option<&str>, folder: &Path) -> Result<()> {
    let backend = Backend::start().await?;
    // As Istio's: without tags of its own, which come from the override.
    let bootstrap = Bootstrap::open("proxy.yaml")?
        .backend(backend.address())
        .patch(|tree| drop(tree["stats_config"].take()))
        .argument("--config-yaml")
        .argument(bootstrap_override(vm_id)?);
    let envoy = istio::install(bootstrap, &one(manifest)?, folder)?
        .start()
        .await?;
    counts(&envoy).await?;
    // The filters' VMs would have waited for one another; the service leads at once, and alone.
    let elections = envoy.admin().stat(ELECTIONS).await?;
    ensure!(elections == Some(1), "{elections:?} elections");
    envoy
        .wait_for_log(DEADLINE, |line| {
            line.message.contains("this VM aggregates now")
        })
        .await?;
    Ok(())
}

#[test]
fn the_bootstrap_override_brings_the_aggregator_to_filters_of_its_vm_id() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    run(runs_with_override(
        "envoyfilter/local-module",
        Some("pairwatch"),
        temporary.path(),
    ))
}

#[test]
fn without_a_vm_id_the_bootstrap_override_serves_a_wasm_plugin() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    run(runs_with_override(
        "overlays/namespace",
        None,
        temporary.path(),
    ))
}

#[test]
fn the_components_annotate_the_pods_of_a_deployment() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let istio = paths::workspace().join("istio");
    // kustomize takes no absolute path for a component.
    let up = "../".repeat(temporary.path().canonicalize()?.components().count() - 1);
    let component =
        |name: &str| format!("{up}{}/components/{name}", istio.display()).replace("//", "/");
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "frontend" },
        "spec": { "template": { "metadata": { "annotations": { "kept": "yes" } } } },
    });
    std::fs::write(temporary.path().join("app.yaml"), deployment.to_string())?;
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": ["app.yaml"],
        "components": [component("stat-tags"), component("local-module")],
    });
    std::fs::write(
        temporary.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )?;
    let objects = istio::build(temporary.path())?;
    let annotations = &objects[0]["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["kept"], "yes", "{annotations}");
    assert_eq!(
        annotations["sidecar.istio.io/extraStatTags"],
        "kind,severity,state,source,sink"
    );
    assert_eq!(
        annotations["sidecar.istio.io/bootstrapOverride"],
        one("bootstrap")?["metadata"]["name"]
    );
    for name in ["userVolume", "userVolumeMount"] {
        let text = annotations[format!("sidecar.istio.io/{name}")]
            .as_str()
            .context(name)?;
        let volumes: Value = serde_json::from_str(text)?;
        assert_eq!(volumes[0]["name"], "pairwatch");
    }
    Ok(())
}

#[test]
fn the_module_fits_into_a_config_map() -> Result<()> {
    let size = std::fs::metadata(paths::plugin_module()?)?.len();
    assert!(
        size < 1 << 20,
        "Kubernetes takes up to 1 MiB, this is {size}"
    );
    Ok(())
}

#[test]
fn the_component_for_reloading_changes_the_policy_and_nothing_else() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let up = "../".repeat(temporary.path().canonicalize()?.components().count() - 1);
    let istio = paths::workspace().join("istio");
    let from = |name: &str| format!("{up}{}/{name}", istio.display()).replace("//", "/");
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [from("overlays/namespace")], "components": [from("components/fail-reload")],
    });
    std::fs::write(
        temporary.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )?;
    let mut changed = istio::build(temporary.path())?.remove(0);
    assert_eq!(changed["spec"]["failStrategy"], "FAIL_RELOAD");
    changed["spec"]["failStrategy"] = json!("FAIL_OPEN");
    assert_eq!(changed, one("overlays/namespace")?);
    Ok(())
}

#[test]
fn the_readme_tells_of_every_manifest() -> Result<()> {
    let root = paths::workspace().join("istio");
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    for folder in istio::kustomizations()? {
        let name = folder.strip_prefix(&root)?.display().to_string();
        ensure!(readme.contains(&format!("`{name}`")), "{name} is missing");
    }
    Ok(())
}
