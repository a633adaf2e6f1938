//! Names as numbers: each is kept once, however often it is used.

use std::collections::HashMap;
use std::rc::Rc;

/// Names, numbered in the order they came.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
}

impl Names {
    /// The number of a name, a new one where it has none.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name: Rc<str> = name.into();
        self.names.push(Rc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    /// The number of a name that has one.
    pub(super) fn known(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// A number's name.
    pub(super) fn name(&self, number: u32) -> &str {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.names.get(at).map_or("", |name| name)
    }

    /// All names, by number.
    pub(super) fn all(&self) -> &[Rc<str>] {
        &self.names
    }
}
