//! The OCI image that `make image` makes: read back as a registry's client would, blob by blob.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "what panics in a test fails it"
)]

use flate2::read::GzDecoder;
use pairwatch_testbed::{Context, Result, ensure, paths};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::process::Command;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A tar's unit.
const BLOCK: usize = 512;

/// Without a builder: what is tested is the layout, and no machine's store of images is to be touched.
fn make_image(folder: &Path) -> Result<String> {
    let python = "python3";
    let output = Command::new(python)
        .arg(paths::workspace().join("scripts/image"))
        .args([paths::plugin_module()?.as_path(), folder])
        .env("PAIRWATCH_IMAGE_LAYOUT_ONLY", "1")
        .output()
        .context("running scripts/image")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    Ok(index["manifests"][0]["digest"].as_str().unwrap().into())
}

/// A blob, of the size and digest that name it.
fn blob(folder: &Path, descriptor: &Value) -> Result<Vec<u8>> {
    let digest = descriptor["digest"].as_str().context("a digest")?;
    let data = std::fs::read(folder.join("blobs").join(digest.replace(':', "/")))?;
    ensure!(descriptor["size"].as_u64() == Some(data.len() as u64));
    ensure!(digest == named(&data), "{digest} names other bytes");
    Ok(data)
}

fn named(data: &[u8]) -> String {
    let hash = Sha256::digest(data);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn the_image_is_one_layer_with_the_module_as_plugin_wasm() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().join("image");
    make_image(&folder)?;
    let layout: Value = serde_json::from_slice(&std::fs::read(folder.join("oci-layout"))?)?;
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json"))?)?;
    let entry = &index["manifests"][0];
    assert_eq!(entry["mediaType"], MANIFEST);
    let manifest: Value = serde_json::from_slice(&blob(&folder, entry)?)?;
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "Istio reads the one layer there is");
    assert_eq!(layers[0]["mediaType"], LAYER);

    let mut tar = Vec::new();
    GzDecoder::new(blob(&folder, &layers[0])?.as_slice()).read_to_end(&mut tar)?;
    let module = std::fs::read(paths::plugin_module()?)?;
    assert_eq!(&tar[..12], b"plugin.wasm\0");
    assert_eq!(&tar[BLOCK..BLOCK + module.len()], module);
    let rest = &tar[BLOCK + module.len()..];
    assert!(rest.iter().all(|&byte| byte == 0), "and nothing after it");

    let config: Value = serde_json::from_slice(&blob(&folder, &manifest["config"])?)?;
    assert_eq!(config["rootfs"]["diff_ids"][0], named(&tar));
    let labels = &config["config"]["Labels"];
    assert_eq!(
        labels["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    Ok(())
}

#[test]
fn the_same_module_and_commit_give_the_same_digest() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let first = make_image(&temporary.path().join("first"))?;
    assert_eq!(first, make_image(&temporary.path().join("second"))?);
    Ok(())
}

#[test]
fn skopeo_reads_the_layout_where_it_is_installed() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path().join("image");
    let digest = make_image(&folder)?;
    let read = Command::new("skopeo")
        .arg("inspect")
        .arg(format!("oci:{}", folder.display()))
        .output();
    let Ok(read) = read else {
        eprintln!("skipped: skopeo is not installed");
        return Ok(());
    };
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&read.stdout)?;
    assert_eq!(found["Digest"], digest.as_str());
    Ok(())
}
