//! Who is at the other end of a connection, who we are, and which way its requests go.
//!
//! | What | Read | Trusted because |
//! |---|---|---|
//! | the peer's certificate | once a connection | Envoy verified it |
//! | a waypoint's peer | once a connection | Istio puts it there out of the certificate at the tunnel's other end |
//! | the direction | once a connection | a property of the listener |
//! | the proxy's node, and its version | once | the bootstrap's |
//! | the proxy's own certificate on the way out | until it is known, once a connection | the proxy's own |
//! | the upstream's certificate | where the cluster names no service | Envoy verified it |
//!
//! On the way out nobody shows a certificate: the application talks to its own proxy. The source is then the proxy's own
//! workload. An ingress gateway's listeners go out too, in Istio's terms, but its clients are not its own workload: Istio's node
//! ids begin with what the proxy is, `router~` for a gateway.

use crate::host;
use pairwatch_engine::exchange::attributes::{List, integer, text};
use pairwatch_engine::exchange::version::Version;
use pairwatch_engine::exchange::{address, principal};

/// Of each connection. The order is that of [`Connection::read`].
const CONNECTION: &str = "[\
    has(connection.uri_san_peer_certificate) ? connection.uri_san_peer_certificate : '', \
    has(connection.uri_san_local_certificate) ? connection.uri_san_local_certificate : '', \
    has(xds.listener_direction) ? xds.listener_direction : 0, \
    'io.istio.peer_principal' in filter_state ? filter_state['io.istio.peer_principal'] : '']";

/// Of the proxy. The order is that of [`Proxy::read`].
const NODE: &str = "[\
    has(xds.node.id) ? xds.node.id : '', \
    has(xds.node.metadata) && 'NAMESPACE' in xds.node.metadata ? xds.node.metadata['NAMESPACE'] : '', \
    has(xds.node.metadata) && 'SERVICE_ACCOUNT' in xds.node.metadata ? xds.node.metadata['SERVICE_ACCOUNT'] : '']";

/// Labels of a pod that tell its version: what Istio takes for its canonical revision, in Istio's order.
/// (<https://istio.io/latest/docs/ops/deployment/application-requirements/>)
const VERSION_LABELS: [&str; 3] = [
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];

/// The version of the workload that this proxy stands in front of, out of the node's metadata; empty where there is none.
fn version_of_node() -> String {
    let labels = "xds.node.metadata['LABELS']";
    let mut out = String::new();
    for label in VERSION_LABELS {
        out.push_str(&format!(
            "has(xds.node.metadata) && 'LABELS' in xds.node.metadata && type({labels}) == map && '{label}' in {labels} \
             ? {labels}['{label}'] : "
        ));
    }
    out.push_str("''");
    out
}

/// On the way out: the certificate that this proxy showed.
const OWN: &str =
    "has(upstream.uri_san_local_certificate) ? upstream.uri_san_local_certificate : ''";

/// `xds.listener_direction` of a listener for requests from other workloads to this one, …
const INBOUND: i64 = 1;
/// … and for requests of this one.
const OUTBOUND: i64 = 2;
/// Connections remembered: a power of two. Two that fall into the same place cost a second host call per request, no more.
const CONNECTIONS: usize = 512;
/// Istio's cluster for destinations that are not in its registry: it says nothing of who is called.
const PASSTHROUGH: &str = "PassthroughCluster";

/// Namespace and workload in Istio's peer metadata, each empty where there is none. It has three forms: an object with fields
/// (from 1.29 on), a map, and the map of older proxies under a Wasm plugin's key.
pub(super) fn metadata(which: &str) -> [String; 2] {
    let same = |field| [field; 4];
    [
        field(which, same("namespace")),
        field(which, ["workload", "workload", "workload_name", "workload"]),
    ]
}

/// The version of the upstream in Istio's peer metadata: its canonical revision.
pub(super) fn version_of_upstream() -> String {
    let fields = ["revision", "revision", "canonical_revision", "revision"];
    field("upstream", fields)
}

