"""Checks the figures of `bombyx demo --json`, read from standard input: two models answered, bids competed, and the
money adds up to the nano."""

import json
import sys

report = json.load(sys.stdin)


def hold(condition, what):
    if not condition:
        sys.exit(f"the demo's figures do not hold: {what}\n{json.dumps(report, indent=1)}")


jobs, settlement = report["jobs"], report["settlement"]
hold(report["ok"], "ok")
hold(report["nodes"] >= 4, "three providers and a client take part")
hold(len({job["model"] for job in jobs}) >= 2, "two models answered")
hold(len(jobs) >= 3, "three jobs")
for job in jobs[:2]:
    hold(len(job["bids"]) >= 2, f"{job['task']}: at least two bids in the first auction of a model")
for job in jobs:
    name = job["task"]
    hold(sum(bid["won"] for bid in job["bids"]) == 1, f"{name}: one winner")
    hold(all(bid["why"] for bid in job["bids"]), f"{name}: a reason for every bid")
    hold(job["cost_nano"] > 0 and job["receipts"] > 0 and job["vouchers"] > 0, f"{name}: served, receipted, paid")
    hold(job["units"] > 0 and job["first_token_ms"] >= 0, f"{name}: measured")
hold(any(job["failed_over"] for job in jobs), "one job survived the death of its provider")
hold(settlement["balanced"], "balanced")
hold(settlement["paid_nano"] == sum(job["cost_nano"] for job in jobs), "what was billed is what was paid")
hold(
    settlement["deposited_nano"] == settlement["paid_nano"] + settlement["refunded_nano"],
    "every deposited nano was paid or refunded",
)
hold(settlement["transactions"] > 0 and settlement["fees_nano"] > 0, "the ledger saw it")
print(f"demo: {len(jobs)} jobs on {report['nodes']} nodes in {report['wall_ms']} ms, balanced")
