//! The command line: what `--help`, the completions and the man page are made from.

use crate::formats::{self, fields::Mapping};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use pairwatch_engine::alerts::Severity;
use pairwatch_engine::exchange::principal::DEFAULT_DOMAIN;
use std::path::PathBuf;

/// Behaviour-anomaly detection for every service pair of a mesh
///
/// The command runs access logs through the same engine that the plugin runs inside Envoy: to see before deploying what
/// would fire, to tune, and to answer questions about last week.
#[derive(Debug, Parser)]
#[command(name = "pairwatch", version, after_long_help = EXIT)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT: &str = "\
Exit status:
  0  done, whatever was found
  1  an alert at or above --fail-on was raised
  2  input or arguments can't be used, or more than half of the lines can't; standard error says which and why.
     What was found in the others is written all the same. Messages of a proxy about itself are no such lines";

const REPORT_EXAMPLES: &str = "\
Examples:
  pairwatch report access.log.gz -o report.html
      one file that draws itself in any browser, without a network
  pairwatch report --access access.csv logs/*.gz -o week.html
      and a table of who accessed what
  kubectl logs -n shop deploy/frontend -c istio-proxy | pairwatch report - >report.html";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  pairwatch explain --from shop/frontend --to shop/catalog access.log.gz
      each signal where it came nearest to an alarm, and what kept it back
  pairwatch explain --from shop/frontend --to shop/catalog --at 2026-11-21T09:30:00Z logs/*.gz
      the windows that hold this moment
  pairwatch explain --from external --to shop --json access.log | jq '.signals[0]'";

const TRAIN_EXAMPLES: &str = "\
Examples:
  pairwatch train --config config.json -o baseline.pw last-week/*.gz
      who starts with this file knows what is usual from the first window on
  pairwatch replay --config config.json --baseline baseline.pw today.log
      what would have fired today, by last week's usual
  pairwatch train --config config.json --baseline baseline.pw -o baseline.pw today.log
      learns today's log, too
  pairwatch train --base64 -o baseline.txt last-week/*.gz
      one line of text, for learning.warm_start.inline of the plugin's configuration";

const POLICY_EXAMPLES: &str = "\
Examples:
  pairwatch policy access.log.gz >policies.yaml
      reads which account was served what; writes policies that refuse nothing yet (istio.io/dry-run)
  pairwatch policy --namespace shop --selector-label app.kubernetes.io/name logs/*.gz | kubectl apply -f -
  pairwatch policy --enforce -o policies.yaml access.log.gz
      without the dry run: whatever the log did not show is refused";

const CHECK_EXAMPLES: &str = "\
Examples:
  pairwatch check config.json
  pairwatch check istio/base/wasmplugin.yaml envoy/proxy.yaml
      the configurations inside WasmPlugins, EnvoyFilters, ConfigMaps and Envoy's own files
  kubectl get wasmplugin -A -o yaml | pairwatch check
      what runs now";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(pairwatch completions bash)
  pairwatch completions zsh >~/.zfunc/_pairwatch
  pairwatch completions fish >~/.config/fish/completions/pairwatch.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  pairwatch man | man -l -
  pairwatch man replay >pairwatch-replay.1";

const REPLAY_EXAMPLES: &str = "\
Examples:
  pairwatch replay access.log.gz
      last week's log; alerts go to standard output, the summary to standard error
  kubectl logs -n shop deploy/frontend -c istio-proxy | pairwatch replay -
      a sidecar's log, its own messages between the lines included
  pairwatch replay --config config.json --alerts alerts.jsonl logs/*.zst
      many logs, merged in time order, by a configuration to be tried out
  pairwatch replay --service shop/catalog --fail-on high access.log
      a web server's log, in a pipeline that is to stop at a severe alert
  pairwatch replay --field time=ts --field source=client.id --field duration_s=took app.jsonl
      JSON lines with keys of their own; dots reach into objects";

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run access logs through the engine and write the alerts it would have raised
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Replay),
    /// Make one HTML page of access logs: services, pairs over time, incidents, latency, load, who accessed what
    #[command(after_help = REPORT_EXAMPLES)]
    Report(Report),
    /// Say why a pair alarmed or did not: signals, what is usual, evidence, gates
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
    /// Learn what is usual from access logs, for the plugin to start with
    #[command(after_help = TRAIN_EXAMPLES)]
    Train(Train),
    /// Write least-privilege Istio policies that allow what access logs show
    #[command(after_help = POLICY_EXAMPLES)]
    Policy(Policy),
    /// Say whether configurations are good, alone or inside of YAML, and what memory they allow
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// Configurations as JSON, or YAML with some inside; - is standard input
        #[arg(default_value = "-", value_name = "FILE")]
        files: Vec<String>,
    },
    /// Print the JSON Schema of the configuration, with its defaults
    Schema,
    /// Print what makes a shell complete this command
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual as a man page
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// Of this command; the overview without
        command: Option<String>,
    },
}

/// The logs, and how to read them.
#[derive(Args, Debug)]
pub struct Logs {
    /// Configuration of the plugin; all defaults without. Where it reads users under pseudonyms and has no identity.key, each
    /// run draws its own: they have other pseudonyms the next time. Client addresses that the logs have are looked at unless its
    /// identity.addresses is false
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// What is usual, as the train command wrote it: known from the first window on. Without, it is
    /// learning.warm_start.inline of the configuration
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// How the lines are written
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Where a JSON line has something: time, source, destination, method, path, status, grpc_status, request_bytes,
    /// response_bytes, duration (or duration_s, duration_us), identity, forwarded_for, remote_address, version
    #[arg(long = "field", value_name = "NAME=KEY")]
    pub fields: Vec<Mapping>,
    /// Name of the service behind the proxy that wrote the log, for lines that name no destination
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Name of whoever calls where a line names no source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Trust domain of the mesh that the logs are of: its accounts are called NAMESPACE/ACCOUNT, those of another keep their
    /// domain in front, as in the proxy, which has it from its certificate
    #[arg(long, value_name = "DOMAIN", default_value = DEFAULT_DOMAIN, value_parser = trust_domain)]
    pub trust_domain: String,
    /// Threads that read lines; as many as there are cores without
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Access logs, plain, gzip or zstd, each in time order but for some seconds; - is standard input
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<String>,
}

/// A trust domain as the command line gives it, which is no URI.
fn trust_domain(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', ':']) {
        return Err("allowed is a name such as cluster.local, without scheme and path".to_owned());
    }
    Ok(text.to_owned())
}

/// What `replay` takes.
#[derive(Args, Debug)]
pub struct Replay {
    /// The logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Where the alerts go, one JSON object a line; standard output for - and without
    #[arg(long, value_name = "OUT.jsonl")]
    pub alerts: Option<PathBuf>,
    /// Where what was learned goes, as the train command writes it; - is standard output
    #[arg(long, value_name = "FILE")]
    pub baseline_out: Option<PathBuf>,
    /// Where a page about the log goes, as the report command makes it; - is standard output
    #[arg(long, value_name = "OUT.html")]
    pub report: Option<PathBuf>,
    /// Exit with 1 where an alert of this severity or above was raised
    #[arg(long, value_name = "SEVERITY", value_enum)]
    pub fail_on: Option<Level>,
}

/// What `explain` takes.
#[derive(Args, Debug)]
pub struct Explain {
    /// The logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Who calls, as alerts name it
    #[arg(long, value_name = "SOURCE")]
    pub from: String,
    /// What is called, as alerts name it
    #[arg(long, value_name = "DESTINATION")]
    pub to: String,
    /// The moment, in RFC 3339; the whole log without
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// One JSON object in place of a table
    #[arg(long)]
    pub json: bool,
}

/// What `report` takes.
#[derive(Args, Debug)]
pub struct Report {
    /// The logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Where the page goes; standard output for - and without
    #[arg(long, short = 'o', value_name = "OUT.html")]
    pub out: Option<PathBuf>,
    /// Where a table of who accessed what goes, as CSV; - is standard output
    #[arg(long, value_name = "OUT.csv")]
    pub access: Option<PathBuf>,
}

/// What `train` takes.
#[derive(Args, Debug)]
pub struct Train {
    /// The logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Where what was learned goes; - is standard output
    #[arg(long, short = 'o', value_name = "FILE", required = true)]
    pub out: PathBuf,
    /// Write it as one line of base64
    #[arg(long)]
    pub base64: bool,
}

/// What `policy` takes.
#[derive(Args, Debug)]
pub struct Policy {
    /// The logs.
    #[command(flatten)]
    pub logs: Logs,
    /// Where the policies go; standard output for - and without
    #[arg(long, short = 'o', value_name = "OUT.yaml")]
    pub out: Option<PathBuf>,
    /// Namespace of callers and services whose names hold none
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Label of pods that holds the name of their service
    #[arg(long, value_name = "LABEL", default_value = "app")]
    pub selector_label: String,
    /// Write policies that refuse, in place of a dry run. To Istio /a and /a/ are two paths: each is allowed where it was
    /// served
    #[arg(long)]
    pub enforce: bool,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Told by the lines themselves, for each log
    Auto,
    /// JSON objects, as Envoy's and Istio's JSON access logs
    EnvoyJson,
    /// Istio's or Envoy's default text
    IstioText,
    /// Common or Combined, as web servers write them
    Combined,
}

/// A severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// For the record
    Info,
    /// For the next look at the dashboard
    Low,
    /// For today
    Medium,
    /// For now
    High,
    /// For now, by everyone
    Critical,
}

impl Format {
    /// The format, where it is not to be found out.
    pub fn told(self) -> Option<formats::Format> {
        match self {
            Self::Auto => None,
            Self::EnvoyJson => Some(formats::Format::EnvoyJson),
            Self::IstioText => Some(formats::Format::IstioText),
            Self::Combined => Some(formats::Format::Combined),
        }
    }
}

impl From<Level> for Severity {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
            Level::Critical => Self::Critical,
        }
    }
}
