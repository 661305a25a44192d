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
    let mut prefixes: BTreeMap<Prefix, u32> = BTreeMap::new();
    let mut nodes: BTreeMap<NodeId, u32> = BTreeMap::new();
    for origin in held.iter().map(|(_, origin, _)| *origin).chain([newcomer]) {
        let of_prefix = prefixes.entry(origin.prefix).or_default();
        *of_prefix = of_prefix.saturating_add(1);
        let of_node = nodes.entry(origin.node).or_default();
        *of_node = of_node.saturating_add(1);
    }
    let weight = |origin: &Origin| {
        let count = |found: Option<&u32>| found.copied().unwrap_or(0);
        (count(prefixes.get(&origin.prefix)), count(nodes.get(&origin.node)))
    };
    // Of equals the first that has the earliest time.
    let heaviest = held.iter().min_by_key(|(_, origin, since)| (core::cmp::Reverse(weight(origin)), *since));
    heaviest.map(|(key, ..)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(node: u8, net: u8) -> Origin {
        Origin { node: NodeId([node; 32]), prefix: Prefix::of_ipv4([192, 0, net, 1]) }
    }

    /// (`MK-43`)
    #[test]
    fn who_holds_most_makes_room_and_of_what_it_holds_the_oldest() {
        let held = [
            ('a', origin(1, 1), Time(1)),
            ('b', origin(2, 2), Time(5)),
            ('c', origin(3, 2), Time(4)),
            ('d', origin(3, 2), Time(6)),
            ('e', origin(4, 3), Time(0)),
        ];
        assert_eq!(victim(&held, origin(9, 9)), Some('c'), "the heaviest identity of the heaviest prefix");
        assert_eq!(victim(&held[..2], origin(1, 1)), Some('a'), "a newcomer's own, when it would hold most");
        assert_eq!(victim(&held[..2], origin(9, 9)), Some('a'), "of equals the oldest");
        assert_eq!(victim::<char>(&[], origin(9, 9)), None);
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
