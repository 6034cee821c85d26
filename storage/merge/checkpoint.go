package merge

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
)

// Checkpoint writes the trailers of a checkpoint and waits until the writes have ended. The caller
// has to sync afterwards.
func (m *Merger) Checkpoint(job *storage.CheckpointJob, waiter storage.Waiter) {
	m.waiter, m.job = waiter, nil
	for kind := range storage.TrailersCount {
		trailer := block.NewTrailer(&m.geometry, m.cluster, kind, job.Chunks[kind], job.Names[kind])
		assert.AtMost(trailer.Unbuilt(), uint64(len(job.Addresses[kind])), "blocks of a trailer")
		job.Roots[kind] = storage.Ref{}
		for trailer.Unbuilt() > 0 && m.fault == nil {
			ref, usedBytes := trailer.Build(m.take(), job.Addresses[kind][trailer.Unbuilt()-1])
			m.write(ref.Address, usedBytes)
			m.spend(m.breath)     // a block's checksums
			job.Roots[kind] = ref // in the end
		}
	}
	job.Fault = m.Drain(waiter)
}
