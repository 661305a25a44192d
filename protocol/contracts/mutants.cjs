// Small wrongs in the contracts, one at a time: a suite that passes on any of them does not test what it says.
// `node mutants.cjs [CONTRACT/NAME...]` compiles them, all or those named, and prints them as JSON:
// [{ contract, name, boc }], the code in base64. An empty change stands for the contract itself, which must pass.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { runTolkCompiler } = require("@ton/tolk-js");

const NOTHING = "";
// name: [what stands in the source, what stands there instead], each found exactly once.
const channel = {
  unchanged: [NOTHING, NOTHING],
  "replays a claim": ["assert(cumulative > self.settled) throw E_STALE;", "assert(cumulative >= self.settled) throw E_STALE;"],
  "takes lower totals": ["assert(cumulative > self.settled) throw E_STALE;", NOTHING],
  "pays beyond the deposit": ["assert(cumulative <= self.deposit) throw E_OVER_DEPOSIT;", NOTHING],
  "checks no voucher": ["assert(isSignatureValid(signedHash(TAG_VOUCHER, self.epoch, cumulative), voucher as slice, self.clientKey)) throw E_SIGNATURE;", NOTHING],
  "takes the provider's vouchers": ["voucher as slice, self.clientKey)", "voucher as slice, self.parties.load().providerKey)"],
  "keeps its epoch in a second life": ["ch.epoch = blockchain.logicalTime();", "ch.epoch = 1;"],
  "lets anybody close": ["assert(in.senderAddress == ch.parties.load().provider) throw E_SENDER;", NOTHING],
  "lets anybody request": ["assert(in.senderAddress == p.client) throw E_SENDER;", NOTHING],
  "takes an unsigned close order": ["assert(isSignatureValid(hash, op.order!.load().bits as slice, ch.parties.load().providerKey)) throw E_SIGNATURE;", NOTHING],
  "takes the client's close order": ["op.order!.load().bits as slice, ch.parties.load().providerKey)", "op.order!.load().bits as slice, ch.clientKey)"],
  "takes an unsigned request": ["assert(isSignatureValid(hash, op.request! as slice, ch.clientKey)) throw E_SIGNATURE;", NOTHING],
  "finalizes early": ["assert(blockchain.now() >= self.closeAt) throw E_TOO_EARLY;", NOTHING],
  "finalizes unasked": ["assert(self.closeAt != 0) throw E_TOO_EARLY;", NOTHING],
  "halves the challenge": ["blockchain.now() + challengeSec", "blockchain.now() + challengeSec / 2"],
  "takes deposits while closing": ["assert(ch.closeAt == 0) throw E_CLOSING;", NOTHING],
  "lets a second request move the end": ["assert(self.closeAt == 0) throw E_CLOSING;", NOTHING],
  "believes the amount of a deposit": ["assert(in.valueCoins >= need) throw E_VALUE;", NOTHING],
  "opens without a reserve": ["need += openReserve();", NOTHING],
  "gives the client's surplus to the provider": ["assert(taken > 0) throw E_VALUE;\n            ch.settled += taken;\n            contract.setData(ch.toCell());\n            payProvider(there - taken,", "assert(taken > 0) throw E_VALUE;\n            ch.settled += taken;\n            contract.setData(ch.toCell());\n            payProvider(ch.deposit - ch.settled,"],
  "forgets a claim by wallet": ["assert(taken > 0) throw E_VALUE;\n            ch.settled += taken;\n            contract.setData(ch.toCell());\n", "assert(taken > 0) throw E_VALUE;\n            ch.settled += taken;\n"],
  "accepts before it checks": ["val delta = ch.check(op.cumulative, op.voucher);\n            val there = balance + imported;", "acceptExternalMessage();\n            val delta = ch.check(op.cumulative, op.voucher);\n            val there = balance + imported;"],
  "takes dust from outside": ["assert(taken >= claimMin()) throw E_DUST;", NOTHING],
  "pays for taking a claim in": ["val there = balance + imported;", "val there = balance;"],
  "takes ballast": ["const MAX_EXT_CELLS = 4", "const MAX_EXT_CELLS = 64"],
  "pays twice at a close": ["return self.check(cumulative, voucher);", "self.check(cumulative, voucher);\n    return cumulative;"],
  "lives on after the close": ["SEND_MODE_CARRY_ALL_BALANCE | SEND_MODE_DESTROY", "SEND_MODE_CARRY_ALL_BALANCE"],
  "promises the coins of the close": ["return there > due + 2 * forward ? due : ALL;", "return due;"],
  "pays a request from the deposit": ["assert(after >= ch.deposit - ch.settled + closeCost()) throw E_VALUE;", NOTHING],
  "pays a request's gas from the coins of the close": ["val after = balance - calculateGasFee(BASECHAIN, REQUEST_GAS);", "val after = balance;"],
  "takes forwarding out of a payout": ["SEND_MODE_REGULAR | SEND_MODE_PAY_FEES_SEPARATELY", "SEND_MODE_REGULAR"],
  "closes without the coins for it": ["assert(there > forward) throw E_VALUE;", NOTHING],
  "gives the client what is too little for both": ["payout == ALL ? p.provider : p.client", "p.client"],
  "refuses what rent has eaten from": ["val taken = min(delta, there);\n            assert(taken > 0)", "val taken = delta;\n            assert(taken > 0)"],
  "assumes the price of gas at a close": ["contract.getOriginalBalance() - calculateGasFee(BASECHAIN, gas)", "contract.getOriginalBalance() - ton(\"0.0007\")"],
  "assumes the price of a way out": ["return max(OPEN_RESERVE, rent + 2 * (request + closeCost()));", "return OPEN_RESERVE;"],
  "reckons without rent": ["return max(OPEN_RESERVE, rent + 2 * (request + closeCost()));", "return max(OPEN_RESERVE, 2 * (request + closeCost()));"],
  "assumes the price of a top-up": ["return max(TOP_UP_FEE, calculateGasFee(BASECHAIN, TOP_UP_GAS));", "return TOP_UP_FEE;"],
  "assumes the price of a claim": ["return max(MIN_EXT_CLAIM, 2 * cost);", "return MIN_EXT_CLAIM;"],
  "pays dust": ["if (due < MIN_PAYOUT) {", "if (due == 0) {"],
};

