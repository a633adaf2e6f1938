//! A client for plain HTTP over keep-alive connections, and what it gets back.

use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use hyper::Method;

/// Nothing in a testbed takes longer than this, other than what hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client(hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>);

/// A response with its body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without connections yet.
    #[must_use]
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .set_host(true)
            .build(connector);
        Self(client)
    }

    /// GET.
    ///
    /// # Errors
    /// Of [`Self::send`].
    pub async fn get(&self, url: &str) -> Result<Reply> {
        self.send(request(Method::GET, url, &[], "")?).await
    }

    /// POST.
    ///
    /// # Errors
    /// Of [`Self::send`].
    pub async fn post(&self, url: &str, body: &str) -> Result<Reply> {
        self.send(request(Method::POST, url, &[], body)?).await
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// When there's no complete response in time. A status of 500 is a response.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply> {
        let what = format!("{} {}", request.method(), request.uri());
        let exchange = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            anyhow::Ok(Reply {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.collect().await?.to_bytes(),
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("{what}: no answer within {PATIENCE:?}"))?
            .context(what)
    }
}

impl Reply {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, where it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request. The header `host`, where given, is what the proxy routes by; otherwise it's the URL's.
///
/// # Errors
/// When a part of it isn't valid HTTP.
pub fn request(
    method: Method,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(
            *name,
            HeaderValue::from_str(value).with_context(|| format!("header {name}"))?,
        );
    }
    request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .with_context(|| format!("a request to {url}"))
}

/// A GET of `url` for the authority `host`: what an app sends to its sidecar.
///
/// # Errors
/// Of [`request`].
pub fn get_for(host: &str, url: &str) -> Result<Request<Full<Bytes>>> {
    request(Method::GET, url, &[(HOST.as_str(), host)], "")
}
