//! Reads named weights from a safetensors file and checks their shapes.

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

    /// Returns whether there is a tensor of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// Returns the shape of a tensor.
    ///
    /// # Errors
    /// [`WeightsError::Missing`].
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, WeightsError> {
        let tensor = self.0.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        Ok(tensor.shape().to_vec())
    }

    /// Returns the little-endian bytes of a single-precision tensor of exactly this shape.
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

    /// Returns the numbers of a tensor of exactly this shape, in single, half or brain precision.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Unexpected`].
    pub fn widened(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.0.tensor(name).map_err(|_| WeightsError::Missing(name.to_owned()))?;
        let pairs = || tensor.data().chunks_exact(2).map(|b| [b[0], b[1]]);
        let numbers = if tensor.dtype() == Dtype::F32 {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        } else if tensor.dtype() == Dtype::F16 {
            pairs().map(|b| half::f16::from_le_bytes(b).to_f32()).collect()
        } else if tensor.dtype() == Dtype::BF16 {
            pairs().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect()
        } else {
            Vec::new()
        };
        if tensor.shape() != shape || numbers.len() != shape.iter().product::<usize>() {
            return Err(WeightsError::Unexpected {
                name: name.to_owned(),
                expected: format!("{:?}, {:?} or {:?} {shape:?}", Dtype::F32, Dtype::F16, Dtype::BF16),
                found: format!("{:?} {:?}", tensor.dtype(), tensor.shape()),
            });
        }
        Ok(numbers)
    }

    /// Returns a single-precision matrix of `rows × columns`, as the bytes of its transpose: linear
    /// layers are stored output by input, while ONNX multiplies from the right.
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
    fn half_and_brain_precision_are_widened() {
        // 1.5 in the two formats.
        for (dtype, bytes) in [(Dtype::F16, [0x00, 0x3e]), (Dtype::BF16, [0xc0, 0x3f])] {
            let view = TensorView::new(dtype, vec![1], &bytes).unwrap();
            let file = safetensors::serialize([("m", view)], None).unwrap();
            let weights = Weights::read(&file).unwrap();
            assert_eq!(weights.widened("m", &[1]), Ok(vec![1.5]));
            assert!(matches!(weights.widened("m", &[1, 1]), Err(WeightsError::Unexpected { .. })));
        }
        let file = safetensors::serialize([("m", TensorView::new(Dtype::I8, vec![1], &[1]).unwrap())], None)
            .unwrap();
        assert!(Weights::read(&file).unwrap().widened("m", &[1]).is_err());
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
