"""A second implementation of spec/04-session.md, standard library only: the primitives, seals, handshakes and frames.

It was written from the text and the Noise specification, and shares no code with the one in Rust, so that
equal bytes mean something. Slow and not constant-time: for vectors only.
"""

import hashlib
import hmac
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


def hkdf3(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes, bytes]:
    def mac(key: bytes, data: bytes) -> bytes:
        return hmac.new(key, data, hashlib.sha256).digest()

    temp = mac(chaining_key, material)
    first = mac(temp, b"\1")
    second = mac(temp, first + b"\2")
    return first, second, mac(temp, second + b"\3")


def hkdf2(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    return hkdf3(chaining_key, material)[:2]


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
        self.kept = hkdf3(self.hash, self.client_key + self.provider_key)[0]


class KeptSession:
    """Both sides of a job that begins in a kept session."""

    def __init__(self, kept: bytes, prologue: bytes, number: int) -> None:
        self.client_key, self.provider_key, self.hash = hkdf3(kept, prologue + struct.pack("<Q", number))


def frame(key: bytes, number: int, plain_block: bytes) -> bytes:
    return encrypt(key, number, b"", plain_block)
