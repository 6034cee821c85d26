// A smoke test of the official Node client: node smoke.js ADDRESS, against a server with a fresh data file.
"use strict";
const assert = require("node:assert");
const { createClient, amount_max: amountMax, AccountFlags, TransferFlags, AccountFilterFlags, QueryFilterFlags } = require("tigerbeetle-node");

const created = 0xffffffff;
const failures = (results) => results.flatMap((result, index) => (result.status === created ? [] : [[index, result.status]]));

const account = (id, other = {}) => ({
  id, debits_pending: 0n, debits_posted: 0n, credits_pending: 0n, credits_posted: 0n, user_data_128: 0n,
  user_data_64: 0n, user_data_32: 0, reserved: 0, ledger: 1, code: 10, flags: 0, timestamp: 0n, ...other,
});
const transfer = (id, debit, credit, amount, other = {}) => ({
  id, debit_account_id: debit, credit_account_id: credit, amount, pending_id: 0n, user_data_128: 0n,
  user_data_64: 0n, user_data_32: 0, timeout: 0, ledger: 1, code: 1, flags: 0, timestamp: 0n, ...other,
});
const resolution = (id, pending, amount, flags) => transfer(id, 0n, 0n, amount, { pending_id: pending, ledger: 0, code: 0, flags });
const accountFilter = (id) => ({
  account_id: id, user_data_128: 0n, user_data_64: 0n, user_data_32: 0, code: 0, timestamp_min: 0n, timestamp_max: 0n,
  limit: 8189, flags: AccountFilterFlags.debits | AccountFilterFlags.credits,
});
const queryFilter = (userData) => ({
  user_data_128: userData, user_data_64: 0n, user_data_32: 0, ledger: 1, code: 0, timestamp_min: 0n, timestamp_max: 0n,
  limit: 10, flags: QueryFilterFlags.reversed,
});
const idsOf = (rows) => rows.map((row) => row.id);

async function run(client) {
  const balances = async (id) => {
    const [one] = await client.lookupAccounts([id]);
    return [one.debits_pending, one.debits_posted, one.credits_pending, one.credits_posted];
  };
  const wide = 2n ** 128n - 1n;
  assert.deepStrictEqual(failures(await client.createAccounts([])), []);
  assert.deepStrictEqual(failures(await client.createAccounts([account(1n, { flags: AccountFlags.history, user_data_128: wide }), account(2n)])), []);
  assert.deepStrictEqual(failures(await client.createAccounts([account(2n), account(0n), account(3n)])), [[0, 21], [1, 6]]);
  assert.deepStrictEqual(failures(await client.createTransfers([
    transfer(10n, 1n, 2n, 100n),
    transfer(11n, 1n, 2n, 50n, { flags: TransferFlags.pending }),
    transfer(12n, 1n, 2n, 60n, { flags: TransferFlags.pending }),
    transfer(13n, 1n, 2n, 1n, { flags: TransferFlags.linked }),
    transfer(14n, 1n, 1n, 1n),
  ])), [[3, 1], [4, 12]]);
  assert.deepStrictEqual(await balances(1n), [110n, 100n, 0n, 0n]);
  assert.deepStrictEqual(failures(await client.createTransfers([
    resolution(15n, 11n, amountMax, TransferFlags.post_pending_transfer),
    resolution(16n, 12n, 0n, TransferFlags.void_pending_transfer),
    resolution(17n, 12n, 0n, TransferFlags.void_pending_transfer),
  ])), [[2, 34]]);
  assert.deepStrictEqual(await balances(2n), [0n, 0n, 0n, 150n]);
  assert.deepStrictEqual(idsOf(await client.lookupTransfers([16n, 99n, 10n])), [16n, 10n]);
  assert.deepStrictEqual(idsOf(await client.getAccountTransfers(accountFilter(1n))), [10n, 11n, 12n, 15n, 16n]);
  assert.deepStrictEqual((await client.getAccountBalances(accountFilter(1n))).map((row) => row.debits_posted), [100n, 100n, 100n, 150n, 150n]);
  assert.deepStrictEqual(idsOf(await client.queryAccounts(queryFilter(wide))), [1n]);
  assert.deepStrictEqual(idsOf(await client.queryTransfers(queryFilter(0n))), [16n, 15n, 12n, 11n, 10n]);

  // Calls that the client puts together into shared messages.
  const made = await Promise.all(Array.from({ length: 200 }, async (_, worker) => {
    const first = BigInt(1_000_000 + worker * 100);
    const count = 1 + (worker % 7);
    assert.deepStrictEqual(failures(await client.createTransfers(Array.from({ length: count }, (_, i) => transfer(first + BigInt(i), 1n, 2n, 1n)))), []);
    assert.deepStrictEqual(idsOf(await client.lookupTransfers([first])), [first]);
    return count;
  }));
  const sum = made.reduce((a, b) => a + b, 0);
  assert.deepStrictEqual(await balances(2n), [0n, 0n, 0n, 150n + BigInt(sum)]);

  const many = Array.from({ length: 8189 }, (_, i) => account(BigInt(10_000 + i)));
  assert.deepStrictEqual(failures(await client.createAccounts(many)), []);
  assert.strictEqual((await client.lookupAccounts(idsOf(many))).length, 8189);
}

const client = createClient({ cluster_id: 0n, replica_addresses: process.argv[2].split(",") });
run(client).finally(() => client.destroy()).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
