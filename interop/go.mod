module ledger/interop

go 1.26.0

require (
	github.com/ericlagergren/aegis v0.0.0-20250325060835-cd0defd64358
	github.com/tigerbeetle/tigerbeetle-go v0.17.9
)

require (
	github.com/ericlagergren/subtle v0.0.0-20220507045147-890d697da010 // indirect
	golang.org/x/sys v0.0.0-20211019181941-9d821ace8654 // indirect
)
