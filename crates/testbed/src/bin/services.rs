//! What stands behind the bootstraps of `envoy/` when they are run by hand: the mesh's certificates in
//! `target/mesh/certs`, the shop's four services on their documented ports, and a backend for the single proxy.

use anyhow::Result;
use pairwatch_testbed::mesh::{Apps, PROXIES};
use pairwatch_testbed::{Backend, Certs, Ports, paths, run};

fn main() -> Result<()> {
    run(async {
        let certs = Certs::create(paths::workspace().join("target/mesh/certs"), &PROXIES)?;
        println!("certificates: {}", certs.folder().display());
        let _apps = Apps::start(&Ports::documented()).await?;
        println!(
            "services: frontend 20103, catalog 20203, accounts 20303, payments 20403 (on 127.0.0.1)"
        );
        let backend = Backend::start_at(([127, 0, 0, 1], 10_080).into()).await?;
        println!("the single proxy's backend: {}", backend.address());
        println!("Ctrl-C ends them.");
        tokio::signal::ctrl_c().await?;
        Ok(())
    })
}
