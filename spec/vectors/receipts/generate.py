#!/usr/bin/env python3
"""Writes the vectors of spec/05-work-and-receipts.md beside this file: transcripts, receipts, and streams, good and bad."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import DEFAULT, begin, bill, encode, public_of, seed, sign, then, units, units_due, units_read, write

CLIENT, PROVIDER, OTHER = seed(1), seed(2), seed(3)
JOB, MODEL = bytes([10]) * 16, bytes([0xAB]) * 32
PRICE = 5_000


def chat(text, max_tokens):
    sampling = {"temperature_milli": 700, "top_p_milli": 950, "top_k": 40, "seed": "1"}
    return {"Generate": {"messages": [{"role": "User", "content": text}], "max_tokens": max_tokens,
                         "sampling": sampling, "prefix": [], "stop": []}}


def tokens(*ids):
    return {"Tokens": {"ids": list(ids), "text": "".join(f"{number} " for number in ids)}}


def vectors(first, dims, numbers, tail=b""):
    return {"Vectors": {"first": first, "dims": dims, "bytes": (bytes([0, 0, 0x80, 0x3F]) * numbers + tail).hex()}}


def end(finish="Stop"):
    return {"End": {"finish": finish}}


class Provider:
    """An honest provider's stream; what a test wants to be false is given by name."""

    def __init__(self, task, input_tokens, cached=0, weights=DEFAULT):
        self.weights, self.input, self.output_tokens, self.index = weights, (input_tokens, cached), 0, 0
        self.rows, self.rows_wanted = 0, len(task["Embed"]["inputs"]) if "Embed" in task else 0
        self.transcript = begin(JOB, MODEL, encode("Task", task))

    def chunk(self, content, expect="taken", why=None, key=PROVIDER, last=None, domain="receipt", raw=None, index=None,
              altered=None, signs=True, **false):
        content_bytes = raw if raw is not None else encode("Content", content)
        ids = content["Tokens"]["ids"] if "Tokens" in content else []
        self.output_tokens += len(ids)
        if "Vectors" in content:
            rows = content["Vectors"]
            self.rows = rows["first"] + (len(rows["bytes"]) // 8 // rows["dims"] if rows["dims"] else 0)
        self.transcript = then(self.transcript, self.index, content_bytes)
        receipt = {
            "job": JOB.hex(), "model": MODEL.hex(), "chunks": self.index + 1, "transcript": self.transcript.hex(),
            "input_tokens": str(self.input[0]), "cached_tokens": str(self.input[1]), "output_tokens": str(self.output_tokens),
            "extensions": [],
        }
        receipt |= {name: value for name, value in false.items() if name != "cost"}
        counts = [int(receipt[name]) for name in ("input_tokens", "cached_tokens", "output_tokens")]
        cost = bill(PRICE, units_due(self.weights, *counts, self.rows, self.rows_wanted, "End" in content))
        receipt["cost"] = str(false.get("cost", cost))
        body = encode("Receipt", receipt)
        chunk = {
            "index": self.index if index is None else index,
            "content": (altered if altered is not None else content_bytes).hex(),
            "receipt": {"body": body.hex(), "signature": sign(key, domain, body).hex()} if signs else None,
        }
        self.index += 1
        step = {"chunk": chunk, "last": ("End" in content) if last is None else last}
        return step | ({"why": why} if why else {}) | {"expect": expect}


def stream(name, task, steps, input_tokens=None, cached=0, weights=DEFAULT, dims=None, **totals):
    fresh = (12 if "Generate" in task else 6) if input_tokens is None else input_tokens
    return {"name": name, "task": task, "price": str(PRICE), "weights": list(weights),
            "input": {"fresh": fresh, "cached": cached}, "dims": dims, "steps": steps, **totals}


CHAT, PAIR = chat("count for me", 20), {"Embed": {"inputs": ["one", "two"]}}


def answered(task, input_tokens, *contents, cached=0, weights=DEFAULT, unsigned=()):
    provider = Provider(task, input_tokens, cached, weights)
    return [provider.chunk(content, signs=place not in unsigned) for place, content in enumerate(contents)]


def total(steps):
    cost = steps[-1]["chunk"]["receipt"]["body"]
    return str(int.from_bytes(bytes.fromhex(cost)[-16:-8], "little"))


def good():
    plain = answered(CHAT, 12, tokens(1), tokens(2, 3, 4, 5, 6, 7, 8, 9), tokens(10), end())
    yield stream("an answer in order", CHAT, plain, cost=total(plain), finish="Stop")
    order = answered(CHAT, 12, tokens(1), tokens(2, 3), tokens(4), end("Length"))
    late = [order[3] | {"expect": "waits"}, order[1] | {"expect": "waits"}, order[0] | {"expect": "taken"},
            order[0] | {"expect": "nothing"}, order[2] | {"expect": "taken"}, order[3] | {"expect": "nothing"}]
    yield stream("reordered and repeated, it is the same answer", CHAT, late, cost=total(order), finish="Length")
    few = answered(CHAT, 12, tokens(1), tokens(2, 3), tokens(4), tokens(5), end(), unsigned=(1, 3))
    yield stream("one receipt for several chunks", CHAT, few, cost=total(few), finish="Stop")
    late = [few[2] | {"expect": "waits"}, few[0], few[1], few[4] | {"expect": "waits"}, few[3]]
    yield stream("and in another order", CHAT, late, cost=total(few), finish="Stop")
    none = answered(CHAT, 12, tokens(1), tokens(2, 3), end(), unsigned=(0, 1))
    yield stream("one receipt for all", CHAT, none, cost=total(none), finish="Stop")
    asked = answered(CHAT, 12, tokens(1), tokens(2, 3), tokens(), end(), unsigned=(1,))
    yield stream("a receipt with no tokens of its own", CHAT, asked, cost=total(asked), finish="Stop")
    rows = answered(PAIR, 6, vectors(0, 3, 3), vectors(1, 3, 3), end(), unsigned=(1,))
    yield stream("vectors without a receipt", PAIR, rows, cost=total(rows), finish="Stop")
    empty = answered(CHAT, 12, end())
    yield stream("an answer that is nothing but an end costs the job and its input", CHAT, empty, cost=total(empty), finish="Stop")
    empty = answered(CHAT, 12, tokens(), tokens(), end())
    yield stream("empty chunks add nothing to it", CHAT, empty, cost=total(empty), finish="Stop")
    short = answered(CHAT, 12, tokens(1), end())
    yield stream("a short answer is whole with its end", CHAT, short, cost=total(short), finish="Stop")
    kept = answered(CHAT, 12, tokens(1), tokens(2, 3), end(), cached=64)
    yield stream("input that was read before", CHAT, kept, cached=64, cost=total(kept), finish="Stop")
    heavy = answered(CHAT, 12, tokens(1), tokens(2, 3), end(), weights=(100, 50, 2_000))
    yield stream("weights that the manifest fixes", CHAT, heavy, weights=(100, 50, 2_000), cost=total(heavy), finish="Stop")
    far = answered(CHAT, 12, tokens(1), end())
    yield stream("a chunk too far ahead is not kept", CHAT, [
        far[1] | {"chunk": far[1]["chunk"] | {"index": 64}, "expect": "nothing"}, *far], cost=total(far), finish="Stop")
    near = answered(CHAT, 12, *(tokens(number) for number in range(20)), *(tokens() for _ in range(44)), end())
    yield stream("the farthest chunk that is kept", CHAT, [
        near[63] | {"expect": "waits"}, *(step | {"expect": "taken"} for step in near[:63]), near[64]],
        cost=total(near), finish="Stop")
    yield stream("and the first that is not", CHAT, [
        near[64] | {"expect": "nothing"}, *(step | {"expect": "taken"} for step in near[:64]), near[64]],
        cost=total(near), finish="Stop")
    more = answered(CHAT, 12, tokens(1), end(), tokens(2))
    yield stream("a chunk after the end is not taken", CHAT, [*more[:2], more[2] | {"expect": "nothing"}],
                 cost=total(more[:2]), finish="Stop")
    most = answered(CHAT, 76, tokens(*range(20)), end("Length"))
    yield stream("as many tokens as the task can have", CHAT, most, 76, cost=total(most), finish="Length")
    rows = answered(PAIR, 6, vectors(0, 3, 3), vectors(1, 3, 3), end())
    yield stream("vectors, one by one", PAIR, rows, cost=total(rows), finish="Stop")
    rows = answered(PAIR, 6, vectors(0, 2, 4), end())
    yield stream("vectors, all at once", PAIR, rows, cost=total(rows), finish="Stop")
    rows = answered(PAIR, 6, vectors(0, 3, 3), vectors(1, 3, 3), end())
    yield stream("vectors of the width that the manifest states", PAIR, rows, dims=3, cost=total(rows), finish="Stop")


def after(content=tokens(1), task=CHAT, input_tokens=12):
    provider = Provider(task, input_tokens)
    return provider, provider.chunk(content)


def bad(name, fault, make, task=CHAT, content=tokens(1), input_tokens=12):
    provider, first = after(content, task, input_tokens)
    step = make(provider) | {"expect": fault}
    return stream(name, task, [first, step])


def false(**named):
    return lambda provider: provider.chunk(named.pop("content", tokens(2, 3)), **named)


def later(name, fault, *steps, **claimed):
    """A chunk without a receipt, then one whose receipt claims something else about the two."""
    provider, first = after()
    second = provider.chunk(tokens(2, 3), signs=False)
    return stream(name, CHAT, [first, second, provider.chunk(tokens(4), **claimed) | {"expect": fault}])


def given_up(name, read, step, task=CHAT, input_tokens=12, **more):
    """A job that its client left when it had been told that so many tokens were read."""
    return stream(name, task, step if isinstance(step, list) else [step], input_tokens, read=read, **more)


def reading(read, expect="taken", task=CHAT, input_tokens=12, content=tokens(), beyond=0, **false):
    cost = bill(PRICE, units_read(DEFAULT, input_tokens, 0, read)) + beyond
    return Provider(task, input_tokens).chunk(content, expect, cost=cost, **false)


def asked(read, told):
    step = reading(read)
    return given_up(f"{read} tokens read, of which {told} were told of", told, step, cost=total([step]))


GIVEN_UP = [asked(read, told) for read, told in ((0, 0), (0, 12), (1, 1), (6, 6), (6, 12), (12, 12), (12, 99))]
BAD = [
    given_up("reading that nobody was told of", 0, reading(6, "cost")),
    given_up("more reading than was told of", 5, reading(6, "cost")),
    given_up("more than a quarter for reading", 12, reading(12, "cost", beyond=1)),
    given_up("reading billed with a token", 12, reading(12, "cost", content=tokens(1))),
    given_up("reading billed after a token", 12, [after()[1], reading(12, "mismatch", index=1)]),
    given_up("reading of an embedding", 6, reading(6, "cost", PAIR, 6), PAIR, 6),
    given_up("reading billed twice", 12, [reading(12), reading(12, "mismatch", index=1)]),
    later("a receipt that leaves out what came without one", "tokens", output_tokens="2"),
    later("a receipt that counts what came without one twice", "tokens", output_tokens="6"),
    later("a receipt that bills only its own chunk", "cost", cost=600),
    later("a receipt over another chunk than the one that came without", "mismatch", transcript="00" * 32),
    bad("a receipt signed by another", "unreadable", false(key=OTHER)),
    bad("a receipt signed as a bid", "unreadable", false(domain="bid")),
    bad("content that is no content", "unreadable", false(raw=b"\x09\0\0\0")),
    bad("content with a byte too many", "unreadable", false(raw=encode("Content", tokens(2)) + b"\0")),
    bad("a receipt for another job", "mismatch", false(job="0b" * 16)),
    bad("a receipt for another model", "mismatch", false(model="ac" * 32)),
    bad("a receipt that skips a chunk", "mismatch", false(chunks=3)),
    bad("a receipt that counts no new chunk", "mismatch", false(chunks=1)),
    bad("another transcript", "mismatch", false(transcript="00" * 32)),
    bad("content changed after its receipt", "mismatch", false(altered=encode("Content", tokens(2, 4)))),
    bad("an end in a frame that is not the last", "mismatch", false(content=end(), last=False)),
    bad("an end without a receipt", "mismatch", false(content=end(), signs=False)),
    bad("tokens in the last frame without a receipt", "mismatch", false(last=True, signs=False)),
    bad("more tokens than were ordered, without a receipt", "tokens", false(content=tokens(*range(20)), signs=False)),
    bad("vectors in an answer of tokens, without a receipt", "vectors", false(content=vectors(0, 1, 1), signs=False)),
    bad("content that is no content, without a receipt", "unreadable", false(raw=b"\x09\0\0\0", signs=False)),
    bad("tokens in the last frame", "mismatch", false(last=True)),
    bad("more output tokens than the chunk holds", "tokens", false(output_tokens="4")),
    bad("fewer output tokens than the chunk holds", "tokens", false(output_tokens="2")),
    bad("input tokens that grow", "tokens", false(input_tokens="13")),
    bad("cached tokens that nobody stated", "tokens", false(cached_tokens="1")),
    bad("fresh tokens called cached", "tokens", false(input_tokens="0", cached_tokens="12")),
    bad("input tokens that shrink", "tokens", false(input_tokens="11")),
    stream("more input tokens than were stated", CHAT, [Provider(CHAT, 13).chunk(tokens(1), "tokens")]),
    stream("fewer input tokens than were stated", CHAT, [Provider(CHAT, 11).chunk(tokens(1), "tokens")]),
    bad("more output tokens than were ordered", "tokens", false(content=tokens(*range(20)))),
    bad("tokens in an embedding", "tokens", false(), PAIR, vectors(0, 1, 1), 6),
    bad("a bill above the price", "cost", false(cost=1_081)),
    bad("a bill below the price", "cost", false(cost=1_079)),
    bad("a bill of nothing", "cost", false(cost=0)),
    bad("a bill that grows with an empty chunk", "cost", false(content=tokens(), cost=361)),
    bad("the whole price before the whole answer", "cost", false(cost=2_780)),
    stream("the whole price with the first token", CHAT, [Provider(CHAT, 12).chunk(tokens(1), "cost", cost=2_180)]),
    stream("a price for an empty chunk", CHAT, [Provider(CHAT, 12).chunk(tokens(), "cost", cost=1_880)]),
    stream("the price of a token for an end without an answer", CHAT, [Provider(CHAT, 12).chunk(end(), "cost", cost=2_180)]),
    bad("the whole price with half of the vectors", "cost", false(content=vectors(1, 1, 1), cost=1_580),
        {"Embed": {"inputs": ["one", "two", "three", "four"]}}, vectors(0, 1, 1), 6),
    bad("vectors in an answer of tokens", "vectors", false(content=vectors(0, 1, 1))),
    bad("a vector twice", "vectors", false(content=vectors(0, 1, 1)), PAIR, vectors(0, 1, 1), 6),
    bad("a vector left out", "vectors", false(content=vectors(2, 1, 1)), PAIR, vectors(0, 1, 1), 6),
    bad("more vectors than inputs", "vectors", false(content=vectors(1, 1, 2)), PAIR, vectors(0, 1, 1), 6),
    bad("half a vector", "vectors", false(content=vectors(1, 2, 1)), PAIR, vectors(0, 2, 2), 6),
    bad("a vector and a half", "vectors", false(content=vectors(1, 2, 3)), PAIR, vectors(0, 2, 2), 6),
    bad("a number cut short", "vectors", false(content=vectors(1, 1, 1, b"\0\0")), PAIR, vectors(0, 1, 1), 6),
    bad("vectors without numbers", "vectors", false(content=vectors(1, 0, 0)), PAIR, vectors(0, 1, 1), 6),
    bad("vectors of another width than before", "vectors", false(content=vectors(1, 2, 2)), PAIR, vectors(0, 1, 1), 6),
    stream("vectors of another width than the manifest's", PAIR, [Provider(PAIR, 6).chunk(vectors(0, 4, 4), "vectors")], dims=3),
    bad("an end before the last vector", "vectors", false(content=end()), PAIR, vectors(0, 1, 1), 6),
]
write(__file__, "streams.json", {
    "client": public_of(CLIENT).hex(), "provider": public_of(PROVIDER).hex(), "job": JOB.hex(), "model": MODEL.hex(),
    "cases": list(good()), "given_up": GIVEN_UP, "refused": BAD,
})


def transcript(task, contents):
    task_bytes = encode("Task", task)
    hashes, chunks = [begin(JOB, MODEL, task_bytes)], []
    for index, content in enumerate(contents):
        raw = encode("Content", content)
        hashes.append(then(hashes[-1], index, raw))
        chunks.append(raw.hex())
    return {"job": JOB.hex(), "model": MODEL.hex(), "task": task, "task_bytes": task_bytes.hex(), "chunks": chunks,
            "hashes": [value.hex() for value in hashes]}


def receipt(number):
    value = {"job": JOB.hex(), "model": MODEL.hex(), "chunks": number, "transcript": bytes([number]).hex() * 32,
             "input_tokens": "12", "cached_tokens": "3", "output_tokens": str(8 * number),
             "cost": str(bill(PRICE, units(DEFAULT, 12, 3, 8 * number))), "extensions": []}
    body = encode("Receipt", value)
    return {"value": value, "provider_seed": PROVIDER.hex(), "client_seed": CLIENT.hex(), "body": body.hex(),
            "signature": sign(PROVIDER, "receipt", body).hex(), "countersignature": sign(CLIENT, "countersign", body).hex()}


write(__file__, "receipts.json", {
    "transcripts": [
        transcript(CHAT, [tokens(1), tokens(2, 3), end()]), transcript(CHAT, []),
        transcript(PAIR, [vectors(0, 300, 600), end("Stop")]),
        transcript(chat("x" * 1500, 9), [{"Tokens": {"ids": list(range(600)), "text": "long " * 400}}]),
    ],
    "receipts": [receipt(1), receipt(200)],
})
