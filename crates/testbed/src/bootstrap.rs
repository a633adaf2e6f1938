//! A bootstrap from `envoy/`, made a test's own: free ports, the module and certificates in use, and any change.
//!
//! The YAML becomes a tree on which every change is made, and Envoy gets that tree as JSON. So a change that finds
//! nothing to change is an error, not a text replaced nowhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::certs::Certs;
use crate::envoy::Envoy;
use crate::listener;
use crate::paths;
use crate::ports::Ports;

const HTTP_CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const WASM_SERVICE: &str = "type.googleapis.com/envoy.extensions.wasm.v3.WasmService";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// Where the bootstraps' certificates are.
const CERTS: &str = "target/mesh/certs/";
/// The port the bootstraps' backend has.
const BACKEND_PORT: u16 = 10_080;
/// Enough for connections to move between workers.
const CONCURRENCY: u32 = 2;

/// A bootstrap, to be changed and started.
#[derive(Debug)]
pub struct Bootstrap {
    pub(crate) name: String,
    pub(crate) tree: Value,
    pub(crate) ports: Ports,
    pub(crate) concurrency: u32,
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) listener_from_file: bool,
    module: Option<PathBuf>,
    /// Changes that found nothing to change.
    mistakes: Vec<String>,
}

impl Bootstrap {
    /// Opens a file of `envoy/`, such as `proxy.yaml` or `mesh/gateway.yaml`.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(file: &str) -> Result<Self> {
        let path = paths::workspace().join("envoy").join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let tree = serde_yaml_ng::from_str(&text)
            .with_context(|| format!("reading {} as YAML", path.display()))?;
        Ok(Self {
            name: Path::new(file)
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            tree,
            ports: Ports::free(),
            concurrency: CONCURRENCY,
            arguments: Vec::new(),
            folder: None,
            listener_from_file: false,
            module: None,
            mistakes: Vec::new(),
        })
    }

    /// Sets the JSON configuration of every Pairwatch filter: a `json!`, or any text.
    #[must_use]
    pub fn plugin_config(self, config: impl ToString) -> Self {
        self.configure(WASM_FILTER, "filter", config)
    }

    /// Sets the JSON configuration of the aggregator service, where the bootstrap has one.
    #[must_use]
    pub fn aggregator_config(self, config: impl ToString) -> Self {
        self.configure(WASM_SERVICE, "aggregator service", config)
    }

    /// Takes another module than the plugin's.
    #[must_use]
    pub fn module(mut self, path: impl Into<PathBuf>) -> Self {
        self.module = Some(path.into());
        self
    }

    /// Takes the certificates from this folder.
    #[must_use]
    pub fn certs(mut self, certs: &Certs) -> Self {
        each(&mut self.tree, &mut |map| {
            if let Some(Value::String(file)) = map.get_mut("filename")
                && let Some(name) = file.strip_prefix(CERTS)
            {
                *file = certs.folder().join(name).display().to_string();
            }
        });
        self
    }

    /// Sends what the proxy lets through to this backend.
    #[must_use]
    pub fn backend(self, address: SocketAddr) -> Self {
        self.ports.assign(BACKEND_PORT, address.port());
        self
    }

    /// Leaves this port as it is: that of a server which is up already.
    #[must_use]
    pub fn fixed_port(self, port: u16) -> Self {
        self.ports.assign(port, port);
        self
    }

    /// Shares these ports, as the bootstraps of a mesh must.
    #[must_use]
    pub fn ports(mut self, ports: &Ports) -> Self {
        self.ports = ports.clone();
        self
    }

    /// The number of worker threads.
    #[must_use]
    pub const fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// A further command-line argument for Envoy.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Keeps configuration and log in this folder, not in one that goes when Envoy does.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Serves the listener from a file, so that [`Envoy::update_listener`] can change it while traffic flows.
    #[must_use]
    pub const fn listener_from_file(mut self) -> Self {
        self.listener_from_file = true;
        self
    }

    /// Writes a JSON access log, in the fields of Istio's and `downstream_peer`, of all that passes the plugin.
    #[must_use]
    pub fn access_log(mut self, path: &Path) -> Self {
        let logger = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path,
                "log_format": { "json_format": access_log_fields() },
            },
        }]);
        let mut found = false;
        each(&mut self.tree, &mut |map| {
            let filters = map.get("http_filters").and_then(Value::as_array);
            let watched = filters
                .is_some_and(|filters| filters.iter().any(|filter| filter["name"] == "pairwatch"));
            if is_type(map, HTTP_CONNECTION_MANAGER) && watched {
                map.insert("access_log".into(), logger.clone());
                found = true;
            }
        });
        self.expect(
            found,
            "it has no connection manager with the plugin, for an access log",
        )
    }

    /// Sets the value at a JSON pointer, such as `/static_resources/clusters/0/connect_timeout`. The last step of the
    /// pointer may be new.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let found = match pointer.rsplit_once('/') {
            None => false,
            Some((parent, key)) => match self.tree.pointer_mut(parent) {
                Some(Value::Object(map)) => {
                    map.insert(key.into(), value.into());
                    true
                }
                Some(Value::Array(list)) => {
                    let slot = key
                        .parse()
                        .ok()
                        .and_then(|index: usize| list.get_mut(index));
                    slot.map(|slot| *slot = value.into()).is_some()
                }
                _ => false,
            },
        };
        self.expect(found, &format!("it has nothing at {pointer}"))
    }

    /// Any other change.
    #[must_use]
    pub fn patch(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.tree);
        self
    }

    /// Starts Envoy and awaits that it's ready.
    ///
    /// # Errors
    /// When a change found nothing to change, when a file is missing, or when Envoy refuses the bootstrap; then with its
    /// log's last lines.
    pub async fn start(mut self) -> Result<Envoy> {
        if let Some(mistake) = self.mistakes.first() {
            bail!("the bootstrap {}: {mistake}", self.name);
        }
        let module = match self.module.take() {
            Some(module) => module,
            None => paths::plugin_module()?,
        };
        set_module(&mut self.tree, &module);
        self.free_ports()?;
        Envoy::start(self).await
    }

    /// Puts the port in use in place of every documented one. The admin's becomes 0: Envoy tells which one it got.
    fn free_ports(&mut self) -> Result<()> {
        if self.ports.are_documented() {
            return Ok(());
        }
        let mut trouble = Ok(());
        each(&mut self.tree, &mut |map| {
            let documented = map
                .get("port_value")
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok());
            match documented.map(|port| self.ports.resolve(port)) {
                Some(Ok(actual)) => drop(map.insert("port_value".into(), actual.into())),
                Some(Err(error)) => trouble = Err(error),
                None => {}
            }
        });
        if let Some(port) = self
            .tree
            .pointer_mut("/admin/address/socket_address/port_value")
        {
            *port = 0.into();
        }
        trouble
    }

    fn configure(mut self, of_type: &str, what: &str, config: impl ToString) -> Self {
        let found = set_config(&mut self.tree, of_type, &config.to_string());
        self.expect(found, &format!("it has no {what} to configure"))
    }

    fn expect(mut self, found: bool, mistake: &str) -> Self {
        if !found {
            self.mistakes.push(mistake.into());
        }
        self
    }
}

