// Executes a devnet's history again in the C++ virtual machine of the network itself (the emulator of @ton/sandbox), from
// the same genesis and the same messages, and compares. Arguments: the devnet's base URL, a file with the genesis and the
// refused messages.
//
// Hashes must agree but for three things that only inform: on a deploy the devnet sets two flags that the network leaves
// unset, where a message brought too little to be bounced the two name another sum that would have been needed, and they
// count the size of an account without code differently.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { Address, beginCell, Cell, Dictionary, loadShardAccount, loadTransaction } = require("@ton/core");
const { storeShardAccount, storeTransaction } = require("@ton/core");
const { defaultConfig, Executor } = require("@ton/sandbox");

const [base, file] = process.argv.slice(2);
const PAGE = 100;

async function ask(method, params) {
  const answer = await (await fetch(`${base}/api/v2/${method}?${new URLSearchParams(params)}`)).json();
  assert.ok(answer.ok, `${method}: ${JSON.stringify(answer)}`);
  return answer.result;
}

// The network's own limits but for the last: from that many cells an account would also hold the hash of a dictionary of
// its cells, which the devnet does not keep. It moves no money, and no contract sees it.
function sizeLimits() {
  return beginCell()
    .storeUint(2, 8).storeUint(1 << 21, 32).storeUint(1 << 13, 32).storeUint(1000, 32).storeUint(512, 16)
    .storeUint(65535, 32).storeUint(512, 16).storeUint(1 << 16, 32).storeUint(1 << 11, 32).storeUint(256, 32)
    .storeUint(256, 32).storeUint(2, 32).storeUint(8, 8).storeUint(0xffffffff, 32).endCell();
}

// The emulator wants more parameters than the devnet sets: the rest is its own.
function configuration(bytes) {
  const read = (cell) =>
    cell.beginParse().loadDictDirect(Dictionary.Keys.Int(32), Dictionary.Values.Cell());
  const config = read(Cell.fromBase64(defaultConfig));
  const devnet = read(Cell.fromBase64(bytes));
  for (const [number, value] of devnet) config.set(number, value);
  config.set(43, sizeLimits());
  return beginCell().storeDictDirect(config).endCell().toBoc().toString("base64");
}

async function history(address) {
  const all = [];
  for (let lt; ; lt = String(BigInt(all.at(-1).transaction_id.lt) - 1n)) {
    const page = await ask("getTransactions", { address, limit: PAGE, ...(lt && { lt }) });
    all.push(...page);
    if (page.length < PAGE) return all;
  }
}

function genesis(address, balance, now) {
  const none = beginCell().storeBit(false).endCell();
  const shard = (account) =>
    beginCell().storeRef(account).storeUint(0, 256).storeUint(0, 64).endCell().toBoc().toString("base64");
  if (balance === "0") return shard(none);
  const { account, ...rest } = loadShardAccount(
    beginCell()
      .store(storeShardAccount({
        account: {
          addr: Address.parse(address),
          storageStats: { used: { cells: 0n, bits: 0n }, storageExtra: null, lastPaid: now, duePayment: null },
          storage: { lastTransLt: 0n, balance: { coins: BigInt(balance) }, state: { type: "uninit" } },
        },
        lastTransactionHash: 0n,
        lastTransactionLt: 0n,
      })).endCell().beginParse(),
  );
  return beginCell().store(storeShardAccount({ account, ...rest })).endCell().toBoc().toString("base64");
}

// A transaction's hash without what only informs.
function plain(transaction) {
  const { computePhase, bouncePhase } = transaction.description;
  if (computePhase?.type === "vm") Object.assign(computePhase, { accountActivated: false, messageStateUsed: false });
  if (bouncePhase?.type === "no-funds") bouncePhase.requiredForwardFees = 0n;
  if (transaction.oldStatus === "uninitialized") transaction.stateUpdate.oldHash = Buffer.alloc(32);
  if (transaction.endStatus === "uninitialized") transaction.stateUpdate.newHash = Buffer.alloc(32);
  return beginCell().store(storeTransaction(transaction)).endCell().hash().toString("hex");
}

