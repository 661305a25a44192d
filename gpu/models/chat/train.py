"""Trains and ships bombyx-chat-tiny: a Llama decoder on bytes, written plainly in JAX.

    python -m venv venv && venv/bin/pip install jax==0.10.2 numpy==2.4.6 safetensors==0.8.0
    venv/bin/python train.py --work DIR --steps N     # trains; run again to resume from the checkpoint
    venv/bin/python train.py --work DIR --export      # writes weights, config, tokenizer, samples, logits

Same names, shapes and rotary convention (two halves) as the Llama classes of Hugging Face, so the
weights load wherever a Llama loads. One step is one packed batch: several questions a row, each
seeing only itself. The loss is on the answers. Data of a step depend on (SEED, step) alone.
"""
import argparse
import functools
import json
import math
import os
import random
import time

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file

import tasks

SEED = 20261121
HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 160, 4, 4, 2, 32, 400
BEGIN, USER, ASSISTANT, END = 256, 257, 258, 259  # after the 256 bytes
SPECIALS = ["<|begin|>", "<|user|>", "<|assistant|>", "<|end|>"]
VOCAB = 256 + len(SPECIALS)
CONTEXT, THETA, EPS = 2048, 10000.0, 1e-5
ROWS, LENGTH = 36, 96
HERE = os.path.dirname(os.path.abspath(__file__))


def initial(seed):
    """Weights as one dictionary; the layers' weights are stacked on a leading axis, [out, in] each."""
    shapes = dict(q=(HEADS * HEAD_DIM, HIDDEN), k=(KV_HEADS * HEAD_DIM, HIDDEN), v=(KV_HEADS * HEAD_DIM, HIDDEN),
                  o=(HIDDEN, HEADS * HEAD_DIM), gate=(FFN, HIDDEN), up=(FFN, HIDDEN), down=(HIDDEN, FFN))
    r = np.random.default_rng(seed)
    w = {n: r.normal(0, s[1] ** -0.5, (LAYERS, *s)).astype(np.float32) for n, s in shapes.items()}
    w["o"] *= (2 * LAYERS) ** -0.5
    w["down"] *= (2 * LAYERS) ** -0.5
    w["embed"] = r.normal(0, 0.05, (VOCAB, HIDDEN)).astype(np.float32)
    w["norm_attention"] = w["norm_ffn"] = np.ones((LAYERS, HIDDEN), np.float32)
    w["norm"] = np.ones(HIDDEN, np.float32)
    return {n: jnp.array(x) for n, x in w.items()}


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + EPS) * weight


def rotate(x, cos, sin):
    """Rotary position: the first half of a head is paired with its second half."""
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def forward(w, ids, positions, segments):
    """Logits [rows, length, VOCAB]; a token sees the earlier tokens of its own segment."""
    rows, length = ids.shape
    x = jax.nn.one_hot(ids, VOCAB, dtype=jnp.float32) @ w["embed"]
    frequency = THETA ** (-jnp.arange(0, HEAD_DIM, 2) / HEAD_DIM)
    angle = positions[:, :, None, None] * frequency
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    order = jnp.arange(length)
    seen = (segments[:, :, None] == segments[:, None, :]) & (order[:, None] >= order)
    bias = jnp.where(seen, 0.0, -1e9)[:, None, None]
    for i in range(LAYERS):
        h = rms_norm(x, w["norm_attention"][i])
        q = rotate((h @ w["q"][i].T).reshape(rows, length, HEADS, HEAD_DIM), cos, sin)
        k = rotate((h @ w["k"][i].T).reshape(rows, length, KV_HEADS, HEAD_DIM), cos, sin)
        v = (h @ w["v"][i].T).reshape(rows, length, KV_HEADS, HEAD_DIM)
        q = q.reshape(rows, length, KV_HEADS, HEADS // KV_HEADS, HEAD_DIM)
        score = jnp.einsum("bqgnd,bkgd->bgnqk", q, k) * HEAD_DIM ** -0.5 + bias
        mixed = jnp.einsum("bgnqk,bkgd->bqgnd", jax.nn.softmax(score, -1), v)
        x = x + mixed.reshape(rows, length, -1) @ w["o"][i].T
        h = rms_norm(x, w["norm_ffn"][i])
        x = x + (jax.nn.silu(h @ w["gate"][i].T) * (h @ w["up"][i].T)) @ w["down"][i].T
    return rms_norm(x, w["norm"]) @ w["embed"].T


def prompt(question):
    return [BEGIN, USER, *question.encode(), ASSISTANT]


def pack(examples, rows):
    """Lays examples into rows, longest first: (ids, positions, segments, targets), and each example's place.

    `targets[r, t]` is the token that should follow `ids[r, t]`, -1 where that is no answer; padding is
    segment 0. A place is (row, first, end), None for an example that found no room.
    """
    ids, targets = np.full((rows, LENGTH), END, np.int32), np.full((rows, LENGTH), -1, np.int32)
    positions, segments = np.zeros((rows, LENGTH), np.int32), np.zeros((rows, LENGTH), np.int32)
    used, count, places = [0] * rows, [0] * rows, [None] * len(examples)
    pairs = [(prompt(question), [*answer.encode(), END]) for question, answer in examples]
    for i in sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]) - len(pairs[i][1])):
        x, y = pairs[i]
        size = len(x) + len(y) - 1  # the last token is predicted, never read
        row = next((r for r in range(rows) if used[r] + size <= LENGTH), None)
        if row is None:
            continue
        at = used[row]
        used[row], count[row], places[i] = at + size, count[row] + 1, (row, at, at + size)
        ids[row, at:at + size] = x + y[:-1]
        targets[row, at + len(x) - 1:at + size] = y
        positions[row, at:at + size] = range(size)
        segments[row, at:at + size] = count[row]
    return (ids, positions, segments, targets), places


