// Another implementation of a lite client against a running devnet: reads an account, deploys a wallet, sends coins, runs a
// get-method, and walks the history. Arguments: the devnet's base URL, the address of its liteserver.
const assert = require("node:assert/strict");
const { beginCell, Cell, external, internal, parseTuple, SendMode, serializeTuple, storeMessage, toNano } = require("@ton/core");
const { loadTransaction } = require("@ton/core");
const { keyPairFromSeed, sha256_sync } = require("@ton/crypto");
const { WalletContractV5R1 } = require("@ton/ton");
const { LiteClient, LiteSingleEngine } = require("ton-lite-client");

const [base, liteserver] = process.argv.slice(2);
const NETWORK = -777;
const DEADLINE_MS = 30_000;

async function main() {
  const [, host, key] = liteserver.match(/^liteserver:\/\/([^/]+)\/(.+)$/);
  const engine = new LiteSingleEngine({ host: `tcp://${host}`, publicKey: Buffer.from(key, "base64") });
  await new Promise((resolve, reject) => {
    engine.once("ready", resolve);
    engine.once("error", reject);
  });
  const client = new LiteClient({ engine });
  const said = [];

  const first = await client.getMasterchainInfoExt();
  assert.ok(first.last.seqno > 0 && Math.abs(first.lastUtime - Date.now() / 1000) < 60);

  const keys = keyPairFromSeed(sha256_sync("wallet of the lite client"));
  const wallet = WalletContractV5R1.create({
    publicKey: keys.publicKey,
    walletId: { networkGlobalId: NETWORK, context: { workchain: 0, subwalletNumber: 0, walletVersion: "v5r1" } },
  });
  const look = async () => client.getAccountState(wallet.address, (await client.getMasterchainInfo()).last);
  assert.equal((await look()).state, null);
  const given = await (await fetch(`${base}/faucet?address=${wallet.address}&amount=10`)).json();
  assert.ok(given.ok);
  // Balances are kept by block: wait for one that has the coins.
  const until = async (what, condition) => {
    for (const end = Date.now() + DEADLINE_MS; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      const value = await condition();
      if (value) return value;
      assert.ok(Date.now() < end, `in vain: ${what}`);
    }
  };
  await until("the coins", async () => (await look()).balance.coins === toNano("10"));
  said.push("read an account");

  for (const seqno of [0, 1]) {
    const body = wallet.createTransfer({
      seqno, secretKey: keys.secretKey, sendMode: SendMode.PAY_GAS_SEPARATELY,
      messages: [internal({ to: `0:${"22".repeat(32)}`, value: toNano("1"), bounce: false })],
    });
    const message = external({ to: wallet.address, init: seqno === 0 ? wallet.init : null, body });
    const { status } = await client.sendMessage(beginCell().store(storeMessage(message)).endCell().toBoc());
    assert.equal(status, 1);
    await until("the wallet counts on", async () => {
      const { last } = await client.getMasterchainInfo();
      const none = serializeTuple([]).toBoc();
      const { exitCode, result } = await client.runMethod(wallet.address, "seqno", none, last);
      return exitCode === 0 && parseTuple(Cell.fromBase64(result))[0].value === BigInt(seqno + 1);
    });
    if (seqno === 1) {
      const again = beginCell().store(storeMessage(message)).endCell().toBoc();
      await assert.rejects(client.sendMessage(again), /exitcode=133/);
    }
  }
  said.push("sent coins");
  said.push("ran a get-method");
  said.push("was refused a repetition");

  const { lastTx, state } = await until("the account", look);
  assert.equal(state.storage.state.type, "active");
  const hash = Buffer.from(lastTx.hash.toString(16).padStart(64, "0"), "hex");
  const { ids, transactions } = await client.getAccountTransactions(wallet.address, lastTx.lt.toString(), hash, 16);
  const cells = Cell.fromBoc(transactions);
  assert.equal(cells.length, ids.length);
  const list = cells.map((cell) => loadTransaction(cell.beginParse()));
  assert.deepEqual(cells[0].hash(), hash);
  assert.deepEqual(list.map((transaction) => transaction.lt), [lastTx.lt, list[0].prevTransactionLt]);
  said.push("walked the history");

  console.log(said.join(", "));
  engine.close();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
