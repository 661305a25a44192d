#!/usr/bin/env python3
"""Writes `sending.json` beside this file: what a provider sends of an answer and when, which chunk bears a receipt, and what is
repeated, event after event, by spec/05-work-and-receipts.md section 3 alone."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import DEFAULT, begin, bill, encode, public_of, seed, signed, then, units_due, write

PROVIDER, JOB, MODEL, PRICE = seed(2), bytes([10]) * 16, bytes([0xAB]) * 32, 5_000
RECEIPT_TOKENS, RECEIPT_CHUNKS, RECEIPT_MS = 32, 32, 1_000
CHUNK_TOKENS, CHUNK_MS, VECTOR_BYTES = 8, 5, 30_720
RETRY_MS, REPEAT_BYTES, PATIENCE_MS, UNACKED = 700, 64 * 1024, 10_000, 64


def chat(most):
    sampling = {"temperature_milli": 0, "top_p_milli": 1_000, "top_k": 0, "seed": "0"}
    return {"Generate": {"messages": [{"role": "User", "content": "count for me"}], "max_tokens": most, "sampling": sampling,
                         "prefix": [], "stop": []}}


class Answer:
    """One answer as its provider sends it; each method is an event."""

    def __init__(self, task, fresh=12):
        self.task, self.fresh, self.steps = task, fresh, []
        self.rows_wanted = len(task["Embed"]["inputs"]) if "Embed" in task else 0
        self.transcript = begin(JOB, MODEL, encode("Task", task))
        self.index = self.made = self.rows = 0
        self.ids, self.text, self.since, self.came_at = [], "", None, None
        self.bare_tokens, self.bare_chunks, self.receipt_at = 0, 0, 0
        self.unacked, self.sent_at, self.heard_at, self.repeats_before, self.ended = [], 0, 0, 0, False

    def chunk(self, now, content, signs=False):
        raw = encode("Content", content)
        count = len(content["Tokens"]["ids"]) if "Tokens" in content else 0
        self.made += count
        if "Vectors" in content:
            part = content["Vectors"]
            self.rows = part["first"] + len(part["bytes"]) // 8 // part["dims"]
        self.transcript = then(self.transcript, self.index, raw)
        self.index += 1
        self.bare_tokens, self.bare_chunks = self.bare_tokens + count, self.bare_chunks + 1
        due = (self.index == 1 or self.bare_tokens >= RECEIPT_TOKENS or self.bare_chunks >= RECEIPT_CHUNKS
               or now >= self.receipt_at + RECEIPT_MS)
        receipt = None
        if due or signs:
            self.bare_tokens, self.bare_chunks, self.receipt_at = 0, 0, now
            cost = bill(PRICE, units_due(DEFAULT, self.fresh, 0, self.made, self.rows, self.rows_wanted, "End" in content))
            receipt = signed(PROVIDER, "receipt", "Receipt", {
                "job": JOB.hex(), "model": MODEL.hex(), "chunks": self.index, "transcript": self.transcript.hex(),
                "input_tokens": str(self.fresh), "cached_tokens": "0", "output_tokens": str(self.made), "cost": str(cost),
                "extensions": []})
        if not self.unacked:
            self.heard_at = now
        self.unacked.append((self.index - 1, len(raw)))
        self.sent_at = now
        # What is long is told by its length; the transcript of the next receipt covers it.
        return {"index": self.index - 1, "content": raw.hex() if len(raw) < 1_000 else {"bytes": len(raw)}, "receipt": receipt}

    def flush(self, now):
        if not self.ids and not self.text:
            return []
        content = {"Tokens": {"ids": self.ids, "text": self.text}}
        self.ids, self.text, self.since = [], "", None
        return [self.chunk(now, content)]

    def note(self, now, event, **more):
        self.steps.append({"at_ms": now, "event": event, **more})
        return self

    def make(self, now, *ids):
        text = "".join(f"{number} " for number in ids)
        self.ids, self.text = self.ids + list(ids), self.text + text
        self.since = now if self.since is None else self.since
        alone = self.came_at is None or now >= self.came_at + CHUNK_MS
        self.came_at = now
        sent = self.flush(now) if alone or len(self.ids) >= CHUNK_TOKENS else []
        return self.note(now, "made", content={"Tokens": {"ids": list(ids), "text": text}}, sends=sent)

    def embed(self, now, first, dims, rows):
        whole = {"first": first, "dims": dims, "bytes": (bytes([0, 0, 0x80, 0x3F]) * dims * rows).hex()}
        fit, sent = max(1, VECTOR_BYTES // (4 * dims)), []
        for start in range(0, rows, fit):
            part = whole["bytes"][8 * dims * start : 8 * dims * (start + fit)]
            sent.append(self.chunk(now, {"Vectors": {"first": first + start, "dims": dims, "bytes": part}}))
        return self.note(now, "made", content={"Ones": {"first": first, "dims": dims, "rows": rows}}, sends=sent)

    def end(self, now):
        sent = self.flush(now) + [self.chunk(now, {"End": {"finish": "Stop"}}, signs=True)]
        self.ended = True
        return self.note(now, "made", content={"End": {"finish": "Stop"}}, sends=sent)

    def wait(self, now):
        """What is due by the clock: gathered tokens, and what is repeated."""
        sent = self.flush(now) if self.since is not None and now >= self.since + CHUNK_MS else []
        again = []
        if self.unacked and not sent and now >= self.sent_at + RETRY_MS * 2**self.repeats_before:
            self.sent_at, self.repeats_before, size = now, self.repeats_before + 1, 0
            for index, length in self.unacked:
                size += length
                if again and size > REPEAT_BYTES:
                    break
                again.append(index)
        gone = bool(self.unacked) and now >= self.heard_at + PATIENCE_MS
        return self.note(now, "wait", sends=sent, repeats=again, given_up=gone)

    def stand_still(self, now):
        sent = []
        if self.bare_chunks and not self.ended:
            sent = [self.chunk(now, {"Tokens": {"ids": [], "text": ""}}, signs=True)]
        return self.note(now, "stand_still", sends=sent)

    def ack(self, now, following):
        before = len(self.unacked)
        self.unacked = [entry for entry in self.unacked if entry[0] >= following]
        if len(self.unacked) < before:
            self.heard_at, self.repeats_before = now, 0
        else:
            self.repeats_before = min(self.repeats_before, 1)
        return self.note(now, "ack", next=following, room=len(self.unacked) < UNACKED)

    def case(self, name):
        return {"name": name, "task": self.task, "price": str(PRICE), "weights": list(DEFAULT),
                "input": {"fresh": self.fresh, "cached": 0}, "steps": self.steps}


def cases():
    one = Answer(chat(100)).make(5, 1)
    for number in range(2, 50):
        one.make(5 + number, number)
    yield one.end(60).case("the first token leaves at once, then eight a chunk, a receipt for 32")
    yield (Answer(chat(100)).make(0, 1).make(1, 2, 3).wait(5).wait(6).make(8, 4).wait(12).wait(13).make(18, 5).make(22, 6).wait(26)
           .wait(27).end(28).case("gathered tokens leave after 5 ms, and those that come as long after others at once"))
    yield (Answer(chat(100)).make(0, 1).make(10, *range(2, 10)).make(999, *range(10, 18)).make(1_000, *range(18, 26))
           .make(1_001, *range(26, 34)).case("a receipt is a second old at the most while chunks follow"))
    slow = Answer(chat(100)).make(0, 1)
    for number in range(2, 36):
        slow.make(10 * number, number).wait(10 * number + 20)
    yield slow.case("a receipt for 32 chunks")
    yield (Answer(chat(100)).make(0, 1).stand_still(1).make(2, *range(2, 10)).stand_still(3).stand_still(4).end(5)
           .stand_still(6).case("what has no receipt gets one where serving stands still"))
    yield (Answer(chat(100)).make(0, 1).make(10, *range(2, 10)).wait(709).wait(710).wait(2_109).wait(2_110).ack(2_500, 0)
           .wait(3_509).wait(3_510).ack(3_600, 1).wait(4_209).wait(4_210).ack(4_300, 2).wait(20_000)
           .case("what is not acknowledged is repeated, ever later"))
    yield (Answer(chat(100)).make(0, 1).ack(100, 1).make(5_000, *range(2, 10)).wait(14_999).wait(15_000)
           .case("a client that acknowledges nothing for ten seconds is given up"))
    full = Answer(chat(1_000)).make(0, 1)
    for number in range(1, 64):
        full.make(number, *range(8 * number, 8 * number + 8))
    yield full.ack(70, 0).ack(71, 1).case("64 chunks and no more before one is acknowledged")
    yield (Answer({"Embed": {"inputs": ["silk"] * 10}}, 15).embed(0, 0, 2_560, 10).ack(1, 0).wait(700).ack(701, 1).wait(1_401)
           .end(1_402)
           .case("vectors are cut at 30,720 bytes, and 64 KiB are repeated"))
    yield Answer({"Embed": {"inputs": ["silk"] * 2}}, 6).embed(0, 0, 16_000, 2).case("a vector that is longer is a chunk of its own")


write(__file__, "sending.json", {
    "provider_seed": PROVIDER.hex(), "provider": public_of(PROVIDER).hex(), "job": JOB.hex(), "model": MODEL.hex(),
    "cases": list(cases()),
})
