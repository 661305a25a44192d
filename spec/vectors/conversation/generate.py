#!/usr/bin/env python3
"""Writes `conversation.json` beside this file: one whole conversation between a client and a provider, from a seek over two jobs,
the second in the kept session of the first, to a close, with fixed keys and every byte that crosses, made by the pages alone. The machines in Rust have to say the same, byte for byte
(`protocol/tests/conversation.rs`)."""

import hashlib
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import noise
from reference import (
    CLOSE_ORDER, DEFAULT, account, begin, bill, blake3, blake3_derive, blake3_keyed, encode, key_proof, payment, public_of, seed, sign,
    sign_raw, signed, statement, then, units, units_due, write,
)

MODEL = "ab" * 32
PRICE, INPUT, TOKENS, KEPT_TOKENS, MAX_TOKENS = 400_000, 12, 40, 5, 50
EPOCH = 1_000_007
PLAIN = {"features": "0", "extensions": []}

# ---- keys and draws: given. The reference makes them so, and nobody else has to. ----


def of_tests(purpose: str) -> bytes:
    return blake3_keyed(blake3(purpose.encode()), struct.pack("<Q", 1))


def drawn(entropy: bytes, place: int, length: int) -> bytes:
    return blake3_keyed(blake3_derive("bombyx/1/entropy", entropy), struct.pack("<Q", place))[:length]


CLIENT, PROVIDER = of_tests("client identity"), of_tests("provider identity")
CHANNEL, CLOSE = of_tests("client channel"), of_tests("provider close")
SESSION = of_tests("provider session")
WALLET, PAYOUT = ({"workchain": 0, "hash": of_tests(f"{who} wallet").hex()} for who in ("client", "provider"))
CLIENT_DRAWS, PROVIDER_DRAWS = of_tests("client entropy"), of_tests("provider entropy")
SEAL, SEEK = drawn(CLIENT_DRAWS, 0, 32), drawn(CLIENT_DRAWS, 1, 16).hex()
CALL, JOB = drawn(CLIENT_DRAWS, 2, 16).hex(), drawn(CLIENT_DRAWS, 3, 16).hex()
CLIENT_EPHEMERAL = drawn(CLIENT_DRAWS, 4, 32)
SALT_INDEX = struct.unpack("<Q", drawn(CLIENT_DRAWS, 5, 8))[0] % 1_024
KEPT_JOB = drawn(CLIENT_DRAWS, 6, 16).hex()
BID_EPHEMERAL, PROVIDER_EPHEMERAL = drawn(PROVIDER_DRAWS, 0, 32), drawn(PROVIDER_DRAWS, 1, 32)

CLIENT_ID, PROVIDER_ID = public_of(CLIENT).hex(), public_of(PROVIDER).hex()
SALT = struct.unpack("<Q", blake3_derive(
    "bombyx/1/channel-salt", CHANNEL + public_of(CLOSE) + struct.pack("<I", SALT_INDEX))[:8])[0]
TERMS = {
    "network_id": -3, "salt": str(SALT), "client_key": public_of(CHANNEL).hex(), "provider_key": public_of(CLOSE).hex(),
    "client": WALLET, "provider": PAYOUT, "challenge_s": 60,
}
ACCOUNT = account(TERMS)

# ---- what crosses ----

CROSSED = []


def cross(at_ms, sender, way, what, **more):
    CROSSED.append({"at_ms": at_ms, "from": sender, "way": way, "what": what, **more})


def gossip(at_ms, kind, value):
    domain = kind.lower()
    said = signed(CLIENT, domain, kind, value)
    cross(at_ms, "client", "topic", kind, value=value, body=said["body"], signature=said["signature"],
          bytes=encode("Gossip", {kind: said}).hex())


def message(at_ms, sender, kind, value, **inside):
    outer = {"ToProvider" if sender == "client" else "ToClient": {kind: value}}
    cross(at_ms, sender, "stream", kind, **inside, value=value, bytes=encode("Message", outer).hex())


gossip(0, "Seek", {"id": SEEK, "client": CLIENT_ID, "model": MODEL, "invited": 1_000_000, "input_log2": 0, "output_log2": 0,
                   "made_s": "1795953600", "stamp": "0", **PLAIN})