/// Sets the JSON configuration of every Pairwatch filter in a tree; false where there's none.
pub fn set_filter_config(tree: &mut Value, config: &str) -> bool {
    set_config(tree, WASM_FILTER, config)
}

/// Has every Wasm VM in a tree run this module.
pub fn set_module(tree: &mut Value, path: &Path) {
    each(tree, &mut |map| {
        if let Some(file) = map
            .get_mut("vm_config")
            .and_then(|vm| vm.pointer_mut("/code/local/filename"))
        {
            *file = path.display().to_string().into();
        }
    });
}

/// Moves the listeners out into a file, and has the bootstrap watch that file.
pub(crate) fn take_listener(tree: &mut Value, folder: &Path) -> Result<Value> {
    let listeners = tree
        .pointer_mut("/static_resources/listeners")
        .map(Value::take);
    let Some(Value::Array(listeners)) = listeners else {
        bail!("the bootstrap has no static listeners")
    };
    let [listener]: [Value; 1] = listeners
        .try_into()
        .map_err(|all: Vec<Value>| anyhow::anyhow!("one listener is needed, not {}", all.len()))?;
    let source = json!({ "lds_config": {
        "resource_api_version": "V3",
        "path_config_source": { "path": folder.join(listener::FILE), "watched_directory": { "path": folder } },
    }});
    tree.as_object_mut()
        .context("a bootstrap is an object")?
        .insert("dynamic_resources".into(), source);
    if let Some(resources) = tree
        .pointer_mut("/static_resources")
        .and_then(Value::as_object_mut)
    {
        resources.remove("listeners");
    }
    Ok(listener)
}

