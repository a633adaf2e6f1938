//! What a test gives the module to see, and what the module made of it.

use std::collections::BTreeMap;

use crate::value::Value;

/// Header names and values. Bytes, as neither need be UTF-8.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// Property paths, with their parts joined by NUL as on the wire, and the encoded values.
pub type Properties = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) fn path<const N: usize>(parts: [&str; N]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

/// A plugin's configuration, as a root context gets it.
#[derive(Clone, Debug, Default)]
pub struct Plugin {
    /// `plugin_name`.
    pub name: String,
    /// `plugin_root_id`.
    pub root_id: String,
    /// What `on_configure` reads; empty reads as none.
    pub configuration: String,
    /// Seen by the root's callbacks and by all its streams: `xds.node`, `xds.listener_direction` and their like.
    pub properties: Properties,
}

impl Plugin {
    /// A plugin of this configuration.
    #[must_use]
    pub fn configured(configuration: &str) -> Self {
        Self {
            configuration: configuration.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a property.
    #[must_use]
    pub fn property<const N: usize>(mut self, parts: [&str; N], value: impl Into<Value>) -> Self {
        self.properties.insert(path(parts), value.into().encode());
        self
    }
}

/// A request and its response, whole.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// In the order and spelling given; names are expected in lower case.
    pub request_headers: Headers,
    /// Empty means that the headers end the request.
    pub request_body: Vec<u8>,
    /// As the request's.
    pub response_headers: Headers,
    /// As the request's.
    pub response_body: Vec<u8>,
    /// Empty means none.
    pub response_trailers: Headers,
    /// Seen by all the stream's callbacks.
    pub properties: Properties,
    /// No callback comes before `on_log`: what a filter sees of a request that an earlier filter answered, or that was
    /// malformed.
    pub log_only: bool,
}

impl Exchange {
    /// An exchange with the pseudo-headers and with `request.method`, `request.path` and `response.code`.
    #[must_use]
    pub fn new(method: &str, target: &str, status: u16) -> Self {
        Self::default()
            .request_header(":authority", "service.test")
            .request_header(":path", target)
            .request_header(":method", method)
            .request_header(":scheme", "http")
            .response_header(":status", status.to_string())
            .property(["request", "method"], method)
            .property(["request", "path"], target)
            .property(["response", "code"], status)
    }

    /// Adds a request header.
    #[must_use]
    pub fn request_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request_headers
            .push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response_headers
            .push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds a response trailer.
    #[must_use]
    pub fn response_trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response_trailers
            .push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Sets a property.
    #[must_use]
    pub fn property<const N: usize>(mut self, parts: [&str; N], value: impl Into<Value>) -> Self {
        self.properties.insert(path(parts), value.into().encode());
        self
    }

    /// A property's encoded value, for the evaluation of expressions.
    #[must_use]
    pub fn get<const N: usize>(&self, parts: [&str; N]) -> Option<&[u8]> {
        self.properties.get(&path(parts)).map(Vec::as_slice)
    }
}

/// A response that the module sent instead of letting the request pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The HTTP status.
    pub status: u32,
    /// The response code details; the Rust SDK sends none.
    pub details: Vec<u8>,
    /// Headers besides the status.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Negative when the request isn't to be answered as a gRPC call.
    pub grpc_status: i32,
}

/// What became of an exchange.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// With the module's changes.
    pub request_headers: Headers,
    /// With the module's changes.
    pub response_headers: Headers,
    /// What `set_property` set; in Envoy filter state, under `wasm.` and the path.
    pub set_properties: Properties,
    /// Sent instead of passing the request on.
    pub local_response: Option<LocalResponse>,
    /// A callback returned *pause* and nothing resumed the stream.
    pub paused: bool,
    /// The module reset the stream.
    pub reset: bool,
}

impl Outcome {
    /// A property that the module set, by its path.
    #[must_use]
    pub fn set_property<const N: usize>(&self, parts: [&str; N]) -> Option<&[u8]> {
        self.set_properties.get(&path(parts)).map(Vec::as_slice)
    }
}
