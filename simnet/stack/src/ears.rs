//! Hears which copies of gossip were known already. Gossipsub tells nobody but its log.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

const SPEAKER: &str = "libp2p_gossipsub::behaviour";
const DUPLICATE: &str = "Message already received";

thread_local! {
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Listens to gossipsub's log, and to nothing else.
pub(crate) struct Ears;

/// Returns the names of the messages whose copies were known, since this was last asked.
pub(crate) fn duplicates() -> Vec<String> {
    HEARD.take()
}

#[derive(Default)]
struct LogLine {
    message: String,
    name: String,
}

impl Visit for LogLine {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let into = match field.name() {
            "message" => &mut self.message,
            "message_id" => &mut self.name,
            _ => return,
        };
        // Writing to memory cannot fail.
        let _ = write!(into, "{value:?}");
    }
}

fn is_of_interest(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target() == SPEAKER && *metadata.level() == Level::DEBUG
}

impl Subscriber for Ears {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_of_interest(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_of_interest(metadata)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut said = LogLine::default();
        event.record(&mut said);
        if said.message.starts_with(DUPLICATE) {
            HEARD.with_borrow_mut(|heard| heard.push(said.name));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
