//! Free ports in place of the documented ones.
//!
//! A bootstrap names fixed ports. A test gives each a free one, the same in every bootstrap of a mesh. A free port is
//! *held*: a socket stays bound to it, with `SO_REUSEPORT` and without listening, so that nobody else gets it, while an
//! Envoy, which binds its listeners with the same option, still can, and again after a restart. So there's no window
//! between finding a port and using it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

/// Which port stands for which documented one. Clones share the same table.
#[derive(Debug, Clone)]
pub struct Ports {
    documented: bool,
    table: Arc<Mutex<BTreeMap<u16, Port>>>,
}

#[derive(Debug)]
struct Port {
    actual: u16,
    _held: Option<TcpSocket>,
}

impl Ports {
    /// Free ports.
    #[must_use]
    pub fn free() -> Self {
        Self {
            documented: false,
            table: Arc::default(),
        }
    }

    /// The ports as the bootstraps document them: for a demo that stays up, one at a time on a machine.
    #[must_use]
    pub fn documented() -> Self {
        Self {
            documented: true,
            table: Arc::default(),
        }
    }

    /// Whether ports stay as documented.
    #[must_use]
    pub const fn are_documented(&self) -> bool {
        self.documented
    }

    /// Has `actual` stand for `documented`: for a server that is already bound.
    pub fn assign(&self, documented: u16, actual: u16) {
        self.insert(
            documented,
            Port {
                actual,
                _held: None,
            },
        );
    }

    /// The port that stands for `documented`, found and held on first use.
    ///
    /// # Errors
    /// When no port is free.
    pub fn resolve(&self, documented: u16) -> Result<u16> {
        if self.documented {
            return Ok(documented);
        }
        if let Some(port) = self
            .table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&documented)
        {
            return Ok(port.actual);
        }
        let (actual, held) =
            hold().with_context(|| format!("finding a free port for {documented}"))?;
        self.insert(
            documented,
            Port {
                actual,
                _held: Some(held),
            },
        );
        Ok(actual)
    }

    /// Where a server that stands for `documented` should bind: any free port, or the documented one.
    #[must_use]
    pub fn to_bind(&self, documented: u16) -> SocketAddr {
        SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            if self.documented { documented } else { 0 },
        ))
    }

    fn insert(&self, documented: u16, port: Port) {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(documented, port);
    }
}

fn hold() -> std::io::Result<(u16, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok((socket.local_addr()?.port(), socket))
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn a_port_stays_the_same_for_every_clone_and_two_never_meet() -> anyhow::Result<()> {
        let ports = Ports::free();
        let other = ports.clone();
        assert_eq!(
            ports.resolve(10_000)?,
            other.resolve(10_000)?,
            "clones share the table"
        );
        assert_ne!(
            ports.resolve(10_000)?,
            ports.resolve(10_001)?,
            "two documented ports are two ports"
        );
        Ok(())
    }

    #[test]
    fn nobody_else_gets_a_held_port() -> anyhow::Result<()> {
        let ports = Ports::free();
        let port = ports.resolve(10_000)?;
        assert!(
            std::net::TcpListener::bind(("127.0.0.1", port)).is_err(),
            "a plain bind to a held port is refused"
        );
        Ok(())
    }
}
