//! One exchange: a request and what became of it, in the words every protocol shares.

pub mod address;
pub mod attributes;
mod outcome;
pub mod path;
pub mod principal;
pub mod pseudonym;
pub mod route;
pub mod version;
pub mod xfcc;

pub use outcome::Outcome;

use std::net::IpAddr;

/// A request and its answer, as the host or a log line tells it. Borrowed: reading one allocates nothing.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Who calls: see [`principal`].
    pub source: &'a str,
    /// The service that is called.
    pub destination: &'a str,
    /// The user or service the request speaks for, where the proxy knows: not the caller's workload, which is `source`.
    pub identity: Option<&'a str>,
    /// The client's address, where the proxy knows it.
    pub address: Option<IpAddr>,
    /// HTTP method; anything, of any length.
    pub method: &'a [u8],
    /// Path with or without query; anything, of any length.
    pub path: &'a [u8],
    /// HTTP status, 0 where none was sent.
    pub status: u16,
    /// gRPC status, where the answer carried one.
    pub grpc_status: Option<u32>,
    /// Body bytes from the caller.
    pub request_bytes: u64,
    /// Body bytes to the caller.
    pub response_bytes: u64,
    /// From first byte in to last byte out, in microseconds.
    pub duration_us: u64,
}

impl Exchange<'_> {
    /// What became of the request.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(self.status, self.grpc_status)
    }
}