const purse = {
  unchanged: [NOTHING, NOTHING],
  "replays a claim": ["assert(cumulative > lane.settled) throw E_STALE;", "assert(cumulative >= lane.settled) throw E_STALE;"],
  "pays beyond the deposit": ["assert(cumulative <= lane.deposit) throw E_OVER_DEPOSIT;", NOTHING],
  "checks no voucher": ["assert(isSignatureValid(hash, voucher as slice, self.clientKey)) throw E_SIGNATURE;", NOTHING],
  "takes the provider's vouchers": ["voucher as slice, self.clientKey)", "voucher as slice, lane.providerKey)"],
  "keeps a lane's epoch in a second life": ["epoch: blockchain.logicalTime(),", "epoch: 1,"],
  "keeps what was claimed locked": ["self.locked -= taken;", NOTHING],
  "keeps what a lane had locked": ["fun Purse.drop(mutate self, index: int, lane: Lane) {\n    self.locked -= lane.deposit - lane.settled;", "fun Purse.drop(mutate self, index: int, lane: Lane) {"],
  "counts ended lanes": ["self.laneCount -= 1;", NOTHING],
  "opens lanes without coins": ["self.laneCount += 1;\n            self.locked += cut.amount;", "self.laneCount += 1;"],
  "grows lanes without coins": ["lane.keep = 0;\n            self.locked += cut.amount;", "lane.keep = 0;"],
  "opens a lane over another": ["assert(!self.lanes.exists(cut.lane)) throw E_LANE;", NOTHING],
  "shrinks at once": ["lane.shrinkAt = blockchain.now() + self.challengeSec;", "lane.shrinkAt = blockchain.now();"],
  "halves the challenge": ["lane.shrinkAt = blockchain.now() + self.challengeSec;", "lane.shrinkAt = blockchain.now() + self.challengeSec / 2;"],
  "finalizes early": ["assert(blockchain.now() >= lane.shrinkAt) throw E_TOO_EARLY;", NOTHING],
  "finalizes unasked": ["assert(lane.shrinkAt != 0) throw E_TOO_EARLY;", NOTHING],
  "shrinks below the settled": ["max(lane.keep, lane.settled)", "lane.keep"],
  "grows by a shrink": ["assert((cut.keep == 0) | (cut.keep < lane.deposit)) throw E_OVER_DEPOSIT;", NOTHING],
  "lets a second shrink lower the first": ["assert(lane.shrinkAt == 0) throw E_CLOSING;", NOTHING],
  "shrinks what has grown": ["lane.deposit += cut.amount;\n            lane.shrinkAt = 0;", "lane.deposit += cut.amount;"],
  "covers no lane": ["assert(contract.getOriginalBalance() - spent - withdraw >= self.locked + self.reserve()) throw E_FREE;", NOTHING],
  "keeps no reserve": [">= self.locked + self.reserve()", ">= self.locked"],
  "keeps no reserve for lanes": ["return max(PURSE_RESERVE, own) + self.laneCount * max(LANE_RESERVE, lane);", "return max(PURSE_RESERVE, own);"],
  "pays an order's fee from the lanes": ["getOriginalBalance() - spent - withdraw", "getOriginalBalance() - withdraw"],
  "covers withdrawals alone": ["if ((withdraw > 0) | (self.locked > lockedBefore) | (self.laneCount > lanesBefore)) {", "if (withdraw > 0) {"],
  "withdraws dust": ["assert(withdraw >= max(MIN_PAYOUT, 2 * forwardFee())) throw E_DUST;", NOTHING],
  "ends with lanes": ["assert(self.laneCount == 0) throw E_LANES;", NOTHING],
  "lives on after the end": ["SEND_MODE_CARRY_ALL_BALANCE | SEND_MODE_DESTROY", "SEND_MODE_CARRY_ALL_BALANCE"],
  "takes anybody's orders": ["assert(in.senderAddress == purse.client) throw E_SENDER;", NOTHING],
  "takes unsigned orders": ["assert(isSignatureValid(hash, op.signature! as slice, purse.clientKey)) throw E_SIGNATURE;", NOTHING],
  "takes an order before its first turn": ["assert(purse.turn != 0) throw E_NOT_OPEN;", NOTHING],
  "lets a failed order come again": ["commitContractDataAndActions();", NOTHING],
  "lets an order outlive another": ["self.turn = blockchain.logicalTime();", NOTHING],
  "gives an order all gas": ["setGasLimit(ORDER_GAS);", "acceptExternalMessage();"],
  "pays an order from the lanes": ["assert(balance >= purse.locked + orderFee()) throw E_VALUE;", NOTHING],
  "takes ballast with an order": ["const MAX_ORDER_CELLS = 16", "const MAX_ORDER_CELLS = 200"],
  "takes ballast": ["const MAX_EXT_CELLS   = 4", "const MAX_EXT_CELLS   = 64"],
  "lets anybody close a lane": ["if ((workchain == BASECHAIN) & (sender == lane.provider)) {", "if (workchain == BASECHAIN) {"],
  "takes an unsigned close order": ["assert(isSignatureValid(hash, op.order!.load().bits as slice, lane.providerKey)) throw E_SIGNATURE;", NOTHING],
  "takes the client's close order": ["op.order!.load().bits as slice, lane.providerKey)", "op.order!.load().bits as slice, Purse.fromCell(contract.getData()).clientKey)"],
  "pays twice at a close": ["return self.check(lane, index, cumulative, voucher);", "self.check(lane, index, cumulative, voucher);\n    return cumulative;"],
  "pays a close from other lanes": ["assert((missing == 0) | (due - missing >= MIN_PAYOUT)) throw E_VALUE;", NOTHING],
  "gives the client's free coins to a provider": ["assert(taken > 0) throw E_VALUE;\n            purse.settle(mutate lane, op.lane, taken);\n            payAllBut(there - taken,", "assert(taken > 0) throw E_VALUE;\n            purse.settle(mutate lane, op.lane, taken);\n            payAllBut(purse.locked,"],
  "forgets a claim by wallet": ["assert(taken > 0) throw E_VALUE;\n            purse.settle(mutate lane, op.lane, taken);\n", "assert(taken > 0) throw E_VALUE;\n"],
  "accepts before it checks": ["val delta = purse.check(lane, op.lane, op.cumulative, op.voucher);\n            val there = balance + imported;", "acceptExternalMessage();\n            val delta = purse.check(lane, op.lane, op.cumulative, op.voucher);\n            val there = balance + imported;"],
  "takes dust from outside": ["assert(taken >= claimMin()) throw E_DUST;", NOTHING],
  "pays for taking a claim in": ["val there = balance + imported;", "val there = balance;"],
  "rewrites its lanes on credit": ["            // Lanes are rewritten after this", "            purse.lanes.set(op.lane, lane);\n            // Lanes are rewritten after this"],
  "takes forwarding out of a payout": ["SEND_MODE_REGULAR | SEND_MODE_PAY_FEES_SEPARATELY", "SEND_MODE_REGULAR"],
  "assumes the price of an order": ["return max(ORDER_FEE_MIN, calculateGasFee(BASECHAIN, ORDER_GAS));", "return ORDER_FEE_MIN;"],
  "assumes the price of a claim": ["return max(MIN_EXT_CLAIM, 2 * cost);", "return MIN_EXT_CLAIM;"],
  "takes what a close lacks from other lanes": ["pay(due - missing,", "pay(due,"],
  "assumes the price of its reserve": ["max(PURSE_RESERVE, own)", "PURSE_RESERVE"],
  "assumes the price of a lane's reserve": ["max(LANE_RESERVE, lane)", "LANE_RESERVE"],
  "lets a message close at the lanes' cost": ["assert(in.valueCoins >= closeCost()) throw E_VALUE;", NOTHING],
  "refuses what rent has eaten from": ["val taken = min(delta, there);\n            assert(taken > 0)", "val taken = delta;\n            assert(taken > 0)"],
};

async function main() {
  const wanted = process.argv.slice(2);
  const compiled = [];
  for (const [contract, mutants] of Object.entries({ channel, purse })) {
    const source = readFileSync(join(__dirname, `${contract}.tolk`), "utf8");
    for (const [name, [original, change]] of Object.entries(mutants)) {
      if (wanted.length && !wanted.includes(`${contract}/${name}`)) continue;
      if (original && source.split(original).length !== 2) {
        throw new Error(`${contract}/${name}: its place is not found exactly once; has the contract changed?`);
      }
      const changed = original ? source.replace(original, () => change) : source;
      const result = await runTolkCompiler({
        entrypointFileName: "mutant.tolk", fsReadCallback: () => changed, optimizationLevel: 2,
      });
      if (result.status !== "ok") throw new Error(`${contract}/${name}: ${result.message}`);
      compiled.push({ contract, name, boc: result.codeBoc64 });
    }
  }
  console.log(JSON.stringify(compiled));
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
