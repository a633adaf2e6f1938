//! The root and stream contexts: the SDK's callbacks, handed on.

use crate::host;
use crate::reading::{Readings, SCORE_SPELLINGS};
use crate::{verdicts, vm};
use pairwatch_engine::config::{Action, Config, Mode, Privacy, Role, Verdicts};
use pairwatch_engine::verdicts::Rulebook;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{self, BufferType, ContextType, LogLevel};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// How often counts are sent, limits looked for and the lease renewed.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// When a root ticks first whose VM is behind with its ticks: at once, as far as a timer can.
const AT_ONCE: Duration = Duration::from_millis(1);

/// One configuration of the plugin in one VM.
#[derive(Debug)]
pub(crate) struct Root {
    id: u32,
    /// `None` until it is configured: then nothing is counted.
    filter: Option<Rc<Filter>>,
    /// Whether it ticks in its own rhythm yet.
    ticks: bool,
}

/// What the streams of a root share.
#[derive(Debug)]
pub(crate) struct Filter {
    readings: RefCell<Readings>,
    pub(crate) rules: Rulebook,
    pub(crate) policy: Verdicts,
    pub(crate) mode: Mode,
    /// Whether lines say whose requests they are about.
    pub(crate) tells_users: bool,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            filter: None,
            ticks: false,
        }
    }
}

impl Context for Root {
    /// The answer to a call that the leader made. Without headers there was none: a time-out, a reset.
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        let status = (headers > 0).then(host::answer_status).flatten();
        vm::with(|vm| vm.answered(token, status, body));
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
            self.filter = Some(Rc::new(Filter {
                readings: RefCell::new(readings),
                rules: Rulebook::new(&config.rules),
                policy: config.verdicts.clone(),
                mode: config.mode,
                tells_users: config.identity.privacy != Privacy::Drop,
            }));
        }
        // The first tick comes when the VM's next is due, so that one update upon another does not put it off for ever.
        let due = vm::with(|vm| {
            vm.attach(self.id, config);
            vm.until_tick()
        });
        let _unset = hostcalls::set_tick_period(due.max(AT_ONCE));
        true
    }

    fn on_tick(&mut self) {
        if !self.ticks {
            self.ticks = true;
            let _unset = hostcalls::set_tick_period(TICK);
        }
        if let Some(mut readings) = self
            .filter
            .as_ref()
            .and_then(|f| f.readings.try_borrow_mut().ok())
        {
            readings.tick();
        }
        vm::with(|vm| vm.tick(self.id));
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            filter: self.filter.clone(),
            early: None,
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
    filter: Option<Rc<Filter>>,
    early: Option<Early>,
}

/// What became of a request that was judged by its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    /// 0 where nothing was held against it.
    pub(crate) score: u8,
    /// Whether it was answered here.
    pub(crate) refused: bool,
}

impl Context for Stream {}

impl HttpContext for Stream {
    /// Returns at once where requests are only observed.
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> types::Action {
        #[cfg(feature = "fault-injection")]
        crate::fault::on_request();
        let Some(filter) = self
            .filter
            .as_ref()
            .filter(|f| f.policy.action != Action::Observe)
        else {
            return types::Action::Continue;
        };
        // One thread, and nothing that is called from here comes back: it is never borrowed already.
        let Ok(mut readings) = filter.readings.try_borrow_mut() else {
            return types::Action::Continue;
        };
        let judged = readings
            .read_early(|exchange, scored| (vm::with(|vm| vm.foresee(exchange, filter)), scored));
        // What could not be read may bear the header too.
        let (ruling, scored) = judged.unwrap_or((None, true));
        if scored {
            for name in SCORE_SPELLINGS {
                host::request_header(name, None);
            }
        }
        let mut early = Early {
            score: 0,
            refused: false,
        };
        if let Some(ruling) = &ruling {
            verdicts::tag(ruling);
            early.score = ruling.verdict.score;
            early.refused = verdicts::act(ruling, &filter.policy);
        }
        self.early = Some(early);
        if early.refused {
            types::Action::Pause
        } else {
            types::Action::Continue
        }
    }

    fn on_log(&mut self) {
        #[cfg(feature = "fault-injection")]
        crate::fault::on_answer();
        let Some(filter) = &self.filter else {
            return;
        };
        let Ok(mut readings) = filter.readings.try_borrow_mut() else {
            return;
        };
        let early = self.early;
        vm::with(|vm| {
            let seen =
                readings.read(|exchange, version| vm.observe(exchange, version, filter, early));
            match seen {
                Some(Some(ruling)) if filter.policy.action != Action::Observe => {
                    verdicts::tag(&ruling);
                }
                Some(_) => {}
                None => vm.unread(),
            }
        });
    }
}
