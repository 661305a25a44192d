// The official client against a running devnet, and nothing else: a channel's whole life, from an undeployed wallet to
// the refund. Arguments: the devnet's base URL, the file with the contract's code.
const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { beginCell, Cell, contractAddress, external, internal, SendMode, storeMessage, toNano } = require("@ton/core");
const { keyPairFromSeed, sha256_sync, sign } = require("@ton/crypto");
const { TonClient, WalletContractV5R1 } = require("@ton/ton");

const [base, codeFile] = process.argv.slice(2);
const NETWORK = -777;
const CHALLENGE_S = 3600;
const TAG_VOUCHER = 0x42585601;
const TOP_UP = 0x42580001, CLAIM = 0x42580002, REQUEST_CLOSE = 0x42580004, FINALIZE = 0x42580005;
const DEADLINE_MS = 30_000;

const client = new TonClient({ endpoint: `${base}/api/v2/jsonRPC` });
const keys = (name) => keyPairFromSeed(sha256_sync(name));
const body = (operation) => beginCell().storeUint(operation, 32).storeUint(0, 64);
const said = [];

async function get(path) {
  const answer = await (await fetch(`${base}${path}`)).json();
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer.result;
}

// Waits for an effect: messages take their time.
async function until(what, condition) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function wallet(name) {
  const key = keys(`wallet of the ${name}`);
  const contract = WalletContractV5R1.create({
    publicKey: key.publicKey,
    walletId: { networkGlobalId: NETWORK, context: { workchain: 0, subwalletNumber: 0, walletVersion: "v5r1" } },
  });
  return { key, contract: client.open(contract), address: contract.address };
}

async function transfer(from, message) {
  const seqno = await from.contract.getSeqno();
  // Chain time may run ahead of this machine's.
  const timeout = Math.floor(Date.now() / 1000) + 10 * CHALLENGE_S;
  await from.contract.sendTransfer({
    seqno, timeout, secretKey: from.key.secretKey, sendMode: SendMode.PAY_GAS_SEPARATELY, messages: [internal(message)],
  });
  await until("the wallet counts on", async () => (await from.contract.getSeqno()) > seqno);
}

async function main() {
  const [payer, provider] = [wallet("client"), wallet("provider")];
  const [clientKey, providerKey] = [keys("vouchers"), keys("closes")];
  for (const { address } of [payer, provider]) await get(`/faucet?address=${address}&amount=10`);
  assert.equal((await client.getContractState(payer.address)).state, "uninitialized");

  const parties = beginCell()
    .storeBuffer(providerKey.publicKey).storeAddress(payer.address).storeAddress(provider.address)
    .storeUint(CHALLENGE_S, 32).endCell();
  const data = beginCell()
    .storeUint(0, 64).storeUint(0, 32).storeCoins(0).storeCoins(0).storeInt(NETWORK, 32).storeUint(7, 64)
    .storeBuffer(clientKey.publicKey).storeRef(parties).endCell();
  const init = { code: Cell.fromBoc(readFileSync(codeFile))[0], data };
  const channel = contractAddress(0, init);

  // Deploys the wallet and the channel in one go.
  const deposit = toNano("5");
  const topUp = body(TOP_UP).storeCoins(deposit).endCell();
  await transfer(payer, { to: channel, value: deposit + toNano("0.02"), bounce: true, init, body: topUp });
  await until("the channel is deployed", async () => (await client.getContractState(channel)).state === "active");
  const state = async () => {
    const { stack } = await client.runMethod(channel, "channelState");
    const numbers = [stack.readBigNumber(), stack.readNumber(), stack.readBigNumber(), stack.readBigNumber()];
    const [epoch, closeAt, held, settled] = numbers;
    stack.skip(4);
    return { epoch, closeAt, deposit: held, settled, client: stack.readAddress(), provider: stack.readAddress() };
  };
  const opened = await state();
  assert.equal(opened.deposit, deposit);
  assert.ok(opened.epoch > 0n && opened.closeAt === 0 && opened.settled === 0n);
  assert.ok(opened.client.equals(payer.address) && opened.provider.equals(provider.address));
  said.push("opened");

  const hash = (cumulative) => beginCell()
    .storeUint(TAG_VOUCHER, 32).storeBuffer(channel.hash).storeUint(opened.epoch, 64).storeCoins(cumulative)
    .endCell().hash();
  const onChain = await client.runMethod(channel, "voucherHash", [{ type: "int", value: toNano("1") }]);
  assert.equal(onChain.stack.readBigNumber(), BigInt(`0x${hash(toNano("1")).toString("hex")}`));
  const claim = (cumulative) =>
    body(CLAIM).storeCoins(cumulative).storeBuffer(sign(hash(cumulative), clientKey.secretKey)).endCell();

  await transfer(provider, { to: channel, value: toNano("0.02"), bounce: true, body: claim(toNano("1")) });
  await until("the claim by wallet", async () => (await state()).settled === toNano("1"));
  said.push("claimed by wallet");

  const before = await client.getBalance(provider.address);
  const message = beginCell().store(storeMessage(external({ to: channel, body: claim(toNano("2")) }))).endCell();
  await client.sendFile(message.toBoc());
  await until("the external claim", async () => (await state()).settled === toNano("2"));
  const gained = await until("the payout", async () => {
    const more = (await client.getBalance(provider.address)) - before;
    return more > 0n && more;
  });
  assert.ok(gained > toNano("0.999") && gained < toNano("1"), `gained ${gained}`);
  await assert.rejects(client.sendFile(message.toBoc()), (error) => /exitcode=106/.test(error.response.data.error));
  said.push("claimed by external message");

  const request = body(REQUEST_CLOSE).storeBit(false).endCell();
  await transfer(payer, { to: channel, value: toNano("0.01"), bounce: true, body: request });
  await until("the request", async () => (await state()).closeAt > 0);
  said.push("requested close");

  const finalize = body(FINALIZE).endCell();
  await transfer(payer, { to: channel, value: toNano("0.01"), bounce: true, body: finalize });
  const early = await until("the early attempt", async () =>
    (await client.getTransactions(channel, { limit: 5 })).find((tx) => tx.description.computePhase.exitCode === 108));
  assert.ok(early.description.aborted);
  await get(`/time?advance=${CHALLENGE_S}`);
  const poor = await client.getBalance(payer.address);
  await transfer(payer, { to: channel, value: toNano("0.01"), bounce: true, body: finalize });
  await until("the end", async () => (await client.getContractState(channel)).state === "uninitialized");
  const refund = await until("the refund", async () => {
    const more = (await client.getBalance(payer.address)) - poor;
    return more > 0n && more;
  });
  assert.ok(refund > toNano("3"), `refund ${refund}`);
  said.push("finalized");

  const history = await client.getTransactions(channel, { limit: 20 });
  assert.equal(history.length, 6);
  console.log(said.join(", "));
}

main().catch((error) => {
  console.error(`after [${said.join(", ")}]:`, error.response?.data ?? error);
  process.exit(1);
});
