package inspect

import (
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"ledger/storage"
	"ledger/storage/datafile"
)

// Digest of a checkpoint. Replicas that wrote the same checkpoint have the same digest.
type Digest struct {
	CheckpointOp uint64 `json:"checkpoint_op"`
	CheckpointID string `json:"checkpoint_id"`
	Digest       string `json:"digest"`
}

// Digest reads and verifies all blocks that the checkpoint names. The digest is the BLAKE3 of the
// BLAKE3 of each block's used pages: first the blocks of the trailers, by kind and from the root
// on, then the tables in the order of the manifest.
//
// damaged: there is no digest, because of these.
func (f *File) Digest(progress Progress) (digest *Digest, damaged []Damage, err error) {
	readers, known := f.readers(), map[storage.Ref][32]byte{}
	_, err = f.settled(func(s *datafile.Copy) string {
		c := f.read(s)
		damaged = append([]Damage{}, c.damage...)
		meter := newMeter(progress, f.blocksBytes(c))
		all := blake3.New()
		for _, v := range f.scan(s, c, readers, known, true, meter.add) {
			damaged = append(damaged, v.damage...)
			_, _ = all.Write(v.sum[:]) // a hash takes everything
		}
		digest = &Digest{s.Checkpoint.Op, hexOf(datafile.CheckpointID(&s.Checkpoint)), hex.EncodeToString(all.Sum(nil))}
		return complaint(damaged)
	})
	if err != nil || len(damaged) > 0 {
		return nil, damaged, err
	}
	return digest, nil, nil
}

// Text implements Report.
func (r *Digest) Text(out io.Writer) {
	fmt.Fprintf(out, "checkpoint op %d\ncheckpoint id %s\ndigest        %s\n", r.CheckpointOp, r.CheckpointID, r.Digest)
}

func (f *File) blocksBytes(c *contents) (bytes uint64) {
	for i := range c.blocks {
		bytes += f.usedBytes(&c.blocks[i])
	}
	return bytes
}
