#!/usr/bin/env python3
"""Writes the corpus: every golden message for `decode`, and scenes that reach deep for the two machines.

A scene is a list of steps as `targets/client.rs` and `targets/provider.rs` read them: a step's number, then the bytes
that it takes.
"""

import json
import pathlib

HERE = pathlib.Path(__file__).parent
MESSAGES = json.loads((HERE / "../../spec/vectors/wire/messages.json").read_text())["cases"]


def write(target, name, content):
    directory = HERE / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)


def slug(name):
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


for case in MESSAGES:
    write("decode", slug(case["name"]), bytes.fromhex(case["bytes"]))
write("decode", "a-handshake", bytes(range(48)))
write("decode", "a-sealed-block", bytes(304))


def number(value):
    """A number as the scenes read it."""
    return bytes([value // 1_000, value % 1_000]) if value % 1_000 < 256 else bytes([255, 64 - value.bit_length()])


# ---- a client's scenes ----------------------------------------------------------------------------------------------


def bid(who=0, price=5_000, start_ms=50, tier=0, challenge_s=60):
    return bytes([who]) + number(price) + number(start_ms) + bytes([200, 20, tier, 0, challenge_s])


BID, ACCEPT, SLEEP, PERSISTED = bytes([4]), bytes([5, 0]), bytes([1]), bytes([9])
MATCH = bytes([15]) + bid() + b"\0" + PERSISTED
OPEN = bytes([11, 4]) + PERSISTED
STARTED, END = bytes([7, 3, 12]), bytes([7, 2])


def tokens(count):
    return bytes([7, 0, count]) + PERSISTED


def vectors(first, dims, raw):
    return bytes([7, 1, first, dims, len(raw) % 256, len(raw) // 256]) + raw


CLIENT = {
    "an-answer": MATCH + STARTED + PERSISTED + tokens(8) + OPEN + tokens(8) * 2 + END + PERSISTED + SLEEP,
    "an-answer-before-the-ledger": MATCH + STARTED + tokens(8) + SLEEP + OPEN + tokens(8) + END + PERSISTED,
    # The first calls, to a part of the crowd, are made anew.
    "a-failover": (BID + bid(0) + BID + bid(1, price=6_000) + SLEEP) * 3 + ACCEPT + PERSISTED + STARTED + tokens(8)
    + bytes([12, 1, 0]) + PERSISTED + ACCEPT + PERSISTED + bytes([7, 3, 20]) + PERSISTED + tokens(30) + OPEN + END + PERSISTED,
    "a-provider-that-is-gone": MATCH + STARTED + bytes([13, 0]) + SLEEP * 4,
    "a-false-chunk": MATCH + STARTED + PERSISTED + bytes([6, 0, 30, 0]) + bytes(4) + b"\1" * 26 + SLEEP,
    "a-lost-voucher": MATCH + STARTED + PERSISTED + tokens(4) + OPEN + bytes([8, 2]) + number(1) + number(9_000)
    + number(9_100) + PERSISTED + tokens(4) + END + PERSISTED,
    "vectors": bytes([14, 3]) + MATCH + STARTED + PERSISTED + vectors(0, 1, bytes(8)) + PERSISTED + OPEN + vectors(2, 1, bytes(4)) + END
    + PERSISTED,
    "a-provider-that-wants-money-first": MATCH + STARTED + bytes([8, 0]) + number(0) + PERSISTED + OPEN + tokens(8) + END
    + PERSISTED + SLEEP,
    "a-provider-that-says-nothing-but-receipts": MATCH + STARTED + (tokens(0) + SLEEP) * 9,
    "an-end-at-once": MATCH + STARTED + END + PERSISTED + SLEEP,
    "a-ledger-that-fails": MATCH + STARTED + tokens(1) + bytes([11, 2]) + PERSISTED + bytes([11, 1]) + PERSISTED + SLEEP,
    "a-close": MATCH + STARTED + tokens(8) + OPEN + END + PERSISTED + bytes([14, 0]) + PERSISTED
    + bytes([11, 6]) + number(1) + number(50) + number(0) + number(60_000) + PERSISTED + SLEEP * 4,
    "a-handshake-that-fails": BID + bid() + BID + bid(1) + SLEEP + bytes([5, 1]) + SLEEP + ACCEPT + SLEEP,
    "nobody": SLEEP * 8,
}
for name, scene in CLIENT.items():
    write("client_input", name, scene)

# ---- a provider's scenes --------------------------------------------------------------------------------------------


def call(kind=0, id=1, input_log2=8, output_log2=7):
    return bytes([kind, id, 0, input_log2, output_log2, 0])


def work(max_tokens=60, salt=7, cached=0, forged=0):
    return bytes([0]) + number(max_tokens) + bytes([salt, 0, cached, forged])


def ack(following, cumulative=None, epoch=1, countersigned=0):
    payment = b"\0" if cumulative is None else bytes([1]) + number(epoch) + number(cumulative)
    return bytes([8]) + payment + number(following) + bytes([countersigned])


TASK = bytes([15]) + call() + bytes([2, 0]) + work()
WRITTEN = bytes([10])
ENGINE_STARTED, ENGINE_END = bytes([12, 0]) + number(12) + b"\0", bytes([12, 4])


def made(count):
    return bytes([12, 1, count])


PROVIDER = {
    "a-job": TASK + ENGINE_STARTED + made(8) + OPEN.replace(PERSISTED, WRITTEN) + ack(1, 8_000) + WRITTEN + made(8) * 3
    + ack(4, 18_000) + WRITTEN + ENGINE_END + ack(5, 20_000, countersigned=1) + WRITTEN + SLEEP * 3,
    "a-job-on-credit": TASK + ENGINE_STARTED + made(8) * 8 + SLEEP * 6,
    "a-client-that-is-gone": TASK + ENGINE_STARTED + made(8) + SLEEP * 20,
    "a-false-voucher": TASK + ENGINE_STARTED + made(8) + bytes([8, 2]) + number(1) + number(9_000) + bytes([1])
    + number(1) + b"\0" + SLEEP,
    "embeddings": bytes([15]) + call(kind=1, id=2, output_log2=0) + bytes([3, 0]) + bytes([3, 7, 0, 0, 0]) + ENGINE_STARTED
    + bytes([12, 3, 0, 2, 24, 0]) + bytes(24) + ENGINE_END + bytes([11, 4]) + ack(2, 2_000) + WRITTEN + SLEEP,
    "an-engine-that-fails": TASK + ENGINE_STARTED + made(3) + bytes([12, 5]) + SLEEP * 3,
    "a-cancellation": TASK + ENGINE_STARTED + made(8) + bytes([14, 2]) + SLEEP * 3,
    "a-low-price": bytes([4]) + call() + bytes([5, 2, 1]) + number(3) + SLEEP,
    "a-close": TASK + ENGINE_STARTED + bytes([11, 4]) + made(8) + ack(1, 9_000) + WRITTEN + bytes([14, 0])
    + bytes([11, 6]) + number(1) + number(50) + number(0) + number(60_000) + WRITTEN + bytes([11, 0]) + SLEEP * 3,
    "two-jobs-on-a-channel": TASK + ENGINE_STARTED + made(8) + bytes([15]) + call(id=3) + bytes([4, 0]) + work()
    + ENGINE_STARTED + made(8) + bytes([11, 4]) + ack(1, 16_000) + WRITTEN + made(8) + ENGINE_END + SLEEP * 8,
    "a-channel-of-another": bytes([15]) + call() + bytes([2, 0]) + work(forged=1) + ENGINE_STARTED + made(8) + SLEEP,
    "a-drain": bytes([14, 1]) + TASK + SLEEP,
}
for name, scene in PROVIDER.items():
    write("provider_input", name, scene)
