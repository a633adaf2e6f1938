//! The host functions, as the ABI's version 0.2.1 has them.

mod foreign;
mod http;
mod metrics;
mod random;
mod shared;
mod stream;
mod system;

use wasmtime::Linker;

use crate::host::State;

/// Binds every function the host has.
pub(crate) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    system::define(linker)?;
    stream::define(linker)?;
    shared::define(linker)?;
    metrics::define(linker)?;
    http::define(linker)?;
    foreign::define(linker)?;
    random::define(linker)
}

/// Binds functions of the module `env`: name, parameters, and what they do with the guest.
macro_rules! functions {
    ($linker:expr, $($name:ident($guest:ident $(, $parameter:ident: $type:ty)*) $body:block)*) => {$(
        $linker.func_wrap(
            "env",
            stringify!($name),
            |caller: wasmtime::Caller<'_, $crate::host::State> $(, $parameter: $type)*| {
                $crate::guest::answer(caller, stringify!($name), |$guest| $body)
            },
        )?;
    )*};
}
pub(crate) use functions;
