#!/usr/bin/env python3
"""Writes the vectors of names beside this file: what nodes of one network must call things alike (spec/01-wire.md section 1,
spec/09-models.md WR-17)."""

import hashlib
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import blake3, public_of, seed, write

NETWORKS = ("bombyx-dev", "a", "x" * 32)
MODELS = ("ab" * 32, "0123456789abcdef" * 4, "00" * 32)
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def hashed(label: str, rest: str) -> str:
    return hashlib.sha256(label.encode() + b"\0" + rest.encode()).hexdigest()


def base58(raw: bytes) -> str:
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text


def peer_id(key: bytes) -> str:
    """The identity multihash of the protobuf {1: Ed25519 = 1, 2: key}."""
    message = b"\x08\x01\x12\x20" + key
    return base58(bytes([0, len(message)]) + message)


def topic(network: str, model: str) -> dict:
    name = f"bombyx/{network}/model/{model[:16]}"
    return {"network": network, "model": model, "topic": name, "listeners_key": hashed("bombyx topic listeners", name),
            "providers_key": model}


def gossip(name: str, data: bytes) -> dict:
    return {"topic": name, "data": data.hex(), "id": hashlib.sha256(name.encode() + b"\0" + data).hexdigest()}


# ---- canonical JSON -------------------------------------------------------------------------------------------------

SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical(value) -> str:
    if isinstance(value, str):
        return '"' + "".join(SHORT.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    fields = sorted(value.items(), key=lambda field: field[0].encode())
    return "{" + ",".join(f"{canonical(name)}:{canonical(content)}" for name, content in fields) + "}"


def file(role: str, path: str, size: int) -> dict:
    return {"role": role, "path": path, "bytes": size, "sha256": hashlib.sha256(path.encode()).hexdigest()}


EMBED = {
    "name": "moth-embed", "kind": {"embed": {"dims": 384, "pooling": "mean"}},
    "files": [file("graph", "model.onnx", 90_000_000), file("tokenizer", "tokenizer.json", 466_247)],
    "tokenizer": {"special_tokens": True, "truncate": False}, "context_tokens": 256, "precision": "fp32",
    "licence": "Apache-2.0", "source": "https://example.org/é",
}
CHAT = {
    "name": "moth-chat.1", "kind": {"generate": {
        "eos_ids": [2, 7], "chat_template": "{% for m in messages %}\"{{ m.content }}\"\\\t\n\u001f世界{% endfor %}",
        "sampler": "bombyx-sampler-1"}},
    "files": [file("graph", "graph/model.onnx", 1), file("weights", "graph/model.data", 2**40),
              file("tokenizer", "tokenizer.json", 2)],
    "tokenizer": {"special_tokens": False, "truncate": False}, "context_tokens": 2**22, "precision": "int4",
    "licence": "MIT", "source": "", "weights": {"input": 10, "cached": 1, "output": 60},
}


def model(value: dict) -> dict:
    text = canonical(value)
    return {"manifest": value, "canonical": text, "id": blake3(text.encode()).hex()}


write(__file__, "names.json", {
    "networks": [{"network": network, "identify": f"/bombyx/{network}", "hash_table": f"/bombyx/{network}/kad/1",
                  "market_topic": f"bombyx/{network}/market", "market_key": hashed("bombyx providers", network)}
                 for network in NETWORKS],
    "topics": [topic(network, name) for network in NETWORKS for name in MODELS],
    "peers": [{"node": public_of(seed(number)).hex(), "peer_id": peer_id(public_of(seed(number)))} for number in (1, 2, 3)],
    "gossip": [gossip("bombyx/bombyx-dev/model/abababababababab", data) for data in (b"", b"\0", bytes(range(256)))],
    "models": [model(EMBED), model(CHAT)],
})
