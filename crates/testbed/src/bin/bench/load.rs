//! Requests, in two ways.
//!
//! For CPU time a *closed loop*: so many requests over keep-alive connections, each sending its next when it has its answer, as
//! fast as they are answered. For latency an *open loop*: each connection's requests are due at random moments at a given rate
//! (a Poisson process, the same moments for all variants), whether or not the one before is answered, and a request that had to
//! wait for the one before it has waited since it was due. A closed loop would send less while Envoy is slow, and so hide just
//! that (coordinated omission).

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use pairwatch_testbed::prng::Prng;
use pairwatch_testbed::tokio::net::TcpStream;
use pairwatch_testbed::tokio::task::{JoinHandle, JoinSet};
use pairwatch_testbed::tokio::time::Instant;
use pairwatch_testbed::{Context, Result, ensure, tokio};

use super::cells::Cell;

/// Who calls, where there is more than one pair.
pub(crate) const SOURCE_HEADER: &str = "x-source";

/// Paths that a load asks for in turn: enough that a template must be found for them.
const ITEMS: u64 = 50;

/// For the moments at which requests are due; any number would do, as long as it is the same for all variants.
const SEED: u64 = 20_261_121;

/// What is sent, and to whom.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    address: SocketAddr,
    connections: u64,
    pairs: u64,
    body: Bytes,
}

impl Traffic {
    /// A cell's requests, to this listener.
    pub(crate) fn new(cell: &Cell, address: SocketAddr, connections: u64) -> Self {
        Self {
            address,
            connections,
            pairs: cell.pairs,
            body: vec![b'a'; cell.body].into(),
        }
    }

    /// So many requests, as fast as they are answered.
    pub(crate) async fn all_at_once(&self, requests: u64) -> Result<()> {
        let mut conversations = JoinSet::new();
        for connection in 0..self.connections {
            // The shares add up to `requests`.
            let share = (requests + connection) / self.connections;
            let traffic = self.clone();
            conversations.spawn(async move {
                let mut conversation = Conversation::open(&traffic).await?;
                for turn in 0..share {
                    let number = traffic.number(connection, turn);
                    conversation.ask(&traffic, number).await?;
                }
                conversation.close().await
            });
        }
        while let Some(conversation) = conversations.join_next().await {
            conversation??;
        }
        Ok(())
    }

    /// `rate` requests a second for `span`; how long each took since it was due, in nanoseconds.
    pub(crate) async fn at_rate(&self, rate: f64, span: Duration, round: u64) -> Result<Vec<u64>> {
        let rate = rate / self.connections as f64;
        let began = Instant::now();
        let mut conversations = JoinSet::new();
        for connection in 0..self.connections {
            let traffic = self.clone();
            let mut random = Prng::new(SEED ^ (round << 32 | connection));
            conversations.spawn(async move {
                let mut conversation = Conversation::open(&traffic).await?;
                let (mut latencies, mut due) = (Vec::new(), began);
                for turn in 0.. {
                    due += random.wait(rate);
                    if due > began + span {
                        break;
                    }
                    // Timers of this process are a millisecond late; that is not Envoy's.
                    let since = if Instant::now() > due {
                        due
                    } else {
                        tokio::time::sleep_until(due).await;
                        Instant::now()
                    };
                    let number = traffic.number(connection, turn);
                    conversation.ask(&traffic, number).await?;
                    latencies.push(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
                }
                conversation.close().await?;
                Ok::<_, pairwatch_testbed::Error>(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(conversation) = conversations.join_next().await {
            latencies.append(&mut conversation??);
        }
        Ok(latencies)
    }

    /// Numbers that all connections together count through.
    fn number(&self, connection: u64, turn: u64) -> u64 {
        turn * self.connections + connection
    }

    fn request(&self, number: u64) -> Result<Request<Full<Bytes>>> {
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(format!("/items/{}", number % ITEMS))
            .header("host", "backend.example")
            .header("user-agent", "pairwatch-bench")
            .header("accept", "*/*")
            .header(
                SOURCE_HEADER,
                format!("bench/source-{}", number % self.pairs),
            );
        Ok(request.body(Full::new(self.body.clone()))?)
    }
}

/// One keep-alive connection.
struct Conversation {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Conversation {
    async fn open(traffic: &Traffic) -> Result<Self> {
        let stream = TcpStream::connect(traffic.address).await;
        let stream = stream.context("connecting to Envoy")?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        Ok(Self { sender, connection })
    }

    async fn ask(&mut self, traffic: &Traffic, number: u64) -> Result<()> {
        let response = self.sender.send_request(traffic.request(number)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "Envoy answered {status}");
        ensure!(
            body.len() == traffic.body.len(),
            "a body of {} bytes came back as {}",
            traffic.body.len(),
            body.len()
        );
        Ok(())
    }

    async fn close(self) -> Result<()> {
        drop(self.sender);
        Ok(self.connection.await??)
    }
}
