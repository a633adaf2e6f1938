//! Shared data and shared queues, with Envoy's semantics.

use std::collections::{BTreeMap, VecDeque};

use crate::guest::Status;

/// A name under the id of the VM that owns it.
type Key = (String, Vec<u8>);

/// Values with a version each, drawn from one counter for all keys.
#[derive(Debug, Default)]
pub(crate) struct Data {
    values: BTreeMap<Key, (Vec<u8>, u32)>,
    last_version: u32,
}

impl Data {
    pub(crate) fn get(&self, vm_id: &str, key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
        self.values
            .get(&(vm_id.to_owned(), key.to_vec()))
            .cloned()
            .ok_or(Status::NotFound)
    }

    /// With `cas` 0, writes whatever is there. Otherwise the version must match, if there is a value at all: creating
    /// isn't guarded.
    pub(crate) fn set(
        &mut self,
        vm_id: &str,
        key: &[u8],
        value: &[u8],
        cas: u32,
    ) -> Result<(), Status> {
        let key = (vm_id.to_owned(), key.to_vec());
        if let Some((_, version)) = self.values.get(&key)
            && cas != 0
            && cas != *version
        {
            return Err(Status::CasMismatch);
        }
        self.last_version = self.last_version.wrapping_add(1).max(1); // 0 would mean "unconditionally".
        self.values.insert(key, (value.to_vec(), self.last_version));
        Ok(())
    }

    pub(crate) fn keys(&self, vm_id: &str) -> Vec<Vec<u8>> {
        self.values
            .keys()
            .filter(|(owner, _)| owner == vm_id)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

/// Who is told of an item: a VM of the host and a root context in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) vm: usize,
    pub(crate) root: u32,
}

#[derive(Debug)]
struct Queue {
    owner: Owner,
    items: VecDeque<Vec<u8>>,
}

/// Queues without a limit, whose items each raise one notification for whoever registered last.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    tokens: BTreeMap<Key, u32>,
    queues: BTreeMap<u32, Queue>,
    /// Not yet delivered: on a real Envoy they are posted to the owner's thread.
    notices: VecDeque<(Owner, u32)>,
}

impl Queues {
    /// A name that is known keeps its token and its items, and changes hands.
    pub(crate) fn register(&mut self, vm_id: &str, name: &[u8], owner: Owner) -> u32 {
        let next = u32::try_from(self.tokens.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let token = *self
            .tokens
            .entry((vm_id.to_owned(), name.to_vec()))
            .or_insert(next);
        self.queues
            .entry(token)
            .and_modify(|queue| queue.owner = owner)
            .or_insert_with(|| Queue {
                owner,
                items: VecDeque::new(),
            });
        token
    }

    pub(crate) fn resolve(&self, vm_id: &str, name: &[u8]) -> Result<u32, Status> {
        self.tokens
            .get(&(vm_id.to_owned(), name.to_vec()))
            .copied()
            .ok_or(Status::NotFound)
    }

    pub(crate) fn enqueue(&mut self, token: u32, item: Vec<u8>) -> Result<(), Status> {
        let queue = self.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.push_back(item);
        self.notices.push_back((queue.owner, token));
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        let queue = self.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.items.pop_front().ok_or(Status::Empty)
    }

    /// Takes the notifications that wait for one VM, in order.
    pub(crate) fn take_notices(&mut self, vm: usize) -> Vec<(u32, u32)> {
        let (mine, others) = self
            .notices
            .drain(..)
            .partition(|(owner, _)| owner.vm == vm);
        self.notices = others;
        let mine: VecDeque<(Owner, u32)> = mine;
        mine.into_iter()
            .map(|(owner, token)| (owner.root, token))
            .collect()
    }

    pub(crate) fn items(&self, vm_id: &str, name: &[u8]) -> Option<&VecDeque<Vec<u8>>> {
        self.queues
            .get(&self.resolve(vm_id, name).ok()?)
            .map(|queue| &queue.items)
    }

    /// A queue goes when the last VM of its id does; whoever still holds the token gets `NotFound`.
    pub(crate) fn remove(&mut self, vm_id: &str, name: &[u8]) -> bool {
        let token = self.resolve(vm_id, name).ok();
        // The name stays known, so that no other queue gets its token, under an id that no VM can have.
        if let Some(token) = self.tokens.remove(&(vm_id.to_owned(), name.to_vec())) {
            self.tokens
                .insert((format!("\0gone {token}"), name.to_vec()), token);
        }
        token.and_then(|token| self.queues.remove(&token)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_does_not_exist_is_created_whatever_the_version() {
        let mut data = Data::default();
        data.set("", b"k", b"v", 77).unwrap();
        assert_eq!(data.get("", b"k"), Ok((b"v".to_vec(), 1)));
        assert_eq!(data.set("", b"k", b"w", 77), Err(Status::CasMismatch));
        data.set("", b"k", b"w", 1).unwrap();
        data.set("", b"k", b"x", 0).unwrap();
        assert_eq!(data.get("", b"k"), Ok((b"x".to_vec(), 3)));
        assert_eq!(data.get("other", b"k"), Err(Status::NotFound));
    }

    #[test]
    fn the_last_to_register_is_told_and_the_items_stay() {
        let (first, last) = (Owner { vm: 0, root: 1 }, Owner { vm: 1, root: 1 });
        let mut queues = Queues::default();
        let token = queues.register("", b"q", first);
        queues.enqueue(token, b"a".to_vec()).unwrap();
        assert_eq!(queues.register("", b"q", last), token);
        queues.enqueue(token, b"b".to_vec()).unwrap();
        assert_eq!(
            queues.take_notices(0),
            [(1, token)],
            "what was posted before stays with the first"
        );
        assert_eq!(queues.take_notices(1), [(1, token)]);
        assert_eq!(queues.dequeue(token), Ok(b"a".to_vec()));
        assert_eq!(queues.dequeue(token), Ok(b"b".to_vec()));
        assert_eq!(queues.dequeue(token), Err(Status::Empty));
    }

    #[test]
    fn a_removed_queue_is_not_found_and_its_token_is_not_given_again() {
        let owner = Owner { vm: 0, root: 1 };
        let mut queues = Queues::default();
        let token = queues.register("", b"q", owner);
        assert!(queues.remove("", b"q"));
        assert_eq!(queues.enqueue(token, Vec::new()), Err(Status::NotFound));
        assert_ne!(queues.register("", b"q", owner), token);
    }
}
