//! Bytes as they are, for what no HTTP client would send.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes on a connection of their own and returns what comes back, until the other side closes or `within` has
/// passed. A reset by the other side ends the answer; it's no error.
///
/// # Errors
/// When there's no connection.
pub async fn send(address: SocketAddr, bytes: &[u8], within: Duration) -> Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let exchange = async {
        stream.write_all(bytes).await?;
        // Piece by piece, so that what has come by the deadline is kept.
        while stream.read_buf(&mut answer).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = tokio::time::timeout(within, exchange).await;
    Ok(answer)
}

/// Sends bytes and returns the status codes of the HTTP/1.1 responses that came back.
///
/// # Errors
/// Of [`send`].
pub async fn statuses(address: SocketAddr, bytes: &[u8], within: Duration) -> Result<Vec<u16>> {
    let answer = send(address, bytes, within).await?;
    let text = String::from_utf8_lossy(&answer);
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    Ok(lines
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect())
}

/// Sends bytes on a connection of their own and leaves at once, without waiting for an answer: with a reset, or by closing.
///
/// # Errors
/// When there's no connection.
pub async fn abandon(address: SocketAddr, bytes: &[u8], reset: bool) -> Result<()> {
    let mut stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    // The other side may have closed first, as it may refuse what it reads.
    let _ = stream.write_all(bytes).await;
    if reset {
        stream.set_zero_linger()?;
    }
    Ok(())
}
