//! Vectors of an embedding order, put together from the parts in which they arrive.

/// One row for each input, filled part by part.
#[derive(Debug)]
pub struct Vectors {
    rows: Vec<Option<Vec<f32>>>,
    dims: Option<u32>,
}

/// A part that does not fit, or a row that never came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vectors that arrived are not those of the inputs")]
pub struct VectorsError;

impl Vectors {
    /// Returns room for the vectors of `inputs` texts.
    #[must_use]
    pub fn new(inputs: usize) -> Self {
        Self { rows: vec![None; inputs], dims: None }
    }

    /// Takes rows `first..` of `dims` little-endian `f32`s each.
    ///
    /// # Errors
    /// [`VectorsError`] when a row is not an input's, came before, has another length, or holds no number.
    pub fn take(&mut self, first: u32, dims: u32, bytes: &[u8]) -> Result<(), VectorsError> {
        let row_bytes =
            usize::try_from(dims).ok().and_then(|dims| dims.checked_mul(4)).ok_or(VectorsError)?;
        let same = *self.dims.get_or_insert(dims) == dims;
        if !same || row_bytes == 0 || bytes.is_empty() || !bytes.len().is_multiple_of(row_bytes) {
            return Err(VectorsError);
        }
        let first = usize::try_from(first).map_err(|_| VectorsError)?;
        for (offset, row) in bytes.chunks_exact(row_bytes).enumerate() {
            let place =
                first.checked_add(offset).and_then(|place| self.rows.get_mut(place)).ok_or(VectorsError)?;
            let row: Vec<f32> =
                row.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            if place.is_some() || row.iter().any(|number| !number.is_finite()) {
                return Err(VectorsError);
            }
            *place = Some(row);
        }
        Ok(())
    }

    /// Returns the rows that are there, each with its input's place.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(place, row)| Some((place, row.as_deref()?)))
    }

    /// Returns all rows, in the order of the inputs.
    ///
    /// # Errors
    /// [`VectorsError`] when one is missing.
    pub fn finish(self) -> Result<Vec<Vec<f32>>, VectorsError> {
        self.rows.into_iter().collect::<Option<_>>().ok_or(VectorsError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn parts_in_any_order_become_all_rows() {
        let mut vectors = Vectors::new(3);
        assert_eq!(vectors.take(2, 2, &bytes(&[5.0, 6.0])), Ok(()));
        assert_eq!(vectors.rows().collect::<Vec<_>>(), [(2, &[5.0, 6.0][..])], "as far as they came");
        assert_eq!(vectors.take(0, 2, &bytes(&[1.0, 2.0, 3.0, 4.0])), Ok(()));
        assert_eq!(vectors.finish(), Ok(vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]));
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        for (first, dims, part) in [
            (1, 2, bytes(&[1.0, 2.0])),
            (u32::MAX, 2, bytes(&[1.0, 2.0])),
            (0, 0, bytes(&[1.0])),
            (0, u32::MAX, bytes(&[1.0])),
            (0, 2, bytes(&[1.0, 2.0, 3.0])),
            (0, 1, bytes(&[f32::NAN])),
            (0, 1, vec![]),
        ] {
            assert_eq!(Vectors::new(1).take(first, dims, &part), Err(VectorsError), "{first} {dims}");
        }
        let mut twice = Vectors::new(1);
        assert_eq!(twice.take(0, 1, &bytes(&[1.0])), Ok(()));
        assert_eq!(twice.take(0, 1, &bytes(&[1.0])), Err(VectorsError));
        assert_eq!(Vectors::new(1).finish(), Err(VectorsError));
    }
}
