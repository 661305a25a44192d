//! Named weights out of a safetensors file, with their shapes checked.

use safetensors::tensor::{Dtype, SafeTensors};

/// Why a graph cannot be written from the weights at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// Not a safetensors file.
    #[error("the weights are not a safetensors file: {0}")]
    Syntax(String),
    /// A tensor is not there.
    #[error("the weights have no tensor `{0}`")]
    Missing(String),
    /// A tensor is not as the architecture needs it.
    #[error("tensor `{name}` is {found}, expected {expected}")]
    Unexpected {
        /// Which one.
        name: String,
        /// Element type and shape needed.
        expected: String,
        /// Element type and shape found.
        found: String,
    },
}

/// The tensors of one file.
#[derive(Debug)]
pub struct Weights<'a>(SafeTensors<'a>);

impl<'a> Weights<'a> {
    /// Reads the file's index.
    ///
    /// # Errors
    /// [`WeightsError::Syntax`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, WeightsError> {
        SafeTensors::deserialize(bytes).map(Self).map_err(|why| WeightsError::Syntax(why.to_string()))
    }

    /// Whether there is a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, WeightsError> {
        let tensor = self.0.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        Ok(tensor.shape().to_vec())
    }

    /// The little-endian bytes of a single-precision tensor of exactly this shape.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Unexpected`].
    pub fn f32_bytes(&self, name: &str, shape: &[usize]) -> Result<&[u8], WeightsError> {
        let tensor = self.0.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
            return Err(WeightsError::Unexpected {
                name: name.to_owned(),
                expected: format!("{:?} {shape:?}", Dtype::F32),
                found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
            });
        }
        Ok(tensor.data())
    }

    /// A single-precision matrix of `rows × columns`, as the bytes of its transpose: linear layers are stored output by
    /// input, while ONNX multiplies from the right.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Unexpected`].
    pub fn transposed_f32_bytes(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Vec<u8>, WeightsError> {
        const WIDTH: usize = size_of::<f32>();
        let data = self.f32_bytes(name, &[rows, columns])?;
        let mut transposed = Vec::with_capacity(data.len());
        for column in 0..columns {
            for row in 0..rows {
                let at = (row * columns + column) * WIDTH;
                transposed.extend_from_slice(&data[at..at + WIDTH]);
            }
        }
        Ok(transposed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use safetensors::tensor::TensorView;

    fn file() -> Vec<u8> {
        let data: Vec<u8> = (0u8..6).flat_map(|x| f32::from(x).to_le_bytes()).collect();
        safetensors::serialize([("m", TensorView::new(Dtype::F32, vec![2, 3], &data).unwrap())], None)
            .unwrap()
    }

    #[test]
    fn a_matrix_is_transposed() {
        let file = file();
        let weights = Weights::read(&file).unwrap();
        let expected: Vec<u8> = [0f32, 3., 1., 4., 2., 5.].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(weights.transposed_f32_bytes("m", 2, 3).unwrap(), expected);
    }

    #[test]
    fn what_is_missing_or_misshapen_is_named() {
        let file = file();
        let weights = Weights::read(&file).unwrap();
        assert_eq!(weights.f32_bytes("n", &[1]), Err(WeightsError::Missing("n".to_owned())));
        let error = weights.f32_bytes("m", &[3, 2]).unwrap_err().to_string();
        assert_eq!(error, "tensor `m` is F32 [2, 3], expected F32 [3, 2]");
        assert!(matches!(Weights::read(b"short"), Err(WeightsError::Syntax(_))));
    }
}
