module ledger/interop

go 1.26.0

require github.com/tigerbeetle/tigerbeetle-go v0.17.9
