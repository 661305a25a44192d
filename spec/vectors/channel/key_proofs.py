"""Proofs that a channel is the client's own (CH-53), by the second implementation: `python3 spec/vectors/channel/key_proofs.py`."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from reference import VOUCHER, key_proof, public_of, seed, sign, sign_raw, statement, write  # noqa: E402

KEY, OTHER = seed(1), seed(2)
BINDING, ACCOUNT = bytes(range(32)), bytes(range(100, 132))
NEUTRAL = bytes([1]) + bytes(31)
MESSAGE = BINDING + ACCOUNT


def case(name, signature, binding=BINDING, account=ACCOUNT, key=public_of(KEY)):
    return {"name": name, "key": key.hex(), "binding": binding.hex(), "account": account.hex(), "key_proof": signature.hex()}


TRUE = key_proof(KEY, BINDING, ACCOUNT)
write(__file__, "key_proofs.json", {
    "about": "a channel's client key signs, within a session, that the channel is the client's own (CH-53)",
    "seed": KEY.hex(),
    "cases": [
        case("a proof", TRUE),
        case("in another session", key_proof(KEY, BINDING[::-1], ACCOUNT), binding=BINDING[::-1]),
        case("of another channel of the same key", key_proof(KEY, BINDING, ACCOUNT[::-1]), account=ACCOUNT[::-1]),
    ],
    "refused": [
        case("seen in another session", TRUE, binding=BINDING[::-1]),
        case("made for another channel", TRUE, account=ACCOUNT[::-1]),
        case("binding and account the other way round", TRUE, binding=ACCOUNT, account=BINDING),
        case("made by another key", key_proof(OTHER, BINDING, ACCOUNT)),
        case("one bit is changed", TRUE[:7] + bytes([TRUE[7] ^ 1]) + TRUE[8:]),
        case("without a domain", sign_raw(KEY, MESSAGE)),
        case("in the domain of a countersignature", sign(KEY, "countersign", MESSAGE)),
        case("a voucher's signature", sign_raw(KEY, statement(VOUCHER, ACCOUNT, 1, 1))),
        case("the trivial signature under the neutral key", NEUTRAL + bytes(32), key=NEUTRAL),
    ],
})
