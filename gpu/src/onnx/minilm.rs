//! BERT sentence encoders of the MiniLM family, from safetensors.
