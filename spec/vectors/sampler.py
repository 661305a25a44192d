"""The sampler `bombyx-sampler-1` in exact fractions, and the vectors in sampler.json.

    python3 spec/vectors/sampler.py > spec/vectors/sampler.json

It follows the six steps of the definition one by one and shares no code with any node.
"""
import json
import random
import struct
import sys
from decimal import Decimal, getcontext
from fractions import Fraction

sys.dont_write_bytecode = True
from reference import blake3

getcontext().prec = 60
ONE = 1 << 32
LOG2_E = int((Decimal(ONE) / Decimal(2).ln()).to_integral_value())
HALVINGS = [int((Decimal(ONE) * Decimal(2) ** (-(Decimal(2) ** b) / 65536)).to_integral_value()) for b in range(16)]


def times(a, b):
    return (a * b + (1 << 31)) // ONE


def power(f):
    high = low = ONE
    for b in range(15, 7, -1):
        if f >> b & 1:
            high = times(high, HALVINGS[b])
    for b in range(7, -1, -1):
        if f >> b & 1:
            low = times(low, HALVINGS[b])
    return times(high, low)


def sample(logits, temperature_milli, top_p_milli, top_k, seed, position):
    """`logits`: single-precision numbers, None where a token is impossible."""
    # 1. Quantise; Python rounds fractions to the nearest, ties to even.
    x = {i: max(-(1 << 40), min(1 << 40, round(Fraction(v) * 65536))) for i, v in enumerate(logits) if v is not None}
    d = {i: max(x.values()) - v for i, v in x.items()}
    # 2. Rank.
    rank = sorted(d, key=lambda i: (d[i], i))
    if temperature_milli == 0:
        return rank[0]
    # 3. Weigh.
    w = {}
    for i in rank:
        y = (d[i] * 1000 // temperature_milli) * LOG2_E // ONE
        w[i] = power(y % 65536) // 2 ** (y // 65536) if y // 65536 < 33 else 0
    kept = [i for i in rank if w[i]]
    # 4. Top-k.
    if top_k:
        kept = kept[:top_k]
    # 5. Top-p.
    if top_p_milli < 1000:
        whole, n = sum(w[i] for i in kept), 1
        while 1000 * sum(w[i] for i in kept[:n]) < top_p_milli * whole:
            n += 1
        kept = kept[:n]
    # 6. Draw.
    digest = blake3(b"bombyx-sampler-1" + struct.pack("<QQ", seed, position))
    threshold = struct.unpack("<Q", digest[:8])[0] * sum(w[i] for i in kept) >> 64
    for i in sorted(kept):
        threshold -= w[i]
        if threshold < 0:
            return i


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


STEP = 1 / 65536  # what two logits differ by that are told apart


def told_apart(logits, temperature_milli, top_p_milli, wrong):
    """The first seed with which a wrong rule draws another token."""
    return next(seed for seed in range(10_000)
                if sample(logits, temperature_milli, top_p_milli, 0, seed, 0) != wrong(seed))


def directed():
    """One case for each way to be nearly right: logits, temperature, top p, seed."""
    yield [2e7, 3e7], 0, 1000, 0  # both are clamped, so they are equal
    yield [-3e7, -2e7, None], 0, 1000, 0
    yield [0.9 * STEP, STEP], 0, 1000, 0  # rounded, not cut
    yield [0.0, 0.5 * STEP], 0, 1000, 0  # ties go to the even number
    yield [1.5 * STEP, 2 * STEP, 2.5 * STEP], 0, 1000, 0
    # The first token has exactly half of the weight, so it is enough for a half.
    halves = [0.0, 0.0]
    yield halves, 1000, 500, told_apart(halves, 1000, 500, lambda seed: sample(halves, 1000, 1000, 0, seed, 0))
    # A distance below the temperature is multiplied before it is divided.
    near = [0.0, -15.2]
    yield near, 1_000_000, 1000, told_apart(near, 1_000_000, 1000, lambda seed: sample(halves, 1_000_000, 1000, 0, seed, 0))


def main():
    r, vectors = random.Random(1), []
    for n in range(120):
        spread = r.choice([0.5, 3, 12])
        logits = [single(r.gauss(0, spread)) for _ in range(r.choice([1, 2, 9, 40]))]
        if n % 4 == 1:  # ties, and tokens that are impossible
            logits = [round(v) / 4 if i % 3 else None for i, v in enumerate(logits + [0.0])]
        parameters = dict(temperature_milli=r.choice([0, 1, 300, 1000, 1700, 10**6, 2**32 - 1]),
                          top_p_milli=r.choice([0, 1, 500, 900, 999, 1000, 5000]), top_k=r.choice([0, 0, 1, 5, 1000]),
                          seed=r.choice([0, 7, 2**64 - 1, r.getrandbits(64)]), position=r.choice([0, 1, 255, r.getrandbits(64)]))
        id = sample(logits, **parameters)
        # 64-bit numbers as text, for readers whose numbers are doubles.
        text = {k: str(parameters[k]) for k in ("seed", "position")}
        vectors.append(dict(logits=logits, **parameters | text, id=id))
    for logits, temperature_milli, top_p_milli, seed in directed():
        logits = [None if v is None else single(v) for v in logits]
        drawn = sample(logits, temperature_milli, top_p_milli, 0, seed, 0)
        vectors.append(dict(logits=logits, temperature_milli=temperature_milli, top_p_milli=top_p_milli, top_k=0, seed=str(seed),
                            position="0", id=drawn))
    rows = ",\n".join(json.dumps(v) for v in vectors)
    print(f'{{"sampler": "bombyx-sampler-1",\n"log2_e": {LOG2_E},\n"halvings": {HALVINGS},\n"vectors": [\n{rows}\n]}}')


if __name__ == "__main__":
    main()
