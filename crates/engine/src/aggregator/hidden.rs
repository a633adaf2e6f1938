//! What rules hid: counted per rule, with the last line, so that a rule that hides too much is found.
//!
//! Counts belong to a rule's text, so that they outlive a configuration update that keeps the rule, and go with a
//! rule that is changed.

use crate::Time;
use crate::alerts::Alert;
use crate::config::{Config, Rule};
use serde::{Deserialize, Serialize};

/// What one rule hid.
#[derive(Clone, Debug, PartialEq)]
pub struct Hidden {
    /// The rule, as in the configuration.
    pub rule: String,
    /// Why it hides.
    pub reason: String,
    /// Alert lines it hid.
    pub count: u64,
    /// The last of them.
    pub last: Option<String>,
    /// Whether it has ended, and so does nothing.
    pub expired: bool,
}

/// The book that is kept per rule, in the order of [`Config::rules`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger(Vec<Account>);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Account {
    rule: String,
    count: u64,
    last: Option<String>,
    /// Whether it was told that the rule has ended.
    ended: bool,
}

impl Ledger {
    /// The accounts of these rules: those there were, and new ones.
    pub(super) fn fit(self, config: &Config) -> Self {
        let mut before = self.0;
        let accounts = config.rules().map(|rule| {
            let text = rule.text();
            match before.iter().position(|a| a.rule == text) {
                Some(at) => before.swap_remove(at),
                None => Account {
                    rule: text,
                    ..Account::default()
                },
            }
        });
        Self(accounts.collect())
    }

    /// Books an alert that a rule hides.
    pub(super) fn book(&mut self, alert: &Alert) {
        if let Some(account) = alert.rule.and_then(|at| self.0.get_mut(at)) {
            account.count = account.count.saturating_add(1);
            account.last = Some(alert.to_line());
        }
    }

    /// What to tell of rules that have ended: each once.
    pub(super) fn ended(&mut self, config: &Config, now: Time) -> Vec<String> {
        let accounts = self.0.iter_mut().zip(config.rules());
        let news = accounts.filter(|(account, rule)| !account.ended && rule.until() <= now);
        news.map(|(account, rule)| {
            account.ended = true;
            format!(
                "{} ended at {} and does nothing any more; it hid {} alert lines: {}",
                match rule {
                    Rule::Suppression(_) => "a suppression",
                    Rule::Maintenance(_) => "maintenance",
                },
                rule.until().rfc3339(),
                account.count,
                account.rule
            )
        })
        .collect()
    }

    pub(super) fn list(&self, config: &Config, now: Time) -> Vec<Hidden> {
        let accounts = self.0.iter().zip(config.rules());
        accounts
            .map(|(account, rule)| Hidden {
                rule: account.rule.clone(),
                reason: rule.reason().to_owned(),
                count: account.count,
                last: account.last.clone(),
                expired: rule.until() <= now,
            })
            .collect()
    }
}
