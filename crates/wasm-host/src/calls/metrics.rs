//! Counters, gauges, histograms.

use wasmtime::Linker;

use crate::host::State;
use crate::metrics::Kind;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_define_metric(guest, kind: u32, name: u32, size: u32, at: u32) {
            let kind = Kind::from_abi(kind)?;
            let name = guest.read(name, size)?;
            let state = guest.state();
            state.shared().metrics.define(kind, &name);
            let id = state.metrics.define(kind, name);
            guest.put(at, &id.to_le_bytes())
        }
        proxy_increment_metric(guest, id: u32, by: i64) {
            let state = guest.state();
            let (kind, name) = state.metrics.get(id)?;
            state.shared().metrics.increment(*kind, name, by)?;
            Ok(())
        }
        proxy_record_metric(guest, id: u32, value: u64) {
            let state = guest.state();
            let (kind, name) = state.metrics.get(id)?;
            state.shared().metrics.record(*kind, name, value);
            Ok(())
        }
        proxy_get_metric(guest, id: u32, at: u32) {
            let state = guest.state();
            let (kind, name) = state.metrics.get(id)?;
            let value = state.shared().metrics.value(*kind, name)?;
            guest.put(at, &value.to_le_bytes())
        }
    }
    Ok(())
}
