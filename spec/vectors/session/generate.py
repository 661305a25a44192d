#!/usr/bin/env python3
"""Writes the vectors beside this file: seals and sessions of spec/04-session.md, by `vectors/noise.py`.

    python3 spec/vectors/session/generate.py
"""

import json
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from noise import KeptSession, Session, block, frame, public_of, seal

# ---- the vectors ----

HERE = pathlib.Path(__file__).parent
STATIC = bytes(range(0x40, 0x60))
# What the Rust core's `Entropy` draws first from the seeds 0x11…, 0x22…, 0x33… (given, not derived here).
EPHEMERAL = {
    0x11: bytes.fromhex("129ad7dc8afdf48fa29e76d43daea12479b15b027230200f7ea8d39ca634fb61"),
    0x22: bytes.fromhex("9f3f7aad447e4a615dbc3421762e7e9dbb4c3730ec63d67addd226fea04e7bd1"),
    0x33: bytes.fromhex("827a680148f6ada20e38d06fd8395207327bc5dd416fda75d0e40cc0d3eb3cf7"),
}
SMALL_ORDER = {
    "zero": bytes(32),
    "one": bytes([1]) + bytes(31),
    "order eight": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "zero plus the prime": bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1 :]


def write(name: str, vectors: dict) -> None:
    (HERE / name).write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


def sealed_vectors() -> dict:
    to, context = public_of(STATIC), b"bombyx/1/bid call 7"
    cases = []
    for name, body in (("empty", b""), ("the largest of its bucket", b"b" * 251), ("next bucket", b"c" * 252)):
        cases.append({
            "name": name, "receiver_secret": STATIC.hex(), "receiver_public": to.hex(),
            "entropy_seed": "33" * 32, "ephemeral_secret": EPHEMERAL[0x33].hex(), "context": context.hex(),
            "plaintext": body.hex(), "sealed": seal(to, EPHEMERAL[0x33], context, block(body, True)).hex(),
        })
    good = seal(to, EPHEMERAL[0x33], context, block(b"bid", True))

    def made(plain_block: bytes) -> bytes:
        return seal(to, EPHEMERAL[0x33], context, plain_block)

    bad = [
        ("nothing", "length", context, b""),
        ("one byte short", "length", context, good[:-1]),
        ("one byte long", "length", context, good + b"\0"),
        ("half a bucket", "length", context, made(bytes(128))),
        ("ephemeral key altered", "unauthentic", context, flipped(good, 3)),
        ("body altered", "unauthentic", context, flipped(good, 40)),
        ("tag altered", "unauthentic", context, flipped(good, len(good) - 1)),
        ("another context", "unauthentic", context + b"!", good),
        ("block of version 2", "version", context, made(block(b"bid", True, first=0x21))),
        ("unknown flag", "version", context, made(block(b"bid", True, first=0x13))),
        ("not the last of its message", "partial", context, made(block(b"bid", False))),
        ("bucket larger than needed", "bucket", context, made(block(b"bid", True, bucket=512))),
        ("padding not zero", "padding", context, made(block(b"bid", True)[:-1] + b"\1")),
    ]
    bad += [(f"ephemeral key of small order: {name}", "weak key", context, point + good[32:])
            for name, point in SMALL_ORDER.items()]
    refused = [{"name": name, "error": error, "receiver_secret": STATIC.hex(), "context": ctx.hex(),
                "sealed": data.hex()} for name, error, ctx, data in bad]
    return {"requirements": ["SE-2", "SE-3", "SE-4", "SE-5", "SE-6", "SE-13", "SE-18"], "cases": cases,
            "refused": refused}


