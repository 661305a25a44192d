//! Answers that wait for the disk: what a user is told about a channel is still true after a crash.

use std::collections::VecDeque;

use bombyx_protocol::io::PersistId;

use crate::role::{PerRole, Role};

/// What says an answer.
type Say = Box<dyn FnOnce() + Send + Sync>;

/// The answers that wait, and the newest records that were written before each.
#[derive(Default)]
pub(super) struct UnsaidAnswers(VecDeque<(PerRole<PersistId>, Say)>);

impl UnsaidAnswers {
    /// Keeps an answer until these records are on the disk.
    pub(super) fn keep(&mut self, written: PerRole<PersistId>, say: impl FnOnce() + Send + Sync + 'static) {
        self.0.push_back((written, Box::new(say)));
    }

    /// Says what is true now that these records are on the disk.
    pub(super) fn say(&mut self, durable: &PerRole<PersistId>) {
        let is_there = |written: &PerRole<PersistId>| {
            Role::ALL.into_iter().all(|role| written.get(role) <= durable.get(role))
        };
        while self.0.front().is_some_and(|(written, _)| is_there(written)) {
            if let Some((_, say)) = self.0.pop_front() {
                say();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn at(client: u64, provider: u64) -> PerRole<PersistId> {
        let mut ids = PerRole::default();
        *ids.get_mut(Role::Client) = PersistId(client);
        *ids.get_mut(Role::Provider) = PersistId(provider);
        ids
    }

    #[test]
    fn an_answer_is_given_once_the_records_of_every_role_before_it_are_on_disk() {
        let (mut unsaid, said) = (UnsaidAnswers::default(), Arc::new(AtomicU32::new(0)));
        for written in [at(1, 0), at(1, 2), at(3, 2)] {
            let said = Arc::clone(&said);
            unsaid.keep(written, move || {
                said.fetch_add(1, Ordering::Relaxed);
            });
        }
        for (durable, expected) in [(at(0, 9), 0), (at(1, 1), 1), (at(2, 2), 2), (at(3, 2), 3)] {
            unsaid.say(&durable);
            assert_eq!(said.load(Ordering::Relaxed), expected);
        }
    }
}
