//! Which entry makes room when a room for strangers is full: always one of those who hold most of
//! it.

use std::collections::BTreeMap;

use crate::ident::{NodeId, Origin, Prefix};
use crate::time::Time;

/// Returns which of the entries of a full room gives its place to a newcomer: within the prefix
/// that holds most, of the identity that holds most, the oldest. The newcomer counts as though it
/// had its place already, so a flooder drives out its own entries, and a room is shared evenly by
/// prefixes and, within each, by identities. (`MK-43`)
pub(crate) fn victim<K: Copy>(held: &[(K, Origin, Time)], newcomer: Origin) -> Option<K> {
    let shares = Shares::of(held, Some(newcomer));
    // Of equals the first that has the earliest time.
    let heaviest =
        held.iter().min_by_key(|(_, origin, since)| (core::cmp::Reverse(shares.weight(origin)), *since));
    heaviest.map(|(key, ..)| *key)
}

/// Returns which of the entries of a full line gives its place to a newcomer: within the prefix that holds most, of the identity
/// that holds most, the latest, which would have waited longest. None does for a newcomer that would hold as much itself; one
/// that is not given goes before all of them. (`MK-48`)
pub(crate) fn latecomer<K: Copy>(held: &[(K, Origin, Time)], newcomer: Option<Origin>) -> Option<K> {
    let shares = Shares::of(held, newcomer);
    let last = held.iter().max_by_key(|(_, origin, since)| (shares.weight(origin), *since));
    let own = newcomer.map(|newcomer| shares.weight(&newcomer));
    let last = last.filter(|(_, origin, _)| own.is_none_or(|own| shares.weight(origin) > own));
    last.map(|(key, ..)| *key)
}

/// How many entries each prefix has, and each identity.
struct Shares {
    prefixes: BTreeMap<Prefix, u32>,
    nodes: BTreeMap<NodeId, u32>,
}

impl Shares {
    fn of<K>(held: &[(K, Origin, Time)], newcomer: Option<Origin>) -> Self {
        let mut shares = Self { prefixes: BTreeMap::new(), nodes: BTreeMap::new() };
        for origin in held.iter().map(|(_, origin, _)| *origin).chain(newcomer) {
            let of_prefix = shares.prefixes.entry(origin.prefix).or_default();
            *of_prefix = of_prefix.saturating_add(1);
            let of_node = shares.nodes.entry(origin.node).or_default();
            *of_node = of_node.saturating_add(1);
        }
        shares
    }

    /// Returns what a prefix holds, and what the identity does.
    fn weight(&self, origin: &Origin) -> (u32, u32) {
        let count = |found: Option<&u32>| found.copied().unwrap_or(0);
        (count(self.prefixes.get(&origin.prefix)), count(self.nodes.get(&origin.node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(node: u8, net: u8) -> Origin {
        Origin { node: NodeId([node; 32]), prefix: Prefix::of_ipv4([192, 0, net, 1]) }
    }

    /// The second prefix holds most, and in it the third identity.
    fn held() -> [(char, Origin, Time); 5] {
        [
            ('a', origin(1, 1), Time(1)),
            ('b', origin(2, 2), Time(5)),
            ('c', origin(3, 2), Time(4)),
            ('d', origin(3, 2), Time(6)),
            ('e', origin(4, 3), Time(0)),
        ]
    }

    /// (`MK-43`)
    #[test]
    fn who_holds_most_makes_room_and_of_what_it_holds_the_oldest() {
        let held = held();
        assert_eq!(victim(&held, origin(9, 9)), Some('c'), "the heaviest identity of the heaviest prefix");
        assert_eq!(victim(&held[..2], origin(1, 1)), Some('a'), "a newcomer's own, when it would hold most");
        assert_eq!(victim(&held[..2], origin(9, 9)), Some('a'), "of equals the oldest");
        assert_eq!(victim::<char>(&[], origin(9, 9)), None);
    }

    /// (`MK-48`)
    #[test]
    fn the_latest_of_who_holds_most_gives_its_place_to_one_that_holds_less() {
        let held = held();
        assert_eq!(latecomer(&held, Some(origin(9, 9))), Some('d'));
        assert_eq!(latecomer(&held, Some(origin(3, 2))), None, "its own line grows no longer");
        assert_eq!(latecomer(&held[..2], Some(origin(9, 9))), None, "each has one");
        assert_eq!(latecomer(&held[..2], None), Some('b'));
        assert_eq!(latecomer::<char>(&[], None), None);
    }

    /// (`MK-43`)
    #[test]
    fn ten_thousand_names_of_one_prefix_never_drive_out_one_of_another() {
        let mut held: Vec<(u32, Origin, Time)> = vec![(0, origin(1, 1), Time(0))];
        for number in 1..10_000u32 {
            let mut node = [7; 32];
            node[..4].copy_from_slice(&number.to_le_bytes());
            let newcomer = Origin { node: NodeId(node), prefix: Prefix::of_ipv4([192, 0, 2, 1]) };
            if held.len() >= 16 {
                let out = victim(&held, newcomer).expect("it is full");
                held.retain(|(key, ..)| *key != out);
            }
            held.push((number, newcomer, Time(u64::from(number))));
        }
        assert!(held.iter().any(|(key, ..)| *key == 0));
    }
}
