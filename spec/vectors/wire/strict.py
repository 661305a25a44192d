#!/usr/bin/env python3
"""Writes the vectors of strict signature checks (WI-8) beside this file: what a plain check takes and a strict one refuses."""

import hashlib
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import BASE, L, P, add, pack, public_of, secret, seed, sign_raw, times, write, x_of

# A point of order 8; its multiples are the eight points of small order.
EIGHTH_Y = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
EIGHTH = (x_of(EIGHTH_Y), EIGHTH_Y)
SMALL = [times(number, EIGHTH) for number in range(8)]
assert len(set(SMALL)) == 8 and times(8, EIGHTH) == (0, 1)

SCALAR = secret(seed(7))[0]
HONEST = times(SCALAR, BASE)
MIXED = add(HONEST, EIGHTH)
NONCE = 12345


def challenge(commitment, key, message):
    return int.from_bytes(hashlib.sha512(commitment + pack(key) + message).digest(), "little") % L


def case(why, key, message, signature, plain, strict):
    return {"why": why, "key": key.hex(), "message": message.hex(), "signature": signature.hex(),
            "plain": plain, "strict": strict}


def signature(commitment, response):
    return commitment + response.to_bytes(32, "little")


def answered(commitment, key, message, nonce=0):
    """A signature whose response fits the part of the key that has a logarithm."""
    return signature(commitment, (nonce + challenge(commitment, key, message) * SCALAR) % L)


def grind(fits):
    return next(message for message in map(seed, range(256)) if fits(message))


def cases():
    message = seed(9)
    good = sign_raw(seed(7), message)
    assert public_of(seed(7)) == pack(HONEST)
    yield case("as RFC 8032 signs", pack(HONEST), message, good, True, True)
    high = signature(good[:32], int.from_bytes(good[32:], "little") + L)
    yield case("the response is not reduced", pack(HONEST), message, high, False, False)
    yield case("R is the neutral point", pack(HONEST), message, answered(pack(SMALL[0]), HONEST, message), True, False)
    # The neutral point in a form that is not its own: y = p + 1.
    other = (P + 1).to_bytes(32, "little")
    yield case("R is the neutral point, not reduced", pack(HONEST), message, answered(other, HONEST, message), False,
               False)
    for number in range(1, 8):
        commitment = pack(SMALL[number])
        # The check finds the small part of the challenge times the key, taken away.
        found = grind(lambda message: -challenge(commitment, MIXED, message) % 8 == number)
        yield case(f"R is {number} times a point of order 8, under a key with a small part", pack(MIXED), found,
                   answered(commitment, MIXED, found), True, False)
    commitment = pack(times(NONCE, BASE))
    found = grind(lambda message: challenge(commitment, MIXED, message) % 8 == 0)
    yield case("a key with a small part that the challenge takes away", pack(MIXED), found,
               answered(commitment, MIXED, found, NONCE), True, True)
    found = grind(lambda message: challenge(commitment, MIXED, message) % 8 != 0)
    yield case("a key with a small part: only the cofactored equation holds", pack(MIXED), found,
               answered(commitment, MIXED, found, NONCE), False, False)
    for number in (1, 2, 4):
        commitment = pack(add(times(NONCE, BASE), SMALL[number]))
        yield case(f"R with a part of order {8 // number}: only the cofactored equation holds", pack(HONEST), message,
                   answered(commitment, HONEST, message, NONCE), False, False)
    for number in range(8):
        # Under a key of small order a response of zero fits whatever the challenge leaves.
        key = SMALL[number]
        found, left = next((text, left) for text in map(seed, range(256)) for left in range(8)
                           if -challenge(pack(SMALL[left]), key, text) * number % 8 == left)
        yield case(f"a key of small order, {number} times a point of order 8", pack(key), found,
                   signature(pack(SMALL[left]), 0), True, False)
    commitment = pack(times(NONCE, BASE))
    for number in range(8):
        # And with an ordinary R, where the challenge takes the key away: only the check of the key refuses it.
        key = SMALL[number]
        found = grind(lambda message: challenge(commitment, key, message) * number % 8 == 0)
        yield case(f"a key of small order, {number} times a point of order 8, with an ordinary R", pack(key), found,
                   signature(commitment, NONCE), True, False)


write(__file__, "strict.json", {"cases": list(cases())})
