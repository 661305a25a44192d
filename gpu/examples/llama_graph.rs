//! Writes the ONNX graph of a Llama in a Hugging Face directory and prints what a manifest pins of it.
//!
//! `cargo run -p bombyx-gpu --example llama_graph -- gpu/models/chat model.onnx [concat|grouped]`

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use bombyx_gpu::digest::digest;
use bombyx_gpu::onnx::llama::{Layout, build};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (dir, out, layout) = match arguments.as_slice() {
        [dir, out] => (dir, out, Layout::Grouped),
        [dir, out, layout] if layout == "grouped" => (dir, out, Layout::Grouped),
        [dir, out, layout] if layout == "concat" => (dir, out, Layout::Concat),
        _ => {
            return Err(
                "give a directory with config.json and model.safetensors, and the file to write".into()
            );
        }
    };
    let read = |name| fs::read(Path::new(dir).join(name));
    let graph = build(&read("config.json")?, &read("model.safetensors")?, layout)?;
    fs::write(out, &graph)?;
    println!("\"bytes\": {},\n\"sha256\": \"{}\"", graph.len(), digest(graph.as_slice(), |_| {})?);
    Ok(())
}
