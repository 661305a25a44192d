//! Hosts by identity: one sorted table, entered by the first bits of the key.
//!
//! Identities are public keys, which are spread evenly, so an entry is found within a few neighbours of where its first
//! bits point to: one look at memory instead of a walk down a tree of a hundred thousand.

use bombyx_protocol::ident::NodeId;

/// Hosts by identity.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// In the order of the identities.
    entries: Vec<(NodeId, u32)>,
    /// Where the identities with the same first bits begin, and where the last end.
    starts: Vec<u32>,
    bits: u32,
}

impl Directory {
    /// Creates the directory of hosts, numbered as they come.
    #[must_use]
    pub(crate) fn new(nodes: impl Iterator<Item = NodeId>) -> Self {
        let mut entries: Vec<(NodeId, u32)> = nodes.zip(0u32..).collect();
        entries.sort_unstable();
        let bits = entries.len().max(2).ilog2();
        let mut starts = vec![0; (1 << bits) + 1];
        for (node, _) in &entries {
            starts[first_bits(node, bits) + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        Self { entries, starts, bits }
    }

    /// Returns the host with this identity.
    #[must_use]
    pub(crate) fn get(&self, node: &NodeId) -> Option<&u32> {
        let at = first_bits(node, self.bits);
        let (from, to) = (*self.starts.get(at)? as usize, *self.starts.get(at + 1)? as usize);
        self.entries[from..to].iter().find(|(known, _)| known == node).map(|(_, host)| host)
    }
}

fn first_bits(node: &NodeId, bits: u32) -> usize {
    let [a, b, c, d, ..] = node.0;
    (u32::from_be_bytes([a, b, c, d]) >> (32 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_found_and_nobody_else() {
        for count in [0u32, 1, 2, 3, 1_000] {
            let node = |number: u32| NodeId(*blake3::hash(&number.to_le_bytes()).as_bytes());
            let directory = Directory::new((0..count).map(node));
            for number in 0..count {
                assert_eq!(directory.get(&node(number)), Some(&number), "{number} of {count}");
            }
            assert_eq!(directory.get(&node(count)), None);
            assert_eq!(directory.get(&NodeId([255; 32])), None);
        }
    }
}
