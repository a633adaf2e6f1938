//! What every command on logs does: open them, replay them, tell how it went.

use crate::args::Logs;
use crate::baseline;
use crate::formats::Readers;
use crate::input::Meter;
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::record::Naming;
use crate::replay::{Replayed, Watcher, replay};
use crate::stream::feed::Feed;
use crate::stream::merge::Merged;
use crate::stream::order::Ordered;
use crate::{Failure, configuration};
use pairwatch_engine::config::Config;
use std::io::Write;
use std::sync::Arc;

/// Logs that were opened and hold at least one line that can be read.
pub struct Opened {
    config: Config,
    baseline: Option<(String, Vec<u8>)>,
    lines: Ordered,
    meter: Arc<Meter>,
}

impl Opened {
    /// Opens what the command line names.
    ///
    /// # Errors
    /// The configuration or a log can't be read, or no line of any can; or an output can't be written, or is one of these.
    pub fn new(args: &Logs, outputs: &[&Output]) -> Result<Self, Failure> {
        let config = args.config.iter().map(|file| ("--config", file.as_str()));
        let baseline = args.baseline.iter().filter_map(|file| file.to_str());
        let baseline = baseline.map(|file| ("--baseline", file));
        let logs = args.logs.iter().map(|file| ("LOG", file.as_str()));
        output::check(config.chain(baseline).chain(logs), outputs)?;
        let mut config = match &args.config {
            Some(file) => configuration::read(file)?,
            None => Config::default(),
        };
        if let Some(service) = &args.service {
            config.names.service = Some(service.clone());
        }
        if let Some(source) = &args.source {
            config.names.unknown_source.clone_from(source);
        }
        // Whoever has the log has its addresses anyway, so that they are left out only where somebody says so.
        config.identity.addresses.get_or_insert(true);
        let baseline = baseline::find(args.baseline.as_deref(), &config)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = args.threads.map_or(cores, usize::from);
        let meter = Arc::new(Meter::default());
        let naming = Naming::new(&config.names)
            .in_domain(&args.trust_domain)
            .with_users(&config.identity);
        let readers = Readers::new(&naming, &args.fields);
        let feed = Feed::open(&args.logs, args.format.told(), readers, threads, &meter)?;
        Ok(Self {
            config,
            baseline,
            lines: Ordered::new(Merged::new(feed))?,
            meter,
        })
    }

    /// The configuration they are to be replayed by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Has alerts that rules hide told as well, marked as such.
    pub fn show_hidden(&mut self) {
        self.config.alerts.show_suppressed = true;
    }

    /// Replays them, and tells how it went on standard error. `quiet` hides how far it is, because something else is
    /// written to the terminal.
    ///
    /// # Errors
    /// The alerts can't be written.
    pub fn replay<'a>(
        self,
        out: &'a mut dyn Write,
        watchers: Vec<&'a mut dyn Watcher>,
        quiet: bool,
    ) -> Result<Replayed, Failure> {
        let mut progress = Progress::new(self.meter, !quiet);
        let update = &mut |lines| progress.update(lines);
        let baseline = self.baseline.as_ref();
        let baseline = baseline.map(|(place, bytes)| (place.as_str(), bytes.as_slice()));
        let replayed = replay(self.config, baseline, self.lines, out, watchers, update)?;
        let took = progress.finish(replayed.summary.lines);
        super::tell(&format!("{}{took}\n", replayed.summary));
        Ok(replayed)
    }
}
