//! Notices on their way to the reader of events, within bounds.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::joint::NetEvent;
use super::limits;

/// Notices on their way to the reader of events: the loop puts them here and never waits.
pub(super) struct Outbox {
    notices: mpsc::Sender<NetEvent>,
    dropped: u64,
}

impl Outbox {
    /// Creates an outbox whose notices wait for room among `events` in a task of their own, in
    /// order.
    pub(super) fn new(events: mpsc::Sender<NetEvent>) -> Self {
        let (notices, mut waiting) = mpsc::channel(limits::OUTBOX_MAX);
        tokio::spawn(async move {
            while let Some(notice) = waiting.recv().await {
                if events.send(notice).await.is_err() {
                    return;
                }
            }
        });
        Self { notices, dropped: 0 }
    }

    /// Adds a notice, or counts it as dropped.
    pub(super) fn push(&mut self, notice: NetEvent) {
        if let Err(TrySendError::Full(_)) = self.notices.try_send(notice) {
            self.dropped += 1;
        }
    }

    /// Returns how many notices were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns whether it is half full. The other half is kept for the effects of commands, which are taken even while the
    /// swarm is not polled.
    pub(super) fn is_filling(&self) -> bool {
        self.notices.capacity() < limits::OUTBOX_MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::ident::NodeId;

    use super::*;

    #[tokio::test]
    async fn the_outbox_is_bounded_keeps_the_order_and_counts_what_it_drops() {
        let (events, mut read) = mpsc::channel(1);
        let mut out = Outbox::new(events);
        let notice = |number: u8| NetEvent::Connected(NodeId([number; 32]));
        out.push(notice(0));
        assert!(!out.is_filling());
        for _ in 0..limits::OUTBOX_MAX + 2 {
            out.push(notice(1));
        }
        assert!(out.is_filling());
        assert_eq!(out.dropped, 3);
        let first = read.recv().await;
        assert!(matches!(first, Some(NetEvent::Connected(NodeId([0, ..])))), "{first:?}");
    }
}
