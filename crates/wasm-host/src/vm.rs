//! A VM, and its life as Envoy leads it.

use std::time::Duration;

use wasmtime::{Instance, Linker, Store, WasmParams, WasmResults};

use crate::context::{Context, Phase, RootContext, StreamContext};
use crate::counts::{Counts, bump};
use crate::error::Error;
use crate::exchange::{Exchange, Headers, LocalResponse, Outcome, Plugin};
use crate::host::{HttpAnswer, HttpCall, State};

/// What one call into the module may burn: seconds of work. A loop without end ends in a trap.
const FUEL_PER_CALL: u64 = 10_000_000_000;

/// `critical`: the level at which the SDK logs a panic.
const CRITICAL: u32 = 5;

/// A root context of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(u32);

/// A stream that was opened and not yet closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a stream that is never closed leaks in the module"]
pub struct Stream(u32);

/// One VM: a worker's, the main thread's, or a singleton's. After a trap it only returns errors, as Envoy never calls it
/// again; a new one from the same module is what a reload is.
pub struct Vm {
    store: Store<State>,
    instance: Instance,
    next_context: u32,
    dead: Option<String>,
}

impl Vm {
    pub(crate) fn start(
        mut store: Store<State>,
        linker: &Linker<State>,
        module: &wasmtime::Module,
    ) -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::load(format!("it can't be linked: {error:#}"));
        store.set_fuel(FUEL_PER_CALL).map_err(failed)?;
        let instance = linker.instantiate(&mut store, module).map_err(failed)?;
        let mut vm = Self {
            store,
            instance,
            next_context: 1,
            dead: None,
        };
        if vm.call::<_, ()>("_initialize", 0, ())?.is_none() {
            vm.call::<_, ()>("_start", 0, ())?;
        }
        vm.store.data_mut().initializing = false;
        Ok(vm)
    }

    /// Makes a root context: creates it, starts the VM, configures. A second one in the same VM is what a change of
    /// configuration makes.
    ///
    /// # Errors
    /// When the module traps or refuses; [`Error::is_refusal`] tells.
    pub fn root(&mut self, plugin: &Plugin) -> Result<Root, Error> {
        let id = self.new_id();
        let state = self.store.data_mut();
        let sizes = (
            state.vm_configuration.len() as u32,
            plugin.configuration.len() as u32,
        );
        let root = RootContext::new(plugin, &state.vm_id);
        state.contexts.insert(id, Context::Root(root));

        self.with_root(id, |root| root.configuring = true);
        self.call::<_, ()>("proxy_on_context_create", id, (id, 0_u32))?;
        self.with_root(id, |root| root.configuring = false);
        if self.call::<_, u32>("proxy_on_vm_start", id, (id, sizes.0))? == Some(0) {
            return Err(Error::refused("proxy_on_vm_start"));
        }
        self.with_root(id, |root| root.configuring = true);
        if self.call::<_, u32>("proxy_on_configure", id, (id, sizes.1))? == Some(0) {
            return Err(Error::refused("proxy_on_configure"));
        }
        self.with_root(id, |root| root.configuring = false);
        Ok(Root(id))
    }

    /// Ends a root context, as the end of an old configuration does.
    ///
    /// # Errors
    /// When the module traps.
    pub fn end(&mut self, root: Root) -> Result<(), Error> {
        self.finish(root.0)
    }

    /// How often the root wants its ticks; nothing when it wants none.
    #[must_use]
    pub fn tick_period(&self, root: Root) -> Option<Duration> {
        match self.store.data().contexts.get(&root.0) {
            Some(Context::Root(root)) => root.tick_period,
            _ => None,
        }
    }

    /// Ticks, once. False when the root asked for no ticks: then nothing happens. The clock isn't moved.
    ///
    /// # Errors
    /// When the module traps.
    pub fn tick(&mut self, root: Root) -> Result<bool, Error> {
        if self.dead.is_none() && self.tick_period(root).is_none() {
            return Ok(false);
        }
        self.call::<_, ()>("proxy_on_tick", root.0, root.0)?;
        Ok(true)
    }

    /// Delivers the queue notifications that wait for this VM, and says how many there were.
    ///
    /// # Errors
    /// When the module traps.
    pub fn deliver_queues(&mut self) -> Result<usize, Error> {
        let notices = {
            let state = self.store.data();
            state.shared().queues.take_notices(state.vm)
        };
        for (root, token) in &notices {
            if self.store.data().contexts.contains_key(root) {
                self.call::<_, ()>("proxy_on_queue_ready", *root, (*root, *token))?;
            }
        }
        Ok(notices.len())
    }

    /// Answers an HTTP call that this VM made.
    ///
    /// # Errors
    /// When the call is another VM's or its root is gone, and when the module traps.
    pub fn answer(&mut self, call: &HttpCall, answer: &HttpAnswer) -> Result<(), Error> {
        let state = self.store.data();
        if call.vm != state.vm || !state.contexts.contains_key(&call.root) {
            return Err(Error::misuse(
                "the call was made by another VM, or its root context is gone",
            ));
        }
        self.with_root(call.root, |root| root.answer = Some(answer.clone()));
        let sizes = (answer.headers.len() as u32, answer.body.len() as u32);
        let parameters = (call.root, call.token, sizes.0, sizes.1, 0_u32);
        self.call::<_, ()>("proxy_on_http_call_response", call.root, parameters)?;
        self.with_root(call.root, |root| root.answer = None);
        Ok(())
    }

    /// Leads an exchange from its first header to the deletion of its context.
    ///
    /// # Errors
    /// When the module traps.
    pub fn exchange(&mut self, root: Root, exchange: &Exchange) -> Result<Outcome, Error> {
        let stream = self.open(root, exchange)?;
        self.close(stream)
    }

    /// Leads an exchange through its request. Others may come before it is closed.
    ///
    /// # Errors
    /// When there is no such root, and when the module traps.
    pub fn open(&mut self, root: Root, exchange: &Exchange) -> Result<Stream, Error> {
        if self.dead.is_none() && !self.store.data().contexts.contains_key(&root.0) {
            return Err(Error::misuse("the root context is gone"));
        }
        let id = self.new_id();
        let context = Context::Stream(StreamContext::new(root.0, exchange));
        self.store.data_mut().contexts.insert(id, context);
        self.call::<_, ()>("proxy_on_context_create", id, (id, root.0))?;
        if exchange.log_only {
            return Ok(Stream(id));
        }
        let ends = u32::from(exchange.request_body.is_empty());
        let passes = self.headers("proxy_on_request_headers", id, Phase::RequestHeaders, ends)?;
        if passes && !exchange.request_body.is_empty() {
            self.body("proxy_on_request_body", id, Phase::RequestBody, true)?;
        }
        Ok(Stream(id))
    }

    /// Leads a stream through its response (the module's own, if it sent one; none, if it holds the request) to its log
    /// and its end.
    ///
    /// # Errors
    /// When the stream is gone, and when the module traps.
    pub fn close(&mut self, Stream(id): Stream) -> Result<Outcome, Error> {
        let responds = match self.store.data_mut().contexts.get_mut(&id) {
            Some(Context::Stream(stream)) => {
                if let Some(local) = stream.outcome.local_response.clone() {
                    respond_locally(&mut stream.exchange, &local);
                    stream.outcome.paused = false;
                }
                !stream.exchange.log_only && !stream.outcome.paused && !stream.outcome.reset
            }
            _ if self.dead.is_some() => false,
            _ => return Err(Error::misuse("the stream is gone")),
        };
        if responds {
            self.respond(id)?;
        }
        self.enter(id, Phase::Log);
        self.call::<_, ()>("proxy_on_log", id, id)?;
        self.enter(id, Phase::End);
        self.call::<_, u32>("proxy_on_done", id, id)?;
        self.call::<_, ()>("proxy_on_delete", id, id)?;
        match self.store.data_mut().contexts.remove(&id) {
            Some(Context::Stream(stream)) => Ok(stream.into_outcome()),
            _ => Err(Error::misuse("the stream is gone")),
        }
    }

    fn respond(&mut self, id: u32) -> Result<(), Error> {
        let (body, trailers) = match self.store.data().contexts.get(&id) {
            Some(Context::Stream(stream)) => {
                let exchange = &stream.exchange;
                (
                    exchange.response_body.len(),
                    exchange.response_trailers.len() as u32,
                )
            }
            _ => (0, 0),
        };
        let ends = u32::from(body == 0 && trailers == 0);
        self.headers(
            "proxy_on_response_headers",
            id,
            Phase::ResponseHeaders,
            ends,
        )?;
        if body > 0 {
            self.body(
                "proxy_on_response_body",
                id,
                Phase::ResponseBody,
                trailers == 0,
            )?;
        }
        if trailers > 0 {
            self.enter(id, Phase::ResponseTrailers);
            self.call::<_, u32>("proxy_on_response_trailers", id, (id, trailers))?;
        }
        Ok(())
    }

    /// Whether the request, or the response, goes on.
    fn headers(&mut self, callback: &str, id: u32, phase: Phase, ends: u32) -> Result<bool, Error> {
        self.enter(id, phase);
        let count = match self.store.data().contexts.get(&id) {
            Some(Context::Stream(stream)) if phase == Phase::RequestHeaders => {
                stream.exchange.request_headers.len()
            }
            Some(Context::Stream(stream)) => stream.exchange.response_headers.len(),
            _ => 0,
        };
        let action = self.call::<_, u32>(callback, id, (id, count as u32, ends))?;
        Ok(self.hold(id, action))
    }

    fn body(&mut self, callback: &str, id: u32, phase: Phase, ends: bool) -> Result<bool, Error> {
        self.enter(id, phase);
        let size = match self.store.data().contexts.get(&id) {
            Some(Context::Stream(stream)) if phase == Phase::RequestBody => {
                stream.exchange.request_body.len()
            }
            Some(Context::Stream(stream)) => stream.exchange.response_body.len(),
            _ => 0,
        };
        let action = self.call::<_, u32>(callback, id, (id, size as u32, u32::from(ends)))?;
        Ok(self.hold(id, action))
    }

    /// Notes that a callback returned *pause*, and says whether the stream goes on.
    fn hold(&mut self, id: u32, action: Option<u32>) -> bool {
        match self.store.data_mut().contexts.get_mut(&id) {
            Some(Context::Stream(stream)) => {
                stream.outcome.paused |= action.unwrap_or(0) != 0;
                !stream.outcome.paused
                    && stream.outcome.local_response.is_none()
                    && !stream.outcome.reset
            }
            _ => false,
        }
    }

    fn enter(&mut self, id: u32, phase: Phase) {
        if let Some(Context::Stream(stream)) = self.store.data_mut().contexts.get_mut(&id) {
            stream.phase = phase;
        }
    }

    fn with_root(&mut self, id: u32, change: impl FnOnce(&mut RootContext)) {
        if let Some(Context::Root(root)) = self.store.data_mut().contexts.get_mut(&id) {
            change(root);
        }
    }

    fn finish(&mut self, id: u32) -> Result<(), Error> {
        self.call::<_, u32>("proxy_on_done", id, id)?;
        self.call::<_, ()>("proxy_on_delete", id, id)?;
        self.store.data_mut().contexts.remove(&id);
        Ok(())
    }

    fn new_id(&mut self) -> u32 {
        let id = self.next_context;
        self.next_context = id.saturating_add(1);
        id
    }

    /// Calls an export, where there is one: nothing otherwise.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &str,
        context: u32,
        parameters: P,
    ) -> Result<Option<R>, Error> {
        if let Some(first_trap) = &self.dead {
            return Err(Error::trap(
                name,
                format!("the VM was dead already: {first_trap}"),
                None,
            ));
        }
        let Some(function) = self.instance.get_func(&mut self.store, name) else {
            return Ok(None);
        };
        let function = function.typed::<P, R>(&self.store).map_err(|error| {
            Error::load(format!(
                "the export {name} is not what the ABI says: {error:#}"
            ))
        })?;
        let state = self.store.data_mut();
        state.current = context;
        state.count(|counts| bump(&mut counts.guest_calls, name, 1));
        let logged = state.shared().logs.len();
        self.store.set_fuel(FUEL_PER_CALL).map_err(Error::load)?;
        let result = function.call(&mut self.store, parameters);
        self.account();
        let state = self.store.data_mut();
        (state.current, state.effective) = (0, 0);
        result.map(Some).map_err(|error| {
            let last_words = {
                let shared = state.shared();
                let said = shared
                    .logs
                    .iter()
                    .skip(logged)
                    .filter(|line| line.vm == state.vm);
                said.filter(|line| line.level == CRITICAL)
                    .map(|line| line.message.clone())
                    .next_back()
            };
            let error = Error::trap(name, format!("{error:#}"), last_words);
            self.dead = Some(error.to_string());
            error
        })
    }

    fn account(&mut self) {
        let burned = FUEL_PER_CALL.saturating_sub(self.store.get_fuel().unwrap_or(0));
        let linear_memory = self.linear_memory();
        self.store.data().count(|counts| {
            counts.fuel = counts.fuel.saturating_add(burned);
            counts.linear_memory = linear_memory;
        });
    }

    /// The size of the linear memory, in bytes.
    #[must_use]
    pub fn linear_memory(&mut self) -> u64 {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store) as u64)
    }

    /// This VM's counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.store.data();
        state
            .shared()
            .counts
            .get(state.vm)
            .cloned()
            .unwrap_or_default()
    }

    /// The contexts that were created and not deleted, roots included.
    #[must_use]
    pub fn contexts(&self) -> usize {
        self.store.data().contexts.len()
    }

    /// The VM's number, as in log lines and HTTP calls.
    #[must_use]
    pub fn number(&self) -> usize {
        self.store.data().vm
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.store.data().count(|counts| counts.linear_memory = 0);
    }
}

/// Puts the module's own response in the place of the upstream's, as Envoy does before the response callbacks.
fn respond_locally(exchange: &mut Exchange, local: &LocalResponse) {
    let mut headers: Headers = vec![(b":status".to_vec(), local.status.to_string().into_bytes())];
    headers.extend(local.headers.iter().cloned());
    if !local.body.is_empty() {
        headers.push((
            b"content-length".to_vec(),
            local.body.len().to_string().into_bytes(),
        ));
        headers.push((b"content-type".to_vec(), b"text/plain".to_vec()));
    }
    exchange.response_headers = headers;
    exchange.response_body.clone_from(&local.body);
    exchange.response_trailers.clear();
    *exchange = std::mem::take(exchange).property(["response", "code"], i64::from(local.status));
}
