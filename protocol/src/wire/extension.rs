//! The room in which this version grows: what a signer understands, and what a statement bears beyond its fields.

use core::fmt;

use crate::limits::{EXTENSION_BYTES_MAX, EXTENSIONS_MAX};

/// What a signer understands beyond this version, a bit for each: an announced bit permits the other side to use that
/// feature, and obliges nobody. (`WI-14`)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Features(pub u64);

impl Features {
    /// What this node understands: no feature is defined yet.
    pub const OWN: Self = Self(0);
}

/// One field beyond those that a statement has in this version.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Extension {
    /// What it is. Who does not know an even type must not act on the statement; an odd one may be ignored.
    pub kind: u16,
    /// Its content, as the type lays it out.
    pub value: Vec<u8>,
}

impl Extension {
    /// Returns whether a receiver may act on a statement without knowing this type. (`WI-16`)
    const fn may_be_ignored(&self) -> bool {
        !self.kind.is_multiple_of(2)
    }
}

/// What a statement needs or offers beyond its fields: types strictly ascending, few and short. (`WI-15`)
#[derive(Clone, Default, PartialEq, Eq, bincode::Encode)]
pub struct Extensions(Vec<Extension>);

impl Extensions {
    /// None, as every statement of this version has.
    pub const NONE: Self = Self(Vec::new());

    /// Returns the entries as the tail of a statement, or `None` if they are too many, too long or not in strictly
    /// ascending order of their types.
    #[must_use]
    pub fn new(entries: Vec<Extension>) -> Option<Self> {
        let bytes = entries.iter().map(|entry| entry.value.len()).fold(0, usize::saturating_add);
        let ascends = entries.iter().zip(entries.iter().skip(1)).all(|(one, next)| one.kind < next.kind);
        let fits = entries.len() <= EXTENSIONS_MAX && bytes <= EXTENSION_BYTES_MAX;
        (ascends && fits).then_some(Self(entries))
    }

    /// Returns whether a receiver of this version may act on the statement: it knows no type, so each must be one that may
    /// be ignored. (`WI-16`)
    #[must_use]
    pub fn are_understood(&self) -> bool {
        self.0.iter().all(Extension::may_be_ignored)
    }
}

impl<Context> bincode::Decode<Context> for Extensions {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let entries = Vec::<Extension>::decode(decoder)?;
        Self::new(entries).ok_or(bincode::error::DecodeError::Other("extensions against their rule"))
    }
}

bincode::impl_borrow_decode!(Extensions);

impl fmt::Debug for Extension {
    /// Shows the size only: a task's extension may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.kind, self.value.len())
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{DecodeError, decode, encode};

    fn entry(kind: u16, bytes: usize) -> Extension {
        Extension { kind, value: vec![7; bytes] }
    }

    /// (`WI-15`)
    #[test]
    fn a_tail_is_taken_up_to_its_limits_and_not_beyond() {
        let many = |count: u16| (0..count).map(|kind| entry(kind, 1)).collect::<Vec<_>>();
        let good = [vec![], many(16), vec![entry(0, 1_024)], vec![entry(1, 512), entry(u16::MAX, 512)]];
        for entries in good {
            let bytes = encode(&entries);
            assert_eq!(decode::<Extensions>(&bytes).ok(), Extensions::new(entries), "{bytes:?}");
        }
        let bad = [
            many(17),
            vec![entry(0, 1_025)],
            vec![entry(1, 512), entry(2, 513)],
            vec![entry(1, 0), entry(1, 0)],
            vec![entry(2, 0), entry(1, 0)],
        ];
        for entries in bad {
            let bytes = encode(&entries);
            assert_eq!(decode::<Extensions>(&bytes), Err(DecodeError::Malformed), "{entries:?}");
            assert_eq!(Extensions::new(entries), None);
        }
    }

    /// (`WI-16`)
    #[test]
    fn an_even_type_must_be_understood_and_an_odd_one_need_not() {
        let understood = |kinds: &[u16]| {
            let entries = kinds.iter().map(|kind| entry(*kind, 3)).collect();
            Extensions::new(entries).is_some_and(|extensions| extensions.are_understood())
        };
        assert!(understood(&[]) && understood(&[1, 3, u16::MAX]));
        assert!(!understood(&[0]) && !understood(&[1, 2, 3]) && !understood(&[u16::MAX - 1]));
    }

    #[test]
    fn the_debug_form_shows_no_content() {
        let shown = format!("{:?}", Extensions::new(vec![entry(9, 3)]));
        assert!(shown.contains("9 (3 bytes)") && !shown.contains('7'), "{shown}");
    }
}
