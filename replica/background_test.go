package replica

import (
	"errors"
	"testing"
	"time"

	"ledger/accounting"
	"ledger/client"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/storage"
	"ledger/storage/block"
	"ledger/storage/forest/manifest"
	"ledger/wire"
)

// jumpingFile makes a data file whose ids jump up and down, so that runs of ids overlap.
func jumpingFile(t *testing.T, l limits.Limits, kind IOKind) (path string, ids []uint64) {
	path = formatted(t, l)
	s := started(t, path, l, kind)
	c := registered(t, s.address, 1)
	c.makeAccounts(1, 4)
	const batches, size = 420, 200
	for i := range uint64(batches) {
		from := 1 + i*97%batches*1000
		c.makeTransfers(from, size, 1+i%2, 3+i%2)
		ids = append(ids, from)
	}
	s.close()
	return path, ids
}

// idTables returns the tables of ids that the checkpoint of a data file names.
func idTables(t *testing.T, path string, l limits.Limits) (list []storage.Table, gridAt uint64) {
	o, done := recovered(t, path, l)
	defer done()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{DirectOptional: true, SectorBytes: l.SectorBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	superblock, geometry := &o.Consensus.Superblock, block.GeometryOf(o.Limits)
	content := make([]byte, superblock.Checkpoint.TrailerBytes[storage.TrailerManifest])
	if fault := block.ReadTrailer(file, o.Layout.GridAt, &geometry, superblock.Cluster, storage.TrailerManifest,
		superblock.Checkpoint.Roots[storage.TrailerManifest], content, o.scratch[:l.BlockBytes], nil); fault != nil {
		t.Fatal(fault)
	}
	if _, err := manifest.Walk(content, &o.Limits, func(table *manifest.Table) {
		if table.Tree == storage.TreeTransferID && !table.Output {
			list = append(list, table.Table)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return list, o.Layout.GridAt
}

// Goal: a server that is stopped while it adds ids to the filter of all ids stops, at whatever
// moment, and one that is started then knows every id. A table that only this work in the
// background reads, and that is damaged, ends the server with a fault that names it.
func TestIDsInTheBackground(t *testing.T) {
	l := shapes()["development"] // a production server adds so few ids before the first request
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			path, ids := jumpingFile(t, l, kind)
			tables, gridAt := idTables(t, path, l)
			if len(tables) < 3 {
				t.Fatalf("%d tables of ids: the test shows nothing", len(tables))
			}
			for range 5 {
				s := started(t, path, l, kind)
				s.close()
			}
			s := started(t, path, l, kind)
			c := registered(t, s.address, 2)
			for _, from := range ids {
				if reply := c.ask(wire.OperationLookupTransfers, bytesOf([]wire.U128{wire.U128From(from)})); len(reply) < 128 {
					t.Fatalf("transfer %d is not found", from)
				}
				again := client.View[client.CreateTransferResult](c.ask(wire.OperationCreateTransfers, bytesOf(transfers(from, 1, 1, 3))))
				if len(again) != 1 || again[0].Status == accounting.TransferStatusCreated {
					t.Fatalf("transfer %d is created again: %v", from, again)
				}
			}
			s.close()

			damaged := copied(t, path)
			geometry := block.GeometryOf(l)
			named := map[uint64]bool{}
			for _, table := range tables {
				flip(t, damaged, gridAt+geometry.Offset(table.Address, 1)+100, 1)
				named[table.Address] = true
			}
			r, err := opened(t, damaged, l, kind)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			if _, err := r.listen(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-r.ended:
				var fault *FaultError
				if !errors.As(err, &fault) || !named[fault.Fault.Address] {
					t.Errorf("the server ended with %v, want a fault of a table of ids", err)
				}
			case <-time.After(replyWithin):
				t.Error("damage that the background has to read is not noticed")
			}
		})
	}
}
