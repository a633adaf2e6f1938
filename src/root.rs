//! The root and stream contexts: the SDK's callbacks, handed on.

use crate::host;
use crate::reading::Readings;
use crate::vm;
use pairwatch_engine::config::{Config, Role};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How often counts are sent, limits looked for and the lease renewed.
const TICK: Duration = Duration::from_secs(1);

/// One configuration of the plugin in one VM.
#[derive(Debug)]
pub(crate) struct Root {
    id: u32,
    /// `None` until it is configured: then nothing is counted.
    readings: Option<Rc<RefCell<Readings>>>,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, readings: None }
    }
}

impl Context for Root {
    /// The answer to an alert that was sent. Without headers there was none: a time-out, a reset.
    fn on_http_call_response(&mut self, token: u32, headers: usize, _: usize, _: usize) {
        let status = (headers > 0).then(host::answer_status).flatten();
        vm::with(|vm| vm.answered(token, status));
    }
}

impl RootContext for Root {
    /// Only reads: every new configuration is first tried in a throw-away VM, which must leave no trace.
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size)
            .ok()
            .flatten()
            .unwrap_or_default();
        let config = match Config::from_json(&text) {
            Ok(config) => config,
            Err(error) => {
                host::log(LogLevel::Error, &format!("pairwatch: {error}"));
                return false;
            }
        };
        if config.role == Role::Filter {
            let readings = Readings::new(&config.names, &config.identity);
            if !readings.are_compiled() {
                host::log(
                    LogLevel::Error,
                    "pairwatch: this host does not evaluate CEL (foreign function expr_create); Envoy 1.36 or newer is needed",
                );
                return false;
            }
            self.readings = Some(Rc::new(RefCell::new(readings)));
        }
        vm::with(|vm| vm.attach(self.id, config));
        let _unset = hostcalls::set_tick_period(TICK);
        true
    }

    fn on_tick(&mut self) {
        if let Some(mut readings) = self.readings.as_ref().and_then(|r| r.try_borrow_mut().ok()) {
            readings.tick();
        }
        vm::with(|vm| vm.tick(self.id));
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            readings: self.readings.clone(),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        vm::with(|vm| vm.detach(self.id));
    }
}

struct Stream {
    readings: Option<Rc<RefCell<Readings>>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_log(&mut self) {
        #[cfg(feature = "fault-injection")]
        crate::fault::on_request();
        let Some(readings) = &self.readings else {
            return;
        };
        // One thread, and nothing that is called from here comes back: it is never borrowed already.
        let Ok(mut readings) = readings.try_borrow_mut() else {
            return;
        };
        vm::with(|vm| {
            let seen = readings.read(|exchange| vm.observe(exchange));
            if seen.is_none() {
                vm.unread();
            }
        });
    }
}
