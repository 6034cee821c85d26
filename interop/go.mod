module ledger/interop

go 1.26.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/ericlagergren/aegis v0.0.0-20250325060835-cd0defd64358
	github.com/tigerbeetle/tigerbeetle-go v0.17.9
)

require (
	github.com/ericlagergren/subtle v0.0.0-20220507045147-890d697da010 // indirect
	golang.org/x/sys v0.49.0 // indirect
	ledger v0.0.0
)

replace ledger => ../
