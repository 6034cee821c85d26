package journal

import (
	"fmt"

	"ledger/internal/ports"
	"ledger/limits"
	"ledger/prepare"
	"ledger/storage"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// Recovered is the state of the log after recovery.
type Recovered struct {
	OpHead        uint64        // highest op in the log
	HeadChecksum  wire.Checksum // of its header
	TwinsFixed    int           // twins that were rewritten
	PreparesFixed int           // prepares that were rewritten from their twins
	TornOp        uint64        // op whose writes were torn by the crash, never acknowledged; 0: none
	// Headers is the table of raw headers by slot. It is right for every op above the checkpoint.
	Headers   []byte
	Decisions []vsr.Decision // on each slot

	Several // of one of several replicas
}

// DamageError is damage of the log with which the replica may not start.
type DamageError struct {
	Slot   uint64
	Letter byte // row of the decision table; 0 for a gap in the chain
	Reason string
}

func (e *DamageError) Error() string {
	if e.Letter == 0 {
		return "the log is damaged: " + e.Reason
	}
	return fmt.Sprintf("the log is damaged at slot %d (case %c): %s", e.Slot, e.Letter, e.Reason)
}

// Fault is the error with which the server refuses to start.
func (e *DamageError) Fault() storage.Fault {
	return storage.Fault{What: storage.FaultLog, Reason: e.Error()}
}

// Recover reads the log of a replica, repairs each copy of which the other one is right, and
// returns the head. headers is aligned memory of JournalSlotsCount * 256 bytes, scratch of at
// least MessageBytesMax; with more of it, a shared file is read by several goroutines. The slots
// are classified here, and package vsr judges them, by the column of the table that the
// superblock's number of replicas names. A log that is refused is not changed.
//
// Every op up to the superblock's commit_max was durable when a single replica wrote it, so a log
// that ends earlier has lost ops.
func Recover(file ports.File, l *limits.Limits, superblock *datafile.Superblock, headers, scratch []byte) (*Recovered, error) {
	count := uint64(l.JournalSlotsCount)
	headers = headers[:count*limits.HeaderBytes]
	g := &logFile{file: file, limits: l, layout: datafile.NewLayout(l), cluster: superblock.Cluster, checkpointOp: superblock.Checkpoint.Op,
		scratch: scratch}
	slots := make([]vsr.Slot, count)
	prepares := make([]byte, len(headers))
	g.readTwins(headers, slots)
	g.readPrepares(slots, prepares)
	in := InputOf(l, superblock)
	if in.Replicas > 1 {
		return g.several(&in, superblock, slots, headers, prepares)
	}
	result, refusal := vsr.Recover(&in, slots, make([]vsr.Decision, count))
	if refusal != nil {
		return nil, &DamageError{refusal.Slot, refusal.Row, refusal.Reason}
	}
	for i := range count {
		if s := &slots[i]; s.P.Kind == vsr.KindWhole && !s.TwinWins() {
			copy(headerAt(headers, i), headerAt(prepares, i)) // the table has the copy that the slot is taken to hold
		}
	}
	r := &Recovered{Headers: headers, OpHead: result.OpHead, HeadChecksum: result.HeadChecksum, TornOp: result.TornOp,
		Decisions: result.Decisions}
	if err := r.checkRules(l, superblock.Checkpoint.Op); err != nil {
		return nil, err
	}
	return r, r.fix(g, slots)
}

// checkRules refuses the log of a single replica if it has an op behind the checkpoint that no
// release of this program can execute. One of several replicas executes only ops of the release
// that it runs, so consensus looks at each.
func (r *Recovered) checkRules(l *limits.Limits, checkpointOp uint64) error {
	for op := checkpointOp + 1; op <= r.OpHead; op++ {
		if rules := headerAt(r.Headers, op%uint64(l.JournalSlotsCount)).Rules(); !l.OffersRules(rules) {
			return fmt.Errorf("op %d of the log was prepared by rules %d, and this server, of releases %d to %d, has rules %d to %d: use the "+
				"server that wrote the log, or a newer one that still offers its release", op, rules, l.ReleaseMin, l.ReleaseMax,
				limits.RulesOf(l.ReleaseMin), limits.RulesOf(l.ReleaseMax))
		}
	}
	return nil
}

// InputOf is what the rules of recovery know before the log is read.
func InputOf(l *limits.Limits, superblock *datafile.Superblock) vsr.Input {
	checkpoint := &superblock.Checkpoint
	in := vsr.Input{
		Replicas: int(superblock.ReplicasCount), CheckpointOp: checkpoint.Op, CheckpointChecksum: checkpoint.PrepareChecksum,
		PrepareMax: l.PrepareMax(checkpoint.Op), CommitMax: superblock.CommitMax,
	}
	if checkpoint.Op > 0 {
		in.TriggerOp = l.CheckpointTrigger(checkpoint.Op)
	}
	if in.Replicas > 1 {
		headers := make([]prepare.Header, superblock.HeadersCount)
		for i := range headers {
			headers[i] = superblock.Headers[i][:]
		}
		list := vsr.ReadList(headers, &superblock.Uncertain)
		in.View, in.LogView = superblock.View, superblock.LogView
		in.Headers, in.Uncertain = list.Headers[:list.Count], list.Uncertain
		in.CommitMax = max(in.CommitMax, in.CheckpointOp)
	}
	return in
}

// headerAt returns a slot's header in the table of headers.
func headerAt(headers []byte, slot uint64) prepare.Header {
	return prepare.Header(headers[slot*limits.HeaderBytes : (slot+1)*limits.HeaderBytes])
}

// copyOf returns the part of a copy that the verdicts depend on.
func copyOf(h prepare.Header, kind vsr.Kind) vsr.Copy {
	if kind == vsr.KindBad || kind == vsr.KindReserved {
		return vsr.Copy{Kind: kind}
	}
	return vsr.Copy{Kind: kind, View: h.View(), Op: h.Op(), Commit: h.Commit(), Checksum: h.Checksum(), Parent: h.Parent()}
}

// fix rewrites copies from the other ones, one at a time, each durable before the next. If it
// crashes, only the copy that was being rewritten is bad.
func (r *Recovered) fix(g *logFile, slots []vsr.Slot) error {
	for i := range uint64(len(slots)) {
		header := headerAt(r.Headers, i)
		from, to := g.layout.PrepareAt(i), g.layout.TwinAt(i)
		switch r.Decisions[i].Verdict {
		case vsr.FixTwin:
			if slots[i].P.Kind == vsr.KindReserved {
				prepare.PutReserved(header, g.cluster, i)
			}
			r.TwinsFixed++
		case vsr.FixPrepare:
			from, to = to, from
			r.PreparesFixed++
		default:
			continue
		}
		// The body of a prepare at or below the checkpoint was not read. Nothing will need it, so
		// the header is enough.
		buffer := g.scratch[:g.limits.SectorBytes]
		if isSmall(header, g.limits) && header.Op() > g.checkpointOp {
			buffer = g.scratch[:g.sectorsUp(header.SizeBytes())]
			if err := g.file.ReadAt(buffer, from); err != nil {
				return fmt.Errorf("reading slot %d of the log again: %w", i, err)
			}
		} else {
			clear(buffer)
			copy(buffer, header)
		}
		if err := g.file.WriteAt(buffer, to); err != nil {
			return fmt.Errorf("repairing slot %d of the log: %w", i, err)
		}
	}
	return nil
}

// logFile reads the two rings.
type logFile struct {
	file         ports.File
	limits       *limits.Limits
	layout       datafile.Layout
	cluster      wire.U128
	checkpointOp uint64
	scratch      []byte // memory of the size of a message
}

// readTwins fills headers, and the twins' part of slots. An unreadable sector counts as zeros.
func (g *logFile) readTwins(headers []byte, slots []vsr.Slot) {
	twinBytes, sectorBytes := uint64(g.limits.TwinBytes), uint64(g.limits.SectorBytes)
	perMessage := uint64(g.limits.MessageBytesMax) / twinBytes
	unread := make([]bool, perMessage) // of a message's twins
	for first := uint64(0); first < uint64(len(slots)); first += perMessage {
		twins := g.scratch[:min(perMessage, uint64(len(slots))-first)*twinBytes]
		clear(unread)
		if g.file.ReadAt(twins, g.layout.TwinAt(first)) != nil {
			for at := uint64(0); at < uint64(len(twins)); at += sectorBytes {
				if sector := twins[at : at+sectorBytes]; g.file.ReadAt(sector, g.layout.TwinAt(first)+at) != nil {
					clear(sector)
					unread[at/twinBytes] = true
				}
			}
		}
		for i := first; i < first+uint64(len(twins))/twinBytes; i++ {
			twin := twins[(i-first)*twinBytes:][:twinBytes]
			header := prepare.Header(twin[:limits.HeaderBytes])
			copy(headers[i*limits.HeaderBytes:], header)
			kind := g.classify(header, i)
			switch {
			case kind != vsr.KindWhole:
			case !isSmall(header, g.limits):
				kind = vsr.KindHeader
			case header.Op() > g.checkpointOp && !isWhole(twin[:g.sectorsUp(header.SizeBytes())]):
				kind = vsr.KindTorn
			}
			slots[i].T = copyOf(header, kind)
			slots[i].T.IsUnread = unread[i-first]
		}
	}
}

// readPrepares fills headers and the prepares' part of slots. Most of the time goes to reading, so
// slots are read side by side, as many as the scratch memory has room for, if the file allows it.
// No slot depends on another one.
func (g *logFile) readPrepares(slots []vsr.Slot, headers []byte) {
	size := int(g.limits.MessageBytesMax)
	ports.SideBySide(g.file, len(g.scratch)/size, func(reader, readers int) {
		own := *g
		own.scratch = g.scratch[reader*size:][:size]
		for i := uint64(reader); i < uint64(len(slots)); i += uint64(readers) {
			p, isUnread := own.readPrepare(i)
			slots[i].P = copyOf(p, own.classify(p, i))
			slots[i].P.IsUnread = isUnread
			copy(headerAt(headers, i), p)
		}
	})
}

// readPrepare returns the header of the prepare in a slot, or a header that is not valid, and
// whether a read failed. The body is read and verified only above the checkpoint, because no body
// below it is needed.
func (g *logFile) readPrepare(slot uint64) (header prepare.Header, isUnread bool) {
	sector := g.scratch[:g.limits.SectorBytes]
	header = prepare.Header(sector[:prepare.HeaderBytes])
	if err := g.file.ReadAt(sector, g.layout.PrepareAt(slot)); err != nil {
		clear(sector)
		return header, true
	}
	if g.classify(header, slot) != vsr.KindWhole || header.Op() <= g.checkpointOp {
		return header, false
	}
	padded := g.scratch[:g.sectorsUp(header.SizeBytes())]
	err := g.file.ReadAt(padded, g.layout.PrepareAt(slot))
	if err != nil || !isWhole(padded) {
		clear(sector)
	}
	return header, err != nil
}

func (g *logFile) sectorsUp(bytes uint32) uint32 {
	return (bytes + g.limits.SectorBytes - 1) &^ (g.limits.SectorBytes - 1)
}

// isSmall tells whether the twin of a prepare is a whole copy.
func isSmall(h prepare.Header, l *limits.Limits) bool { return h.SizeBytes() <= l.TwinBytes }

// isWhole tells whether sectors that begin with a valid header are a prepare followed by zeros.
func isWhole(padded []byte) bool {
	size := prepare.Header(padded[:prepare.HeaderBytes]).SizeBytes()
	return prepare.ValidBody(padded[:size]) && allZero(padded[size:]) && prepare.Validate(padded[:size]) == nil
}

// classify returns the kind of a copy as far as the header decides it: the twin's forms and the
// body are not looked at.
func (g *logFile) classify(h prepare.Header, slot uint64) vsr.Kind {
	switch {
	case !prepare.ValidHeader(h, g.cluster, g.limits.MessageBytesMax) || h.Op()%uint64(g.limits.JournalSlotsCount) != slot:
		return vsr.KindBad
	case h.Command() != prepare.CommandReserved:
		return vsr.KindWhole
	case h.Op() != slot:
		return vsr.KindBad
	}
	return vsr.KindReserved
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
