#!/usr/bin/env python3
"""Writes bodies.json beside this file: what is said to the contracts of spec/07-settlement-ton.md, as bags of cells, and the data
that each begins with."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import amount, cell, number, public_of, seed, standard, write

VOUCHER, ORDER, REQUEST = "a1" * 64, "b2" * 64, "c3" * 64
LARGEST = 2**64 - 1
TERMS = {
    "network_id": -239, "salt": "7", "client_key": public_of(seed(4)).hex(), "provider_key": public_of(seed(5)).hex(),
    "client": {"workchain": 0, "hash": "c1" * 32}, "provider": {"workchain": 0, "hash": "b1" * 32}, "challenge_s": 3600,
}
MASTER = TERMS | {"network_id": -3, "salt": str(LARGEST), "client": {"workchain": -1, "hash": "ff" * 32}, "challenge_s": 1}


class Tree:
    """A cell with its bits, so that it can be written."""

    def __init__(self, bits, *refs):
        self.bits, self.refs = bits, refs
        self.hash, self.depth = cell(bits, *((of.hash, of.depth) for of in refs))

    def boc(self) -> str:
        """A bag of cells with one root, no index and no check sum."""
        order = []

        def visit(of):
            if of not in order:
                order.append(of)
                for child in of.refs:
                    visit(child)

        visit(self)
        cells = b""
        for of in order:
            whole, rest = divmod(len(of.bits), 8)
            padded = of.bits + ("1" + "0" * (7 - rest) if rest else "")
            data = int(padded, 2).to_bytes(len(padded) // 8, "big") if padded else b""
            cells += bytes([len(of.refs), 2 * whole + (rest > 0)]) + data
            cells += bytes(order.index(child) for child in of.refs)
        size = len(cells).to_bytes(2, "big")
        return (bytes.fromhex("b5ee9c72") + bytes([1, 2, len(order), 1, 0]) + size + bytes([0]) + cells).hex()


def raw(text: str) -> str:
    return number(int(text, 16), 4 * len(text))


def maybe(signature) -> str:
    return "1" + raw(signature) if signature else "0"


def close(fields) -> tuple:
    order = fields["order"]
    bits = amount(int(fields["cumulative"])) + raw(fields["voucher"] or "00" * 64) + ("1" if order else "0")
    return bits, ([Tree(raw(order))] if order else [])


def channel(name, fields) -> Tree:
    code = {"TopUp": 1, "Claim": 2, "ProviderClose": 3, "RequestClose": 4, "Finalize": 5}[name]
    start = number(0x42580000 + code, 32) + number(0, 64)
    match name:
        case "TopUp":
            return Tree(start + amount(int(fields["amount"])))
        case "Claim":
            return Tree(start + amount(int(fields["cumulative"])) + raw(fields["voucher"]))
        case "ProviderClose":
            bits, refs = close(fields)
            return Tree(start + bits, *refs)
        case "RequestClose":
            return Tree(start + maybe(fields["request"]))
    return Tree(start)


def cut(name, fields) -> str:
    bits = {"Open": "00", "Grow": "01", "Shrink": "10", "Finalize": "11"}[name] + number(fields["lane"], 8)
    if name == "Open":
        bits += raw(fields["provider"]) + raw(fields["provider_key"])
    return bits + (amount(int(fields.get("amount", fields.get("keep")))) if name != "Finalize" else "")


def purse(name, fields) -> Tree:
    start = number(0x42580100 + {"Arrange": 1, "Claim": 2, "CloseLane": 3}[name], 32) + number(0, 64)
    if name == "Arrange":
        bits = ("1" if fields["end"] else "0") + amount(int(fields["withdraw"]))
        order = Tree(bits + "".join(cut(*next(iter(one.items()))) for one in fields["cuts"]))
        return Tree(start + maybe(fields["signature"]), order)
    start += number(fields["lane"], 8)
    if name == "Claim":
        return Tree(start + amount(int(fields["cumulative"])) + raw(fields["voucher"]))
    bits, refs = close(fields)
    return Tree(start + bits, *refs)


def channel_data(terms) -> Tree:
    parties = Tree(raw(terms["provider_key"]) + standard(terms["client"]) + standard(terms["provider"])
                   + number(terms["challenge_s"], 32))
    return Tree(number(0, 64 + 32) + amount(0) + amount(0) + number(terms["network_id"], 32)
                + number(int(terms["salt"]), 64) + raw(terms["client_key"]), parties)


def purse_data(terms) -> Tree:
    return Tree(number(0, 64 + 16) + amount(0) + number(terms["network_id"], 32) + number(int(terms["salt"]), 64)
                + number(terms["challenge_s"], 32) + raw(terms["client_key"]) + standard(terms["client"]) + "0")


CHANNEL = [
    ("TopUp", {"amount": "1"}), ("TopUp", {"amount": "1500000000"}), ("TopUp", {"amount": str(LARGEST)}),
    ("Claim", {"cumulative": "5000000", "voucher": VOUCHER}),
    ("ProviderClose", {"cumulative": "0", "voucher": None, "order": None}),
    ("ProviderClose", {"cumulative": "70000", "voucher": VOUCHER, "order": None}),
    ("ProviderClose", {"cumulative": "70000", "voucher": VOUCHER, "order": ORDER}),
    ("RequestClose", {"request": None}), ("RequestClose", {"request": REQUEST}), ("Finalize", {}),
]
OPEN = {"Open": {"lane": 0, "provider": "b1" * 32, "provider_key": public_of(seed(5)).hex(), "amount": "9"}}
PURSE = [
    ("Arrange", {"end": False, "withdraw": "0", "cuts": [OPEN], "signature": None}),
    ("Arrange", {"end": True, "withdraw": "500000", "cuts": [{"Grow": {"lane": 255, "amount": "3"}},
                 {"Shrink": {"lane": 7, "keep": "0"}}, {"Finalize": {"lane": 8}}], "signature": REQUEST}),
    ("Claim", {"lane": 3, "cumulative": "5000000", "voucher": VOUCHER}),
    ("CloseLane", {"lane": 3, "cumulative": "1", "voucher": None, "order": ORDER}),
    ("CloseLane", {"lane": 255, "cumulative": "1", "voucher": VOUCHER, "order": None}),
]


def shown(tree: Tree) -> dict:
    return {"hash": tree.hash.hex(), "boc": tree.boc()}


write(__file__, "bodies.json", {
    "channel": [{"message": {name: fields}} | shown(channel(name, fields)) for name, fields in CHANNEL],
    "purse": [{"message": {name: fields}} | shown(purse(name, fields)) for name, fields in PURSE],
    "channel_data": [{"terms": terms} | shown(channel_data(terms)) for terms in (TERMS, MASTER)],
    "purse_data": [{"terms": terms} | shown(purse_data(terms)) for terms in (TERMS, MASTER)],
})