/// A field of peer metadata by its names in the forms that it has.
fn field(which: &str, names: [&str; 4]) -> String {
    let keys = [
        format!("{which}_peer_obj"),
        format!("{which}_peer"),
        format!("wasm.{which}_peer"),
        format!("wasm.{which}_peer"),
    ];
    let mut out = String::new();
    for (key, field) in keys.iter().zip(names) {
        out.push_str(&format!(
            "'{key}' in filter_state && type(filter_state['{key}']) == map && '{field}' in filter_state['{key}'] \
             ? filter_state['{key}']['{field}'] : "
        ));
    }
    out.push_str("''");
    out
}

/// The peers of one root's connections.
#[derive(Debug)]
pub(super) struct Peers {
    connection: Option<[u8; 4]>,
    node: Option<[u8; 4]>,
    version: Option<[u8; 4]>,
    own: Option<[u8; 4]>,
    upstream: Option<[u8; 4]>,
    connections: Vec<Option<Connection>>,
    /// `None` until it was asked for.
    proxy: Option<Proxy>,
    /// The version of its workload; `None` until it was asked for.
    runs: Option<Version>,
}

/// What is known of this proxy.
#[derive(Debug, Default)]
struct Proxy {
    is_gateway: bool,
    /// The workload it stands in front of.
    own: Option<Box<str>>,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Connection {
    id: i64,
    /// The client, where somebody vouches for it.
    peer: Option<Box<str>>,
    /// This proxy, by the certificate it showed.
    own: Option<Box<str>>,
    direction: i64,
    /// Whether the certificate was asked for that this proxy shows upstream.
    asked: bool,
}

/// Which way a request goes, and who vouches for its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    /// The client, where somebody vouches for it.
    pub(super) peer: Option<&'a str>,
    /// The workload this proxy stands in front of, where the direction says that the request is its own or for it.
    pub(super) own: Option<&'a str>,
    /// Whether the request is that workload's own.
    pub(super) leaves: bool,
    /// Whether it is for that workload, by the listener's direction.
    pub(super) serves: bool,
}

impl Peers {
    /// Compiles what is asked for in the current root context. `metadata`: whether Istio's peer metadata is trusted.
    pub(super) fn new(trusted_metadata: bool) -> Self {
        let mut upstream = vec![
            "has(upstream.uri_san_peer_certificate) ? upstream.uri_san_peer_certificate : ''"
                .to_owned(),
            OWN.to_owned(),
            "has(upstream.address) ? upstream.address : ''".to_owned(),
        ];
        if trusted_metadata {
            upstream.extend(metadata("upstream"));
        }
        Self {
            connection: host::compile(CONNECTION),
            node: host::compile(NODE),
            version: host::compile(&version_of_node()),
            own: host::compile(OWN),
            upstream: host::compile(&format!("[{}]", upstream.join(", "))),
            connections: std::iter::repeat_with(|| None).take(CONNECTIONS).collect(),
            proxy: None,
            runs: None,
        }
    }

    pub(super) fn are_compiled(&self) -> bool {
        let all = [
            self.connection,
            self.node,
            self.version,
            self.own,
            self.upstream,
        ];
        all.iter().all(Option::is_some)
    }

    /// Gets to know who is at the ends of the current stream, which is one of connection `id`. `service` is what this proxy's
    /// workload is configured to be called; `done` says that the request is over, so that there was an upstream.
    pub(super) fn meet(&mut self, id: i64, service: Option<&str>, done: bool) {
        let Some(slot) = self.connections.get_mut(place(id)) else {
            return;
        };
        if slot.as_ref().is_none_or(|c| c.id != id || id == 0) {
            *slot = Some(Connection::read(id, self.connection));
        }
        let Some(connection) = slot
            .as_mut()
            .filter(|c| c.direction == OUTBOUND && c.peer.is_none() && !c.asked)
        else {
            return;
        };
        let proxy = self.proxy.get_or_insert_with(|| Proxy::read(self.node));
        connection.asked = done;
        if done && !proxy.is_gateway && service.is_none() && proxy.own.is_none() {
            let uri = self.own.and_then(host::evaluate).unwrap_or_default();
            proxy.own = principal::of_spiffe(text(&uri), text(&uri)).map(|s| s.into());
        }
    }

