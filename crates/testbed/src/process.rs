//! A child process that ends with this one, however this one ends.
//!
//! `Drop` covers every ordinary end. Against a `kill -9` of this process the kernel helps: `setpriv --pdeathsig KILL`
//! (util-linux) marks the child to be killed when the *thread* that started it ends, and then becomes it, so the process
//! id is the child's. Threads of an async runtime come and go, so one thread that lives as long as the process starts
//! them all. Where there is no setpriv (macOS), only `Drop` is left.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait_until;

type Job = (Command, mpsc::Sender<io::Result<Child>>);

static SPAWNER: LazyLock<io::Result<Mutex<mpsc::Sender<Job>>>> = LazyLock::new(|| {
    let (jobs, inbox) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for (mut command, answer) in inbox {
                // A caller that is gone takes no answer; its child is then dropped here.
                if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(command.spawn()) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        })?;
    Ok(Mutex::new(jobs))
});

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts `program`; `set_up` adds arguments and streams.
    pub(crate) fn spawn(program: &Path, set_up: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut command = match in_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        set_up(&mut command);
        let spawner = SPAWNER
            .as_ref()
            .map_err(|error| anyhow::anyhow!("no thread to start processes: {error}"))?;
        let (answer, outcome) = mpsc::channel();
        spawner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, answer))
            .context("asking the spawner")?;
        let child = outcome.recv().context("awaiting the spawner")?;
        Ok(Self(child.with_context(|| {
            format!("starting {}", program.display())
        })?))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.0.try_wait().context("asking after the process")
    }

    /// SIGKILL, and until it's gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.0.kill().context("killing the process")?;
        self.0.wait().context("awaiting the killed process")?;
        Ok(())
    }

    /// Awaits its end.
    pub(crate) async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        wait_until("the process's end", within, async || self.ended()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
