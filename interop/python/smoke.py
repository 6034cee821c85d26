"""A smoke test of the official Python client, releases 0.16.30 and up: smoke.py ADDRESS

Against a server with a fresh data file. Until 0.16 a create call returns its failures only; since 0.17 one
result per event. Both are turned into a list of (index, status) of what failed.
"""
import asyncio
import inspect
import sys

import tigerbeetle as tb

AMOUNT_MAX = getattr(tb, "AMOUNT_MAX", None) or tb.amount_max
CREATED = 0xFFFFFFFF


def failures(results):
    if results and hasattr(results[0], "status"):
        return [(i, int(r.status)) for i, r in enumerate(results) if int(r.status) != CREATED]
    return [(r.index, int(r.result)) for r in results]


def account(number, flags=0, **other):
    return tb.Account(id=number, debits_pending=0, debits_posted=0, credits_pending=0, credits_posted=0,
                      user_data_128=other.get("user_data_128", 0), user_data_64=0, user_data_32=0, ledger=1,
                      code=10, flags=flags, timestamp=0)


def transfer(number, debit, credit, amount, flags=0, pending_id=0, timeout=0):
    return tb.Transfer(id=number, debit_account_id=debit, credit_account_id=credit, amount=amount,
                       pending_id=pending_id, user_data_128=0, user_data_64=0, user_data_32=0, timeout=timeout,
                       ledger=1, code=1, flags=flags, timestamp=0)


def resolution(number, pending_id, amount, flags):
    one = transfer(number, 0, 0, amount, flags, pending_id)
    one.ledger = one.code = 0
    return one


def equal(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: got {got}, want {want}")


def balances(client, number):
    one, = client.lookup_accounts([number])
    return one.debits_pending, one.debits_posted, one.credits_pending, one.credits_posted


def account_filter(number):
    return tb.AccountFilter(account_id=number, user_data_128=0, user_data_64=0, user_data_32=0, code=0, timestamp_min=0,
                            timestamp_max=0, limit=8189, flags=tb.AccountFilterFlags.DEBITS | tb.AccountFilterFlags.CREDITS)


def query_filter(user_data_128):
    return tb.QueryFilter(user_data_128=user_data_128, user_data_64=0, user_data_32=0, ledger=1, code=0, timestamp_min=0,
                          timestamp_max=0, limit=10, flags=tb.QueryFilterFlags.REVERSED)


def sync(address):
    with tb.ClientSync(cluster_id=0, replica_addresses=address) as client:
        equal(failures(client.create_accounts([])), [], "no accounts")
        equal(failures(client.create_accounts([account(1, tb.AccountFlags.HISTORY, user_data_128=(1 << 128) - 1), account(2)])), [],
              "two accounts")
        equal(failures(client.create_accounts([account(2), account(0), account(3)])), [(0, 21), (1, 6)], "accounts with faults")
        equal(failures(client.create_transfers([
            transfer(10, 1, 2, 100),
            transfer(11, 1, 2, 50, tb.TransferFlags.PENDING),
            transfer(12, 1, 2, 60, tb.TransferFlags.PENDING),
            transfer(13, 1, 2, 1, tb.TransferFlags.LINKED),
            transfer(14, 1, 1, 1),
        ])), [(3, 1), (4, 12)], "transfers and a broken chain")
        equal(balances(client, 1), (110, 100, 0, 0), "balances with two pending transfers")
        equal(failures(client.create_transfers([
            resolution(15, 11, AMOUNT_MAX, tb.TransferFlags.POST_PENDING_TRANSFER),
            resolution(16, 12, 0, tb.TransferFlags.VOID_PENDING_TRANSFER),
            resolution(17, 12, 0, tb.TransferFlags.VOID_PENDING_TRANSFER),
        ])), [(2, 34)], "posting and voiding")
        equal(balances(client, 2), (0, 0, 0, 150), "balances at the end")
        equal([t.id for t in client.lookup_transfers([16, 99, 10])], [16, 10], "lookup_transfers")
        equal([t.id for t in client.get_account_transfers(account_filter(1))], [10, 11, 12, 15, 16], "get_account_transfers")
        equal([b.debits_posted for b in client.get_account_balances(account_filter(1))], [100, 100, 100, 150, 150], "get_account_balances")
        equal([a.id for a in client.query_accounts(query_filter((1 << 128) - 1))], [1], "query_accounts")
        equal([t.id for t in client.query_transfers(query_filter(0))], [16, 15, 12, 11, 10], "query_transfers")
        many = [account(1000 + i) for i in range(8189)]
        equal(failures(client.create_accounts(many)), [], "a full batch")
        equal(len(client.lookup_accounts([1000 + i for i in range(8189)])), 8189, "a full lookup")


async def concurrent(address):
    client = tb.ClientAsync(cluster_id=0, replica_addresses=address)
    try:
        async def one(worker):
            first = 1_000_000 + worker * 100
            equal(failures(await client.create_transfers([transfer(first + i, 1, 2, 1) for i in range(1 + worker % 7)])), [],
                  f"transfers of worker {worker}")
            found = await client.lookup_transfers([first])
            equal([t.id for t in found], [first], f"lookup of worker {worker}")
            return 1 + worker % 7

        made = sum(await asyncio.gather(*(one(worker) for worker in range(200))))
        found, = await client.lookup_accounts([2])
        equal(found.credits_posted, 150 + made, "the sum of all workers")
    finally:
        closing = client.close()  # a coroutine in some releases
        if inspect.isawaitable(closing):
            await closing


sync(sys.argv[1])
asyncio.run(asyncio.wait_for(concurrent(sys.argv[1]), 60))
