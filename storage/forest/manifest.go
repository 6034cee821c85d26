package forest

import (
	"ledger/accounting"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/manifest"
)

// manifestBytes is the size of the manifest with this number of trailer addresses.
func (f *Forest) manifestBytes(trailers uint64) uint64 {
	size := manifest.HeadBytes + uint64(f.log.count)*manifest.TableBytes + f.levels.EncodedBytes() + trailers*8
	if !f.log.partial.IsZero() {
		size += manifest.TableBytes
	}
	return size
}

// manifestEncode writes the manifest into out and returns the used part.
func (f *Forest) manifestEncode(out []byte) []byte {
	w := manifest.NewWriter(out)
	m := f.filling // everything before the filling memtable is on disk
	head := manifest.Head{
		Transfers: uint64(m.transfersFirst), Accounts: uint64(m.accountsFirst),
		TransferStamp: m.transferStampFirst, AccountStamp: m.accountStampFirst,
		TailFirst: uint64(f.tail.first), LogCount: uint64(f.log.count), Trailers: f.checkpoint.trailersCount,
		Partial: !f.log.partial.IsZero(),
	}
	f.levels.LevelsCount(&head.Levels)
	w.Head(&head)
	for i := range f.log.count {
		w.Table(&f.log.tables[i])
	}
	if head.Partial {
		w.Table(&f.log.partial)
	}
	f.levels.Encode(w)
	out = w.End(f.checkpoint.trailers[:f.checkpoint.trailersCount])
	assert.Equal(uint64(len(out)), f.manifestBytes(f.checkpoint.trailersCount), "the size of the manifest")
	return out
}

// manifestDecode fills an empty forest. After an error, the forest must not be used.
func (f *Forest) manifestDecode(in []byte, checkpointOp uint64) error {
	r := &f.checkpoint.reader
	*r = manifest.NewReader(in, checkpointOp, f.geometry.PagesMax)
	// Lists double when they grow, so only a quarter of the pool is certain to be usable.
	fits := uint64(len(in))/manifest.TableBytes <= f.levels.TablesMax()/4+uint64(len(f.log.tables))
	if !r.Expect(fits) {
		return manifest.ErrDamaged
	}
	head := r.Head()
	r.Expect(head.LogCount <= uint64(len(f.log.tables)) && head.Trailers <= uint64(len(f.checkpoint.trailers)))
	if r.Failed() {
		return manifest.ErrDamaged
	}
	f.tail.first = accounting.TransferOrdinal(head.TailFirst)
	next := uint64(0) // ordinal
	for range head.LogCount {
		t := r.Table(storage.TreeTransferLog)
		if r.Failed() {
			return manifest.ErrDamaged
		}
		f.log.add(&t)
		if !r.Expect(!t.Partial && f.log.firsts[f.log.count-1] == next) {
			return manifest.ErrDamaged
		}
		next += uint64(t.Entries)
	}
	if head.Partial {
		f.log.partial = r.Table(storage.TreeTransferLog)
		r.Expect(f.log.partial.Partial)
	}
	r.Expect(next == uint64(f.tail.first) && uint64(f.tail.first)+uint64(f.log.partial.Entries) == head.Transfers)
	f.levels.Decode(r, &head.Levels)
	for i := range head.Trailers {
		if r.Failed() {
			return manifest.ErrDamaged
		}
		f.checkpoint.trailers[i] = r.Trailer()
	}
	f.checkpoint.trailersCount = head.Trailers
	if !r.End() {
		return manifest.ErrDamaged
	}
	f.filling.begin(accounting.TransferOrdinal(head.Transfers), accounting.AccountOrdinal(head.Accounts),
		head.TransferStamp, head.AccountStamp)
	f.rowsBarStart = 0
	return nil
}
