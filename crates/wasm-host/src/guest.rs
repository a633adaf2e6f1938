//! The module's side of a host call: its memory, its allocator, the statuses it understands.

use std::time::Duration;

use wasmtime::{Caller, Extern, Memory};

use crate::context::{Context, RootContext, StreamContext};
use crate::counts::bump;
use crate::host::State;

/// Answers to a host call, by their numbers in the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// How a host call ends when not well: with a status, or with the module's trap.
pub(crate) enum Fail {
    Status(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Fail {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) type Answer<T = ()> = Result<T, Fail>;

/// The module, while it waits for the host.
pub(crate) struct Guest<'a> {
    caller: Caller<'a, State>,
}

/// The one way into a host function: counts the call and turns its end into what the module gets.
pub(crate) fn answer(
    mut caller: Caller<'_, State>,
    name: &str,
    call: impl FnOnce(&mut Guest<'_>) -> Answer,
) -> wasmtime::Result<u32> {
    let state = caller.data_mut();
    state.count(|counts| bump(&mut counts.host_calls, name, 1));
    if state.initializing && name != "proxy_log" {
        // Envoy stops the VM; there is no clock and no context yet.
        return Err(wasmtime::format_err!(
            "{name} may not be called during initialization"
        ));
    }
    match call(&mut Guest { caller }) {
        Ok(()) => Ok(0),
        Err(Fail::Status(status)) => Ok(status as u32),
        Err(Fail::Trap(error)) => Err(error),
    }
}

impl Guest<'_> {
    pub(crate) fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// The context a call is about: the one called into, unless the module chose another.
    pub(crate) fn context(&mut self) -> Answer<&mut Context> {
        let state = self.caller.data_mut();
        let id = if state.effective == 0 {
            state.current
        } else {
            state.effective
        };
        state
            .contexts
            .get_mut(&id)
            .ok_or(Fail::Status(Status::InternalFailure))
    }

    /// The context, where it is a stream.
    pub(crate) fn stream(&mut self) -> Answer<Option<&mut StreamContext>> {
        Ok(match self.context()? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        })
    }

    /// The context's root, or the context itself, and its id.
    pub(crate) fn root(&mut self) -> Answer<(u32, &mut RootContext)> {
        let state = self.caller.data_mut();
        let mut id = if state.effective == 0 {
            state.current
        } else {
            state.effective
        };
        if let Some(Context::Stream(stream)) = state.contexts.get(&id) {
            id = stream.root;
        }
        match state.contexts.get_mut(&id) {
            Some(Context::Root(root)) => Ok((id, root)),
            _ => Err(Status::InternalFailure.into()),
        }
    }

    fn memory(&mut self) -> Answer<Memory> {
        match self.caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(Status::InvalidMemoryAccess.into()),
        }
    }

    /// Copies data out of the module.
    pub(crate) fn read(&mut self, at: u32, length: u32) -> Answer<Vec<u8>> {
        let memory = self.memory()?;
        let data = memory
            .data(&self.caller)
            .get(at as usize..)
            .and_then(|rest| rest.get(..length as usize));
        let data = data.ok_or(Status::InvalidMemoryAccess)?.to_vec();
        self.state()
            .count(|counts| counts.bytes_out = counts.bytes_out.saturating_add(u64::from(length)));
        Ok(data)
    }

    /// Writes to where the module wants a result: a pointer, a size, an id, a number.
    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) -> Answer {
        let memory = self.memory()?;
        let written = memory.write(&mut self.caller, at as usize, bytes);
        written.map_err(|_| Status::InvalidMemoryAccess.into())
    }

    /// Hands data over in memory from the module's allocator. Empty data is a null pointer.
    pub(crate) fn give(&mut self, data: &[u8], at: u32, size_at: u32) -> Answer {
        let pointer = if data.is_empty() {
            0
        } else {
            self.allocate(data)?
        };
        self.put_pointer(pointer, data.len(), at, size_at)
    }

    /// As [`Guest::give`], but empty data is allocated too, as the results of foreign functions are.
    pub(crate) fn give_allocated(&mut self, data: &[u8], at: u32, size_at: u32) -> Answer {
        let pointer = self.allocate(data)?;
        self.put_pointer(pointer, data.len(), at, size_at)
    }

    fn put_pointer(&mut self, pointer: u32, size: usize, at: u32, size_at: u32) -> Answer {
        let size = u32::try_from(size).map_err(|_| Status::InvalidMemoryAccess)?;
        self.put(at, &pointer.to_le_bytes())?;
        self.put(size_at, &size.to_le_bytes())
    }

    fn allocate(&mut self, data: &[u8]) -> Answer<u32> {
        let size = u32::try_from(data.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        let allocator = ["malloc", "proxy_on_memory_allocate"]
            .into_iter()
            .find_map(|name| Some((name, self.caller.get_export(name)?.into_func()?)));
        let (name, function) = allocator.ok_or(Status::InvalidMemoryAccess)?;
        let function = function
            .typed::<u32, u32>(&self.caller)
            .map_err(Fail::Trap)?;
        self.state().count(|counts| {
            bump(&mut counts.guest_calls, name, 1);
            counts.bytes_in = counts.bytes_in.saturating_add(u64::from(size));
        });
        let pointer = function.call(&mut self.caller, size).map_err(Fail::Trap)?;
        if pointer == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        self.put(pointer, data)?;
        Ok(pointer)
    }
}

/// The tick period as the ABI gives it; zero stops the ticks.
pub(crate) fn tick_period(milliseconds: u32) -> Option<Duration> {
    (milliseconds > 0).then(|| Duration::from_millis(u64::from(milliseconds)))
}