ASK = {
    "provider": PROVIDER_ID, "model": MODEL, "name": "counter", "kind": "Generate", "price": str(PRICE), "context_tokens": 4_096,
    "output_max": 4_096, "read_tps": 1_000, "write_tps": 100, "start_ms": 10, "tier": "Open", "seek": SEEK, "valid_ms": 60_000,
    **PLAIN,
}
message(5, "provider", "Ask", signed(PROVIDER, "ask", "Ask", ASK), inside=ASK)
gossip(3_000, "Call", {
    "id": CALL, "client": CLIENT_ID, "seal_key": noise.public_of(SEAL).hex(), "model": MODEL, "kind": "Generate", "input_log2": 8,
    "output_log2": 6, "tier": "Open", "window_ms": 400, "invited": 1_000_000, "made_s": "1795953603", "deadline_ms": 64_000,
    "stamp": "0", **PLAIN,
})
BID = {
    "call": CALL, "provider": PROVIDER_ID, "model": MODEL, "session_key": noise.public_of(SESSION).hex(), "price": str(PRICE),
    "start_ms": 10, "ahead_ms": 0, "read_tps": 1_000, "write_tps": 100, "keep_s": 0, "tier": "Open", "valid_ms": 30_000,
    "payee": {"network_id": -3, "key": public_of(CLOSE).hex(), "address": PAYOUT, "challenge_s": 60}, "credit": "0", **PLAIN,
}
SIGNED_BID = signed(PROVIDER, "bid", "Bid", BID)
SEALED = noise.seal(noise.public_of(SEAL), BID_EPHEMERAL, bytes.fromhex(CALL), noise.block(encode("Signed", SIGNED_BID), True))
message(3_005, "provider", "Bid", {"call": CALL, "sealed": SEALED.hex()}, inside=BID, signed=SIGNED_BID)

BID_HASH = blake3(bytes.fromhex(SIGNED_BID["body"])).hex()


def prologue(job):
    return b"bombyx/1/session" + bytes.fromhex(CLIENT_ID + PROVIDER_ID + job)


HANDSHAKE = noise.Session(SESSION, CLIENT_EPHEMERAL, PROVIDER_EPHEMERAL, prologue(JOB))
KEPT = noise.KeptSession(HANDSHAKE.kept, prologue(KEPT_JOB), 0)
message(3_400, "client", "Award", {
    "job": JOB, "call": CALL, "bid": BID_HASH, "price": str(PRICE),
    "handshake": HANDSHAKE.first.hex(), "extensions": [],
})
message(3_405, "provider", "Accept", {"job": JOB, "handshake": HANDSHAKE.reply.hex(), "extensions": []})

TASK = {"Generate": {
    "messages": [{"role": "User", "content": "count for me"}], "max_tokens": MAX_TOKENS,
    "sampling": {"temperature_milli": 0, "top_p_milli": 1_000, "top_k": 0, "seed": "0"}, "prefix": [], "stop": [],
}}


def tokens(first, past):
    numbers = range(first, past)
    return {"Tokens": {"ids": [1_000 + number for number in numbers], "text": "".join(f"{number} " for number in numbers)}}


class Job:
    """What both sides say of a job in its session; `before` is what the channel owes from earlier ones."""

    def __init__(self, job, session, before):
        self.job, self.session, self.before = job, session, before
        self.frames = {"client": 0, "provider": 0}
        self.transcript = begin(bytes.fromhex(job), bytes.fromhex(MODEL), encode("Task", TASK))
        self.made = self.chunks = self.cost = 0
        self.final = None

    def seal(self, sender, kind, value, last=False):
        """The next frame's number and bytes, and what is said of its inside."""
        body = encode("FromClient" if sender == "client" else "FromProvider", {kind: value})
        key = self.session.client_key if sender == "client" else self.session.provider_key
        number = self.frames[sender]
        self.frames[sender] += 1
        return number, noise.frame(key, number, noise.block(body, last)), {"inside": {kind: value}, "body": body.hex(), "last": last}

    def frame(self, at_ms, sender, kind, value, last=False):
        number, sealed, inside = self.seal(sender, kind, value, last)
        message(at_ms, sender, "Sealed", {"job": self.job, "nonce": str(number), "bytes": sealed.hex()}, **inside)

    def work(self):
        return {"task": TASK, "input": {"fresh": INPUT, "cached": 0}, "channel": TERMS,
                "key_proof": key_proof(CHANNEL, self.session.hash, ACCOUNT).hex(), "extensions": []}

    def ack(self, at_ms, last=False):
        owed = self.before + self.cost
        paid = payment(CHANNEL, ACCOUNT, EPOCH, owed) if owed else None
        under = sign(CLIENT, "countersign", self.final).hex() if last else None
        self.frame(at_ms, "client", "Ack", {"next": self.chunks, "payment": paid, "countersignature": under, "extensions": []})

    def chunk(self, at_ms, content, receipted):
        raw = encode("Content", content)
        self.transcript = then(self.transcript, self.chunks, raw)
        self.chunks += 1
        self.made += len(content["Tokens"]["ids"]) if "Tokens" in content else 0
        receipt = None
        if receipted:
            self.cost = bill(PRICE, units_due(DEFAULT, INPUT, 0, self.made, complete="End" in content))
            value = {"job": self.job, "model": MODEL, "chunks": self.chunks, "transcript": self.transcript.hex(),
                     "input_tokens": str(INPUT), "cached_tokens": "0", "output_tokens": str(self.made), "cost": str(self.cost),
                     "extensions": []}
            receipt = signed(PROVIDER, "receipt", "Receipt", value)
            self.final = bytes.fromhex(receipt["body"])
        self.frame(at_ms, "provider", "Chunk", {"index": self.chunks - 1, "content": raw.hex(), "receipt": receipt},
                   last="End" in content)


