//! Log, clock, timer, configuration buffers, contexts.

use wasmtime::Linker;

use crate::context::{CALL_BODY, Context, LAST_BUFFER, PLUGIN_CONFIGURATION, VM_CONFIGURATION};
use crate::guest::{Answer, Guest, Status, tick_period};
use crate::host::{LogLine, State};

/// `critical`, the last log level.
const LAST_LEVEL: u32 = 5;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_log(guest, level: u32, message: u32, size: u32) {
            if level > LAST_LEVEL {
                return Err(Status::BadArgument.into());
            }
            let message = String::from_utf8_lossy(&guest.read(message, size)?).into_owned();
            let state = guest.state();
            state.shared().logs.push(LogLine { vm: state.vm, level, message });
            Ok(())
        }
        proxy_get_log_level(guest, at: u32) {
            let level = guest.state().shared().log_level;
            guest.put(at, &level.to_le_bytes())
        }
        proxy_get_current_time_nanoseconds(guest, at: u32) {
            let now = guest.state().shared().now.as_nanos();
            guest.put(at, &u64::try_from(now).unwrap_or(u64::MAX).to_le_bytes())
        }
        proxy_set_tick_period_milliseconds(guest, milliseconds: u32) {
            guest.root()?.1.tick_period = tick_period(milliseconds);
            Ok(())
        }
        proxy_get_buffer_bytes(guest, buffer: u32, start: u32, size: u32, at: u32, size_at: u32) {
            let bytes = read_buffer(guest, buffer)?;
            let end = start.checked_add(size).ok_or(Status::BadArgument)?;
            let end = bytes.len().min(end as usize);
            guest.give(bytes.get(start as usize..end).unwrap_or_default(), at, size_at)
        }
        proxy_set_buffer_bytes(guest, buffer: u32, start: u32, size: u32, data: u32, data_size: u32) {
            let data = guest.read(data, data_size)?;
            let body = guest.stream()?.and_then(|stream| stream.body(buffer)).ok_or(Status::NotFound)?;
            // Envoy can prepend, replace all, or append, and nothing between.
            match (start as usize, size as usize) {
                (0, 0) => body.splice(..0, data).for_each(drop),
                (0, size) if size >= body.len() => *body = data,
                (start, _) if start > 0 && start >= body.len() => body.extend(data),
                _ => return Err(Status::BadArgument.into()),
            }
            Ok(())
        }
        proxy_set_effective_context(guest, id: u32) {
            let state = guest.state();
            if !state.contexts.contains_key(&id) {
                return Err(Status::BadArgument.into());
            }
            state.effective = id;
            Ok(())
        }
        proxy_done(guest) {
            // Only for roots whose `on_done` returned false: a root of this host is gone by then.
            guest.context().and(Err(Status::NotFound.into()))
        }
    }
    Ok(())
}

/// What isn't there reads as empty, but for two buffers that aren't found out of their callback.
fn read_buffer(guest: &mut Guest<'_>, buffer: u32) -> Answer<Vec<u8>> {
    if buffer > LAST_BUFFER {
        return Err(Status::BadArgument.into());
    }
    if buffer == VM_CONFIGURATION {
        return Ok(guest.state().vm_configuration.clone());
    }
    let found = match guest.context()? {
        Context::Stream(stream) => stream.body(buffer).cloned(),
        Context::Root(root) => match buffer {
            PLUGIN_CONFIGURATION => root
                .configuring
                .then(|| root.plugin.configuration.clone().into_bytes()),
            CALL_BODY => root.answer.as_ref().map(|answer| answer.body.clone()),
            _ => None,
        },
    };
    match found {
        None if [PLUGIN_CONFIGURATION, CALL_BODY].contains(&buffer) => Err(Status::NotFound.into()),
        found => Ok(found.unwrap_or_default()),
    }
}
