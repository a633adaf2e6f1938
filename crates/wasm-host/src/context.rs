//! The contexts of a VM, and what each callback lets the module see.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::exchange::{Exchange, Headers, Outcome, Plugin, path};
use crate::guest::Status;
use crate::host::HttpAnswer;
use crate::value::Value;

/// Header maps by their numbers in the ABI; the others (gRPC) are never there.
pub(crate) const REQUEST_HEADERS: u32 = 0;
pub(crate) const RESPONSE_HEADERS: u32 = 2;
pub(crate) const RESPONSE_TRAILERS: u32 = 3;
pub(crate) const CALL_HEADERS: u32 = 6;
pub(crate) const LAST_MAP: u32 = 7;

/// Buffers by their numbers in the ABI.
pub(crate) const REQUEST_BODY: u32 = 0;
pub(crate) const RESPONSE_BODY: u32 = 1;
pub(crate) const CALL_BODY: u32 = 4;
pub(crate) const VM_CONFIGURATION: u32 = 6;
pub(crate) const PLUGIN_CONFIGURATION: u32 = 7;
pub(crate) const LAST_BUFFER: u32 = 8;

/// A root context or a stream.
#[derive(Debug)]
pub(crate) enum Context {
    Root(RootContext),
    Stream(StreamContext),
}

#[derive(Debug, Default)]
pub(crate) struct RootContext {
    pub(crate) plugin: Plugin,
    /// The configuration can be read while the context is created and in `on_configure`, and not after.
    pub(crate) configuring: bool,
    pub(crate) tick_period: Option<Duration>,
    /// By token. They belong to the root, also when a stream creates them, and stay until deleted.
    pub(crate) expressions: BTreeMap<u32, String>,
    pub(crate) next_expression: u32,
    /// While a call's answer is delivered.
    pub(crate) answer: Option<HttpAnswer>,
}

impl RootContext {
    pub(crate) fn new(plugin: &Plugin, vm_id: &str) -> Self {
        let mut plugin = plugin.clone();
        let own = [
            ("plugin_name", &*plugin.name),
            ("plugin_root_id", &plugin.root_id),
            ("plugin_vm_id", vm_id),
        ];
        for (name, value) in own {
            plugin
                .properties
                .entry(path([name]))
                .or_insert_with(|| Value::from(value).encode());
        }
        Self {
            plugin,
            ..Self::default()
        }
    }
}

/// Where in its life a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Create,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
    ResponseTrailers,
    Log,
    End,
}

#[derive(Debug, Default)]
pub(crate) struct StreamContext {
    pub(crate) root: u32,
    pub(crate) phase: Phase,
    pub(crate) exchange: Exchange,
    pub(crate) outcome: Outcome,
}

impl StreamContext {
    pub(crate) fn new(root: u32, exchange: &Exchange) -> Self {
        Self {
            root,
            exchange: exchange.clone(),
            ..Self::default()
        }
    }

    /// While a callback of the request's headers has not let the request pass, they stay in reach.
    fn held(&self) -> bool {
        self.outcome.paused || self.outcome.local_response.is_some()
    }

    /// The map, where it is in reach. Envoy forgets the request's headers once they are passed on; in `on_log` all are
    /// in reach, as the access log's.
    pub(crate) fn map(&self, map: u32) -> Option<&Headers> {
        let exchange = &self.exchange;
        match (map, self.phase) {
            (REQUEST_HEADERS, Phase::RequestHeaders | Phase::Log) => {
                Some(&exchange.request_headers)
            }
            (REQUEST_HEADERS, phase) if self.held() && phase != Phase::Create => {
                Some(&exchange.request_headers)
            }
            (RESPONSE_HEADERS, Phase::ResponseHeaders | Phase::Log) => {
                Some(&exchange.response_headers)
            }
            (RESPONSE_TRAILERS, Phase::ResponseTrailers | Phase::Log) => {
                Some(&exchange.response_trailers)
            }
            _ => None,
        }
    }

    /// The map, where the module may change it: never in `on_log`.
    pub(crate) fn map_mut(&mut self, map: u32) -> Result<&mut Headers, Status> {
        match (map, self.phase) {
            (REQUEST_HEADERS, Phase::RequestHeaders) => Ok(&mut self.exchange.request_headers),
            (RESPONSE_HEADERS, Phase::ResponseHeaders) => Ok(&mut self.exchange.response_headers),
            (RESPONSE_TRAILERS, Phase::ResponseTrailers) => {
                Ok(&mut self.exchange.response_trailers)
            }
            _ => Err(Status::BadArgument),
        }
    }

    /// The first value of a header. In `on_log` a map that isn't there reads as empty.
    pub(crate) fn header(&self, map: u32, name: &[u8]) -> Result<Vec<u8>, Status> {
        match self.map(map) {
            Some(headers) => first(headers, name).ok_or(Status::NotFound),
            None if self.phase == Phase::Log => Err(Status::NotFound),
            None => Err(Status::BadArgument),
        }
    }

    pub(crate) fn body(&mut self, buffer: u32) -> Option<&mut Vec<u8>> {
        match (buffer, self.phase) {
            (REQUEST_BODY, Phase::RequestBody) => Some(&mut self.exchange.request_body),
            (RESPONSE_BODY, Phase::ResponseBody) => Some(&mut self.exchange.response_body),
            _ => None,
        }
    }

    /// What the test gave, then what the module set: under the bare name, and in the filter state. A name set with more
    /// than one part can't be read back.
    pub(crate) fn property(&self, path: &[u8]) -> Option<Vec<u8>> {
        let name = path.strip_prefix(b"filter_state\0wasm.").unwrap_or(path);
        let set = self.outcome.set_properties.get(name);
        let given = self.exchange.properties.get(path);
        given.or(set.filter(|_| !name.contains(&0))).cloned()
    }

    /// What the test gets back.
    pub(crate) fn into_outcome(self) -> Outcome {
        let Exchange {
            request_headers,
            response_headers,
            ..
        } = self.exchange;
        Outcome {
            request_headers,
            response_headers,
            ..self.outcome
        }
    }
}

/// The first value of a header; names compare as in HTTP.
pub(crate) fn first(headers: &Headers, name: &[u8]) -> Option<Vec<u8>> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.clone())
}