first = Job(JOB, HANDSHAKE, 0)
first.frame(3_410, "client", "Work", first.work())
# Nobody lends anything here, so the provider wants to see the channel before it counts.
first.frame(3_415, "provider", "NeedPayment", {"cumulative": "0", "newest": None, "extensions": []})
first.ack(3_420)
DEPOSIT = 2 * bill(PRICE, units(DEFAULT, INPUT, 0, MAX_TOKENS))
cross(3_420, "client", "ledger", "open", value={"terms": TERMS, "account": ACCOUNT.hex(), "deposit": str(DEPOSIT)},
      bytes=(encode("ChannelTerms", TERMS) + struct.pack("<Q", DEPOSIT)).hex())
first.ack(3_920)  # the ledger shows the channel: nothing is promised yet, and the input is counted
first.chunk(3_922, tokens(0, 1), True)
first.ack(3_927)
for place in range(4):
    first.chunk(3_926 + 4 * place, tokens(1 + 8 * place, 9 + 8 * place), place == 3)
first.ack(3_943)
first.chunk(3_942, tokens(33, 40), False)
first.chunk(3_942, {"End": {"finish": "Stop"}}, True)
first.ack(3_947, last=True)
assert first.made == TOKENS and first.cost == bill(PRICE, units(DEFAULT, INPUT, 0, TOKENS))

# The bid is a lease now, and the client has paid: one message awards it and brings the task.
second = Job(KEPT_JOB, KEPT, first.cost)
_, WORK, INSIDE = second.seal("client", "Work", second.work())
message(3_952, "client", "KeptAward", {
    "job": KEPT_JOB, "call": CALL, "bid": BID_HASH, "price": str(PRICE), "session": JOB, "number": "0", "work": WORK.hex(),
    "extensions": [],
}, **INSIDE)
second.chunk(3_959, tokens(0, 1), False)
second.chunk(3_961, tokens(1, KEPT_TOKENS), False)
second.chunk(3_961, {"End": {"finish": "Stop"}}, True)
second.ack(3_966, last=True)
TOTAL = first.cost + second.cost
assert second.made == KEPT_TOKENS and second.cost == bill(PRICE, units(DEFAULT, INPUT, 0, KEPT_TOKENS))

ORDER = sign_raw(CLOSE, statement(CLOSE_ORDER, ACCOUNT, EPOCH, TOTAL))
VOUCHER = payment(CHANNEL, ACCOUNT, EPOCH, TOTAL)
cross(3_971, "provider", "ledger", "close",
      value={"account": ACCOUNT.hex(), "epoch": str(EPOCH), "cumulative": str(TOTAL), "voucher": VOUCHER["signature"],
             "order": ORDER.hex()},
      bytes=(struct.pack("<QQ", EPOCH, TOTAL) + bytes.fromhex(VOUCHER["signature"]) + ORDER).hex())


def told(job, session):
    return {"prologue": prologue(job).hex(), "binding": session.hash.hex(), "client_key": session.client_key.hex(),
            "provider_key": session.provider_key.hex()}


write(__file__, "conversation.json", {
    "keys": {
        "client": {"identity_seed": CLIENT.hex(), "id": CLIENT_ID, "channel_seed": CHANNEL.hex(), "seal_secret": SEAL.hex(),
                   "ephemeral_secret": CLIENT_EPHEMERAL.hex()},
        "provider": {"identity_seed": PROVIDER.hex(), "id": PROVIDER_ID, "close_seed": CLOSE.hex(),
                     "session_secret": SESSION.hex(), "bid_ephemeral_secret": BID_EPHEMERAL.hex(),
                     "ephemeral_secret": PROVIDER_EPHEMERAL.hex()},
    },
    "session": {**told(JOB, HANDSHAKE), "kept_secret": HANDSHAKE.kept.hex()},
    "kept_session": told(KEPT_JOB, KEPT),
    "channel": {"terms": TERMS, "account": ACCOUNT.hex(), "epoch": str(EPOCH)},
    # Chunks and acknowledgements cross each other on the way.
    "crossed": sorted(CROSSED, key=lambda crossed: crossed["at_ms"]),
})
