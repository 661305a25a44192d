"""Salts of a client's channels (CH-28), by the second implementation: `python3 spec/vectors/channel/salts.py`."""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from reference import blake3_derive, write  # noqa: E402

SEED, KEY = bytes(range(32)), bytes(range(100, 132))
CASES = [
    ("the first", SEED, KEY, 0),
    ("the second", SEED, KEY, 1),
    ("the last", SEED, KEY, 1_023),
    ("another provider", SEED, KEY[::-1], 0),
    ("another client", SEED[::-1], KEY, 0),
]


def salt(seed, key, index):
    return struct.unpack("<Q", blake3_derive("bombyx/1/channel-salt", seed + key + struct.pack("<I", index))[:8])[0]


write(__file__, "salts.json", {
    "about": "salt of the index-th channel between a client's seed and a provider's key (CH-28)",
    "cases": [
        {"name": name, "channel_seed": seed.hex(), "provider_key": key.hex(), "index": index,
         "salt": str(salt(seed, key, index))}
        for name, seed, key, index in CASES
    ],
})
