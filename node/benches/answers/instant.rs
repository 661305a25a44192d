//! A model that costs next to nothing: one layer of thirty-two numbers, all of them zero. What is left of a job is what the network takes.

use std::path::Path;

use bombyx_gpu::digest::digest;
use bombyx_gpu::onnx::llama::{Layout, build};
use serde_json::{Value, json};

/// What it is called.
pub(crate) const NAME: &str = "instant";
/// Any that a small vocabulary is cut by.
const TOKENIZER: &[u8] = include_bytes!("../../../gpu/models/chat/tokenizer.json");
const VOCABULARY: usize = 260;
const WIDTH: usize = 32;

/// Writes its folder.
pub(crate) fn write(folder: &Path) {
    let config = json!({
        "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": WIDTH, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0, "max_position_embeddings": 2_048, "tie_word_embeddings": true, "attention_bias": false,
        "mlp_bias": false,
    });
    let graph = build(config.to_string().as_bytes(), &weights(), Layout::Grouped).unwrap();
    let file = |role: &str, path: &str, bytes: &[u8]| {
        std::fs::write(folder.join(path), bytes).unwrap();
        json!({ "role": role, "path": path, "bytes": bytes.len(), "sha256": digest(bytes, |_| {}).unwrap().to_string() })
    };
    let files = [file("graph", "model.onnx", &graph), file("tokenizer", "tokenizer.json", TOKENIZER)];
    let generate = json!({
        "eos_ids": [259], "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
        "sampler": "bombyx-sampler-1", "head_dim": WIDTH,
    });
    let manifest = json!({
        "name": NAME, "kind": { "generate": generate }, "files": files, "context_tokens": 2_048, "precision": "fp32",
        "tokenizer": { "special_tokens": false, "truncate": false }, "licence": "MIT OR Apache-2.0", "source": "zeros",
    });
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

/// A safetensors file of zeros.
fn weights() -> Vec<u8> {
    let square = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
    let square = square.into_iter().chain(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]);
    let tensors = square
        .map(|part| (format!("model.layers.0.{part}.weight"), vec![WIDTH, WIDTH]))
        .chain(
            ["input_layernorm", "post_attention_layernorm"]
                .map(|part| (format!("model.layers.0.{part}.weight"), vec![WIDTH])),
        )
        .chain([
            ("model.norm.weight".into(), vec![WIDTH]),
            ("model.embed_tokens.weight".into(), vec![VOCABULARY, WIDTH]),
        ]);
    let (mut header, mut end) = (serde_json::Map::<String, Value>::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += 4 * shape.iter().product::<usize>();
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, end] }));
    }
    let mut header = Value::from(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + end, 0);
    file
}
