#!/usr/bin/env python3
"""Writes the vectors of spec/03-market.md beside this file: size classes, bills, and whole auctions."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import U64, bill, blake3, ceilings, due, write

MODEL, BIDS_MAX = "ab" * 32, 64


def sheet(per_job, input_per_k, output_per_k):
    return {"per_job": str(per_job), "input_per_k": str(input_per_k), "output_per_k": str(output_per_k)}


def chat(text, max_tokens, prefix=(), stop=()):
    sampling = {"temperature_milli": 0, "top_p_milli": 1000, "top_k": 0, "seed": "0"}
    return {"Generate": {"messages": [{"role": "User", "content": text}], "max_tokens": max_tokens,
                         "sampling": sampling, "prefix": list(prefix), "stop": list(stop)}}


def embed(*inputs):
    return {"Embed": {"inputs": list(inputs)}}


def text_or_none(number):
    return None if number is None else str(number)


# ---- size classes and bills -----------------------------------------------------------------------------------------


def size_class(tokens):
    return max(tokens - 1, 0).bit_length()


SIZES = [0, 1, 2, 3, 4, 5, 63, 64, 65, 1000, 4096, 4097, 2**32, 2**63, 2**63 + 1, U64 - 1]
BILLS = [
    (sheet(5, 150, 1_001), 0, 0), (sheet(5, 150, 1_001), 1, 1), (sheet(5, 150, 1_001), 1_000, 1_000),
    (sheet(0, 1, 0), 999, 10**9), (sheet(0, 1, 0), 1_001, 0), (sheet(0, 0, 999), 0, 7), (sheet(7, 0, 0), U64 - 1, U64 - 1),
    (sheet(0, 0, U64 - 1), 0, 1_000), (sheet(0, 0, U64 - 1), 0, 1_001), (sheet(U64 - 1, 0, 1), 0, 1),
    (sheet(0, U64 - 1, U64 - 1), 1_000, 1), (sheet(123_456_789, 987_654_321, 1_111_111_111), 20_480, 2_048),
]
PLAIN = sheet(320, 1_000, 2_000)
# Price, input tokens, output tokens, vectors, vectors wanted, whether the answer is complete.
DUES = [
    (PLAIN, 64, 0, 0, 0, False), (PLAIN, 64, 0, 0, 0, True), (PLAIN, 64, 1, 0, 0, False), (PLAIN, 64, 1, 0, 0, True),
    (PLAIN, 64, 31, 0, 0, False), (PLAIN, 64, 32, 0, 0, False), (PLAIN, 64, 33, 0, 0, True), (PLAIN, 0, 7, 0, 0, False),
    (PLAIN, 64, 0, 1, 5, False), (PLAIN, 64, 0, 4, 5, False), (PLAIN, 64, 0, 5, 5, False), (PLAIN, 64, 0, 5, 5, True),
    (sheet(1, 0, 0), 0, 31, 0, 0, False), (sheet(0, 0, 0), U64 - 1, U64 - 1, 0, 0, True),
    (sheet(U64 - 1, 0, 0), 0, 31, 0, 0, False), (sheet(U64 - 1, 0, 0), 0, 32, 0, 0, False),
    (sheet(U64 - 1, 1_000, 0), 1, 1, 0, 0, False), (sheet(U64 - 1, 0, 1), 0, 31, 0, 0, False),
    (sheet(U64 - 1, 0, 1), 0, 1, 0, 0, True), (sheet(0, 0, U64 - 1), 0, 1_001, 0, 0, False),
]
TASKS = [
    chat("count for me", 100), chat("Grüße 🐛", 1), chat("", 7, prefix=[1, 2, 3], stop=["\n", "END"]),
    embed("one"), embed("", "", ""), embed("ä" * 10, "plain"),
]
SCALES = [
    (sheet(3, 1_000, 7), 1_000_000), (sheet(3, 1_000, 7), 1_250_000), (sheet(3, 1_000, 7), 1_999_999),
    (sheet(3, 1_000, 7), 0), (sheet(0, 0, U64 - 1), 1_000_001), (sheet(1, 1, 1), 999_999),
]


def scaled(price, ppm):
    result = {part: int(nano) * ppm // 1_000_000 for part, nano in price.items()}
    if max(result.values()) >= U64:
        return None
    return {part: str(nano) for part, nano in result.items()}


def ceiling(price, task):
    inputs, outputs = ceilings(task)
    return {"price": price, "task": task, "input_tokens_max": str(inputs), "output_tokens_max": str(outputs),
            "cost_max": text_or_none(bill(price, inputs, outputs))}


write(__file__, "bills.json", {
    "size_classes": [{"tokens": str(tokens), "log2": size_class(tokens)} for tokens in SIZES],
    "bills": [{"price": price, "input_tokens": str(i), "output_tokens": str(o), "cost": text_or_none(bill(price, i, o))}
              for price, i, o in BILLS],
    "dues": [{"price": price, "input_tokens": str(i), "output_tokens": str(o), "rows": rows, "rows_wanted": wanted,
              "complete": complete, "due": text_or_none(due(price, i, o, rows, wanted, complete))}
             for price, i, o, rows, wanted, complete in DUES],
    "ceilings": [ceiling(sheet(10, 20_000, 300_000), task) for task in TASKS] + [ceiling(sheet(0, 0, U64 - 1), TASKS[0])],
    "scaled": [{"price": price, "ppm": str(ppm), "result": scaled(price, ppm)} for price, ppm in SCALES],
})

# ---- auctions -------------------------------------------------------------------------------------------------------


PLACES = ("proven", "unknown", "doubtful", "last")


def stands(place, level=0, locks=0, challenge_s=0):
    return {"place": place, "level": level, "locks": str(locks), "challenge_s": challenge_s}


def offer(number, price, first_token_ms=100, tier="Open", stands=None):
    return {"provider": number, "price": price, "first_token_ms": first_token_ms, "tier": tier, "stands": stands}


def known(bid):
    return bid["stands"] or stands("proven", 255)


def aside(case, bid):
    """What waiting and locking are worth (MK-7)."""
    return wait(case, bid) + int(known(bid)["locks"]) * known(bid)["challenge_s"] // 10**8


def weight(bid):
    return 0 if known(bid)["level"] else 8


def score_of(case, bid, weight):
    """MK-7."""
    inputs, outputs = ceilings(case["task"])
    cost = bill(bid["price"], inputs, outputs)
    step = bill(bid["price"], inputs, min(outputs, 32))
    if cost is None or step is None:
        return None
    score = cost + aside(case, bid) + weight * step
    return score if score < U64 else None


def covers(price, floor):
    return all(int(price[part]) >= int(floor[part]) for part in price)


def second_price(case, bid, cost_max, second):
    """MK-8."""
    if second is None:
        return bid["price"]
    allowed = max(second - aside(case, bid) - 4 * weight(bid), 0)
    weighs = score_of(case, bid, weight(bid)) - aside(case, bid)
    if cost_max == 0:
        return bid["price"]
    ppm = min(allowed * 1_000_000 // weighs, int(case["budget"]) * 1_000_000 // cost_max)
    if not 1_000_000 < ppm < U64:
        return bid["price"]
    raised = scaled(bid["price"], ppm)
    cost = raised and bill(raised, *ceilings(case["task"]))
    total = raised and score_of(case, bid | {"price": raised}, weight(bid))
    if cost is None or total is None or cost > int(case["budget"]) or total > second or not covers(raised, bid["price"]):
        return bid["price"]
    return raised


def wait(case, bid):
    return min(int(case["nano_per_ms"]) * bid["first_token_ms"], U64 - 1)


def close(case):
    """MK-6 to MK-8, and MK-13."""
    bids = []
    for bid in case["bids"]:
        if len(bids) < BIDS_MAX and bid["provider"] not in [known["provider"] for known in bids]:
            bids.append(bid)
    able, unable = [], []
    for bid in bids:
        cost_max = bill(bid["price"], *ceilings(case["task"]))
        shown = U64 - 1 if cost_max is None else cost_max
        score = score_of(case, bid, weight(bid))
        if bid["provider"] in case["failed"]:
            fate = "failed_before"
        elif case["tier"] == "Confidential" and bid["tier"] == "Open":
            fate = "weaker_tier"
        elif shown > int(case["budget"]) or score is None:
            fate = "over_budget"
        else:
            able.append((PLACES.index(known(bid)["place"]), score, bid["provider"], shown, bid))
            continue
        unable.append({"provider": bid["provider"], "cost_max": str(shown), "fate": fate})
    able.sort(key=lambda entry: entry[:3])
    unable.sort(key=lambda report: (int(report["cost_max"]), report["provider"]))
    explores = False
    if case["explore"] and able and able[0][0] == 0:
        fair = {entry[2]: score_of(case, entry[4], weight(able[0][4])) for entry in able}
        newcomers = [entry for entry in able if entry[0] == 1 and fair[entry[2]] * 4 <= able[0][1] * 5]
        if newcomers:
            able.remove(newcomers[0])
            able.insert(0, newcomers[0])
            explores = True
    second = score_of(case, able[1][4], weight(able[0][4])) if len(able) > 1 else None
    candidates, reports = [], []
    for place, (_, score, provider, cost_max, bid) in enumerate(able):
        won = place == 0
        price = second_price(case, bid, cost_max, second) if won and not explores else bid["price"]
        candidates.append({"provider": provider, "price": price})
        by = str(max(score - able[0][1], 0))
        fate = {"won": {"runner_up": text_or_none(second)}} if won else {"outscored": {"by": by}}
        reports.append({"provider": provider, "cost_max": str(cost_max), "fate": fate})
    return case | {"candidates": candidates, "reports": reports + unable}


def auction(name, bids, task=None, budget=10**9, tier="Open", nano_per_ms=0, failed=(), explore=False):
    return close({"name": name, "task": task or chat("count for me", 100), "budget": str(budget), "tier": tier,
                  "nano_per_ms": str(nano_per_ms), "failed": list(failed), "explore": explore, "bids": bids})


CHEAP, MIDDLE, DEAR = sheet(10, 20_000, 300_000), sheet(20, 30_000, 400_000), sheet(0, 40_000, 900_000)
AUCTIONS = [
    auction("nobody bids", []),
    auction("alone, it is paid its own bid", [offer(1, CHEAP)]),
    auction("the lowest score wins and is paid by the second", [offer(1, DEAR), offer(2, CHEAP), offer(3, MIDDLE)]),
    auction("equal scores go to the lower node id", [offer(9, CHEAP), offer(4, CHEAP), offer(7, CHEAP)]),
    auction("a wait has its price", [offer(1, CHEAP, 900), offer(2, MIDDLE, 100)], nano_per_ms=100),
    auction("what the winner's wait costs is not paid to it", [offer(1, CHEAP, 500), offer(2, DEAR, 100)], nano_per_ms=20),
    auction("the faster winner is paid for its speed", [offer(1, MIDDLE, 10), offer(2, CHEAP, 5_000)], nano_per_ms=50),
    auction("the budget caps the second price", [offer(1, CHEAP), offer(2, DEAR)], budget=60_000),
    auction("a bid at the budget is in", [offer(1, sheet(7, 0, 0))], budget=7),
    auction("a bid above the budget is out", [offer(1, sheet(8, 0, 0)), offer(2, sheet(9, 0, 0))], budget=7),
    auction("a bid that overflows is above every budget", [offer(1, sheet(0, 0, U64 - 1)), offer(2, CHEAP)],
            budget=U64 - 1),
    auction("a score that overflows is above every budget", [offer(1, CHEAP, 2**32 - 1), offer(2, CHEAP, 1)],
            nano_per_ms=2**40),
    auction("an open bid does not serve a confidential order",
            [offer(1, CHEAP), offer(2, DEAR, tier="Confidential")], tier="Confidential"),
    auction("more protection than asked for is no harm", [offer(1, CHEAP, tier="Confidential"), offer(2, MIDDLE)]),
    auction("who failed this order is not asked again", [offer(1, CHEAP), offer(2, MIDDLE), offer(3, DEAR)], failed=[1]),
    auction("a failure outweighs a tier and a budget", [offer(1, DEAR)], tier="Confidential", budget=1, failed=[1]),
    auction("the first bid of a provider counts", [offer(1, DEAR), offer(1, CHEAP), offer(2, MIDDLE)]),
    auction("free work stays free", [offer(1, sheet(0, 0, 0)), offer(2, CHEAP)]),
    auction("a price of one nano cannot be raised by a part", [offer(1, sheet(1, 0, 0)), offer(2, sheet(2, 0, 0))]),
    auction("a price of one nano can be doubled", [offer(1, sheet(1, 1, 1)), offer(2, sheet(1_000, 0, 0))]),
    auction("an embedding is scored by its inputs", [offer(1, sheet(0, 1_000, 0)), offer(2, sheet(40, 0, 10**9))],
            task=embed("a", "b", "c")),
    auction("a proven provider goes before a cheaper unknown one",
            [offer(1, CHEAP, stands=stands("unknown")), offer(2, DEAR, stands=stands("proven", 1))]),
    auction("unknown, doubtful, last",
            [offer(1, CHEAP, stands=stands("last", 0)), offer(2, MIDDLE, stands=stands("doubtful")),
             offer(3, DEAR, stands=stands("unknown"))]),
    auction("an unknown provider is tried and paid its own bid", explore=True, bids=
            [offer(1, CHEAP, stands=stands("proven", 4)), offer(2, sheet(0, 5_000, 300_000), stands=stands("unknown"))]),
    auction("one that is a quarter worse is not tried", explore=True, bids=
            [offer(1, CHEAP, stands=stands("proven", 4)), offer(2, MIDDLE, stands=stands("unknown"))]),
    auction("nor is one that failed before", explore=True, bids=
            [offer(1, DEAR, stands=stands("proven", 4)), offer(2, CHEAP, stands=stands("doubtful"))]),
    auction("without a proven one nobody is tried", explore=True, bids=
            [offer(1, CHEAP, stands=stands("unknown")), offer(2, MIDDLE, stands=stands("unknown"))]),
    auction("a stranger that wants most of its price at once is not the cheapest",
            [offer(1, sheet(30_000, 0, 0), stands=stands("unknown")), offer(2, CHEAP, stands=stands("unknown"))]),
    auction("the first step of one that has served counts for nothing",
            [offer(1, sheet(30_000, 0, 0), stands=stands("proven", 4)), offer(2, CHEAP, stands=stands("proven", 1))]),
    auction("a raised price raises the first step as well",
            [offer(1, sheet(2_000, 0, 0), stands=stands("unknown")), offer(2, DEAR, stands=stands("unknown"))]),
    auction("coins that are locked for long weigh",
            [offer(1, CHEAP, stands=stands("unknown", 0, 10**9, 172_800)),
             offer(2, MIDDLE, stands=stands("unknown", 0, 10**9, 3_600))]),
    auction("more locked coins than a score can hold",
            [offer(1, CHEAP, stands=stands("unknown", 0, U64 - 1, 2**32 - 1)), offer(2, MIDDLE)], budget=U64 - 1),
    auction("the sixty-fifth bid is not read", [offer(number, sheet(1_000 - number, 0, 0)) for number in range(1, 66)]),
]
write(__file__, "auctions.json", {"cases": AUCTIONS})

# ---- invitations ----------------------------------------------------------------------------------------------------


def invitation(number, share):
    identity, provider = bytes([number]) * 16, blake3(bytes([number, 1]))
    drawn = int.from_bytes(blake3(identity + provider)[:8], "little") * 1_000_000 >> 64
    return {"id": identity.hex(), "provider": provider.hex(), "invited": share, "drawn": drawn,
            "invites": share >= 1_000_000 or drawn < share}


def at_the_edge(number):
    drawn = invitation(number, 0)["drawn"]
    return [invitation(number, drawn), invitation(number, drawn + 1)]


write(__file__, "invitations.json", {"cases": [
    *(invitation(number, share) for number in range(8) for share in (0, 62_500, 500_000, 999_999)),
    *at_the_edge(8), *at_the_edge(9), invitation(10, 1_000_000), invitation(11, 2**32 - 1),
]})
