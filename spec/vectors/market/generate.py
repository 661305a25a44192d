#!/usr/bin/env python3
"""Writes the vectors of spec/03-market.md beside this file: size classes, bills, and whole auctions."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import DEFAULT, U64, bill, blake3, bound, estimate, units, units_due, write

MODEL, BIDS_MAX = "ab" * 32, 64


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
HEAVY, EVEN = (500, 500, 10_000), (1, 0, 1)
# Price, weights, fresh and cached input tokens, output tokens.
BILLS = [
    (40_000, DEFAULT, 1_020, 300, 129), (40_000, DEFAULT, 0, 0, 0), (40_000, DEFAULT, 500, 0, 1), (1, EVEN, 0, 0, 0),
    (1, EVEN, 744, 0, 0), (1, EVEN, 745, 0, 0), (0, DEFAULT, 2**32 - 1, 2**32 - 1, U64 - 1), (U64 - 1, EVEN, 744, 0, 0),
    (U64 - 1, EVEN, 745, 0, 0), (U64 - 1, HEAVY, 2**32 - 1, 2**32 - 1, U64 - 1), (7, HEAVY, 12, 3, 5),
    (1, DEFAULT, 0, 0, 2**58), (1_000, EVEN, 0, 0, U64 - 257), (1_000, EVEN, 0, 0, U64 - 256),
]
# Price, weights, fresh and cached input tokens, output tokens, vectors, vectors wanted, whether the answer is complete.
DUES = [
    (40_000, DEFAULT, 1_020, 0, 0, 0, 0, False), (40_000, DEFAULT, 1_020, 0, 1, 0, 0, False),
    (40_000, DEFAULT, 1_020, 0, 16, 0, 0, False), (40_000, DEFAULT, 1_020, 0, 31, 0, 0, False),
    (40_000, DEFAULT, 1_020, 0, 32, 0, 0, False), (40_000, DEFAULT, 1_020, 0, 33, 0, 0, True),
    (40_000, DEFAULT, 1_020, 300, 129, 0, 0, True), (40_000, DEFAULT, 500, 0, 1, 0, 0, True),
    (40_000, DEFAULT, 0, 0, 0, 0, 0, True), (7, HEAVY, 12, 5, 7, 0, 0, False), (1, EVEN, 0, 0, 31, 0, 0, False),
    (40_000, DEFAULT, 64, 0, 0, 0, 5, False), (40_000, DEFAULT, 64, 0, 0, 1, 5, False), (40_000, DEFAULT, 64, 0, 0, 4, 5, False),
    (40_000, DEFAULT, 64, 0, 0, 5, 5, False), (40_000, DEFAULT, 64, 0, 0, 5, 5, True),
    (U64 - 1, DEFAULT, 1, 0, 1, 0, 0, False), (U64 - 1, EVEN, 744, 0, 0, 0, 0, True), (0, DEFAULT, 9, 9, 9, 0, 0, True),
]
WEIGHTS = [DEFAULT, HEAVY, EVEN, (10, 0, 10), (10, 10, 200), (0, 0, 0), (0, 0, 1), (10, 11, 60), (10, 1, 9), (10, 1, 201),
           (501, 1, 10_001), (2**32 - 1, 1, 2**32 - 1)]
# Per job, per 1,000 input and output tokens; weights; fresh and cached input tokens, output tokens.
QUOTES = [
    (0, 500_000, 4_000_000, DEFAULT, 192, 0, 16), (0, 500_000, 4_000_000, DEFAULT, 768, 0, 256), (5, 0, 0, EVEN, 0, 0, 0),
    (0, 0, 0, DEFAULT, 768, 0, 256), (10_240, 400_000, 2_400_000, DEFAULT, 1_020, 0, 129), (0, 1, 0, DEFAULT, 1, 0, 0),
    (U64 - 1, 0, 0, DEFAULT, 0, 0, 0), (U64 - 1, U64 - 1, U64 - 1, EVEN, 2**31, 0, 2**31), (1, 2, 3, HEAVY, 192, 64, 16),
]
CLASSES = [(0, 0), (1, 1), (256, 64), (257, 65), (512, 128), (513, 129), (1_024, 0), (2**32, 2**32), (U64 - 1, U64 - 1)]
TASKS = [
    chat("count for me", 100), chat("Grüße 🐛", 1), chat("", 7, prefix=[1, 2, 3], stop=["\n", "END"]),
    embed("one"), embed("", "", ""), embed("ä" * 10, "plain"),
]
SCALES = [(1_000, 1_000_000), (1_000, 1_250_000), (7, 1_999_999), (7, 0), (U64 - 1, 1_000_001), (1, 999_999)]


def tokens_in(fresh, cached):
    return {"fresh": fresh, "cached": cached}


def billed(price, weights, fresh, cached, output):
    count = units(weights, fresh, cached, output)
    return {"price": str(price), "weights": list(weights), "input": tokens_in(fresh, cached), "output_tokens": str(output),
            "units": str(count), "cost": text_or_none(bill(price, count))}


def due(price, weights, fresh, cached, output, rows, wanted, complete):
    count = units_due(weights, fresh, cached, output, rows, wanted, complete)
    return {"price": str(price), "weights": list(weights), "input": tokens_in(fresh, cached), "output_tokens": str(output),
            "rows": rows, "rows_wanted": wanted, "complete": complete, "units": str(count),
            "due": text_or_none(bill(price, count))}


def usable(weights):
    """WR-17."""
    fresh, cached, output = weights
    return 1 <= fresh <= output <= 20 * fresh and cached <= fresh and output <= 10_000


def quote(per_job, input_per_k, output_per_k, weights, fresh, cached, output):
    """MK-5."""
    cost = 1000 * per_job + input_per_k * (fresh + cached) + output_per_k * output
    price = min(-(-cost // units(weights, fresh, cached, output)), U64 - 1)
    return {"per_job": str(per_job), "input_per_k": str(input_per_k), "output_per_k": str(output_per_k),
            "weights": list(weights), "input": tokens_in(fresh, cached), "output_tokens": str(output), "price": str(price)}


def classes(tokens, most):
    """MK-2."""
    return max(size_class(tokens), 8), max(size_class(most), 6) if most else 0


def told(size, beside):
    mine, other = classes(*size), classes(*beside)
    near = all(abs(one - two) <= 1 for one, two in zip(mine, other))
    of = lambda pair: {"input_tokens": str(pair[0]), "output_tokens_max": str(pair[1])}
    return of(size) | {"input_log2": mine[0], "output_log2": mine[1], "beside": of(beside), "is_near": near}


write(__file__, "bills.json", {
    "size_classes": [{"tokens": str(tokens), "log2": size_class(tokens)} for tokens in SIZES],
    "classes": [told(size, beside) for size in CLASSES for beside in CLASSES],
    "bills": [billed(*case) for case in BILLS],
    "dues": [due(*case) for case in DUES],
    "weights": [{"weights": list(weights), "usable": usable(weights)} for weights in WEIGHTS],
    "quotes": [quote(*case) for case in QUOTES],
    "bounds": [{"task": task, "input_tokens_max": str(bound(task)), "input_tokens_estimate": str(estimate(task))}
               for task in TASKS],
    "scaled": [{"price": str(price), "ppm": str(ppm),
                "result": text_or_none(price * ppm // 10**6 if price * ppm // 10**6 < U64 else None)} for price, ppm in SCALES],
})

# ---- auctions -------------------------------------------------------------------------------------------------------


PLACES = ("proven", "unknown", "doubtful", "last")


def stands(place, level=0, locks=0, challenge_s=0):
    return {"place": place, "level": level, "locks": str(locks), "challenge_s": challenge_s}


def offer(number, price, start_ms=100, tier="Open", stands=None, read_tps=0):
    return {"provider": number, "price": str(price), "start_ms": start_ms, "read_tps": read_tps, "tier": tier, "stands": stands}


def known(bid):
    return bid["stands"] or stands("proven", 255)


def wait(case, bid):
    """What the wait until the first token is worth."""
    reading = case["input"]["fresh"] * 1000 // bid["read_tps"] if bid["read_tps"] else 0
    return min(int(case["nano_per_ms"]) * (bid["start_ms"] + reading), U64 - 1)


def aside(case, bid):
    """What waiting and locking are worth (MK-7)."""
    return wait(case, bid) + int(known(bid)["locks"]) * known(bid)["challenge_s"] // 10**8


def weight(bid):
    return 0 if known(bid)["level"] else 8


def whole(case):
    return units(case["weights"], case["input"]["fresh"], case["input"]["cached"], int(case["output_tokens_max"]))


def first_step(case):
    return units(case["weights"], case["input"]["fresh"], case["input"]["cached"], min(int(case["output_tokens_max"]), 32))


def score_of(case, bid, weight):
    """MK-7."""
    cost = bill(int(bid["price"]), whole(case))
    step = bill(int(bid["price"]), first_step(case))
    if cost is None or step is None:
        return None
    score = cost + aside(case, bid) + weight * step
    return score if score < U64 else None


def second_price(case, bid, second):
    """MK-8."""
    if second is None:
        return bid["price"]
    allowed = max(second - aside(case, bid) - weight(bid), 0)
    by_score = allowed * 1000 // (whole(case) + weight(bid) * first_step(case))
    by_budget = int(case["budget"]) * 1000 // whole(case)
    return str(max(int(bid["price"]), min(by_score, by_budget, U64 - 1)))


def close(case):
    """MK-6 to MK-8, and MK-13."""
    bids = []
    for bid in case["bids"]:
        if len(bids) < BIDS_MAX and bid["provider"] not in [known["provider"] for known in bids]:
            bids.append(bid)
    able, unable = [], []
    for bid in bids:
        cost_max = bill(int(bid["price"]), whole(case))
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
        price = second_price(case, bid, second) if won and not explores else bid["price"]
        candidates.append({"provider": provider, "price": price})
        by = str(max(score - able[0][1], 0))
        fate = {"won": {"runner_up": text_or_none(second)}} if won else {"outscored": {"by": by}}
        reports.append({"provider": provider, "cost_max": str(cost_max), "fate": fate})
    return case | {"candidates": candidates, "reports": reports + unable}


def auction(name, bids, fresh=12, cached=0, most=100, weights=DEFAULT, budget=10**9, tier="Open", nano_per_ms=0, failed=(),
            explore=False):
    return close({"name": name, "weights": list(weights), "input": tokens_in(fresh, cached), "output_tokens_max": str(most),
                  "budget": str(budget), "tier": tier, "nano_per_ms": str(nano_per_ms), "failed": list(failed),
                  "explore": explore, "bids": bids})


CHEAP, MIDDLE, DEAR = 5_000, 7_000, 15_000
AUCTIONS = [
    auction("nobody bids", []),
    auction("alone, it is paid its own bid", [offer(1, CHEAP)]),
    auction("the lowest score wins and is paid by the second", [offer(1, DEAR), offer(2, CHEAP), offer(3, MIDDLE)]),
    auction("equal scores go to the lower node id", [offer(9, CHEAP), offer(4, CHEAP), offer(7, CHEAP)]),
    auction("a wait has its price", [offer(1, CHEAP, 900), offer(2, MIDDLE, 100)], nano_per_ms=100),
    auction("reading is waiting", [offer(1, CHEAP, 100, read_tps=10), offer(2, MIDDLE, 100, read_tps=1_000)], nano_per_ms=100),
    auction("what the winner's wait costs is not paid to it", [offer(1, CHEAP, 500), offer(2, DEAR, 100)], nano_per_ms=20),
    auction("the faster winner is paid for its speed", [offer(1, MIDDLE, 10), offer(2, CHEAP, 5_000)], nano_per_ms=50),
    auction("the budget caps the second price", [offer(1, CHEAP), offer(2, DEAR)], budget=60_000),
    auction("a bid at the budget is in", [offer(1, 1_000)], budget=6_376),
    auction("a bid above the budget is out", [offer(1, 1_000), offer(2, 1_001)], budget=6_375),
    auction("a bid that overflows is above every budget", [offer(1, U64 - 1), offer(2, CHEAP)], budget=U64 - 1),
    auction("a score that overflows is above every budget", [offer(1, CHEAP, 2**32 - 1), offer(2, CHEAP, 1)],
            nano_per_ms=2**40),
    auction("an open bid does not serve a confidential order",
            [offer(1, CHEAP), offer(2, DEAR, tier="Confidential")], tier="Confidential"),
    auction("more protection than asked for is no harm", [offer(1, CHEAP, tier="Confidential"), offer(2, MIDDLE)]),
    auction("who failed this order is not asked again", [offer(1, CHEAP), offer(2, MIDDLE), offer(3, DEAR)], failed=[1]),
    auction("a failure outweighs a tier and a budget", [offer(1, DEAR)], tier="Confidential", budget=1, failed=[1]),
    auction("the first bid of a provider counts", [offer(1, DEAR), offer(1, CHEAP), offer(2, MIDDLE)]),
    auction("free work is paid by the second like any other", [offer(1, 0), offer(2, CHEAP)]),
    auction("alone, free work stays free", [offer(1, 0)]),
    auction("a price of one nano can be doubled", [offer(1, 1), offer(2, 2)]),
    auction("other weights, other ceilings", [offer(1, CHEAP), offer(2, MIDDLE)], weights=(100, 50, 2_000), fresh=700, cached=300),
    auction("an embedding is scored by its inputs", [offer(1, CHEAP), offer(2, MIDDLE)], most=0),
    auction("a proven provider goes before a cheaper unknown one",
            [offer(1, CHEAP, stands=stands("unknown")), offer(2, DEAR, stands=stands("proven", 1))]),
    auction("unknown, doubtful, last",
            [offer(1, CHEAP, stands=stands("last", 0)), offer(2, MIDDLE, stands=stands("doubtful")),
             offer(3, DEAR, stands=stands("unknown"))]),
    auction("an unknown provider is tried and paid its own bid", explore=True, bids=
            [offer(1, CHEAP, stands=stands("proven", 4)), offer(2, 6_000, stands=stands("unknown"))]),
    auction("one that is a quarter worse is not tried", explore=True, bids=
            [offer(1, CHEAP, stands=stands("proven", 4)), offer(2, MIDDLE, stands=stands("unknown"))]),
    auction("nor is one that failed before", explore=True, bids=
            [offer(1, DEAR, stands=stands("proven", 4)), offer(2, CHEAP, stands=stands("doubtful"))]),
    auction("without a proven one nobody is tried", explore=True, bids=
            [offer(1, CHEAP, stands=stands("unknown")), offer(2, MIDDLE, stands=stands("unknown"))]),
    auction("the first step of a stranger weighs",
            [offer(1, CHEAP, stands=stands("doubtful")), offer(2, MIDDLE, stands=stands("doubtful", 1))]),
    auction("the first step of one that has served counts for nothing",
            [offer(1, MIDDLE, stands=stands("proven", 4)), offer(2, CHEAP, stands=stands("proven", 1))]),
    auction("a raised price raises the first step as well",
            [offer(1, 1_000, stands=stands("unknown")), offer(2, DEAR, stands=stands("unknown"))]),
    auction("coins that are locked for long weigh",
            [offer(1, CHEAP, stands=stands("unknown", 0, 10**9, 172_800)),
             offer(2, MIDDLE, stands=stands("unknown", 0, 10**9, 3_600))]),
    auction("more locked coins than a score can hold",
            [offer(1, CHEAP, stands=stands("unknown", 0, U64 - 1, 2**32 - 1)), offer(2, MIDDLE)], budget=U64 - 1),
    auction("the sixty-fifth bid is not read", [offer(number, 1_000 - number) for number in range(1, 66)]),
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
