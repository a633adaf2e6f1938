//! Exchanges byte by byte: a client and a backend play a script around a proxy, and what each got is recorded.
//!
//! Two proxies that play the same list are held against each other by [`Recording`]s: so is shown that a filter leaves
//! traffic as it is. A step waits for what the other side heard, never for time, so that a recording is the same each time:
//! what may still differ (the date, and in HTTP/2 what belongs to the connection) is left out of it.
//!
//! Each request goes to the backend on a connection of its own: give the proxy's clusters `max_requests_per_connection: 1`.

mod h2;
mod script;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use script::{Exchange, Part, Side, Step, Text, read};

/// For one step: long, for a machine that builds something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// What both sides of an exchange got, made comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The exchange's name.
    pub name: String,
    /// What came back to the client.
    pub client: String,
    /// What came to the backend, a connection each.
    pub backends: Vec<String>,
}

/// What came on a connection so far.
#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    /// The other side has closed.
    ended: bool,
}

type Ear = Arc<watch::Sender<Heard>>;

/// A backend that plays what it is handed, and the stage for its clients.
#[derive(Debug)]
pub struct Stage {
    address: SocketAddr,
    acts: Arc<Acts>,
    task: JoinHandle<()>,
}

/// What is played now.
#[derive(Debug, Default)]
struct Acts {
    scripts: Mutex<VecDeque<Vec<Step>>>,
    /// What each of the backend's connections got.
    ears: Mutex<Vec<Ear>>,
    /// All of it in one, for the client to wait on.
    all: Mutex<Ear>,
    client: Mutex<Ear>,
    /// How the played scripts came out.
    outcomes: Mutex<Vec<JoinHandle<Result<()>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    /// A backend on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("binding")?;
        let address = listener.local_addr()?;
        let acts = Arc::new(Acts::default());
        let stage = Arc::clone(&acts);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                // A connection that no script is for is closed.
                let Some(script) = locked(&stage.scripts).pop_front() else {
                    continue;
                };
                let (own, all) = (Ear::default(), Arc::clone(&locked(&stage.all)));
                locked(&stage.ears).push(Arc::clone(&own));
                let client = Arc::clone(&locked(&stage.client));
                let playing = tokio::spawn(async move {
                    play(stream, &script, &[own, all], &client)
                        .await
                        .context("the backend")
                });
                locked(&stage.outcomes).push(playing);
            }
        });
        Ok(Self {
            address,
            acts,
            task,
        })
    }

    /// Where the backend listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays an exchange with the proxy at `proxy`.
    ///
    /// # Errors
    /// When a step's condition doesn't come about, or what came is not what the exchange expects.
    pub async fn play(&self, proxy: SocketAddr, exchange: &Exchange) -> Result<Recording> {
        self.attempt(proxy, exchange)
            .await
            .with_context(|| format!("«{}»", exchange.name))
    }

    async fn attempt(&self, proxy: SocketAddr, exchange: &Exchange) -> Result<Recording> {
        let scripts = exchange.scripts();
        let wanted = scripts.len();
        let (client, all) = (Ear::default(), Ear::default());
        *locked(&self.acts.client) = Arc::clone(&client);
        *locked(&self.acts.all) = Arc::clone(&all);
        locked(&self.acts.ears).clear();
        locked(&self.acts.outcomes).clear();
        *locked(&self.acts.scripts) = scripts.into();

        let stream = TcpStream::connect(proxy).await.context("connecting")?;
        let played = play(stream, &exchange.client, &[Arc::clone(&client)], &all).await;
        let told = || {
            format!(
                "the client got: {}\nthe backend got: {}",
                shortened(&client.borrow().bytes.escape_ascii().to_string()),
                shortened(&all.borrow().bytes.escape_ascii().to_string())
            )
        };
        played.context("the client").with_context(told)?;
        crate::wait_until("the backend to be asked", PATIENCE, async || {
            Ok((locked(&self.acts.outcomes).len() == wanted).then_some(()))
        })
        .await
        .with_context(told)?;
        let outcomes: Vec<_> = locked(&self.acts.outcomes).drain(..).collect();
        for outcome in outcomes {
            outcome.await?.with_context(told)?;
        }
        let ears = locked(&self.acts.ears).clone();
        let recording = Recording {
            name: exchange.name.clone(),
            client: render(&client.borrow().bytes, &exchange.client),
            backends: ears
                .iter()
                .zip(exchange.scripts())
                .map(|(ear, script)| render(&ear.borrow().bytes, &script))
                .collect(),
        };
        if let Some(part) = &exchange.expect {
            ensure!(
                recording.client.contains(part),
                "the client got no «{part}» but {}",
                shortened(&recording.client)
            );
        }
        if let Some(part) = &exchange.expect_backend {
            ensure!(
                recording.backends.concat().contains(part),
                "the backend got no «{part}» but {}",
                shortened(&recording.backends.concat())
            );
        }
        Ok(match exchange.client_only {
            true => Recording {
                backends: Vec::new(),
                ..recording
            },
            false => recording,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Plays one side. What comes goes to all of `ears`; the first is this connection's own.
async fn play(stream: TcpStream, script: &[Step], ears: &[Ear], other: &Ear) -> Result<()> {
    stream.set_nodelay(true)?;
    // A second handle to the same socket, for what the runtime's can't do by reference: closing one half.
    let socket = stream.into_std()?;
    let stream = Arc::new(TcpStream::from_std(socket.try_clone()?)?);
    let _listening = Listening(tokio::spawn(listen(Arc::clone(&stream), ears.to_vec())));
    let own = ears.first().context("an ear")?;
    for (at, step) in script.iter().enumerate() {
        let what = || format!("step {at}: {}", shortened(&format!("{step:?}")));
        if let Some(bytes) = script::sent(step) {
            tokio::time::timeout(PATIENCE, write(&stream, &bytes))
                .await
                .with_context(what)?
                .with_context(what)?;
            continue;
        }
        match step {
            Step::Until(text) => {
                let text = text.bytes();
                hear(own, |h| contains(&h.bytes, &text))
                    .await
                    .with_context(what)?;
            }
            Step::Heard(text) => {
                let text = text.bytes();
                hear(other, |h| contains(&h.bytes, &text))
                    .await
                    .with_context(what)?;
            }
            Step::End => hear(own, |h| h.ended).await.with_context(what)?,
            Step::H2Ended { stream } => hear(own, |h| ended(&h.bytes, *stream))
                .await
                .with_context(what)?,
            // The other side may have closed already.
            Step::HalfClose => drop(socket.shutdown(std::net::Shutdown::Write)),
            Step::Reset => {
                stream.set_zero_linger()?;
                break;
            }
            _ => break,
        }
    }
    Ok(())
}

/// A task that ends with its handle.
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(stream: Arc<TcpStream>, ears: Vec<Ear>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if stream.readable().await.is_err() {
            break;
        }
        match stream.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                for ear in &ears {
                    ear.send_modify(|h| h.bytes.extend(buffer.get(..read).unwrap_or_default()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    for ear in &ears {
        ear.send_modify(|h| h.ended = true);
    }
}

/// Writes all; that the other side has closed ends it without an error, as it may have answered before.
async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

async fn hear(ear: &Ear, wanted: impl Fn(&Heard) -> bool) -> Result<()> {
    let mut heard = ear.subscribe();
    match tokio::time::timeout(PATIENCE, heard.wait_for(|h| wanted(h))).await {
        Ok(Ok(_)) => Ok(()),
        _ => bail!("did not come about within {PATIENCE:?}"),
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    part.is_empty() || all.windows(part.len()).any(|window| window == part)
}

fn ended(bytes: &[u8], stream: u32) -> bool {
    h2::frames(bytes).iter().any(|f| {
        f.stream == stream
            && (f.kind == h2::RST_STREAM
                || (f.kind <= h2::HEADERS && f.flags & h2::END_STREAM != 0))
    })
}

/// What came, without what differs each time.
fn render(bytes: &[u8], script: &[Step]) -> String {
    if script.iter().any(|s| matches!(s, Step::H2Open(_))) {
        return h2::render(bytes);
    }
    let text = bytes.escape_ascii().to_string();
    let mut lines: Vec<&str> = text.split("\\r\\n").collect();
    lines.retain(|line| !line.starts_with("date: "));
    lines.join("\r\n")
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(1500).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
