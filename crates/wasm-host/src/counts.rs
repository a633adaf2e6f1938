//! What a VM asked of its host and its host of it.

use std::collections::BTreeMap;

/// Running totals. Take them before and after, and look at the difference: [`Counts::since`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls from the module into the host, by the function's name.
    pub host_calls: BTreeMap<String, u64>,
    /// Calls from the host into the module, by the callback's name; `malloc` is among them: the host calls it for
    /// every piece of data that it hands over.
    pub guest_calls: BTreeMap<String, u64>,
    /// Bytes of data that the host copied into the module. Pointers, sizes, ids and the time don't count.
    pub bytes_in: u64,
    /// Bytes of data that the host copied out of the module: keys, paths, values, log messages.
    pub bytes_out: u64,
    /// Fuel the module burned: about one unit per instruction, the same on every machine.
    pub fuel: u64,
    /// The size of the linear memory now, in bytes: a level, not a total. It never shrinks.
    pub linear_memory: u64,
}

impl Counts {
    /// What was added since `before`; the linear memory as it is now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            host_calls: difference(&self.host_calls, &before.host_calls),
            guest_calls: difference(&self.guest_calls, &before.guest_calls),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            fuel: self.fuel.saturating_sub(before.fuel),
            linear_memory: self.linear_memory,
        }
    }

    /// Host calls of all names.
    #[must_use]
    pub fn host_calls_total(&self) -> u64 {
        self.host_calls.values().sum()
    }

    /// Guest calls of all names, `malloc` among them.
    #[must_use]
    pub fn guest_calls_total(&self) -> u64 {
        self.guest_calls.values().sum()
    }

    /// Calls of one host function.
    #[must_use]
    pub fn host_call(&self, name: &str) -> u64 {
        self.host_calls.get(name).copied().unwrap_or(0)
    }

    /// Calls of one callback.
    #[must_use]
    pub fn guest_call(&self, name: &str) -> u64 {
        self.guest_calls.get(name).copied().unwrap_or(0)
    }

    /// Sums over VMs.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.host_calls, &other.host_calls),
            (&mut self.guest_calls, &other.guest_calls),
        ] {
            for (name, count) in theirs {
                bump(mine, name, *count);
            }
        }
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.linear_memory = self.linear_memory.saturating_add(other.linear_memory);
    }
}

/// Adds to the count of `name`, without an allocation when the name is known.
pub(crate) fn bump(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    if let Some(count) = counts.get_mut(name) {
        *count = count.saturating_add(by);
    } else {
        counts.insert(name.to_owned(), by);
    }
}

fn difference(
    now: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    now.iter()
        .map(|(name, count)| {
            (
                name.clone(),
                count.saturating_sub(before.get(name).copied().unwrap_or(0)),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}