async function main() {
  const { accounts, refused, start, votes, configuration: first } = JSON.parse(readFileSync(file, "utf8"));
  const executor = await Executor.create();
  // Prices change: the first configuration, and what each vote made of it.
  const configs = [first, ...votes.map((vote) => vote.configuration)].map(configuration);
  const votesBefore = (lt) => votes.filter((vote) => BigInt(vote.after_lt) < lt).length;
  const states = new Map();
  const steps = [];
  for (const { address, balance } of accounts) {
    states.set(address, genesis(address, balance, start));
    for (const { data } of await history(address)) {
      const transaction = loadTransaction(Cell.fromBase64(data).beginParse());
      steps.push({ address, transaction, cell: Cell.fromBase64(data), lt: transaction.lt });
    }
  }
  for (const { after_lt, ...refusal } of refused) steps.push({ ...refusal, lt: BigInt(after_lt), refusal: true });
  // A refused message comes after the transaction that it is numbered by.
  steps.sort((a, b) => (a.lt === b.lt ? Number(!!a.refusal) - Number(!!b.refusal) : a.lt < b.lt ? -1 : 1));

  const run = async (address, message, now, lt, count) => {
    const { result } = await executor.runTransaction({
      config: configs[count], message, now, lt, shardAccount: states.get(address), libs: null, verbosity: "short", randomSeed: null,
      ignoreChksig: false, debugEnabled: false,
    });
    return result;
  };
  const count = { executed: 0, identical: 0, alike: 0, refused: 0 };
  for (const step of steps) {
    if (step.refusal) {
      const result = await run(step.address, Cell.fromBase64(step.boc), step.now, step.lt + 1n, step.votes);
      assert.ok(!result.success, `accepted by the network, refused by the devnet with ${step.exit_code}`);
      assert.equal(result.vmResults?.vmExitCode, step.exit_code);
      count.refused += 1;
      continue;
    }
    const { transaction, cell, address } = step;
    const message = cell.refs[0].beginParse().loadRef();
    const result = await run(address, message, transaction.now, transaction.lt, votesBefore(transaction.lt));
    assert.ok(result.success, `${address} at ${transaction.lt}: ${result.error}`);
    const theirs = Cell.fromBase64(result.transaction);
    // The emulator remembers the last transaction of a deleted account; the network's state has no place for it.
    const { account } = loadShardAccount(Cell.fromBase64(result.shardAccount).beginParse());
    states.set(address, account ? result.shardAccount : genesis(address, "0", 0));
    count.executed += 1;
    if (theirs.hash().equals(cell.hash())) {
      count.identical += 1;
      continue;
    }
    const other = loadTransaction(theirs.beginParse());
    const code = (transaction) => transaction.description.computePhase.exitCode;
    const what = `${address} at ${transaction.lt}`;
    assert.equal(code(transaction), code(other), `exit code of ${what}`);
    assert.equal(transaction.totalFees.coins, other.totalFees.coins, `fees of ${what}`);
    // The hash of the account before stands in the next transaction, so an account once deployed keeps its own chain.
    for (const side of [transaction, other]) Object.assign(side, { prevTransactionHash: 0n });
    assert.equal(plain(transaction), plain(other), `hash of ${what}`);
    count.alike += 1;
  }
  for (const { address } of accounts) {
    const ours = await ask("getAddressInformation", { address });
    const theirs = loadShardAccount(Cell.fromBase64(states.get(address)).beginParse()).account;
    assert.equal(ours.balance, String(theirs?.storage.balance.coins ?? 0n), `balance of ${address}`);
    const state = theirs?.storage.state;
    const data = state?.type === "active" ? state.state.data.hash().toString("hex") : "";
    assert.equal(ours.data && Cell.fromBase64(ours.data).hash().toString("hex"), data, `data of ${address}`);
  }
  console.log(JSON.stringify(count));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
