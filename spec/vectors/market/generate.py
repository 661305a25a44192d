#!/usr/bin/env python3
"""Writes the vectors of spec/03-market.md beside this file: size classes, bills, and whole auctions."""

import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import DEFAULT, U64, bill, blake3, bound, estimate, units, units_due, units_read, write

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
# Price, weights, fresh and cached input tokens, tokens read for nobody.
READINGS = [
    (40_000, DEFAULT, 1_020, 0, 0), (40_000, DEFAULT, 1_020, 0, 1), (40_000, DEFAULT, 1_020, 0, 510),
    (40_000, DEFAULT, 1_020, 0, 1_020), (40_000, DEFAULT, 1_020, 0, 1_021), (40_000, DEFAULT, 1_020, 300, 1_320),
    (40_000, DEFAULT, 0, 300, 300), (40_000, DEFAULT, 0, 0, 0), (7, HEAVY, 12, 5, 7), (1, EVEN, 3, 0, 1),
    (U64 - 1, DEFAULT, 1, 0, 1), (1, HEAVY, 2**32 - 1, 2**32 - 1, 2**32 - 1), (0, DEFAULT, 9, 9, 9),
]
WEIGHTS = [DEFAULT, HEAVY, EVEN, (10, 0, 10), (10, 10, 200), (0, 0, 0), (0, 0, 1), (10, 11, 60), (10, 1, 9), (10, 1, 201),
           (501, 1, 10_001), (2**32 - 1, 1, 2**32 - 1)]
# Per job, per 1,000 input and output tokens; weights; fresh and cached input tokens, output tokens.
QUOTES = [
    (0, 500_000, 4_000_000, DEFAULT, 192, 0, 16), (0, 500_000, 4_000_000, DEFAULT, 768, 0, 256), (5, 0, 0, EVEN, 0, 0, 0),
    (0, 0, 0, DEFAULT, 768, 0, 256), (10_240, 400_000, 2_400_000, DEFAULT, 1_020, 0, 129), (0, 1, 0, DEFAULT, 1, 0, 0),
    (U64 - 1, 0, 0, DEFAULT, 0, 0, 0), (U64 - 1, U64 - 1, U64 - 1, EVEN, 2**31, 0, 2**31), (1, 2, 3, HEAVY, 192, 64, 16),
]
CLASSES = [(0, 0), (1, 1), (256, 64), (256, 129), (257, 65), (512, 128), (513, 129), (1_024, 0), (2**32, 2**32), (U64 - 1, U64 - 1)]
TASKS = [
    chat("count for me", 100), chat("Grüße 🐛", 1), chat("", 7, prefix=[1, 2, 3], stop=["\n", "END"]),
    embed("one"), embed("", "", ""), embed("ä" * 10, "plain"),
]


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


def reading(price, weights, fresh, cached, read):
    count = units_read(weights, fresh, cached, read)
    return {"price": str(price), "weights": list(weights), "input": tokens_in(fresh, cached), "read": read,
            "units": str(count), "due": text_or_none(bill(price, count))}


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
    "readings": [reading(*case) for case in READINGS],
    "weights": [{"weights": list(weights), "usable": usable(weights)} for weights in WEIGHTS],
    "quotes": [quote(*case) for case in QUOTES],
    "bounds": [{"task": task, "input_tokens_max": str(bound(task)), "input_tokens_estimate": str(estimate(task))}
               for task in TASKS],
})

# ---- auctions -------------------------------------------------------------------------------------------------------


PLACES = ("proven", "tried", "unknown", "doubtful", "last")


def offer(number, price, start_ms=100, tier="Open", place="proven", level=None, read_tps=0, write_tps=0, prefix=None,
          speed=(0, 0), locks=0, challenge_s=0):
    level = {"proven": 9, "tried": 1}.get(place, 0) if level is None else level
    return {"provider": number, "price": str(price), "start_ms": start_ms, "read_tps": read_tps, "write_tps": write_tps,
            "tier": tier, "prefix": number if prefix is None else prefix, "place": place, "level": level,
            "speed": {"read_us": str(speed[0]), "write_us": str(speed[1])}, "locks": str(locks), "challenge_s": challenge_s}


