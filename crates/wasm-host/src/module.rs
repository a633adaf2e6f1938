//! A compiled module, and its imports bound to the host.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use wasmtime::{Config, Engine, ExternType, Linker, OptLevel, Store, Val};

use crate::calls;
use crate::counts::{Counts, bump};
use crate::error::Error;
use crate::guest::Status;
use crate::host::{Host, State};
use crate::metrics::Ids;
use crate::vm::Vm;

/// Without this export Envoy takes a module for an unknown version of the ABI, and refuses it.
const ABI_MARKER: &str = "proxy_abi_version_0_2_1";

/// A compiled module.
pub struct Module {
    host: Host,
    module: wasmtime::Module,
    linker: Linker<State>,
}

/// What a VM is made with.
#[derive(Clone, Debug, Default)]
pub struct VmOptions {
    /// Shared data and queues belong to this id; a WasmPlugin's is always empty.
    pub vm_id: String,
    /// What `on_vm_start` reads.
    pub configuration: String,
}

impl Module {
    pub(crate) fn compile(host: &Host, wasm: &[u8]) -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| {
            Error::load(format!("not a module that can be loaded: {error:#}"))
        };
        let module = compiled(wasm).map_err(failed)?;
        for demanded in [
            &[ABI_MARKER][..],
            &["malloc", "proxy_on_memory_allocate"][..],
        ] {
            if !demanded
                .iter()
                .any(|name| module.get_export(name).is_some())
            {
                return Err(Error::load(format!(
                    "Envoy would refuse it: no export {}",
                    demanded.join(" or ")
                )));
            }
        }
        let mut linker = Linker::new(module.engine());
        define_unimplemented(&mut linker, &module).map_err(failed)?;
        calls::define(linker.allow_shadowing(true)).map_err(failed)?;
        Ok(Self {
            host: host.clone(),
            module,
            linker,
        })
    }

    /// Makes a VM, with the empty id and no configuration, and initializes the module in it.
    ///
    /// # Errors
    /// When the module can't be linked, or traps while it starts.
    pub fn vm(&self) -> Result<Vm, Error> {
        self.vm_with(&VmOptions::default())
    }

    /// Makes a VM and initializes the module in it.
    ///
    /// # Errors
    /// When the module can't be linked, or traps while it starts.
    pub fn vm_with(&self, options: &VmOptions) -> Result<Vm, Error> {
        let vm = {
            let counts = &mut self.host.shared.borrow_mut().counts;
            counts.push(Counts::default());
            counts.len().saturating_sub(1)
        };
        let state = State {
            shared: self.host.shared.clone(),
            vm,
            vm_id: options.vm_id.clone(),
            vm_configuration: options.configuration.clone().into_bytes(),
            contexts: BTreeMap::new(),
            current: 0,
            effective: 0,
            initializing: true,
            metrics: Ids::default(),
            http_calls: 0,
        };
        Vm::start(
            Store::new(self.module.engine(), state),
            &self.linker,
            &self.module,
        )
    }

    /// Whether the module exports a callback.
    #[must_use]
    pub fn exports(&self, name: &str) -> bool {
        self.module.get_export(name).is_some()
    }

    /// The names of all exports, in the module's order.
    #[must_use]
    pub fn export_names(&self) -> Vec<String> {
        self.module
            .exports()
            .map(|export| export.name().to_owned())
            .collect()
    }

    /// The names of the host functions that the module may call.
    #[must_use]
    pub fn import_names(&self) -> Vec<String> {
        self.module
            .imports()
            .map(|import| import.name().to_owned())
            .collect()
    }
}

/// The compiled form of a module. To compile takes seconds in an unoptimized build, so it is done once in a process; the
/// tests of one binary that want the same module wait for the first of them.
fn compiled(wasm: &[u8]) -> wasmtime::Result<wasmtime::Module> {
    static ENGINE: LazyLock<Result<Engine, String>> = LazyLock::new(|| {
        let mut config = Config::new();
        // Modules run briefly here: what counts is how soon they are compiled. A built module has no names that a
        // backtrace could show.
        config
            .consume_fuel(true)
            .cranelift_opt_level(OptLevel::None)
            .wasm_backtrace_max_frames(None);
        Engine::new(&config).map_err(|error| format!("{error:#}"))
    });
    static MODULES: Mutex<BTreeMap<Vec<u8>, wasmtime::Module>> = Mutex::new(BTreeMap::new());

    let engine = ENGINE.as_ref().map_err(wasmtime::Error::msg)?;
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = modules.get(wasm) {
        return Ok(module.clone());
    }
    let module = wasmtime::Module::new(engine, wasm)?;
    modules.insert(wasm.to_vec(), module.clone());
    Ok(module)
}

/// Gives every function the module may call a stand-in that answers *unimplemented*; those the host has replace it.
fn define_unimplemented(
    linker: &mut Linker<State>,
    module: &wasmtime::Module,
) -> wasmtime::Result<()> {
    for import in module.imports() {
        let ExternType::Func(ty) = import.ty() else {
            continue;
        };
        let name = import.name().to_owned();
        linker.func_new(
            import.module(),
            import.name(),
            ty,
            move |caller, _, results| {
                caller
                    .data()
                    .count(|counts| bump(&mut counts.host_calls, &name, 1));
                results.fill(Val::I32(Status::Unimplemented as i32));
                Ok(())
            },
        )?;
    }
    Ok(())
}
