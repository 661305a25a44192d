#!/usr/bin/env python3
"""Writes the vectors beside this file: a second implementation of spec/04-session.md, standard library only.

It was written from the text and the Noise specification, and shares no code with the one in Rust, so that
equal bytes mean something. Slow and not constant-time: for vectors only.

    python3 spec/vectors/session/generate.py
"""

import hashlib
import hmac
import json
import pathlib
import struct

# ---- primitives: RFC 7748, RFC 8439, HMAC-SHA256 ----

P = 2**255 - 19


def x25519(secret: bytes, public: bytes) -> bytes:
    k = bytearray(secret)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    scalar = int.from_bytes(k, "little")
    u = int.from_bytes(public, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u % P, 1, 0
    for t in reversed(range(255)):
        bit = scalar >> t & 1
        if swap ^ bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swap = bit
        a, b, c, d = (x2 + z2) % P, (x2 - z2) % P, (x3 + z3) % P, (x3 - z3) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public_of(secret: bytes) -> bytes:
    return x25519(secret, bytes([9]) + bytes(31))


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8I", key), counter]
    start += struct.unpack("<3I", nonce)
    s = list(start)

    def turn(x: int, by: int) -> int:
        return (x << by | x >> (32 - by)) & 0xFFFFFFFF

    def quarter(a: int, b: int, c: int, d: int) -> None:
        for first, second, third, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[first] = (s[first] + s[second]) & 0xFFFFFFFF
            s[third] = turn(s[third] ^ s[first], by)

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for a, b, c, d in ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return struct.pack("<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(s, start)))


def poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def encrypt(key: bytes, number: int, ad: bytes, plain: bytes) -> bytes:
    nonce = bytes(4) + struct.pack("<Q", number)
    stream = b"".join(chacha20_block(key, 1 + n, nonce) for n in range((len(plain) + 63) // 64))
    cipher = bytes(a ^ b for a, b in zip(plain, stream))

    def even(data: bytes) -> bytes:
        return data + bytes(-len(data) % 16)

    mac_data = even(ad) + even(cipher) + struct.pack("<QQ", len(ad), len(cipher))
    return cipher + poly1305(chacha20_block(key, 0, nonce)[:32], mac_data)


def hkdf2(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    def mac(key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, hashlib.sha256).digest()

    temp = mac(chaining_key, material)
    first = mac(temp, b"\1")
    return first, mac(temp, first + b"\2")


# ---- Noise ----


class Symmetric:
    def __init__(self, name: bytes, prologue: bytes) -> None:
        self.h = name.ljust(32, b"\0") if len(name) <= 32 else hashlib.sha256(name).digest()
        self.ck, self.key, self.number = self.h, None, 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.ck, self.key = hkdf2(self.ck, material)
        self.number = 0

    def encrypt(self, plain: bytes) -> bytes:
        cipher = encrypt(self.key, self.number, self.h, plain)
        self.number += 1
        self.mix_hash(cipher)
        return cipher


def block(body: bytes, last: bool, bucket: int = 0, first: int | None = None) -> bytes:
    size = bucket or max(256, 1 << (5 + len(body) - 1).bit_length())
    head = (0x11 if last else 0x10) if first is None else first
    return (bytes([head]) + struct.pack("<I", len(body)) + body).ljust(size, b"\0")


def seal(to: bytes, ephemeral: bytes, context: bytes, plain_block: bytes) -> bytes:
    noise = Symmetric(b"Noise_N_25519_ChaChaPoly_SHA256", context)
    noise.mix_hash(to)
    noise.mix_hash(public_of(ephemeral))
    noise.mix_key(x25519(ephemeral, to))
    return public_of(ephemeral) + noise.encrypt(plain_block)


class Session:
    """Both sides of one NK handshake at once."""

    def __init__(self, static: bytes, client: bytes, provider: bytes, prologue: bytes) -> None:
        noise = Symmetric(b"Noise_NK_25519_ChaChaPoly_SHA256", prologue)
        noise.mix_hash(public_of(static))
        noise.mix_hash(public_of(client))
        noise.mix_key(x25519(client, public_of(static)))
        self.first = public_of(client) + noise.encrypt(b"")
        noise.mix_hash(public_of(provider))
        noise.mix_key(x25519(client, public_of(provider)))
        self.reply = public_of(provider) + noise.encrypt(b"")
        self.hash = noise.h
        self.client_key, self.provider_key = hkdf2(noise.ck, b"")


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

    def frame(key: bytes, nonce: int, plain_block: bytes) -> bytes:
        return encrypt(key, nonce, b"", plain_block)

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
                         "SE-16", "SE-17", "SE-18", "SE-19"],
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
        "good_frame": {"nonce": 0, "body": b"hi".hex(), "last": True, "bytes": good.hex()},
    }


write("sealed.json", sealed_vectors())
write("session.json", session_vectors())
