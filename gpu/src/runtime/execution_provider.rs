//! Execution providers: the device that a session runs on. A device that cannot be used is an error.

use std::fmt;
use std::str::FromStr;

use ort::ep::ExecutionProviderDispatch;

/// The part of ONNX Runtime that runs the operators of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum ExecutionProvider {
    /// The processor; always there.
    #[default]
    Cpu,
    /// NVIDIA, through CUDA and cuDNN.
    Cuda,
    /// NVIDIA, through TensorRT.
    TensorRt,
    /// Any GPU with Vulkan, Metal or Direct3D 12.
    WebGpu,
    /// Apple.
    CoreMl,
    /// Any GPU on Windows.
    DirectMl,
}

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionProviderError {
    /// The program was built without it.
    #[error(
        "{execution_provider} is not part of this build; build with `--features {execution_provider}`, or choose `cpu`"
    )]
    NotBuilt {
        /// What was asked for.
        execution_provider: ExecutionProvider,
    },
    /// The library or the machine does not offer it.
    #[error("ONNX Runtime refuses {execution_provider}: {why}. Use a library built for it, or choose `cpu`")]
    Refused {
        /// What was asked for.
        execution_provider: ExecutionProvider,
        /// ONNX Runtime's reason.
        why: String,
    },
    /// There is no such execution provider.
    #[error("`{name}` is no execution provider; choose one of {}", ExecutionProvider::ALL.map(ExecutionProvider::as_str).join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

impl ExecutionProvider {
    /// All of them, the preferred ones first.
    pub const ALL: [Self; 6] =
        [Self::TensorRt, Self::Cuda, Self::WebGpu, Self::CoreMl, Self::DirectMl, Self::Cpu];

    /// Returns the word users write, which is also the cargo feature.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::WebGpu => "webgpu",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
        }
    }

    /// Checks that this build has it. Only a session shows whether the library and the machine have it.
    ///
    /// # Errors
    /// [`ExecutionProviderError::NotBuilt`].
    pub fn check(self) -> Result<(), ExecutionProviderError> {
        self.dispatch().map(drop)
    }

    /// Returns the registration for a session. By default, ONNX Runtime falls back to the CPU in silence when a
    /// registration fails; here a failure is an error.
    pub(super) fn dispatch(self) -> Result<Option<ExecutionProviderDispatch>, ExecutionProviderError> {
        match self {
            Self::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Some(ort::ep::CUDA::default().build().error_on_failure())),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => Ok(Some(ort::ep::TensorRT::default().build().error_on_failure())),
            #[cfg(feature = "webgpu")]
            Self::WebGpu => Ok(Some(ort::ep::WebGPU::default().build().error_on_failure())),
            #[cfg(feature = "coreml")]
            Self::CoreMl => Ok(Some(ort::ep::CoreML::default().build().error_on_failure())),
            #[cfg(feature = "directml")]
            Self::DirectMl => Ok(Some(ort::ep::DirectML::default().build().error_on_failure())),
            // Which ones are left depends on the features.
            #[allow(unreachable_patterns, clippy::wildcard_enum_match_arm)]
            _ => Err(ExecutionProviderError::NotBuilt { execution_provider: self }),
        }
    }
}

impl fmt::Display for ExecutionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ExecutionProvider {
    type Err = ExecutionProviderError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|execution_provider| execution_provider.as_str() == name);
        found.ok_or_else(|| ExecutionProviderError::Unknown { name: name.to_owned() })
    }
}

impl TryFrom<String> for ExecutionProvider {
    type Error = ExecutionProviderError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_execution_provider_is_read_as_it_is_written() {
        for execution_provider in ExecutionProvider::ALL {
            assert_eq!(execution_provider.to_string().parse(), Ok(execution_provider));
        }
        assert!(matches!("gpu".parse::<ExecutionProvider>(), Err(ExecutionProviderError::Unknown { .. })));
    }
}
