//! The demo's services: a small shop.
//!
//! | Service | Answers | Calls |
//! |---|---|---|
//! | frontend | `GET /`, `GET /account`, `POST /login`, `POST /checkout` | catalog, accounts, payments |
//! | catalog | `GET /products`, `GET /products/{id}` | nobody |
//! | accounts | `POST /login` (401 unless the password is right), `GET /users/{id}` | nobody |
//! | payments | `POST /charge` | nobody |
//!
//! Each answers after a log-normal time of its own; the frontend calls the others through its sidecar and hands on the
//! headers an app should: who the client is, and the request's id.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper::{HeaderMap, Method, Request};

use crate::http::Client;
use crate::prng::Prng;
use crate::service::{Service, reply};

/// The password of every user of the demo.
pub const PASSWORD: &str = "correct horse battery staple";

/// How far service times scatter: one in forty is twice the median.
const SIGMA: f64 = 0.35;
/// Headers an app hands on from the request it answers to those it makes.
const HANDED_ON: [&str; 2] = ["x-forwarded-for", "x-request-id"];
/// Products in the catalog.
const PRODUCTS: u64 = 200;

/// Service times around a median.
#[derive(Debug, Clone)]
struct Pace(Arc<Mutex<Prng>>);

impl Pace {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Prng::new(seed))))
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Prng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn work(&self, median_millis: u64) {
        let time =
            self.draw(|random| random.log_normal(Duration::from_millis(median_millis), SIGMA));
        tokio::time::sleep(time).await;
    }
}

/// The frontend. `mesh` is where its sidecar listens for what it sends out.
///
/// # Errors
/// When the address can't be bound.
pub async fn frontend(address: SocketAddr, mesh: SocketAddr) -> Result<Service> {
    let (pace, client) = (Pace::new(1), Client::new());
    let handler = move |request: Request<Bytes>| {
        let (pace, client) = (pace.clone(), client.clone());
        async move {
            let path = request.uri().path();
            let product = pace.draw(|random| random.below(PRODUCTS));
            let (method, host, onward) = match (request.method().as_str(), path) {
                ("GET", "/") => (Method::GET, "catalog", format!("/products/{product}")),
                ("GET", "/products") => (Method::GET, "catalog", "/products".into()),
                ("GET", "/account") => (Method::GET, "accounts", format!("/users/{product}")),
                ("POST", "/login") => (Method::POST, "accounts", "/login".into()),
                ("POST", "/checkout") => (Method::POST, "payments", "/charge".into()),
                _ => return reply(404, "no such page\n"),
            };
            pace.work(2).await;
            let url = format!("http://{mesh}{onward}");
            let answer = match onward_request(method, &url, host, request.headers(), request.body())
            {
                Ok(onward) => client.send(onward).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => reply(answer.status, answer.body),
                Err(_) => reply(502, "a service is out of reach\n"),
            }
        }
    };
    Service::start(address, handler).await
}

/// The catalog.
///
/// # Errors
/// When the address can't be bound.
pub async fn catalog(address: SocketAddr) -> Result<Service> {
    let pace = Pace::new(2);
    let handler = move |request: Request<Bytes>| {
        let pace = pace.clone();
        async move {
            let path = request.uri().path();
            if path == "/products" {
                pace.work(8).await;
                return reply(200, "a page of products\n".repeat(400));
            }
            match path
                .strip_prefix("/products/")
                .and_then(|id| id.parse::<u64>().ok())
            {
                Some(id) if id < PRODUCTS => {
                    pace.work(4).await;
                    // A product's page is always the same; pages differ by a factor of four.
                    let lines = 20 + id.wrapping_mul(37) % 60;
                    reply(
                        200,
                        "a product's details\n".repeat(lines.try_into().unwrap_or(20)),
                    )
                }
                _ => reply(404, "no such product\n"),
            }
        }
    };
    Service::start(address, handler).await
}

/// The accounts. A login's body is `user=…&password=…`.
///
/// # Errors
/// When the address can't be bound.
pub async fn accounts(address: SocketAddr) -> Result<Service> {
    let pace = Pace::new(3);
    let handler = move |request: Request<Bytes>| {
        let pace = pace.clone();
        async move {
            match (request.method().as_str(), request.uri().path()) {
                ("POST", "/login") => {
                    // What a password hash costs.
                    pace.work(20).await;
                    let body = String::from_utf8_lossy(request.body());
                    match body.rsplit_once("password=") {
                        Some((_, PASSWORD)) => reply(200, "welcome\n"),
                        _ => reply(401, "wrong user or password\n"),
                    }
                }
                ("GET", path) if path.starts_with("/users/") => {
                    pace.work(5).await;
                    reply(200, "a user's profile\n".repeat(20))
                }
                _ => reply(404, "no such page\n"),
            }
        }
    };
    Service::start(address, handler).await
}

/// The payments.
///
/// # Errors
/// When the address can't be bound.
pub async fn payments(address: SocketAddr) -> Result<Service> {
    let pace = Pace::new(4);
    let handler = move |request: Request<Bytes>| {
        let pace = pace.clone();
        async move {
            match (request.method().as_str(), request.uri().path()) {
                ("POST", "/charge") => {
                    pace.work(30).await;
                    reply(200, "charged\n")
                }
                _ => reply(404, "no such page\n"),
            }
        }
    };
    Service::start(address, handler).await
}

fn onward_request(
    method: Method,
    url: &str,
    host: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(method)
        .uri(url)
        .header(HOST, host);
    for name in HANDED_ON {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    Ok(request.body(Full::new(body.clone()))?)
}
