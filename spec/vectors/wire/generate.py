#!/usr/bin/env python3
"""Writes the vectors of spec/01-wire.md beside this file: the bytes of every message, and bytes that are none."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import LAYOUT, blake3, encode, public_of, seed, sign, signed, write

CLIENT, PROVIDER, OTHER = seed(1), seed(2), seed(3)
CLIENT_ID, PROVIDER_ID = public_of(CLIENT).hex(), public_of(PROVIDER).hex()
MODEL, JOB, CALL_ID = "ab" * 32, "0a" * 16, "0c" * 16
LARGEST = 2**64 - 1


TERMS = {
    "network_id": -239, "salt": "7", "client_key": public_of(seed(4)).hex(), "provider_key": public_of(seed(5)).hex(),
    "client": {"workchain": 0, "hash": "c1" * 32}, "provider": {"workchain": 0, "hash": "b1" * 32},
    "challenge_s": 3600,
}
FAR_TERMS = TERMS | {
    "network_id": 2**31 - 1, "salt": str(LARGEST), "client": {"workchain": -1, "hash": "ff" * 32},
    "challenge_s": 2**32 - 1,
}
# What a statement of this version has where a later one grows; and one that has grown, up to the limits.
PLAIN = {"features": "0", "extensions": []}
GROWN = {
    "features": str(LARGEST),
    "extensions": [{"kind": 0, "value": ""}, {"kind": 1, "value": "01" * 512}, {"kind": 65_535, "value": "ff" * 512}],
}
ODD = [{"kind": 7, "value": "c0ffee"}]
FULL = [{"kind": 2 * kind + 1, "value": "e5" * 64} for kind in range(16)]
CALL = {
    "id": CALL_ID, "client": CLIENT_ID, "seal_key": "5e" * 32, "model": MODEL, "kind": "Generate",
    "input_log2": 6, "output_log2": 7, "tier": "Open", "window_ms": 400,
    "invited": 250_000, "made_s": "1764374400", "deadline_ms": 128_000, "stamp": "0", **PLAIN,
}
SEEK = {
    "id": "5c" * 16, "client": CLIENT_ID, "model": MODEL, "invited": 1_000_000, "input_log2": 0, "output_log2": 0,
    "made_s": "1764374400", "stamp": "0", **PLAIN,
}
ASK = {
    "provider": PROVIDER_ID, "model": MODEL, "name": "tiny-chat é", "kind": "Generate",
    "price": "40000", "context_tokens": 8_192, "output_max": 4_096, "read_tps": 2_000, "write_tps": 120, "start_ms": 513,
    "tier": "Open", "seek": "5c" * 16,
    "valid_ms": 60_000, **PLAIN,
}
BID = {
    "call": CALL_ID, "provider": PROVIDER_ID, "model": MODEL, "session_key": "5f" * 32,
    "price": "40000", "start_ms": 90, "ahead_ms": 7_000, "read_tps": 2_000, "write_tps": 45, "keep_s": 3_600, "tier": "Confidential",
    "valid_ms": 30_000,
    "payee": {
        "network_id": -3, "key": public_of(seed(5)).hex(), "address": {"workchain": 0, "hash": "b1" * 32},
        "challenge_s": 60,
    },
    "credit": "5000000", **PLAIN,
}
RECEIPT = {
    "job": JOB, "model": MODEL, "chunks": 3, "transcript": "7a" * 32, "input_tokens": "12", "cached_tokens": "3", "output_tokens": "17",
    "cost": "5350", "extensions": [],
}
PAYMENT = {"epoch": "47000001", "cumulative": "5350", "signature": "51" * 64}
CHAT = {"Generate": {
    "messages": [
        {"role": "System", "content": "Be short."}, {"role": "User", "content": "Grüße, 世界 🐛"},
        {"role": "Assistant", "content": ""},
    ],
    "max_tokens": 100, "sampling": {"temperature_milli": 700, "top_p_milli": 950, "top_k": 40, "seed": str(LARGEST)},
    "prefix": [0, 1, 4_294_967_295], "stop": ["\n\n", "END"],
}}
SIGNED_CALL, SIGNED_SEEK = signed(CLIENT, "call", "Call", CALL), signed(CLIENT, "seek", "Seek", SEEK)
SIGNED_ASK = signed(PROVIDER, "ask", "Ask", ASK)
SIGNED_RECEIPT = signed(PROVIDER, "receipt", "Receipt", RECEIPT)
TOKENS = {"Tokens": {"ids": [5, 6, 7], "text": "one two three"}}
CONTENT = encode("Content", TOKENS).hex()


def frame(nonce, size):
    return {"Sealed": {"job": JOB, "nonce": str(nonce), "bytes": "5a" * size}}


def detailed(why):
    """A refusal with a number where it has one."""
    has_number = why in ("TooManyInputs", "TooManyMessages", "TooManyStops", "BadStop", "TaskTooLong", "OverContext",
                         "BadToken", "BadInput", "Counts")
    return {why: str(LAYOUT["Refusal"].numbers[why] + 1_000)} if has_number else why


MESSAGES = [
    ("a call", "Call", CALL),
    ("a call at its extremes", "Call", CALL | {
        "kind": "Embed", "input_log2": 0, "output_log2": 64, "tier": "Confidential", "window_ms": 2**32 - 1, "invited": 0,
        "made_s": str(LARGEST), "deadline_ms": 2**32 - 1, "stamp": str(LARGEST), **GROWN}),
    ("a seek", "Seek", SEEK),
    ("a seek with an extension", "Seek", SEEK | {"stamp": "9", "features": "5", "extensions": ODD}),
    ("a seek for whatever is on offer", "Seek", SEEK | {"model": None}),
    ("a seek for the price of tasks of some classes", "Seek", SEEK | {"input_log2": 9, "output_log2": 12}),
    ("an ask", "Ask", ASK),
    ("an ask without a name", "Ask", ASK | {"name": "", "price": str(LARGEST), "seek": "ff" * 16}),
    ("an ask with sixteen extensions", "Ask", ASK | {"features": "1", "extensions": FULL}),
    ("a bid", "Bid", BID),
    ("a bid with an extension", "Bid", BID | GROWN),
    ("a receipt", "Receipt", RECEIPT),
    ("a receipt with an extension", "Receipt", RECEIPT | {"extensions": ODD}),
    ("a gossiped call", "Gossip", {"Call": SIGNED_CALL}),
    ("a gossiped seek", "Gossip", {"Seek": SIGNED_SEEK}),
    ("an ask on its way", "Message", {"ToClient": {"Ask": SIGNED_ASK}}),
    ("an award", "Message", {"ToProvider": {"Award": {
        "job": JOB, "call": CALL_ID, "bid": blake3(encode("Bid", BID)).hex(), "price": "45000",
        "handshake": "e1" * 48, "extensions": []}}}),
    ("an award with an extension", "Message", {"ToProvider": {"Award": {
        "job": JOB, "call": CALL_ID, "bid": "b1" * 32, "price": "45000", "handshake": "e1" * 48,
        "extensions": ODD}}}),
    ("an award in a kept session", "Message", {"ToProvider": {"KeptAward": {
        "job": JOB, "call": CALL_ID, "bid": "b1" * 32, "price": "45000", "session": "5e" * 16, "number": "7",
        "work": "e3" * 528, "extensions": []}}}),
    ("an award in a kept session, with an extension", "Message", {"ToProvider": {"KeptAward": {
        "job": JOB, "call": CALL_ID, "bid": "b1" * 32, "price": "45000", "session": "5e" * 16, "number": "7",
        "work": "e3" * 272, "extensions": ODD}}}),
    ("a client's frame", "Message", {"ToProvider": frame(0, 272)}),
    *((f"a release: {why}", "Message", {"ToProvider": {"Release": {
        "call": CALL_ID, "why": why, "margin": 12 if why == "Outscored" else 0, "come_back_ms": 0, "extensions": []}}}) for why in LAYOUT["ReleaseReason"].numbers),
    ("a release with an appointment", "Message", {"ToProvider": {"Release": {
        "call": CALL_ID, "why": {"Other": 1_000}, "margin": 0, "come_back_ms": 1_500, "extensions": ODD}}}),
    ("a seek for one provider", "Message", {"ToProvider": {"Seek": SEEK | {"model": None}}}),
    ("a call for one provider", "Message", {"ToProvider": {"Call": CALL}}),
    ("a provider that leaves", "Message", {"ToClient": "Leaving"}),
    ("a sealed bid", "Message", {"ToClient": {"Bid": {"call": CALL_ID, "sealed": "5b" * 560}}}),
    ("an acceptance", "Message", {"ToClient": {"Accept": {"job": JOB, "handshake": "e2" * 48, "extensions": []}}}),
    ("an acceptance with an extension", "Message", {"ToClient": {"Accept": {
        "job": JOB, "handshake": "e2" * 48, "extensions": ODD}}}),
    ("an acceptance in a kept session", "Message", {"ToClient": {"Accept": {"job": JOB, "handshake": "", "extensions": []}}}),
    *((f"a refusal: {why}", "Message", {"ToClient": {"Refuse": {"job": JOB, "why": detailed(why), "extensions": []}}})
      for why in LAYOUT["Refusal"].numbers),
    ("a refusal of a later version", "Message", {"ToClient": {"Refuse": {
        "job": JOB, "why": {"Other": {"code": 1_000, "detail": str(LARGEST)}}, "extensions": ODD}}}),
    ("a call that gets no bid", "Message", {"ToClient": {"Decline": {
        "call": CALL_ID, "why": {"OverContext": "4096"}, "extensions": []}}}),
    ("a call that gets no bid, with an extension", "Message", {"ToClient": {"Decline": {
        "call": CALL_ID, "why": "WrongKind", "extensions": ODD}}}),
    ("a provider's frame", "Message", {"ToClient": frame(2**32 - 1, 272)}),
    ("work: a conversation", "FromClient", {"Work": {"task": CHAT, "input": {"fresh": 12, "cached": 0}, "channel": TERMS, "key_proof": "1d" * 64, "extensions": []}}),
    ("work: embeddings", "FromClient", {"Work": {
        "task": {"Embed": {"inputs": ["first", "", "dritter Text"]}}, "input": {"fresh": 2**32 - 1, "cached": 64}, "channel": FAR_TERMS, "key_proof": "ff" * 64,
        "extensions": ODD}}),
    ("an acknowledgement and nothing else", "FromClient", {
        "Ack": {"next": 0, "payment": None, "countersignature": None, "extensions": []}}),
    ("an acknowledgement with a voucher", "FromClient", {
        "Ack": {"next": 3, "payment": PAYMENT, "countersignature": None, "extensions": ODD}}),
    ("the last acknowledgement", "FromClient", {
        "Ack": {"next": 4, "payment": PAYMENT | {"epoch": str(LARGEST), "cumulative": str(LARGEST)},
                "countersignature": sign(CLIENT, "countersign", bytes.fromhex(SIGNED_RECEIPT["body"])).hex(),
                "extensions": []}}),
    ("a cancellation", "FromClient", {"Cancel": {"extensions": []}}),
    ("a cancellation with an extension", "FromClient", {"Cancel": {"extensions": ODD}}),
    ("a chunk", "FromProvider", {"Chunk": {"index": 2, "content": CONTENT, "receipt": SIGNED_RECEIPT}}),
    ("a chunk without a receipt", "FromProvider", {"Chunk": {"index": 3, "content": CONTENT, "receipt": None}}),
    ("a job that waits for a slot", "FromProvider", {"Progress": {"start_ms": 41500, "read": 0}}),
    ("a prompt that is being read", "FromProvider", {"Progress": {"start_ms": 0, "read": 3072}}),
    ("payment is needed", "FromProvider", {"NeedPayment": {"cumulative": "5350", "newest": None, "extensions": []}}),
    ("payment is needed beyond a voucher", "FromProvider", {"NeedPayment": {"cumulative": "9000", "newest": PAYMENT, "extensions": ODD}}),
    ("tokens", "Content", TOKENS),
    ("no tokens", "Content", {"Tokens": {"ids": [], "text": ""}}),
    ("vectors", "Content", {"Vectors": {"first": 4, "dims": 2, "bytes": "0000803f000000c0"}}),
    ("the end: stop", "Content", {"End": {"finish": "Stop"}}),
    ("the end: length", "Content", {"End": {"finish": "Length"}}),
    ("record: a channel that is paid on", "Record", {"Payer": {
        "terms": TERMS, "provider": PROVIDER_ID, "deposit": "50000000", "locked": "50000000", "epoch": None,
        "cumulative": "0", "closing": False, "gone": False}}),
    ("record: a channel that is closing", "Record", {"Payer": {
        "terms": FAR_TERMS, "provider": PROVIDER_ID, "deposit": "50000000", "locked": "80000000", "epoch": "47000001",
        "cumulative": "5350", "closing": True, "gone": False}}),
    ("record: a channel that the ledger shows no more", "Record", {"Payer": {
        "terms": TERMS, "provider": PROVIDER_ID, "deposit": "50000000", "locked": "50000000", "epoch": "47000001",
        "cumulative": "5350", "closing": False, "gone": True}}),
    ("record: a channel that is earned on", "Record", {"Earner": {
        "terms": TERMS, "client": CLIENT_ID, "payment": PAYMENT, "early": None, "shelved": None, "at_risk": "9600",
        "widest": "9600", "ordered": None, "gone": False, "given_up": "0", "sight": None}}),
    ("record: a channel that the ledger has shown", "Record", {"Earner": {
        "terms": TERMS, "client": CLIENT_ID, "payment": PAYMENT, "early": None, "shelved": None, "at_risk": "9600",
        "widest": "9600", "ordered": None, "gone": False, "given_up": "0", "sight": {
            "at_s": "1764374400", "epoch": "47000001", "deposit": "1000000", "settled": "4000"}}}),
    ("record: a channel without a voucher", "Record", {"Earner": {
        "terms": TERMS, "client": CLIENT_ID, "payment": None, "early": None, "shelved": None, "at_risk": "0",
        "widest": "0", "ordered": None, "gone": False, "given_up": "0", "sight": None}}),
    ("record: a voucher that is ahead of the ledger", "Record", {"Earner": {
        "terms": TERMS, "client": CLIENT_ID, "payment": None, "early": PAYMENT, "shelved": None, "at_risk": "0",
        "widest": "9600", "ordered": None, "gone": False, "given_up": "0", "sight": None}}),
    ("record: a voucher of another funding, in a close", "Record", {"Earner": {
        "terms": TERMS, "client": CLIENT_ID, "payment": PAYMENT, "early": None, "shelved": PAYMENT, "at_risk": "120",
        "widest": "9600", "ordered": "47000001", "gone": True, "given_up": "120", "sight": None}}),
    ("record: a channel is gone", "Record", {"ChannelGone": {"account": "ac" * 32}}),
    ("record: a receipt", "Record", {"Receipt": {"job": JOB, "provider": PROVIDER_ID, "receipt": SIGNED_RECEIPT}}),
    ("record: what is remembered of a provider", "Record", {"Reputation": {
        "slot": 300, "provider": PROVIDER_ID, "prefix": str(int.from_bytes(bytes([4, 0, 0, 0, 0, 192, 0, 2]), "big")),
        "good": 7, "level": 1, "failures": 2, "failed_at_s": "1764374400", "model": MODEL, "timed": 8,
        "timing": {"reading_us": "81000", "input_tokens": "4100", "writing_us": "2900000", "output_tokens": "777"}}}),
]

# ---- bytes that are no message --------------------------------------------------------------------------------------

BYTES = {name: encode(kind, value) for name, kind, value in MESSAGES}
ACK = BYTES["an acknowledgement and nothing else"]
NEED = BYTES["payment is needed"]
WORK = BYTES["work: a conversation"]
U64 = 8


def case(why, kind, error, raw, **more):
    return {"why": why, "type": kind, "error": error, **more, "bytes": raw.hex()}


def entry(kind, size):
    return {"kind": kind, "value": "00" * size}


def filled(why, kind, error, count, **more):
    return {"why": why, "type": kind, "error": error, **more, "fill": {"byte": "00", "count": count}}


def tag(number):
    return number.to_bytes(4, "little")


def claim(number):
    return number.to_bytes(U64, "little")


REFUSED = [
    *(case(f"nothing: {kind}", kind, "malformed", b"") for kind in
      ("Gossip", "Message", "FromClient", "FromProvider", "Content", "Call", "Seek", "Ask", "Bid", "Receipt", "Record")),
    *(case(f"the last byte is missing: {name}", kind, "malformed", BYTES[name][:-1])
      for name, kind, _ in MESSAGES),
    *(case(f"one byte too many: {name}", kind, "trailing", BYTES[name] + b"\0", extra=1)
      for name, kind, _ in MESSAGES if name in (
          "a call", "a seek", "an ask", "a bid", "a receipt", "a gossiped call", "a release: TooLate", "a provider that leaves", "a cancellation", "a chunk", "tokens",
          "record: a channel is gone")),
    case("a second message behind the first", "FromClient", "trailing", ACK + ACK, extra=len(ACK)),
    *(case(f"an unknown variant: {kind}", kind, "malformed", tag(number) + bytes(64)) for kind, number in
      (("Gossip", 2), ("Message", 2), ("FromClient", 3), ("FromProvider", 3), ("Content", 3), ("Record", 5))),
    case("an unknown message to a provider", "Message", "malformed", tag(0) + tag(5) + bytes(64)),
    case("an unknown message to a client", "Message", "malformed", tag(1) + tag(7) + bytes(64)),
    *(case(f"extensions: {why}", "Cancel", "malformed", encode("Cancel", {"extensions": entries})) for why, entries in (
        ("a type twice", [entry(3, 0), entry(3, 0)]), ("types that fall", [entry(3, 0), entry(1, 0)]),
        ("seventeen", [entry(kind, 0) for kind in range(17)]), ("1,025 bytes in one", [entry(1, 1_025)]),
        ("1,025 bytes in two", [entry(1, 1_000), entry(2, 25)]))),
    case("extensions that claim 2^63", "Seek", "malformed", BYTES["a seek"][:-8] + claim(2**63)),
    case("an extension's value that claims more than follows", "Seek", "malformed",
         BYTES["a seek"][:-8] + claim(1) + b"\1\0" + claim(4) + b"abc"),
    case("a call without its tail, as before there was one", "Call", "malformed", BYTES["a call"][:-36]),
    case("a refusal with a number that its code has not", "Message", "malformed",
         BYTES["a refusal: Busy"][:-16] + claim(7) + claim(0)),
    case("an unknown end", "Content", "malformed", tag(2) + tag(2)),
    case("a tag of one byte, as other layouts have it", "FromClient", "malformed", b"\2"),
    case("a tag in big-endian order", "Content", "malformed", b"\0\0\0\2\0\0\0\0"),
    case("an unknown tier in a call", "Call", "malformed", BYTES["a call"][:-48] + tag(2) + bytes(44)),
    case("an unknown kind of work in a call", "Call", "malformed", BYTES["a call"].replace(tag(1), tag(2), 1)),
    case("a seek for a model that is neither there nor not", "Seek", "malformed", BYTES["a seek"][:48] + b"\2" + BYTES["a seek"][49:]),
    case("an option that is neither there nor not", "FromProvider", "malformed", NEED[:-9] + b"\2" + bytes(8)),
    case("an option of 2 before what would be there", "FromProvider", "malformed",
         BYTES["payment is needed beyond a voucher"][:12] + b"\2" + BYTES["payment is needed beyond a voucher"][13:]),
    case("a truth value of 2", "Record", "malformed", BYTES["record: a channel that is paid on"][:-1] + b"\2"),
    case("text that is not UTF-8", "Content", "malformed", tag(0) + claim(0) + claim(2) + b"\xc3\x28"),
    case("text cut in a character", "Content", "malformed", tag(0) + claim(0) + claim(1) + b"\xc3"),
    case("a surrogate as text", "Content", "malformed", tag(0) + claim(0) + claim(3) + b"\xed\xa0\x80"),
    case("a name that is not UTF-8", "Ask", "malformed", BYTES["an ask"].replace("é".encode(), b"\xff\xff")),
    case("tokens that claim to be 2^64 - 1", "Content", "malformed", tag(0) + b"\xff" * 8),
    case("tokens that claim what no frame holds", "Content", "malformed", tag(0) + claim(32_763)),
    case("a body that claims 2^63 bytes", "Gossip", "malformed", tag(0) + claim(2**63) + bytes(200)),
    case("a body that claims one byte more than is there", "Gossip", "malformed",
         BYTES["a gossiped call"][:4] + claim(len(encode("Call", CALL)) + 1) + BYTES["a gossiped call"][12:]),
    case("messages that claim 2^32", "FromClient", "malformed", tag(0) + tag(1) + claim(2**32) + WORK[16:]),
    case("text that claims more than follows", "Content", "malformed", tag(0) + claim(0) + claim(6) + b"short"),
    filled("gossip of 4097 bytes", "Gossip", "too_long", 4_097),
    filled("gossip of 4096 zeros: an empty call, and then more", "Gossip", "trailing", 4_096, extra=4_096 - 76),
    filled("a frame of 33001 bytes", "Message", "too_long", 33_001),
    filled("a client's words of 32764 bytes", "FromClient", "too_long", 32_764),
    filled("a provider's words of 32764 bytes", "FromProvider", "too_long", 32_764),
    filled("a content of 32764 bytes", "Content", "too_long", 32_764),
]

# ---- signatures -----------------------------------------------------------------------------------------------------

STATEMENTS = [("Call", "call", CLIENT, CALL), ("Seek", "seek", CLIENT, SEEK), ("Ask", "ask", PROVIDER, ASK), ("Bid", "bid", PROVIDER, BID),
              ("Receipt", "receipt", PROVIDER, RECEIPT)]
CALL_BODY = encode("Call", CALL)
NEUTRAL = "01" + "00" * 31


def refused(why, kind, error, body, signature, signer=PROVIDER_ID):
    return {"why": why, "type": kind, "error": error, "signer": signer, "body": body.hex(), "signature": signature.hex()}


def flipped(raw, place):
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


SIGNED = [
    {"type": kind, "domain": domain, "seed": key.hex(), "signer": public_of(key).hex(), "value": value,
     **signed(key, domain, kind, value)}
    for kind, domain, key, value in STATEMENTS
]
FORGED = [
    *(refused(f"signed by another: {kind}", kind, "forged", encode(kind, value), sign(OTHER, domain, encode(kind, value)),
              public_of(key).hex()) for kind, domain, key, value in STATEMENTS),
    *(refused(f"signed without a domain: {kind}", kind, "forged", encode(kind, value),
              sign(key, "", encode(kind, value)), public_of(key).hex()) for kind, domain, key, value in STATEMENTS),
    refused("a call signed as an ask", "Call", "forged", CALL_BODY, sign(CLIENT, "ask", CALL_BODY), CLIENT_ID),
    refused("a receipt signed as a countersignature", "Receipt", "forged", encode("Receipt", RECEIPT),
            sign(PROVIDER, "countersign", encode("Receipt", RECEIPT))),
    refused("one bit of the body is changed", "Call", "forged", flipped(CALL_BODY, 100), sign(CLIENT, "call", CALL_BODY),
            CLIENT_ID),
    refused("one bit of the signature is changed", "Call", "forged", CALL_BODY, flipped(sign(CLIENT, "call", CALL_BODY), 3),
            CLIENT_ID),
    refused("the trivial signature of the neutral key", "Call", "forged", encode("Call", CALL | {"client": NEUTRAL}),
            bytes.fromhex(NEUTRAL) + bytes(32), NEUTRAL),
    refused("a body cut short", "Call", "unreadable", CALL_BODY[:-1], sign(CLIENT, "call", CALL_BODY[:-1]), CLIENT_ID),
    refused("a body with a byte too many", "Call", "unreadable", CALL_BODY + b"\0", sign(CLIENT, "call", CALL_BODY + b"\0"),
            CLIENT_ID),
    refused("a receipt's body cut short, well signed", "Receipt", "unreadable", encode("Receipt", RECEIPT)[:-1],
            sign(PROVIDER, "receipt", encode("Receipt", RECEIPT)[:-1])),
]

write(__file__, "messages.json", {"cases": [
    {"name": name, "type": kind, "value": value, "bytes": BYTES[name].hex()} for name, kind, value in MESSAGES]})
# ---- the longest of each kind: taken, and with one byte more refused ------------------------------------------------


def longest(kind, name, head, most):
    """A value whose last field but for `tail` is filled with so many equal bytes."""
    head = bytes.fromhex(head)
    return {"name": name, "type": kind, "head": head.hex(), "room": most, "tail": "00" * 64 if kind == "Gossip" else ""}


LONGEST = [
    longest("Gossip", "gossip", tag(0).hex(), 4_096),
    longest("Message", "a direct message", (tag(1) + tag(3) + bytes(24)).hex(), 33_000),
    longest("Content", "a content: vectors", (tag(1) + bytes(8)).hex(), 32_763),
]
write(__file__, "longest.json", {"cases": LONGEST})
write(__file__, "refused.json", {"cases": REFUSED})
write(__file__, "signed.json", {"cases": SIGNED, "refused": FORGED})
