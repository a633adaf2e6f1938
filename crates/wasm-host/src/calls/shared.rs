//! Shared data and shared queues.

use wasmtime::Linker;

use crate::host::State;
use crate::shared::Owner;

pub(super) fn define(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    super::functions! { linker,
        proxy_get_shared_data(guest, key: u32, size: u32, at: u32, size_at: u32, version_at: u32) {
            let key = guest.read(key, size)?;
            let state = guest.state();
            let found = state.shared().data.get(&state.vm_id, &key);
            let (value, version) = found?;
            guest.give(&value, at, size_at)?;
            guest.put(version_at, &version.to_le_bytes())
        }
        proxy_set_shared_data(guest, key: u32, key_size: u32, value: u32, value_size: u32, cas: u32) {
            let (key, value) = (guest.read(key, key_size)?, guest.read(value, value_size)?);
            let state = guest.state();
            state.shared().data.set(&state.vm_id, &key, &value, cas)?;
            Ok(())
        }
        proxy_register_shared_queue(guest, name: u32, size: u32, at: u32) {
            let name = guest.read(name, size)?;
            let (root, _) = guest.root()?;
            let state = guest.state();
            let owner = Owner { vm: state.vm, root };
            let token = state.shared().queues.register(&state.vm_id, &name, owner);
            guest.put(at, &token.to_le_bytes())
        }
        proxy_resolve_shared_queue(guest, vm_id: u32, vm_id_size: u32, name: u32, name_size: u32, at: u32) {
            let (vm_id, name) = (guest.read(vm_id, vm_id_size)?, guest.read(name, name_size)?);
            let vm_id = String::from_utf8_lossy(&vm_id).into_owned();
            let state = guest.state();
            let vm_id = if vm_id.is_empty() { state.vm_id.clone() } else { vm_id };
            let found = state.shared().queues.resolve(&vm_id, &name);
            guest.put(at, &found?.to_le_bytes())
        }
        proxy_enqueue_shared_queue(guest, token: u32, data: u32, size: u32) {
            let item = guest.read(data, size)?;
            guest.state().shared().queues.enqueue(token, item)?;
            Ok(())
        }
        proxy_dequeue_shared_queue(guest, token: u32, at: u32, size_at: u32) {
            let item = guest.state().shared().queues.dequeue(token);
            guest.give(&item?, at, size_at)
        }
    }
    Ok(())
}
