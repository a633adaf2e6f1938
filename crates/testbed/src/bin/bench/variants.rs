//! What stands in the filter chain: nothing, a control, or the plugin in one of its ways to act.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pairwatch_testbed::{Bootstrap, Context, Envoy, Result, bail, ensure, paths};
use serde_json::{Value, json};

use super::cells::Cell;
use super::load::SOURCE_HEADER;

/// The control without any filter.
pub(crate) const NONE: &str = "none";
/// The control with a plugin that does nothing.
pub(crate) const NOOP: &str = "noop";
/// The control that reads two headers, in Envoy's own interpreter.
pub(crate) const LUA: &str = "lua";
/// The plugin as it is without any configuration: it counts.
pub(crate) const OBSERVE: &str = "observe";
/// The plugin that judges each request by its headers too.
pub(crate) const TAG: &str = "tag";
/// The plugin that would refuse.
pub(crate) const ENFORCE: &str = "enforce";

/// All, for `--only`.
pub(crate) const NAMES: [&str; 6] = [NONE, NOOP, LUA, OBSERVE, TAG, ENFORCE];

/// The bootstrap that all variants share, the filter in it that is the variant, and where it is.
const BOOTSTRAP: &str = "proxy.yaml";
const FILTER: &str = "pairwatch";
const HTTP_FILTERS: &str =
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

/// Reads two headers and does nothing with them: the least a filter that looks at requests does.
const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local agent, source = headers:get("user-agent"), headers:get("SOURCE_HEADER")
end
"#;

/// A filter chain.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) name: String,
    filter: Filter,
}

#[derive(Debug, Clone)]
enum Filter {
    None,
    Lua,
    /// A module, and how the plugin is to act.
    Module(PathBuf, String),
}

impl Variant {
    /// A variant of [`NAMES`].
    pub(crate) fn known(name: &str) -> Result<Self> {
        let filter = match name {
            NONE => Filter::None,
            LUA => Filter::Lua,
            NOOP => {
                let path = paths::workspace().join("target/noop.wasm");
                ensure!(
                    path.is_file(),
                    "{} is missing: run `make noop`",
                    path.display()
                );
                Filter::Module(path.canonicalize()?, OBSERVE.to_owned())
            }
            OBSERVE | TAG | ENFORCE => Filter::Module(paths::plugin_module()?, name.to_owned()),
            _ => bail!("no variant `{name}`; there are {}", NAMES.join(", ")),
        };
        Ok(Self {
            name: name.to_owned(),
            filter,
        })
    }

    /// A module of the user's, configured as the variant named `action` is.
    pub(crate) fn module(name: &str, path: &Path, action: &str) -> Result<Self> {
        let path = path
            .canonicalize()
            .with_context(|| path.display().to_string())?;
        Ok(Self {
            name: name.to_owned(),
            filter: Filter::Module(path, action.to_owned()),
        })
    }

    /// Whether it is Pairwatch, as far as its name says.
    pub(crate) fn is_plugin(&self) -> bool {
        matches!(self.filter, Filter::Module(..)) && self.name != NOOP
    }

    /// An Envoy with it.
    pub(crate) async fn start(&self, cell: &Cell, backend: SocketAddr) -> Result<Envoy> {
        let mut bootstrap = Bootstrap::open(BOOTSTRAP)?.backend(backend);
        if let Filter::Module(path, action) = &self.filter {
            bootstrap = bootstrap
                .module(path)
                .plugin_config(configuration(cell, action));
        } else {
            // No VM is left that would want one.
            bootstrap = bootstrap.module("");
        }
        let mut found = false;
        let bootstrap = bootstrap.patch(|tree| {
            let Some(Value::Array(filters)) = tree.pointer_mut(HTTP_FILTERS) else {
                return;
            };
            let Some(at) = filters.iter().position(|filter| filter["name"] == FILTER) else {
                return;
            };
            found = true;
            match self.filter {
                Filter::Module(..) => {}
                Filter::None => drop(filters.remove(at)),
                Filter::Lua => {
                    if let Some(filter) = filters.get_mut(at) {
                        *filter = lua();
                    }
                }
            }
        });
        ensure!(
            found,
            "{BOOTSTRAP} has no plugin where the benchmark looks for it"
        );
        let envoy = bootstrap.start().await;
        envoy.with_context(|| format!("variant {}", self.name))
    }
}

fn lua() -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": { "inline_string": SCRIPT.replace("SOURCE_HEADER", SOURCE_HEADER) },
        },
    })
}

/// One pair is what the plugin sees of clients that nobody vouches for: all defaults. More are told apart by a header; the caps
/// leave room for all of them, and for their counts, which take less than 1 KiB a pair.
fn configuration(cell: &Cell, action: &str) -> Value {
    let mut verdicts = json!({ "action": action });
    if action == ENFORCE
        && let Some(verdicts) = verdicts.as_object_mut()
    {
        // Kinds that this load can't show: what is measured is to look, not to refuse.
        let deny = json!([
            { "kinds": ["credential_stuffing"], "scope": "identity", "shadow": false },
            { "kinds": ["auth_failures", "scanning"], "shadow": false },
        ]);
        verdicts.insert("deny".to_owned(), deny);
    }
    if cell.pairs == 1 {
        return json!({ "verdicts": verdicts });
    }
    json!({
        "verdicts": verdicts,
        "names": { "trusted_source_header": SOURCE_HEADER },
        "limits": {
            "pairs": (cell.pairs + cell.pairs / 10).max(2_000),
            "hold_bytes": (cell.pairs * 1024).max(1 << 20),
        },
    })
}
