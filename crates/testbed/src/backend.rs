//! A backend that does as it's told by each request's path.
//!
//! The path is a list of wishes, in pairs: `/status/503`, `/bytes/1000`, `/delay/50` (milliseconds), `/grpc/7` (a gRPC
//! answer of that status), and any of them together: `/status/404/bytes/10/delay/5`. What isn't a wish is ignored, so that a
//! path may also be `/products/17`. `/headers` answers with the request's headers as JSON, as the backend got them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::service::{Answer, Service, reply};

/// No wish for more is granted.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A running backend.
#[derive(Debug)]
pub struct Backend {
    service: Service,
    requests: Arc<watch::Sender<u64>>,
}

impl Backend {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there's none.
    pub async fn start() -> Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts one at this address.
    ///
    /// # Errors
    /// When it can't be bound.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let requests = Arc::new(watch::Sender::new(0));
        let count = Arc::clone(&requests);
        let service = Service::start(address, move |request| {
            count.send_modify(|requests| *requests += 1);
            grant(request)
        });
        Ok(Self {
            service: service.await?,
            requests,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// How many requests reached it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        *self.requests.borrow()
    }
}

/// What a request wishes for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    status: u16,
    bytes: Option<usize>,
    delay: Duration,
    grpc: Option<u16>,
}

impl Wish {
    fn read(path: &str) -> Self {
        let mut wish = Self {
            status: 200,
            bytes: None,
            delay: Duration::ZERO,
            grpc: None,
        };
        let mut steps = path.split('/').peekable();
        while let Some(name) = steps.next() {
            let value = steps.peek().and_then(|step| step.parse::<u32>().ok());
            match (name, value) {
                ("status", Some(code)) => wish.status = code.try_into().unwrap_or(wish.status),
                ("bytes", Some(bytes)) => wish.bytes = bytes.try_into().ok(),
                ("delay", Some(millis)) => wish.delay = Duration::from_millis(millis.into()),
                ("grpc", Some(code)) => wish.grpc = code.try_into().ok(),
                _ => {}
            }
        }
        wish
    }
}

async fn grant(request: Request<Bytes>) -> Answer {
    let wish = Wish::read(request.uri().path());
    if !wish.delay.is_zero() {
        tokio::time::sleep(wish.delay).await;
    }
    let body = match wish.bytes {
        Some(bytes) => Bytes::from(vec![b'.'; bytes.min(MOST_BYTES)]),
        None if request.uri().path() == "/headers" => {
            Bytes::from(as_json(request.headers()).to_string())
        }
        None => Bytes::from_static(b"ok\n"),
    };
    let mut answer = reply(wish.status, body);
    if let Some(code) = wish.grpc {
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", code.into());
    }
    answer
}

fn as_json(headers: &HeaderMap) -> Value {
    let pair = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
        (
            name.to_string(),
            Value::from(String::from_utf8_lossy(value.as_bytes())),
        )
    };
    Value::Object(headers.iter().map(pair).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::Wish;
    use std::time::Duration;

    #[test]
    fn a_path_is_a_list_of_wishes() {
        let all = Wish {
            status: 404,
            bytes: Some(10),
            delay: Duration::from_millis(5),
            grpc: None,
        };
        assert_eq!(Wish::read("/status/404/bytes/10/delay/5"), all);
        assert_eq!(
            Wish::read("/products/17").status,
            200,
            "what is no wish is ignored"
        );
        assert_eq!(Wish::read("/status/x").status, 200);
    }
}
