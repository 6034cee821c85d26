package forest

import (
	"ledger/internal/arena"
	"ledger/internal/assert"
	"ledger/storage"
	"ledger/storage/forest/manifest"
)

// checkpoint is the newest checkpoint: its job while compact writes it, and the addresses of its
// trailers.
type checkpoint struct {
	job           storage.CheckpointJob
	chunks        [storage.TrailersCount][1][]byte
	manifest      []byte
	freeSet       []byte
	trailers      []uint64        // addresses
	names         []storage.Ref   // room for the names of as many blocks
	listed        []byte          // room for the names in a trailer that is opened
	reader        manifest.Reader // of a manifest that is opened
	trailersCount uint64
	state         storage.Checkpoint // the part that the forest knows; the roots come with the job
}

func newCheckpoint(f *Forest, a *arena.Arena) checkpoint {
	const name = "checkpoint trailers"
	index := arena.Options{Class: arena.Index}
	manifestBytes := manifest.BytesMax(f.levels.TablesMax() + f.keeper.BlocksMax())
	freeSetBytes := f.freeSet.EncodedBytesLimit()
	// Sessions: a record each. Replies: a full message each. What is beside them is less than a
	// message.
	sessionsBytes := uint64(f.limits.SessionsMax+1) * uint64(f.limits.MessageBytesMax)
	c := checkpoint{
		manifest: a.BytesWith(manifestBytes, 8, name, index),
		freeSet:  a.BytesWith(freeSetBytes, 8, name, index),
	}
	blocks := f.geometry.TrailerBlocks(manifestBytes) + f.geometry.TrailerBlocks(freeSetBytes) + 2*f.geometry.TrailerBlocks(sessionsBytes) + 8
	c.trailers = arena.SliceWith[uint64](a, blocks, name, index)
	c.listed = a.BytesWith(f.geometry.TrailerNamesBytes(max(manifestBytes, freeSetBytes, sessionsBytes)), 8, name, index)
	c.names = arena.SliceWith[storage.Ref](a, blocks, name, index)
	return c
}

// CheckpointCapture takes the checkpoint whose trigger is op. It consists of the state as of op -
// BarOps, all of which is on disk, and of the sessions and their replies as of op. It comes right
// after BarInstall. The job's memory does not change until the next capture. release is the one
// that goes on from the checkpoint.
func (f *Forest) CheckpointCapture(op uint64, release uint32, sessions, replies [][]byte) *storage.CheckpointJob {
	assert.That(f.limits.IsTrigger(op), "a checkpoint is taken at a trigger")
	assert.That(!f.levels.IsUnder(), "the generation before is installed")
	f.keeper.CheckOnDisk()
	c := &f.checkpoint

	// These trailers replace those of the previous checkpoint.
	for _, address := range c.trailers[:c.trailersCount] {
		f.freeSet.Release(address)
	}
	bytesOf := func(chunks [][]byte) (bytes uint64) {
		for _, chunk := range chunks {
			bytes += uint64(len(chunk))
		}
		return bytes
	}
	// The trailers contain the addresses of the trailers themselves. So the loop acquires addresses
	// until there are enough for all.
	c.trailersCount = 0
	var blocks [storage.TrailersCount]uint64
	for {
		blocks[storage.TrailerManifest] = f.geometry.TrailerBlocks(f.manifestBytes(c.trailersCount))
		blocks[storage.TrailerFreeSet] = f.geometry.TrailerBlocks(f.freeSet.EncodedBytesMax())
		blocks[storage.TrailerSessions] = f.geometry.TrailerBlocks(bytesOf(sessions))
		blocks[storage.TrailerReplies] = f.geometry.TrailerBlocks(bytesOf(replies))
		want := uint64(0)
		for _, count := range blocks {
			want += count
		}
		if want <= c.trailersCount {
			break
		}
		assert.AtMost(want, uint64(len(c.trailers)), "blocks of trailers")
		if !f.freeSet.Acquire(c.trailers[c.trailersCount:want]) {
			f.pages.FailFull()
		}
		c.trailersCount = want
	}
	f.freeSet.Capture()

	job := &c.job
	*job = storage.CheckpointJob{Op: op - uint64(f.limits.BarOps)}
	c.chunks[storage.TrailerManifest][0] = f.manifestEncode(c.manifest)
	c.chunks[storage.TrailerFreeSet][0] = c.freeSet[:f.freeSet.Encode(c.freeSet)]
	job.Chunks[storage.TrailerManifest] = c.chunks[storage.TrailerManifest][:]
	job.Chunks[storage.TrailerFreeSet] = c.chunks[storage.TrailerFreeSet][:]
	job.Chunks[storage.TrailerSessions] = sessions
	job.Chunks[storage.TrailerReplies] = replies
	var head manifest.Head
	f.keeper.Head(&head)
	c.state = storage.Checkpoint{
		Op:             job.Op,
		BlocksHigh:     f.freeSet.High(),
		Release:        release,
		AccountsCount:  head.Accounts,
		TransfersCount: head.Transfers,
	}
	first := uint64(0)
	for i := range storage.TrailersCount {
		content := bytesOf(job.Chunks[i])
		c.state.TrailerBytes[i] = content
		end := first + f.geometry.TrailerBlocks(content)
		job.Addresses[i] = c.trailers[first:end:end]
		job.Names[i] = c.names[first:end:end]
		first = end
	}
	assert.AtMost(first, c.trailersCount, "blocks of trailers")
	f.selfCheck()
	return job
}

// CheckpointState returns the checkpoint whose job is back, without the fields that the forest does
// not know: PrepareChecksum, ParentID and TimestampLast.
func (f *Forest) CheckpointState() storage.Checkpoint {
	state := f.checkpoint.state
	state.Roots = f.checkpoint.job.Roots
	return state
}

// Named goes through the tables of the checkpoint that was opened, or captured since.
func (f *Forest) Named() manifest.Cursor {
	c := &f.checkpoint
	return manifest.NewCursor(c.manifest[:c.state.TrailerBytes[storage.TrailerManifest]], &f.limits)
}

// CheckpointDue tells whether the newest checkpoint counts as durable everywhere at the end of op.
// This is a fixed op: the end of the first bar behind the checkpoint's trigger plus the slack.
// checkpointOp is the newest checkpoint's op, 0 for none.
func (f *Forest) CheckpointDue(op, checkpointOp uint64) bool {
	if checkpointOp == 0 || !f.limits.IsBarEnd(op) {
		return false
	}
	behind := f.limits.CheckpointTrigger(checkpointOp) + uint64(f.limits.SlackOps)
	return op > behind && op-uint64(f.limits.BarOps) <= behind
}

// CheckpointDurable frees the blocks that waited for the newest checkpoint. It is called at the op
// that CheckpointDue names, not earlier, so that all replicas free blocks at the same op.
func (f *Forest) CheckpointDurable() { f.freeSet.Durable() }