    /// Who is at the ends of a connection that was met.
    pub(super) fn ends<'a>(&'a self, id: i64, service: Option<&'a str>) -> Option<Ends<'a>> {
        let connection = self.connections.get(place(id))?.as_ref()?;
        let peer = connection.peer.as_deref();
        let proxy = self.proxy.as_ref();
        let leaves = connection.direction == OUTBOUND
            && peer.is_none()
            && proxy.is_some_and(|p| !p.is_gateway);
        let own = if leaves {
            service.or(proxy.and_then(|p| p.own.as_deref()))
        } else if connection.direction == INBOUND {
            service.or(connection.own.as_deref())
        } else {
            service
        };
        let serves = connection.direction == INBOUND;
        Some(Ends {
            peer,
            own,
            leaves,
            serves,
        })
    }

    /// The version of the workload that this proxy stands in front of, by its node's labels. Asked for once.
    pub(super) fn own_version(&mut self) -> Version {
        *self.runs.get_or_insert_with(|| {
            let label = self.version.and_then(host::evaluate).unwrap_or_default();
            Version::of(text(&label))
        })
    }

    /// Who took the current request, which is over, where its cluster names no service: the upstream's certificate, its metadata
    /// where that is trusted, its address.
    pub(super) fn upstream(&self, cluster: &str) -> Option<Box<str>> {
        if !cluster.is_empty() && cluster != PASSTHROUGH {
            return None;
        }
        let bytes = host::evaluate(self.upstream?)?;
        let mut list = List::read(&bytes)?;
        let peer = text(list.next()?);
        let own = text(list.next()?);
        let address = address::of(text(list.next()?));
        principal::of_spiffe(peer, own)
            .map(|s| s.into())
            .or_else(|| workload(text(list.next()?), text(list.next()?)))
            .or_else(|| Some(address?.to_string().into()))
    }
}

/// Where a connection is remembered.
fn place(id: i64) -> usize {
    usize::try_from(id).unwrap_or(0) & CONNECTIONS.saturating_sub(1)
}

/// A workload's name as certificates would have it, out of peer metadata.
pub(super) fn workload(namespace: &str, name: &str) -> Option<Box<str>> {
    if namespace.is_empty() || name.is_empty() {
        return None;
    }
    let name = format!("{namespace}/{name}");
    Some(principal::bounded(&name).into())
}

impl Connection {
    fn read(id: i64, expression: Option<[u8; 4]>) -> Self {
        let mut connection = Self {
            id,
            ..Self::default()
        };
        let bytes = expression.and_then(host::evaluate).unwrap_or_default();
        let Some(mut list) = List::read(&bytes) else {
            return connection;
        };
        let peer = text(list.next().unwrap_or_default());
        let own = text(list.next().unwrap_or_default());
        connection.direction = integer(list.next().unwrap_or_default()).unwrap_or(0);
        let tunnelled = text(list.next().unwrap_or_default());
        connection.peer = principal::of_spiffe(peer, own)
            .or_else(|| principal::of_spiffe(tunnelled, own))
            .map(|s| s.into());
        connection.own = principal::of_spiffe(own, own).map(|s| s.into());
        connection
    }
}

impl Proxy {
    fn read(expression: Option<[u8; 4]>) -> Self {
        let bytes = expression.and_then(host::evaluate).unwrap_or_default();
        let Some(mut list) = List::read(&bytes) else {
            return Self::default();
        };
        let id = text(list.next().unwrap_or_default());
        let namespace = text(list.next().unwrap_or_default());
        let account = text(list.next().unwrap_or_default());
        Self {
            is_gateway: id.starts_with("router~"),
            own: workload(namespace, account),
        }
    }
}
