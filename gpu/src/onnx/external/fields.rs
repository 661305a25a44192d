//! Reads the fields of protobuf messages one after the other, without keeping what is skipped.

use std::io::{self, BufRead, BufReader, Read, Seek};

use super::error::ExternalError;

/// Bytes of one text: the name of a file, a key or an operator.
const TEXT_BYTES_MAX: u64 = 4_096;

/// What follows a field's number.
pub(super) enum Wire {
    /// A number, whose value is read.
    Number(u64),
    /// This many bytes follow.
    Bytes(u64),
}

/// A file that is read field by field.
pub(super) struct Fields<R> {
    reader: BufReader<R>,
    /// Bytes read so far.
    at: u64,
}

impl<R: Read + Seek> Fields<R> {
    pub(super) fn new(reader: BufReader<R>) -> Self {
        Self { reader, at: 0 }
    }

    /// Returns how many bytes are read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Reads the next field's number and what follows it.
    pub(super) fn tag(&mut self, end: u64) -> Result<(u64, Wire), ExternalError> {
        let tag = self.varint(end)?;
        let number = tag >> 3;
        if number == 0 || number >= 1 << 29 {
            return Err(ExternalError::Malformed("a field has an impossible number"));
        }
        let wire = match tag & 7 {
            0 => Wire::Number(self.varint(end)?),
            1 => Wire::Bytes(8),
            2 => Wire::Bytes(self.varint(end)?),
            5 => Wire::Bytes(4),
            _ => return Err(ExternalError::Malformed("a field has an impossible type")),
        };
        // A number of fixed length has no message in it.
        if let Wire::Bytes(length) = wire {
            if length > end - self.at {
                return Err(ExternalError::Malformed("it ends in the middle of a field"));
            }
            if tag & 7 != 2 {
                self.skip_to(self.at + length)?;
                return Ok((number, Wire::Number(0)));
            }
        }
        Ok((number, wire))
    }

    fn varint(&mut self, end: u64) -> Result<u64, ExternalError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if self.at >= end {
                return Err(ExternalError::Malformed("it ends in the middle of a number"));
            }
            let byte = *self
                .reader
                .fill_buf()?
                .first()
                .ok_or(io::ErrorKind::UnexpectedEof)
                .map_err(io::Error::from)?;
            self.reader.consume(1);
            self.at += 1;
            // Bits beyond the 64th are dropped, as every reader of the format does.
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ExternalError::Malformed("a number does not end"))
    }

    /// Reads a text of `length` bytes.
    pub(super) fn text(&mut self, length: u64) -> Result<String, ExternalError> {
        if length > TEXT_BYTES_MAX {
            return Err(ExternalError::Reference("a text is too long"));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.reader.read_exact(&mut bytes)?;
        self.at += length;
        String::from_utf8(bytes).map_err(|_| ExternalError::Reference("a text is not UTF-8"))
    }

    /// Skips what is left up to `end`, unread.
    pub(super) fn skip_to(&mut self, end: u64) -> Result<(), ExternalError> {
        let distance =
            i64::try_from(end - self.at).map_err(|_| ExternalError::Malformed("it is too long"))?;
        self.reader.seek_relative(distance)?;
        self.at = end;
        Ok(())
    }
}
