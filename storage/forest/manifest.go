package forest

import (
	"ledger/internal/assert"
	"ledger/storage/forest/manifest"
)

// manifestBytes is the size of the manifest with this number of trailer addresses.
func (f *Forest) manifestBytes(trailers uint64) uint64 {
	return manifest.HeadBytes + f.keeper.EncodedBytes() + f.levels.EncodedBytes() + trailers*8
}

// manifestEncode writes the manifest into out and returns the used part.
func (f *Forest) manifestEncode(out []byte) []byte {
	w := manifest.NewWriter(out)
	head := manifest.Head{Trailers: f.checkpoint.trailersCount}
	f.keeper.Head(&head)
	f.levels.LevelsCount(&head.Levels)
	w.Head(&head)
	f.keeper.Encode(w)
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
	if !r.Expect(uint64(len(in))/manifest.TableBytes <= f.levels.TablesMax()/4+f.keeper.BlocksMax()) {
		return manifest.ErrDamaged
	}
	head := r.Head()
	if !r.Expect(head.Trailers <= uint64(len(f.checkpoint.trailers))) {
		return manifest.ErrDamaged
	}
	f.keeper.Decode(r, &head)
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
	return nil
}