fn set_config(tree: &mut Value, of_type: &str, config: &str) -> bool {
    let mut found = false;
    each(tree, &mut |map| {
        if is_type(map, of_type)
            && let Some(Value::Object(plugin)) = map.get_mut("config")
        {
            plugin.insert(
                "configuration".into(),
                json!({ "@type": STRING_VALUE, "value": config }),
            );
            found = true;
        }
    });
    found
}

fn is_type(map: &Map<String, Value>, name: &str) -> bool {
    map.get("@type").is_some_and(|found| found == name)
}

/// Visits every object of a tree.
fn each(tree: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    match tree {
        Value::Object(map) => {
            visit(map);
            map.values_mut().for_each(|value| each(value, visit));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each(value, visit)),
        _ => {}
    }
}

fn access_log_fields() -> Value {
    json!({
        "start_time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        "response_code_details": "%RESPONSE_CODE_DETAILS%",
        "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
        "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "duration": "%DURATION%",
        "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
        "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
        "user_agent": "%REQ(USER-AGENT)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "authority": "%REQ(:AUTHORITY)%",
        "upstream_host": "%UPSTREAM_HOST%",
        "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
        "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
        "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "requested_server_name": "%REQUESTED_SERVER_NAME%",
        "route_name": "%ROUTE_NAME%",
        "downstream_peer": "%DOWNSTREAM_PEER_URI_SAN%",
    })
}

#[cfg(test)]
mod tests {
    use super::{Bootstrap, each};
    use serde_json::Value;
    use std::collections::BTreeMap;

    const ALL: [&str; 7] = [
        "proxy.yaml",
        "proxy-singleton.yaml",
        "mesh/gateway.yaml",
        "mesh/frontend.yaml",
        "mesh/catalog.yaml",
        "mesh/accounts.yaml",
        "mesh/payments.yaml",
    ];

    #[test]
    fn no_two_listeners_or_admins_have_the_same_port() -> anyhow::Result<()> {
        let mut taken = BTreeMap::new();
        // proxy-singleton.yaml is proxy.yaml's other form: the same ports, for the same purpose.
        for file in ALL.iter().filter(|file| **file != "proxy-singleton.yaml") {
            let mut tree = Bootstrap::open(file)?.tree;
            let mut bound = vec![tree["admin"].take()];
            bound.extend(
                tree["static_resources"]["listeners"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            );
            for listener in bound {
                let port = listener
                    .pointer("/address/socket_address/port_value")
                    .and_then(Value::as_u64);
                let before = taken.insert(port.expect("a listener has a port"), *file);
                assert!(
                    before.is_none(),
                    "{port:?} of {file} is also bound by {before:?}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn every_vm_of_every_bootstrap_is_pairwatchs_with_the_same_id_and_module() -> anyhow::Result<()>
    {
        for file in ALL {
            let mut seen = 0;
            each(&mut Bootstrap::open(file)?.tree, &mut |map| {
                if let Some(vm) = map.get("vm_config") {
                    seen += 1;
                    assert_eq!(
                        vm["vm_id"], "pairwatch",
                        "{file}: queue and shared data are found by the VM's id"
                    );
                    assert_eq!(
                        vm["code"]["local"]["filename"], "target/pairwatch.wasm",
                        "{file}"
                    );
                    let config = map["configuration"]["value"]
                        .as_str()
                        .expect("a StringValue holds text");
                    assert!(
                        serde_json::from_str::<Value>(config).is_ok(),
                        "{file}: {config} is JSON"
                    );
                }
            });
            assert!(seen > 0, "{file} has the plugin");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_change_that_finds_nothing_to_change_is_an_error() -> anyhow::Result<()> {
        let error = Bootstrap::open("proxy.yaml")?
            .aggregator_config("{}")
            .start()
            .await
            .expect_err("no aggregator");
        assert!(
            error.to_string().contains("no aggregator service"),
            "{error}"
        );
        let error = Bootstrap::open("proxy.yaml")?
            .set("/static_resources/nothing/here", 1)
            .start()
            .await;
        assert!(
            error
                .expect_err("no such place")
                .to_string()
                .contains("/static_resources/nothing/here")
        );
        Ok(())
    }
}