def whole(case):
    return units(case["weights"], case["input"]["fresh"], case["input"]["cached"], int(case["output_tokens_max"]))


def expected(case):
    return units(case["weights"], case["input"]["fresh"], case["input"]["cached"], int(case["output_tokens"]))


def wait(case, bid):
    """MK-7: milliseconds until the whole answer is there, as promised or as measured."""
    reads, writes = case["input"]["fresh"] + case["input"]["cached"] // 8, int(case["output_tokens"])
    span = lambda tokens, per_s: tokens * 1000 // per_s if per_s else 0
    promised = span(reads, bid["read_tps"]) + span(writes, bid["write_tps"])
    measured = (int(bid["speed"]["read_us"]) * reads + int(bid["speed"]["write_us"]) * writes) // 1000
    return bid["start_ms"] + max(promised, measured)


def aside(case, bid, v):
    """What waiting and locking are worth (MK-7)."""
    waiting = min(v * wait(case, bid), U64 - 1)
    return min(waiting + int(bid["locks"]) * bid["challenge_s"] // 10**8, U64 - 1)


def draw(bid):
    return int.from_bytes(blake3(bytes([1]) * 16 + bytes([bid["provider"]]) * 32)[:8], "little")


def kept(bids, invites_all):
    """MK-6, MK-51: the first of each provider, two proven of a prefix and one other, 64 of each kind; all of them where
    everybody was invited and no other prefix bids."""
    taken = []
    if invites_all and len({bid["prefix"] for bid in bids}) == 1:
        firsts = {}
        for bid in bids:
            firsts.setdefault(bid["provider"], bid)
        return list(firsts.values())
    for bid in bids:
        proven = bid["level"] > 0
        alike = [other for other in taken if (other["level"] > 0) == proven]
        near = [other for other in alike if other["prefix"] == bid["prefix"]]
        known = bid["provider"] in [other["provider"] for other in taken]
        if not known and len(near) < (2 if proven else 1) and len(alike) < BIDS_MAX:
            taken.append(bid)
    return taken


def paid(own, second, aside, units, median):
    """MK-8."""
    if second is None or median is None:
        return own
    return max(own, min(max(0, second - aside) * 1000 // units, median * 9 // 8, U64 - 1))


def tried(case, able):
    """MK-33: the place of the bidder that goes first instead of the best."""
    exploration = case["exploration"]
    best = able[0]
    if exploration is None or best[0] != 0:
        return None
    within = lambda entry, parts, of: entry[1] * of <= best[1] * parts
    apart = lambda entry: entry[2]["prefix"] != best[2]["prefix"]
    fits = {0: lambda entry: within(entry, 11, 10), 2: lambda entry: case["is_small"] and within(entry, 5, 4)}
    open_to = [entry for entry in able[1:] if (apart(entry) or within(entry, 1, 1)) and fits.get(entry[0], lambda _: False)(entry)]
    bargain = any(within(entry, 3, 4) for entry in open_to)
    due = exploration["orders"] >= 8 or (exploration["orders"] >= 4 and bargain)
    if not due or not open_to:
        return None
    open_to.sort(key=lambda entry: entry[1])
    if len(exploration["tried"]) % 2:
        used = lambda entry: exploration["tried"].count(entry[2]["prefix"])
        return min(open_to, key=lambda entry: (used(entry), draw(entry[2])))
    return open_to[0]


def close(case):
    """MK-6 to MK-8, MK-13, MK-32, MK-33, MK-52, MK-51."""
    able, unable = [], []
    for bid in kept(case["bids"], case["invites_all"]):
        cost_max = bill(int(bid["price"]), whole(case))
        shown = U64 - 1 if cost_max is None else cost_max
        fate = None
        if bid["provider"] in case["failed"]:
            fate = "failed_before"
        elif case["tier"] == "Confidential" and bid["tier"] == "Open":
            fate = "weaker_tier"
        elif shown > int(case["budget"]):
            fate = "over_budget"
        elif case["price_max"] is not None and int(bid["price"]) > int(case["price_max"]):
            fate = {"over_ceiling": {"most": case["price_max"]}}
        (able if fate is None else unable).append((bid, shown, fate))
    v = case["nano_per_ms"]
    if v is None:
        usual = case["median"] or min((int(bid["price"]) for bid, *_ in able), default=0)
        v = min(-(-int(usual) * expected(case) // (1000 * 10_000)), U64 - 1)
    v = int(v)
    scored = []
    for bid, shown, _ in able:
        cost = bill(int(bid["price"]), expected(case))
        score = None if cost is None else cost + aside(case, bid, v)
        if score is None or score >= U64:
            unable.append((bid, shown, "over_budget"))
        else:
            scored.append((PLACES.index(bid["place"]), score, bid, shown))
    able = []
    for place in range(len(PLACES)):
        turn = sorted((entry for entry in scored if entry[0] == place), key=lambda entry: (entry[1], entry[2]["provider"]))
        most = turn[0][1] + turn[0][1] // 50 if turn else 0
        equal = sorted((entry for entry in turn if entry[1] <= most), key=lambda entry: (draw(entry[2]), entry[2]["provider"]))
        able += equal + turn[len(equal):]
    unable.sort(key=lambda entry: (entry[1], entry[0]["provider"]))
    first = tried(case, able) if able else None
    if first is not None:
        able.remove(first)
        able.insert(0, first)
    second = None
    if able:
        winner = able[0][2]
        others = [(entry[1], entry[2]) for entry in able[1:]]
        for bid, _, fate in unable:
            cost = bill(int(bid["price"]), expected(case))
            score = U64 if cost is None else cost + aside(case, bid, v)
            if (fate == "over_budget" or "over_ceiling" in fate) and score < U64:
                others.append((score, bid))
        others = [score for score, bid in others if bid["level"] > 0 and bid["prefix"] != winner["prefix"]]
        second = min(others, default=None)
    candidates, reports = [], []
    for place, (_, score, bid, shown) in enumerate(able):
        price = int(bid["price"])
        if place == 0 and first is None:
            median = None if case["median"] is None else int(case["median"])
            most = int(case["budget"]) * 1000 // whole(case)
            if case["price_max"] is not None:
                most = min(most, int(case["price_max"]))
            price = min(paid(price, second, aside(case, bid, v), expected(case), median), max(most, price))
        candidates.append({"provider": bid["provider"], "price": str(price)})
        by = str(max(score - able[0][1], 0))
        fate = {"won": {"second": text_or_none(second)}} if place == 0 else {"outscored": {"by": by}}
        reports.append({"provider": bid["provider"], "cost_max": str(shown), "fate": fate})
    reports += [{"provider": bid["provider"], "cost_max": str(shown), "fate": fate} for bid, shown, fate in unable]
    return case | {"tries": first is not None, "candidates": candidates, "reports": reports}


def auction(name, bids, fresh=12, cached=0, most=100, output=25, weights=DEFAULT, budget=10**9, price_max=None, tier="Open",
            nano_per_ms=0, median=None, failed=(), exploration=None, is_small=True, invites_all=False):
    return close({"name": name, "weights": list(weights), "input": tokens_in(fresh, cached), "output_tokens_max": str(most),
                  "output_tokens": str(output), "budget": str(budget), "price_max": text_or_none(price_max), "tier": tier,
                  "nano_per_ms": text_or_none(nano_per_ms), "median": text_or_none(median), "failed": list(failed),
                  "exploration": exploration, "is_small": is_small, "invites_all": invites_all,
                  "bids": bids})


def exploring(orders, *tried):
    return {"orders": orders, "tried": list(tried)}


CHEAP, MIDDLE, DEAR = 5_000, 7_000, 15_000
STRANGER = {"place": "unknown"}
AUCTIONS = [
    auction("nobody bids", []),
    auction("alone, it is paid its own bid", [offer(1, CHEAP)], median=CHEAP),
    auction("without a history, the winner is paid its own bid", [offer(1, DEAR), offer(2, CHEAP), offer(3, MIDDLE)]),
    auction("the second score pays, where it is below nine eighths of the median",
            [offer(1, DEAR), offer(2, CHEAP), offer(3, MIDDLE)], median=10_000),
    auction("nine eighths of the median are the most", [offer(1, DEAR), offer(2, CHEAP), offer(3, MIDDLE)], median=5_500),
    auction("a median below the winner's own bid changes nothing", [offer(1, DEAR), offer(2, CHEAP)], median=1),
    auction("a second of the same prefix is none", [offer(1, CHEAP, prefix=7), offer(2, MIDDLE, prefix=7)], median=10_000),
    auction("the next prefix is one", [offer(1, CHEAP, prefix=7), offer(2, MIDDLE, prefix=7), offer(3, DEAR)], median=10_000),
    auction("a second that is not proven is none", [offer(1, CHEAP), offer(2, MIDDLE, **STRANGER)], median=10_000),
    auction("equal scores are drawn", [offer(9, CHEAP), offer(4, CHEAP), offer(7, CHEAP)], median=CHEAP),
    auction("so are scores within a fiftieth", [offer(1, 5_000), offer(2, 5_050), offer(3, 5_099), offer(4, 5_100),
            offer(5, 5_103)], median=10_000),
    auction("a score that is a fiftieth above the best is equal to it", [offer(4, 4_000), offer(8, 4_078)], fresh=0, output=0,
            most=0),
    auction("one that is a nano more is not", [offer(4, 4_000), offer(8, 4_079)], fresh=0, output=0, most=0),
    auction("a wait has its price", [offer(1, CHEAP, 900), offer(2, MIDDLE, 100)], nano_per_ms=100),
    auction("reading is waiting", [offer(1, CHEAP, read_tps=10), offer(2, MIDDLE, read_tps=1_000)], nano_per_ms=100),
    auction("writing is waiting", [offer(1, CHEAP, write_tps=10), offer(2, MIDDLE, write_tps=1_000)], nano_per_ms=100),
    auction("what was measured counts, where it is longer than what is promised",
            [offer(1, CHEAP, write_tps=1_000, speed=(900, 80_000)), offer(2, MIDDLE, write_tps=1_000, speed=(900, 1_100))],
            nano_per_ms=100),
    auction("what is promised counts, where it is longer than what was measured",
            [offer(1, CHEAP, write_tps=10, speed=(1, 1)), offer(2, MIDDLE, write_tps=100, speed=(1, 1))], nano_per_ms=100),
    auction("what was read before is found in an eighth of the time", [offer(1, CHEAP, read_tps=10), offer(2, MIDDLE)],
            fresh=8, cached=807, nano_per_ms=7),
    auction("a second of waiting is worth a tenth of the usual bill",
            [offer(1, CHEAP, 4_000), offer(2, 6_000, 1_000)], nano_per_ms=None, median=6_000),
    auction("or of the lowest bid", [offer(1, CHEAP, 4_000), offer(2, 6_000, 1_000)], nano_per_ms=None),
    auction("nobody waits for nothing", [offer(1, 0, 4_000), offer(2, 1, 1_000)], nano_per_ms=None),
    auction("what the winner's wait costs is not paid to it", [offer(1, CHEAP, 500), offer(2, DEAR, 100)], nano_per_ms=20,
            median=DEAR),
    auction("the faster winner is paid for its speed", [offer(1, MIDDLE, 10), offer(2, CHEAP, 5_000)], nano_per_ms=50,
            median=DEAR),
    auction("the bill that is expected counts, and the budget bounds the longest answer",
            [offer(1, CHEAP), offer(2, DEAR)], budget=60_000, median=DEAR),
    auction("the budget bounds the second price, too", [offer(1, CHEAP, 0), offer(2, MIDDLE, 5_000)], budget=60_000, nano_per_ms=20,
            median=DEAR),
    auction("a bid above the budget is a second all the same, and the budget bounds what is paid",
            [offer(1, CHEAP), offer(2, MIDDLE)], budget=40_000, median=DEAR),
    auction("so is one above the ceiling", [offer(1, CHEAP), offer(2, MIDDLE)], price_max=6_000, median=DEAR),
    auction("the median bounds it as well", [offer(1, CHEAP), offer(2, DEAR)], budget=60_000, median=5_500),
    auction("no second is a stranger, a neighbour or one that failed, whatever they ask",
            [offer(1, CHEAP, prefix=7), offer(2, DEAR, prefix=7), offer(3, DEAR, **STRANGER), offer(4, DEAR)], budget=60_000,
            median=DEAR, failed=[4]),
    auction("a bid at the budget is in", [offer(1, 1_000)], budget=6_376),
    auction("a bid above the budget is out", [offer(1, 1_000), offer(2, 1_001)], budget=6_375),
    auction("a bid at the ceiling is in, one above is out", [offer(1, 1_000), offer(2, 1_001)], price_max=1_000),
    auction("nothing is paid above the ceiling either", [offer(1, CHEAP), offer(2, DEAR)], median=DEAR, price_max=CHEAP + 1),
    auction("nor where the second is worth more by its wait", [offer(1, CHEAP, 0), offer(2, CHEAP + 1, 5_000)], median=DEAR,
            nano_per_ms=20, price_max=CHEAP + 1),
    auction("a bid that overflows is above every budget", [offer(1, U64 - 1), offer(2, CHEAP)], budget=U64 - 1),
    auction("a score that overflows is above every budget", [offer(1, CHEAP, 2**32 - 1), offer(2, CHEAP, 1)],
            nano_per_ms=2**40),
    auction("an open bid does not serve a confidential order",
            [offer(1, CHEAP), offer(2, DEAR, tier="Confidential")], tier="Confidential"),
    auction("more protection than asked for is no harm", [offer(1, CHEAP, tier="Confidential"), offer(2, MIDDLE)]),
    auction("who failed this order is not asked again", [offer(1, CHEAP), offer(2, MIDDLE), offer(3, DEAR)], failed=[1]),
    auction("a failure outweighs a tier and a budget", [offer(1, DEAR)], tier="Confidential", budget=1, failed=[1]),
    auction("the first bid of a provider counts", [offer(1, DEAR), offer(1, CHEAP), offer(2, MIDDLE)]),
    auction("free work is paid by the second like any other", [offer(1, 0), offer(2, CHEAP)], median=CHEAP),
    auction("alone, free work stays free", [offer(1, 0)], median=CHEAP),
    auction("other weights, other bills", [offer(1, CHEAP), offer(2, MIDDLE)], weights=(100, 50, 2_000), fresh=700, cached=300,
            median=DEAR),
    auction("an embedding is scored by its inputs", [offer(1, CHEAP), offer(2, MIDDLE)], most=0, output=0, median=DEAR),
    auction("a proven provider goes before a cheaper unknown one", [offer(1, CHEAP, **STRANGER), offer(2, DEAR, level=1)]),
    auction("tried once, unknown, doubtful, last",
            [offer(1, CHEAP, place="last"), offer(2, MIDDLE, place="doubtful"), offer(3, DEAR, **STRANGER),
             offer(4, 2 * DEAR, place="tried")]),
    auction("one unproven bid of a prefix is read, and two proven ones",
            [offer(1, DEAR, prefix=7, **STRANGER), offer(2, CHEAP, prefix=7, **STRANGER), offer(3, DEAR, prefix=7),
             offer(4, MIDDLE, prefix=7), offer(5, CHEAP, prefix=7), offer(6, DEAR, **STRANGER)]),
    auction("all of a prefix, where everybody was invited and no other bids",
            [offer(1, DEAR, prefix=7, **STRANGER), offer(2, CHEAP, prefix=7, **STRANGER), offer(3, MIDDLE, prefix=7, **STRANGER)],
            invites_all=True),
    auction("but not where another does",
            [offer(1, DEAR, prefix=7, **STRANGER), offer(2, CHEAP, prefix=7, **STRANGER), offer(3, MIDDLE, **STRANGER)],
            invites_all=True),
    auction("every eighth order tries a stranger, who is paid its own bid",
            [offer(1, CHEAP), offer(2, 6_000, **STRANGER), offer(3, MIDDLE)], exploration=exploring(8), median=DEAR),
    auction("the seventh does not", [offer(1, CHEAP), offer(2, 6_000, **STRANGER)], exploration=exploring(7)),
    auction("the fourth does, for a bargain", [offer(1, CHEAP), offer(2, 3_750, **STRANGER)], exploration=exploring(4)),
    auction("and pays it what it asks", [offer(1, CHEAP), offer(2, 3_750, **STRANGER)], exploration=exploring(4), median=DEAR),
    auction("but for nothing less", [offer(1, CHEAP), offer(2, 3_751, **STRANGER)], exploration=exploring(7)),
    auction("a stranger a quarter above the best is tried", [offer(1, 4_000), offer(2, 5_000, **STRANGER)],
            exploration=exploring(8), fresh=0, output=0, most=0),
    auction("one that is worse is not", [offer(1, 4_000), offer(2, 5_004, **STRANGER)], exploration=exploring(8), fresh=0,
            output=0, most=0),
    auction("a large order tries no stranger", [offer(1, CHEAP), offer(2, 4_000, **STRANGER)], exploration=exploring(8),
            is_small=False),
    auction("one that is known is tried a tenth above the best", [offer(1, 4_000), offer(2, 4_400), offer(3, 4_405)],
            exploration=exploring(8), fresh=0, output=0, most=0),
    auction("nor is a known one of the best bidder's prefix",
            [offer(1, 4_000, prefix=7), offer(2, 4_200, prefix=7), offer(3, 4_400)], exploration=exploring(8), fresh=0, output=0,
            most=0),
    auction("nor a stranger of it, which scores worse",
            [offer(1, 4_000, prefix=7), offer(2, 4_200, prefix=7, **STRANGER), offer(3, 4_400)], exploration=exploring(8), fresh=0,
            output=0, most=0),
    auction("one that scores better is", [offer(1, 4_000, prefix=7), offer(2, 3_900, prefix=7, **STRANGER), offer(3, 4_400)],
            exploration=exploring(8), fresh=0, output=0, most=0),
    auction("the lowest score is tried first", [offer(1, CHEAP), offer(2, 5_600, **STRANGER), offer(3, 5_500, **STRANGER),
            offer(4, 5_550, **STRANGER)], exploration=exploring(8)),
    auction("then the prefix that was tried least", [offer(1, CHEAP), offer(2, 5_600, **STRANGER), offer(3, 5_500, **STRANGER),
            offer(4, 5_550, **STRANGER)], exploration=exploring(8, 3)),
    auction("of several, one that nobody chose", [offer(1, CHEAP), offer(2, 5_600, **STRANGER), offer(3, 5_500, **STRANGER),
            offer(4, 5_550, **STRANGER)], exploration=exploring(8, 3, 4, 2)),
    auction("nor is one tried that failed before", [offer(1, DEAR), offer(2, CHEAP, place="doubtful")],
            exploration=exploring(8)),
    auction("without a proven one nobody is tried", [offer(1, CHEAP, **STRANGER), offer(2, 5_600, **STRANGER)],
            exploration=exploring(8)),
    auction("coins that are locked for long weigh",
            [offer(1, CHEAP, locks=10**9, challenge_s=172_800), offer(2, MIDDLE, locks=10**9, challenge_s=3_600)], median=DEAR),
    auction("more locked coins than a score can hold",
            [offer(1, CHEAP, locks=U64 - 1, challenge_s=2**32 - 1), offer(2, MIDDLE)], budget=U64 - 1),
    auction("the sixty-fifth bid is not read", [offer(number, 1_000 - number) for number in range(1, 66)]),
    auction("those of strangers take no place from the proven", [*(offer(number, 1_000 - number, **STRANGER) for number in
            range(1, 66)), offer(66, DEAR)]),
]
# What won before; own price, second score, nano a millisecond, milliseconds of the winner's wait, units.
PRICES = [
    ([41_000] * 8, 40_000, 848_128, 73, 800, 18_196), ([41_000] * 8, 40_000, 1_157_460, 73, 800, 18_196),
    ([41_000] * 3, 40_000, 848_128, 73, 800, 18_196), ([41_000] * 8, 40_000, None, 73, 800, 18_196),
    ([41_000] * 8, 48_000, 848_128, 73, 800, 18_196), ([41_000] * 8, 40_000, 749_740, 73, 800, 18_196),
    ([41_000] * 8, 40_000, 1, 73, 800, 18_196), (list(range(1, 17)), 1, 10**9, 0, 0, 1_000),
    ([9, 1, 8, 2], 0, 10**9, 0, 0, 1), ([U64 - 1] * 4, 1, U64 - 1, 0, 0, 1), ([0] * 16, 0, 10**9, 1, 1, 256),
    ([1] * 4 + [100] * 16, 100, 10**9, 0, 0, 1), ([7] * 4, 2, 1_000, 10, 200, 256),
]


def priced(history, own, second, v, wait_ms, units):
    newest = history[-16:]
    median = sorted(newest)[(len(newest) - 1) // 2] if len(newest) >= 4 else None
    return {"history": [str(price) for price in history], "median": text_or_none(median), "own": str(own),
            "second": text_or_none(second), "aside": str(v * wait_ms), "units": str(units),
            "price": str(paid(own, second, v * wait_ms, units, median))}


def ceiling(own, median, refused, bids):
    """MK-52. A bid is its prefix, its price and whether its provider has served."""
    most = own
    if own is None and median is not None:
        most = min(2 ** (refused + 1) * median, U64 - 1)
        above = [price for _, price, _ in bids if price > most]
        market = min(above) + min(above) // 4 if above else 0
        if len({prefix for prefix, price, served in bids if price <= market and (price > most or served)}) >= 3:
            most = min(market, U64 - 1)
    return {"price_max": text_or_none(own), "median": text_or_none(median), "refused": refused,
            "bids": [{"prefix": prefix, "price": str(price), "served": served} for prefix, price, served in bids],
            "most": text_or_none(most)}


def three(*prices, served=False):
    return [(1 + place, price, served) for place, price in enumerate(prices)]


RISEN = three(30_000, 30_001, 37_500)
CEILINGS = [(own, median, refused, bids) for own in (None, 0, 30_000) for median in (None, 0, 10_000, U64 // 2, U64 - 1)
            for refused in (0, 1) for bids in ([], RISEN)]
CEILINGS += [(None, 10_000, refused, []) for refused in (2, 50, 64, 1_000)]
CEILINGS += [(None, 10_000, 0, bids) for bids in (
    # Not near enough, of two prefixes, and with a low bid of a stranger or of one that has served.
    three(30_000, 30_001, 37_501), [(1, 30_000, True), (2, 30_000, True), (2, 30_000, True)],
    three(5_000, 30_000, 30_000), [(1, 5_000, True), *three(5_000, 30_000, 30_000)[1:]],
    # One that has served beside strangers out of all reason, and a fourth above the market.
    [(1, 500_000, True), (2, 10**12, False), (3, 10**12, False)], [*RISEN, (4, 10**9, True)],
    three(U64 - 1, U64 - 1, U64 - 1), three(20_000, 20_000, 20_000), three(20_001, 20_001, 20_001))]
write(__file__, "auctions.json", {"cases": AUCTIONS, "prices": [priced(*case) for case in PRICES],
                                  "ceilings": [ceiling(*case) for case in CEILINGS]})

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