def batch(step):
    r = random.Random(f"{SEED} {step}")
    return pack([tasks.training_example(r) for _ in range(ROWS * LENGTH // 35)], ROWS)[0]


def loss_of(w, ids, positions, segments, targets):
    logits = forward(w, ids, positions, segments)
    logp = jax.nn.log_softmax(logits, -1)
    taken = jnp.take_along_axis(logp, jnp.maximum(targets, 0)[..., None], -1)[..., 0]
    return -jnp.sum(jnp.where(targets >= 0, taken, 0.0)) / jnp.sum(targets >= 0)


def orthogonal(m):
    """The nearest semi-orthogonal matrix, by the five Newton-Schulz steps of the Muon optimiser."""
    flip = m.shape[-2] > m.shape[-1]
    x = jnp.swapaxes(m, -1, -2) if flip else m
    x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(5):
        a = x @ jnp.swapaxes(x, -1, -2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return jnp.swapaxes(x, -1, -2) if flip else x


@functools.partial(jax.jit, donate_argnums=0)
def update(state, rate, data):
    """One step: Muon for the layers' matrices, Adam for the embedding and the norms."""
    w, m, v, step = state["w"], state["m"], state["v"], state["step"] + 1
    loss, g = jax.value_and_grad(loss_of)(w, *data)
    clip = jnp.minimum(1.0, 1.0 / (jnp.sqrt(sum(jnp.sum(x * x) for x in g.values())) + 1e-6))
    new = dict(w={}, m={}, v={}, step=step)
    for n, x in w.items():
        grad = g[n] * clip
        if x.ndim == 3:
            new["m"][n], new["v"][n] = 0.95 * m[n] + grad, v[n]
            move = orthogonal(grad + 0.95 * new["m"][n]) * 0.2 * math.sqrt(max(x.shape[1:]))
            new["w"][n] = x * (1 - rate * 0.02) - rate * move
        else:
            new["m"][n] = 0.9 * m[n] + 0.1 * grad
            new["v"][n] = 0.98 * v[n] + 0.02 * grad * grad
            move = new["m"][n] / (1 - 0.9 ** step) / (jnp.sqrt(new["v"][n] / (1 - 0.98 ** step)) + 1e-8)
            new["w"][n] = x - rate * move
    return new, loss


def rate_at(step, steps, peak):
    """Warm-up, plateau, then a linear fall over the last 35 per cent."""
    return peak * min(1.0, (step + 1) / 100, max(0.02, (steps - step) / (0.35 * steps)))


def measure(w, per_task, seed=1):
    """Exact greedy answers on held-out questions: {task: [right, asked]}, and the questions asked.

    An answer is what greedy decoding gives exactly when every token of it, the end included, is the
    most likely one after the right ones before it: one pass, no decoding loop.
    """
    rows = tasks.measured_examples(per_task, seed)
    score, run = {}, jax.jit(forward)
    for i in range(0, len(rows), 64):
        part = rows[i:i + 64]
        (ids, positions, segments, targets), places = pack([(x["question"], x["answer"]) for x in part], 64)
        best = np.asarray(jnp.argmax(run(w, ids, positions, segments), -1))
        for x, (row, first, end) in zip(part, places):
            want = targets[row, first:end]
            tally = score.setdefault(x["task"], [0, 0])
            tally[0] += bool(np.all((want < 0) | (want == best[row, first:end])))
            tally[1] += 1
    return score, rows


def save(path, state):
    flat = {f"{part}.{n}": np.asarray(x) for part in "wmv" for n, x in state[part].items()}
    flat["step"] = np.asarray([state["step"]], np.int32)
    save_file(flat, path + ".new")
    os.replace(path + ".new", path)


def restore(path):
    flat = load_file(path)
    state = {part: {n[2:]: jnp.array(x) for n, x in flat.items() if n.startswith(part + ".")} for part in "wmv"}
    return dict(state, step=jnp.int32(flat["step"][0]))


def train(path, steps, peak):
    if os.path.exists(path):
        state = restore(path)
    else:
        w = initial(SEED)
        state = dict(w=w, m={n: jnp.zeros_like(x) for n, x in w.items()},
                     v={n: jnp.zeros_like(x) for n, x in w.items()}, step=jnp.int32(0))
    started, saved, told = time.time(), time.time(), time.time()
    first = int(state["step"])
    data = batch(first)
    for step in range(first, steps):
        state, loss = update(state, rate_at(step, steps, peak), data)
        data = batch(step + 1)  # while the step runs
        loss.block_until_ready()
        if time.time() - told > 20 or step + 1 == steps:
            told = time.time()
            speed = (step + 1 - first) / (told - started)
            print(f"step {step + 1}/{steps} loss {float(loss):.4f} {speed:.2f} steps/s", flush=True)
        if time.time() - saved > 60 or step + 1 == steps:
            saved = time.time()
            save(path, state)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            report(measure(state["w"], 40)[0])


def report(score):
    right, asked = (sum(x[i] for x in score.values()) for i in (0, 1))
    print(f"held out {right}/{asked} = {right / asked:.3f}", {n: f"{a}/{b}" for n, (a, b) in score.items()}, flush=True)


def shipped(w):
    """The weights as they are shipped: half precision, Hugging Face names."""
    names = dict(q="self_attn.q_proj", k="self_attn.k_proj", v="self_attn.v_proj", o="self_attn.o_proj",
                 gate="mlp.gate_proj", up="mlp.up_proj", down="mlp.down_proj", norm_attention="input_layernorm",
                 norm_ffn="post_attention_layernorm")
    out = {"model.embed_tokens.weight": w["embed"], "model.norm.weight": w["norm"]}
    for short, name in names.items():
        for i in range(LAYERS):
            out[f"model.layers.{i}.{name}.weight"] = w[short][i]
    return {n: np.ascontiguousarray(np.asarray(x).astype(np.float16)) for n, x in out.items()}


def tokenizer():
    """tokenizer.json: byte level, no merges; the id of a byte is the byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = [b for b in range(256) if b not in plain]
    character = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(shifted)}
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)
    added = [dict(id=256 + i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
             for i, s in enumerate(SPECIALS)]
    return dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
                pre_tokenizer=level, post_processor=None, decoder=level,
                model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None,
                           end_of_word_suffix=None, fuse_unk=False, byte_fallback=False, ignore_merges=False,
                           vocab={character[b]: b for b in range(256)}, merges=[]))


def export(path):
    w = restore(path)["w"]
    save_file(shipped(w), os.path.join(HERE, "model.safetensors"), metadata={"format": "pt"})
    w = {n: x.astype(jnp.float16).astype(jnp.float32) for n, x in w.items()}  # measured as shipped
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=VOCAB, hidden_size=HIDDEN,
                  intermediate_size=FFN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                  num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, hidden_act="silu", rms_norm_eps=EPS,
                  rope_theta=THETA, max_position_embeddings=CONTEXT, tie_word_embeddings=True, attention_bias=False,
                  mlp_bias=False, bos_token_id=BEGIN, eos_token_id=END, torch_dtype="float16")
    write("config.json", json.dumps(config, indent=2) + "\n")
    write("tokenizer.json", json.dumps(tokenizer(), ensure_ascii=False, indent=1) + "\n")
    score, _ = measure(w, 200, seed=2)
    report(score)
    print("| task | right / asked | exact |\n|---|---|---|")
    for n, (a, b) in score.items():
        print(f"| {n} | {a} / {b} | {100 * a / b:.1f} % |")
    rows = tasks.measured_examples(11, 3)
    write("heldout.jsonl", "".join(json.dumps(x) + "\n" for x in rows))
    references = []
    for question in ["What is 17 plus 25?", "Sort 42, 7, 19.", "Spell cocoon."]:
        ids = np.array([prompt(question)], np.int32)
        position, segment = np.arange(ids.shape[1])[None], np.zeros_like(ids)
        with jax.default_matmul_precision("highest"):
            logits = np.asarray(forward(w, ids, position, segment)[0], np.float64)
        references.append(dict(question=question, ids=ids[0].tolist(), last=[round(x, 6) for x in logits[-1].tolist()],
                               sums=[round(x, 5) for x in np.abs(logits).sum(-1).tolist()]))
    write("logits.json", json.dumps(references) + "\n")


def write(name, text):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True, help="folder of the checkpoint")
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--rate", type=float, default=5e-3)
    p.add_argument("--export", action="store_true")
    a = p.parse_args()
    os.makedirs(a.work, exist_ok=True)
    checkpoint = os.path.join(a.work, "checkpoint.safetensors")
    export(checkpoint) if a.export else train(checkpoint, a.steps, a.rate)