def session_vectors() -> dict:
    client, provider, job = bytes(range(32)), bytes(range(0x80, 0xA0)), bytes(range(0xF0, 0x100))
    prologue = b"bombyx/1/session" + client + provider + job
    session = Session(STATIC, EPHEMERAL[0x11], EPHEMERAL[0x22], prologue)

    def frames(key: bytes, bodies: list[tuple[bytes, bool]]) -> list[dict]:
        return [{"nonce": n, "body": body.hex(), "last": last, "bytes": frame(key, n, block(body, last)).hex()}
                for n, (body, last) in enumerate(bodies)]

    first, reply, good = session.first, session.reply, frame(session.client_key, 0, block(b"hi", True))
    handshake_bad = [
        ("respond", "empty", "length", b""),
        ("respond", "one byte short", "length", first[:-1]),
        ("respond", "with a payload", "length", first + b"\0"),
        ("respond", "ephemeral key altered", "unauthentic", flipped(first, 0)),
        ("respond", "tag altered", "unauthentic", flipped(first, 47)),
        ("respond", "made for another job", "unauthentic",
         Session(STATIC, EPHEMERAL[0x11], EPHEMERAL[0x22], prologue[:-1] + b"\0").first),
        ("respond", "made for another key", "unauthentic",
         Session(bytes([5] * 32), EPHEMERAL[0x11], EPHEMERAL[0x22], prologue).first),
        ("finish", "empty", "length", b""),
        ("finish", "one byte long", "length", reply + b"\0"),
        ("finish", "ephemeral key altered", "unauthentic", flipped(reply, 9)),
        ("finish", "tag altered", "unauthentic", flipped(reply, 40)),
        ("finish", "the client's own message", "unauthentic", first),
        ("finish", "made by another key", "unauthentic",
         Session(bytes([5] * 32), EPHEMERAL[0x11], EPHEMERAL[0x22], prologue).reply),
    ]
    handshake_bad += [(step, f"key of small order: {name}", "weak key", point + message[32:])
                      for step, message in (("respond", first), ("finish", reply))
                      for name, point in SMALL_ORDER.items()]

    def kept(number: int, job: bytes) -> dict:
        prologue = b"bombyx/1/session" + client + provider + job
        later = KeptSession(session.kept, prologue, number)
        return {
            "number": number, "job": job.hex(), "client_key": later.client_key.hex(), "provider_key": later.provider_key.hex(),
            "binding": later.hash.hex(), "client_frames": frames(later.client_key, [(b"a prompt", False)]),
            "provider_frames": frames(later.provider_key, [(b"an answer", True)]),
        }

    def made(plain_block: bytes) -> bytes:
        return frame(session.client_key, 0, plain_block)

    def made_at(nonce: int) -> bytes:
        return frame(session.client_key, nonce, block(b"hi", True))

    # To the provider, as its first frame. The good frame 0 must open afterwards (SE-19).
    frame_bad = [
        ("empty", "length", 0, b""),
        ("one byte short", "length", 0, good[:-1]),
        ("not a bucket", "length", 0, frame(session.client_key, 0, bytes(300))),
        ("half a bucket", "length", 0, frame(session.client_key, 0, bytes(128))),
        ("body altered", "unauthentic", 0, flipped(good, 6)),
        ("tag altered", "unauthentic", 0, flipped(good, len(good) - 1)),
        ("another number", "unauthentic", 1, good),
        ("sent back to its sender's side", "unauthentic", 0, frame(session.provider_key, 0, block(b"hi", True))),
        ("number at the limit", "exhausted", 2**32, frame(session.client_key, 2**32, block(b"hi", True))),
        ("block of version 0", "version", 0, made(bytes(256))),
        ("unknown flag", "version", 0, made(block(b"hi", True, first=0x19))),
        ("bucket larger than needed", "bucket", 0, made(block(b"hi", True, bucket=1024))),
        ("body longer than the block", "bucket", 0, made(b"\x11" + struct.pack("<I", 252) + bytes(251))),
        ("body of four gigabytes", "bucket", 0, made(b"\x11" + b"\xff" * 4 + bytes(251))),
        ("padding not zero", "padding", 0, made(block(b"hi", True)[:100] + b"\1" + bytes(155))),
    ]
    return {
        "requirements": ["SE-1", "SE-2", "SE-3", "SE-7", "SE-8", "SE-10", "SE-11", "SE-13", "SE-14", "SE-15",
                         "SE-16", "SE-17", "SE-18", "SE-19", "SE-23", "SE-24"],
        "provider_secret": STATIC.hex(), "provider_public": public_of(STATIC).hex(),
        "client_id": client.hex(), "provider_id": provider.hex(), "job": job.hex(), "prologue": prologue.hex(),
        "client_entropy_seed": "11" * 32, "client_ephemeral_secret": EPHEMERAL[0x11].hex(),
        "provider_entropy_seed": "22" * 32, "provider_ephemeral_secret": EPHEMERAL[0x22].hex(),
        "first": first.hex(), "reply": reply.hex(), "handshake_hash": session.hash.hex(),
        "client_frames": frames(session.client_key, [(b"", False), (b"p" * 251, False), (b"q" * 252, True)]),
        "provider_frames": frames(session.provider_key, [("ответ".encode(), False), (b"", True)]),
        "buckets": [{"body_bytes": body, "frame_bytes": None if body > 32763 else len(block(bytes(body), True)) + 16}
                    for body in (0, 1, 251, 252, 507, 508, 4091, 4092, 16379, 16380, 32763, 32764)],
        "refused_handshakes": [{"step": step, "name": name, "error": error, "message": data.hex()}
                               for step, name, error, data in handshake_bad],
        "refused_frames": [{"name": name, "error": error, "nonce": nonce, "bytes": data.hex()}
                           for name, error, nonce, data in frame_bad],
        # To the provider, one after the other (SE-16): a body of two bytes, the number, and whether it opens.
        "window": [{"nonce": nonce, "opens": opens, "bytes": made_at(nonce).hex()} for nonce, opens in (
            (2_000, True), (2_000, False), (977, True), (976, False), (0, False), (1_937, True), (1_936, True), (977, False),
            (2_001, True), (978, True), (977, False), (5_000, True), (3_976, False), (3_977, True), (3_977, False))],
        "kept_secret": session.kept.hex(),
        "kept": [kept(0, bytes([0xA1]) * 16), kept(1, bytes([0xA1]) * 16), kept(2**32 - 1, bytes([0xB2]) * 16)],
        "good_frame": {"nonce": 0, "body": b"hi".hex(), "last": True, "bytes": good.hex()},
    }


write("sealed.json", sealed_vectors())
write("session.json", session_vectors())
