package merge

import (
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/block"
)

// Checkpoint writes the trailers of a checkpoint and waits until the writes have ended. The caller
// has to sync afterwards.
func (m *Merger) Checkpoint(job *storage.CheckpointJob, waiter storage.Waiter) {
	m.waiter = waiter
	for kind := range storage.TrailersCount {
		contentBytes := uint64(0)
		for _, chunk := range job.Chunks[kind] {
			contentBytes += uint64(len(chunk))
		}
		blocks := m.geometry.TrailerBlocks(contentBytes)
		assert.AtMost(blocks, uint64(len(job.Addresses[kind])), "blocks of a trailer")
		content := block.NewChunks(job.Chunks[kind])
		var link storage.Ref
		for i := uint64(0); i < blocks && m.fault == nil; i++ {
			var usedBytes uint32
			link, usedBytes = block.BuildTrailer(&m.geometry, m.take(), m.cluster, kind, job.Addresses[kind][i], link, &content)
			m.write(link.Address, usedBytes)
			m.spend(m.breath) // checksums of a block
		}
		job.Roots[kind] = link
	}
	job.Fault = m.Drain(waiter)
}
