//! The demo mesh: an ingress gateway, four services, a sidecar for each, mutual TLS between them.
//!
//! ```text
//! outside → gateway → [sidecar] frontend → [sidecar] catalog
//!                                        → [sidecar] accounts
//!                                        → [sidecar] payments
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::apps;
use crate::bootstrap::Bootstrap;
use crate::certs::Certs;
use crate::envoy::Envoy;
use crate::ports::Ports;
use crate::service::Service;

/// The services.
pub const SERVICES: [&str; 4] = ["frontend", "catalog", "accounts", "payments"];
/// All that have an Envoy: the gateway first.
pub const PROXIES: [&str; 5] = ["gateway", "frontend", "catalog", "accounts", "payments"];

/// The gateway's documented port.
pub const GATEWAY: u16 = 20_000;
/// A service's documented ports, from its base: where its sidecar takes the mesh's requests, …
const INBOUND: u16 = 1;
/// … where its sidecar takes its own, …
const OUTBOUND: u16 = 2;
/// … and where the service itself is.
const APP: u16 = 3;

/// What a mesh needs to know before it starts.
#[derive(Debug, Default)]
pub struct Options {
    /// Bootstraps, certificates and logs go here; without it, into folders that go when the mesh does.
    pub folder: Option<PathBuf>,
    /// The documented ports instead of free ones.
    pub documented_ports: bool,
    /// A plugin configuration for every filter instead of the bootstraps'.
    pub plugin_config: Option<String>,
    /// Whether each proxy writes `<folder>/<name>.access.jsonl`.
    pub access_logs: bool,
}

/// A running mesh. Dropping it ends all of it.
#[derive(Debug)]
pub struct Mesh {
    envoys: Vec<Envoy>,
    _apps: Apps,
    certs: Certs,
    ports: Ports,
    _temporary: Option<tempfile::TempDir>,
}

/// The four services without their sidecars.
#[derive(Debug)]
pub struct Apps(#[expect(dead_code, reason = "they run as long as they are held")] [Service; 4]);

impl Apps {
    /// Starts them; the ports they get are assigned in `ports`.
    ///
    /// # Errors
    /// When a port can't be bound.
    pub async fn start(ports: &Ports) -> Result<Self> {
        let at = |name| ports.to_bind(base(name) + APP);
        let mesh = SocketAddr::from(([127, 0, 0, 1], ports.resolve(base("frontend") + OUTBOUND)?));
        let services = [
            apps::frontend(at("frontend"), mesh).await?,
            apps::catalog(at("catalog")).await?,
            apps::accounts(at("accounts")).await?,
            apps::payments(at("payments")).await?,
        ];
        for (name, service) in SERVICES.iter().zip(&services) {
            ports.assign(base(name) + APP, service.address().port());
        }
        Ok(Self(services))
    }
}

impl Mesh {
    /// Brings the mesh up: services, certificates, five Envoys at once. It's ready when all are.
    ///
    /// # Errors
    /// When a part doesn't come up; with the Envoy's log where it's an Envoy.
    pub async fn start(options: Options) -> Result<Self> {
        let ports = if options.documented_ports {
            Ports::documented()
        } else {
            Ports::free()
        };
        let (folder, temporary) = match options.folder {
            Some(folder) => (folder, None),
            None => {
                let temporary = tempfile::Builder::new()
                    .prefix("pairwatch-mesh-")
                    .tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let certs = Certs::create(folder.join("certs"), &PROXIES)?;
        let apps = Apps::start(&ports).await?;
        let start = |name: &'static str| {
            let bootstrap = bootstrap(
                name,
                &ports,
                &certs,
                &folder,
                options.access_logs,
                options.plugin_config.as_deref(),
            );
            async move {
                bootstrap?
                    .start()
                    .await
                    .with_context(|| format!("the mesh's {name}"))
            }
        };
        let [gateway, frontend, catalog, accounts, payments] = PROXIES.map(start);
        let (gateway, frontend, catalog, accounts, payments) =
            tokio::try_join!(gateway, frontend, catalog, accounts, payments)?;
        let envoys = vec![gateway, frontend, catalog, accounts, payments];
        Ok(Self {
            envoys,
            _apps: apps,
            certs,
            ports,
            _temporary: temporary,
        })
    }

    /// All Envoys, the gateway first.
    #[must_use]
    pub fn envoys(&self) -> &[Envoy] {
        &self.envoys
    }

    /// One Envoy, by its name.
    ///
    /// # Errors
    /// When there's none of that name.
    pub fn envoy(&self, name: &str) -> Result<&Envoy> {
        self.envoys
            .iter()
            .find(|envoy| envoy.name() == name)
            .with_context(|| format!("no proxy is named {name}"))
    }

    /// One Envoy, to stop, kill or restart it.
    ///
    /// # Errors
    /// When there's none of that name.
    pub fn envoy_mut(&mut self, name: &str) -> Result<&mut Envoy> {
        self.envoys
            .iter_mut()
            .find(|envoy| envoy.name() == name)
            .with_context(|| format!("no proxy is named {name}"))
    }

    /// A URL at the gateway, by its path with the leading slash.
    ///
    /// # Errors
    /// When no port is free.
    pub fn gateway_url(&self, path: &str) -> Result<String> {
        Ok(format!("http://{}{path}", self.address(GATEWAY)?))
    }

    /// A URL at the sidecar of `service`, for what the service sends out. The header `host` of the request says to whom:
    /// [`get_for`](crate::http::get_for).
    ///
    /// # Errors
    /// When no port is free.
    pub fn outbound_url(&self, service: &str, path: &str) -> Result<String> {
        Ok(format!(
            "http://{}{path}",
            self.address(base(service) + OUTBOUND)?
        ))
    }

    /// Where the sidecar of `service` takes the mesh's requests, with mutual TLS.
    ///
    /// # Errors
    /// When no port is free.
    pub fn inbound_address(&self, service: &str) -> Result<SocketAddr> {
        self.address(base(service) + INBOUND)
    }

    /// The certificates.
    #[must_use]
    pub const fn certs(&self) -> &Certs {
        &self.certs
    }

    fn address(&self, documented: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::from((
            [127, 0, 0, 1],
            self.ports.resolve(documented)?,
        )))
    }
}

fn bootstrap(
    name: &str,
    ports: &Ports,
    certs: &Certs,
    folder: &Path,
    access_log: bool,
    config: Option<&str>,
) -> Result<Bootstrap> {
    let mut bootstrap = Bootstrap::open(&format!("mesh/{name}.yaml"))?
        .ports(ports)
        .certs(certs)
        .folder(folder.join(name));
    if access_log {
        bootstrap = bootstrap.access_log(&folder.join(format!("{name}.access.jsonl")));
    }
    Ok(match config {
        Some(config) => bootstrap.plugin_config(config),
        None => bootstrap,
    })
}

/// The first of the documented ports of a service: 20100 for the first, 20200 for the second, …
fn base(service: &str) -> u16 {
    let place = SERVICES
        .iter()
        .position(|name| *name == service)
        .and_then(|place| u16::try_from(place).ok());
    GATEWAY + 100 * (1 + place.unwrap_or(99))
}
