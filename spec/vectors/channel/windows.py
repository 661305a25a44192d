#!/usr/bin/env python3
"""Writes `windows.json` beside this file: what a provider may serve on a channel, event after event, by spec/06-channel.md
section 3 alone."""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from reference import DEFAULT, account, bill, payment, public_of, seed, units, write

CLIENT, PROVIDER, OTHER = seed(1), seed(2), seed(3)
TERMS = {
    "network_id": -3, "salt": "7", "client_key": public_of(CLIENT).hex(), "provider_key": public_of(PROVIDER).hex(),
    "client": {"workchain": 0, "hash": "11" * 32}, "provider": {"workchain": 0, "hash": "22" * 32}, "challenge_s": 3600,
}
ACCOUNT = account(TERMS)
EPOCH = 1_000_007

# The contract itself made those accounts, so this file and it agree on what an account is.
for case in json.loads((pathlib.Path(__file__).parent / "accounts.json").read_text())["cases"]:
    named = case | {side: {"workchain": 0, "hash": case[side][2:].zfill(64)} for side in ("client", "provider")}
    assert account(named).hex() == case["account"][2:].zfill(64), case


def less(a, b):
    return max(0, a - b)


class Channel:
    """One channel as its provider counts it; each method is an event, and notes what follows."""

    def __init__(self, price, fresh=100, cached=0, credit=0, weights=DEFAULT):
        self.window, self.credit = bill(price, units(weights, fresh, cached, 96)), credit
        self.head = {"price": str(price), "weights": list(weights), "input": {"fresh": fresh, "cached": cached},
                     "credit": str(credit), "window": str(self.window)}
        self.served = self.paid = self.given_up = self.in_doubt = self.under_way = self.widest = 0
        self.shown = self.early = self.ordered = None
        self.steps = []

    def unpaid(self):
        return less(less(self.served, self.given_up), self.paid)

    def may_serve(self):
        closing = self.shown and self.shown["closing"]
        if closing or (self.ordered is not None and (not self.shown or self.shown["epoch"] == self.ordered)):
            return less(less(self.paid, self.served), self.under_way)
        if not self.shown:
            return less(less(min(self.window, self.credit), self.unpaid()), self.under_way)
        room = less(self.shown["deposit"], less(self.served, self.given_up))
        return less(min(less(self.window, self.unpaid()), room), self.under_way)

    def at_risk(self):
        now = self.unpaid() + self.under_way
        return self.given_up + self.in_doubt + (max(now, self.widest) if now else 0)

    def note(self, event, **more):
        self.steps.append({"event": event, **more, "may_serve": str(self.may_serve()), "unpaid": str(self.unpaid()),
                           "paid": str(self.paid), "at_risk": str(self.at_risk())})
        return self

    def job(self):
        self.widest = max(self.widest, self.window)
        return self.note("job", admitted=self.given_up + self.in_doubt <= self.widest)

    def serve(self, nano):
        self.served += nano
        return self.note("serve", nano=str(nano))

    def allow(self, nano):
        self.under_way += nano
        return self.note("allow", nano=str(nano))

    def make(self, nano):
        """What was allowed is made, and billed."""
        self.under_way, self.served = less(self.under_way, nano), self.served + nano
        return self.note("make", nano=str(nano))

    def give_up(self, nano):
        self.given_up += min(self.unpaid(), nano)
        return self.note("give_up", nano=str(nano))

    def order(self):
        self.ordered = EPOCH
        return self.note("order", epoch=str(EPOCH))

    def count(self, total):
        unremembered = min(less(total, self.served), total - self.paid)
        usual = total - self.paid - unremembered
        self.in_doubt = less(self.in_doubt, unremembered + usual // 8)
        self.paid, self.served = total, max(self.served, total)
        self.given_up = min(self.given_up, less(self.served, total))

    def show(self, deposit, closing=False):
        self.shown = {"epoch": EPOCH, "deposit": deposit, "closing": closing}
        if self.early and self.early <= deposit and self.early > self.paid:
            self.count(self.early)
            self.early = None
        return self.note("show", epoch=str(EPOCH), deposit=str(deposit), closing=closing)

    def voucher(self, total, epoch=EPOCH, key=CLIENT, of=ACCOUNT):
        said = payment(key, of, epoch, total)
        known = EPOCH if self.shown or self.paid else None
        if (known == epoch and total <= self.paid) or (self.early and total <= self.early and epoch == EPOCH):
            expect = "nothing"
        elif key != CLIENT or of != ACCOUNT:
            expect = "signature"
        elif self.shown and epoch != self.shown["epoch"]:
            expect = "epoch"
        elif self.shown and total <= self.shown["deposit"]:
            expect = "more"
            self.count(total)
        else:
            expect = "early"
            self.early = total
        return self.note("voucher", payment=said, expect=expect)

    def restart(self):
        """What may have been lost beside what was given up is in doubt; the ledger has to be looked at anew."""
        self.in_doubt = self.at_risk() - self.given_up
        self.served, self.under_way, self.shown = self.paid + self.given_up, 0, None
        return self.note("restart")

    def case(self, name):
        return {"name": name, **self.head, "steps": self.steps}


def cases():
    W = Channel(5_000).window
    yield Channel(5_000).job().serve(0).case("without credit nothing is served before the ledger shows the channel")
    yield Channel(5_000, credit=10_000).job().serve(4_000).allow(6_000).make(6_000).serve(1).case("credit, to its end")
    yield Channel(5_000, credit=10 * W).job().serve(W - 1).serve(1).case("credit above a window is a window")
    yield Channel(5_000).job().show(10 * W).serve(W).voucher(W).serve(W - 1).case("a window is free again when it is paid")
    yield Channel(5_000).job().show(10 * W).allow(W).make(1_000).make(500).allow(100).case(
        "what engines may make counts like what they made")
    yield Channel(5_000).job().show(W // 2).serve(10).show(W // 2 + 100).case("a deposit below the window")
    yield Channel(5_000).job().show(W).serve(W // 2).voucher(W // 2).serve(W // 3).voucher(W // 2 + W // 3).case(
        "a deposit that comes to its end")
    yield (Channel(5_000).job().show(10 * W).serve(3_000).voucher(2_000).voucher(2_000).voucher(1_999).voucher(3_000)
           .case("a voucher that is not above the last changes nothing"))
    yield (Channel(5_000).job().show(10 * W).serve(3_000).voucher(3_000, key=OTHER).voucher(3_000, epoch=EPOCH + 1)
           .voucher(3_000, epoch=EPOCH - 1).voucher(3_000, of=bytes(32)).voucher(3_000)
           .case("of another key, epoch, account"))
    yield (Channel(5_000).job().show(5_000).serve(5_000).voucher(5_001).voucher(5_000).show(6_000)
           .case("a voucher above the deposit waits for the top-up"))
    yield (Channel(5_000, credit=9_000).job().serve(4_000).voucher(3_000).voucher(4_000).voucher(3_500).show(10 * W)
           .case("before the ledger shows the channel the highest voucher waits"))
    yield (Channel(5_000).job().show(10 * W).serve(4_000).give_up(4_000).serve(100).voucher(3_000).serve(100)
           .case("a late payment for what was given up is no credit"))
    yield (Channel(5_000).job().show(10 * W).serve(W).give_up(W).job().serve(1).give_up(1).job()
           .case("more than a window that was given up, and no job any more"))
    yield Channel(5_000).job().show(10 * W).serve(4_000).give_up(1_000).case("no more is given up than the job's bill")
    yield Channel(5_000).job().show(10 * W).voucher(2_000).serve(500).case("a payment for more than was served is no credit")
    yield (Channel(5_000).job().show(10 * W).serve(1_000).voucher(1_000).show(10 * W, closing=True).serve(0)
           .show(10 * W).case("while it closes nothing beyond what vouchers cover"))
    yield (Channel(5_000).job().show(10 * W).serve(1_000).voucher(1_500).order().serve(0)
           .case("once a close order is signed, nothing beyond what vouchers cover"))
    yield (Channel(5_000).job().show(10 * W).serve(1_000).restart().show(10 * W).job().serve(W).voucher(500).job()
           .case("after a restart a window is in doubt, and nothing is owed"))
    yield (Channel(5_000).job().show(10 * W).serve(W).restart().show(10 * W).voucher(1_000).job().serve(W).restart()
           .show(10 * W).job().case("no window for each crash"))
    yield (Channel(5_000).job().show(99 * W).serve(1_000).restart().show(99 * W).job().serve(W).voucher(W).serve(W)
           .voucher(2 * W).serve(6 * W).voucher(8 * W).restart().show(99 * W).job()
           .case("what a client pays clears an eighth of it of what is in doubt"))
    yield (Channel(5_000).job().show(10 * W).serve(500).give_up(500).serve(1_000).restart().show(10 * W).voucher(700).job()
           .case("what was given up stays so after a restart, and what is in doubt beside it"))
    yield (Channel(5_000).job().show(10 * W).serve(1_000).voucher(1_000).restart().show(10 * W).job()
           .case("after a restart nothing is given up where all was paid"))
    yield (Channel(5_000, credit=10 * W).job().show(10 * W).serve(1_000).voucher(1_500).show(10 * W, closing=True).serve(0)
           .case("nor does credit help while it closes"))
    yield (Channel(5_000, credit=10 * W).job().show(10 * W).serve(1_000).voucher(1_500).order().serve(0)
           .case("nor once a close order is signed"))
    yield Channel(1_234_567, 0, 4_000, weights=(100, 50, 2_000)).job().show(2**63).serve(1).case(
        "weights of a manifest, and cached input")
    yield Channel(2**40, 20_480).job().show(2**64 - 1).serve(2**50).voucher(2**50).case("large amounts")


write(__file__, "windows.json", {"terms": TERMS, "account": ACCOUNT.hex(), "client": "09" * 32, "cases": list(cases())})
