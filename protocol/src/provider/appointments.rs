//! Clients that were told to come back later, and the work that they bring then. (`MK-50`)

use crate::fair;
use crate::ident::{NodeId, Origin};
use crate::limits;
use crate::time::{Span, Time};
use crate::work::order::ModelId;

/// Work that came too late for its order, and whose client was told when to come back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appointment {
    pub(super) model: ModelId,
    pub(super) work: Span,
    pub(super) origin: Origin,
    pub(super) is_customer: bool,
    /// When it was made.
    pub(super) since: Time,
    /// Until when the client is expected.
    pub(super) until: Time,
}

/// The appointments that stand: of one client a few, and strangers have a part of the room.
#[derive(Debug, Default)]
pub(super) struct Appointments {
    standing: Vec<Appointment>,
}

impl Appointments {
    /// Keeps an appointment. A client that has as many as it may loses its oldest; where its room is full, one of those who hold
    /// most does. (`MK-43`, `MK-50`)
    pub(super) fn make(&mut self, now: Time, made: Appointment) {
        self.standing.retain(|standing| standing.until > now);
        let (most, most_each) = if made.is_customer {
            let strangers = limits::STRANGERS_COMING_BACK_MAX;
            (limits::COMING_BACK_MAX.saturating_sub(strangers), limits::COMING_BACK_PER_CUSTOMER_MAX)
        } else {
            (limits::STRANGERS_COMING_BACK_MAX, limits::COMING_BACK_PER_STRANGER_MAX)
        };
        let alike = |of_client: Option<&NodeId>| -> Vec<(usize, Origin, Time)> {
            let alike = self.standing.iter().enumerate().filter(|(_, standing)| {
                standing.is_customer == made.is_customer
                    && of_client.is_none_or(|client| standing.origin.node == *client)
            });
            alike.map(|(place, standing)| (place, standing.origin, standing.since)).collect()
        };
        let (own, held) = (alike(Some(&made.origin.node)), alike(None));
        let full = [(own, most_each), (held, most)].into_iter().find(|(held, most)| held.len() >= *most);
        if let Some(place) = full.and_then(|(held, _)| fair::victim(&held, made.origin)) {
            self.standing.swap_remove(place);
        }
        self.standing.push(made);
    }

    /// Notes that a client calls for a model: one of those that were to come back is here.
    pub(super) fn is_back(&mut self, client: &NodeId, model: &ModelId) {
        let is_its = |standing: &Appointment| standing.origin.node == *client && standing.model == *model;
        if let Some(place) = self.standing.iter().position(is_its) {
            self.standing.swap_remove(place);
        }
    }

    /// Returns the work of those that are to come back for a model.
    pub(super) fn work_ahead(&self, now: Time, model: &ModelId) -> Span {
        let ahead = self.standing.iter().filter(|standing| standing.model == *model && standing.until > now);
        Span(ahead.map(|standing| standing.work.0).fold(0, u64::saturating_add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::Prefix;

    const MODEL: ModelId = ModelId([1; 32]);
    const NOW: Time = Time(7);

    fn appointment(client: usize, net: u8, is_customer: bool, since: u64) -> Appointment {
        let mut node = [u8::from(is_customer); 32];
        node[..8].copy_from_slice(&client.to_le_bytes());
        Appointment {
            model: MODEL,
            work: Span::from_s(1),
            origin: Origin { node: NodeId(node), prefix: Prefix::of_ipv4([10, 0, net, 1]) },
            is_customer,
            since: Time(since),
            until: NOW + Span::from_s(9),
        }
    }

    fn seconds(appointments: &Appointments) -> usize {
        usize::try_from(appointments.work_ahead(NOW, &MODEL).as_ms() / 1_000).expect("small")
    }

    /// (`MK-50`)
    #[test]
    fn who_comes_back_is_expected_until_then_and_no_longer() {
        let mut appointments = Appointments::default();
        let made = appointment(1, 1, false, 1);
        appointments.make(NOW, made);
        appointments.make(NOW, appointment(2, 1, false, 1));
        assert_eq!(seconds(&appointments), 2);
        appointments.is_back(&made.origin.node, &MODEL);
        appointments.is_back(&made.origin.node, &MODEL);
        assert_eq!(seconds(&appointments), 1);
        assert_eq!(appointments.work_ahead(made.until, &MODEL), Span(0));
    }

    /// (`MK-43`, `MK-50`)
    #[test]
    fn one_stranger_s_appointments_are_few_and_all_strangers_leave_customers_their_room() {
        let mut appointments = Appointments::default();
        (0..1_000).for_each(|since| appointments.make(NOW, appointment(1, 1, false, since)));
        assert_eq!(seconds(&appointments), limits::COMING_BACK_PER_STRANGER_MAX);
        (10..1_000).for_each(|client| appointments.make(NOW, appointment(client, 2, false, 1)));
        assert_eq!(seconds(&appointments), limits::STRANGERS_COMING_BACK_MAX);
        let first = appointment(1, 1, false, 0).origin;
        let kept = appointments.standing.iter().filter(|standing| standing.origin == first).count();
        assert_eq!(
            kept,
            limits::COMING_BACK_PER_STRANGER_MAX,
            "a thousand names of one prefix displace each other"
        );
        (0..1_000).for_each(|client| appointments.make(NOW, appointment(client, 3, true, 1)));
        assert_eq!(seconds(&appointments), limits::COMING_BACK_MAX);
        (0..1_000).for_each(|since| appointments.make(NOW, appointment(1, 1, false, since)));
        let customers = appointments.standing.iter().filter(|standing| standing.is_customer).count();
        assert_eq!(customers, limits::COMING_BACK_MAX - limits::STRANGERS_COMING_BACK_MAX);
    }

    /// (`MK-50`)
    #[test]
    fn one_customer_cannot_fill_the_room_of_the_others() {
        let mut appointments = Appointments::default();
        (0..1_000).for_each(|since| appointments.make(NOW, appointment(1, 1, true, since)));
        assert_eq!(seconds(&appointments), limits::COMING_BACK_PER_CUSTOMER_MAX);
    }
}
