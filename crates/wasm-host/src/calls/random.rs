//! The one function of WASI that the plugin uses, `random_get` of `wasi_snapshot_preview1`.

use wasmtime::{Caller, Linker};

use crate::guest::answer;
use crate::host::State;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "random_get",
        |caller: Caller<'_, State>, at: u32, size: u32| {
            answer(caller, "random_get", |guest| {
                let bytes = guest.state().shared().random(size as usize);
                guest.put(at, &bytes)
            })
        },
    )?;
    Ok(())
}
