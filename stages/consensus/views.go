package consensus

import (
	"math/bits"

	"ledger/prepare"
	"ledger/storage/datafile"
	"ledger/vsr"
	"ledger/wire"
)

// mode is what a replica of a cluster takes part in.
type mode uint8

const (
	modeNormal         mode = iota // log_view = view
	modeViewChange                 // log_view < view
	modeRecoveringHead             // log_view = view, and ops above the head may have been acknowledged here
)

// views is the view of one of several replicas, and the log that its log_view vouches for.
//
//	normal ---- q_v replicas wish to leave, or a message of a later view ----> view change
//	view change ---- start_view, or as the primary the own choice ----> normal
//
// Both numbers are those in memory. What is durable is in superblocks, and send.go has the table of
// messages that wait for it. The list is what the superblock has, or will have when what waits to
// be written is durable: of log_view = view the beginning of that view's log; of log_view < view
// the list of the ballot, which is frozen.
type views struct {
	current  uint32
	ofLog    uint32
	is       mode
	list     vsr.List
	raw      durableLog // the list with whole headers
	wishes   uint8      // replicas that wish to leave the current view
	isChosen bool       // the new primary has chosen a log, which is not durable yet
	startMax uint64     // commit_max when the view began here
	known    uint64     // committed, as the primary of the view has said in this view
	number   uint64     // nonce of this start
}

func newViews(durable *datafile.Superblock, nonce uint64) views {
	v := views{current: durable.View, ofLog: durable.LogView, number: nonce | 1}
	v.raw = durableLogOf(durable)
	v.list = v.raw.list()
	switch {
	case v.ofLog < v.current:
		v.is = modeViewChange
	case !v.list.Uncertain.Empty():
		v.is = modeRecoveringHead
	}
	return v
}

func (v *views) now() uint32          { return v.current }
func (v *views) logView() uint32      { return v.ofLog }
func (v *views) nonce() uint64        { return v.number }
func (v *views) isNormal() bool       { return v.is == modeNormal }
func (v *views) isChanging() bool     { return v.is == modeViewChange }
func (v *views) isRecovering() bool   { return v.is == modeRecoveringHead }
func (v *views) hasChosen() bool      { return v.isChosen }
func (v *views) startCommit() uint64  { return v.startMax }
func (v *views) primaryKnows() uint64 { return v.known }
func (v *views) headers() *vsr.List   { return &v.list }
func (v *views) durable() *durableLog { return &v.raw }

// isVouched: the head is that of the log of log_view, and log_view is the view.
func (v *views) isVouched() bool { return v.ofLog == v.current && v.is == modeNormal }

// uncertainHead: a start with log_view = view has found ops above the head damaged.
func (v *views) uncertainHead(uncertain *vsr.Set) {
	if v.ofLog == v.current && !uncertain.Empty() {
		v.is, v.list.Uncertain = modeRecoveringHead, *uncertain
	}
}

// uncertain is the set that goes into a ballot.
func (v *views) uncertain() *vsr.Set { return &v.list.Uncertain }

// wish counts that a replica wishes to leave the current view.
func (v *views) wish(replica int) { v.wishes |= 1 << replica }

// wishCount is the number of replicas that wish to leave the current view.
func (v *views) wishCount() int { return bits.OnesCount8(v.wishes) }

// wished tells whether a replica wishes to leave the current view.
func (v *views) wished(replica int) bool { return v.wishes>>replica&1 != 0 }

// forget the wishes of these replicas.
func (v *views) forget(replicas uint16) { v.wishes &^= uint8(replicas) }

// setList takes the list that the superblock will have.
func (v *views) setList(list *vsr.List, raw *durableLog) { v.list, v.raw = *list, *raw }

// enter the view change of a later view.
func (v *views) enter(view uint32) {
	v.current, v.is, v.wishes, v.isChosen, v.known = view, modeViewChange, 0, false, 0
}

// chosen: the new primary has chosen a log.
func (v *views) chosen() { v.isChosen = true }

// begin the view: its log is known here.
func (v *views) begin(view uint32, commitMax uint64) {
	v.current, v.ofLog, v.is, v.wishes, v.isChosen, v.startMax = view, view, modeNormal, 0, false, commitMax
}

// told: the primary of the view has said that op is committed. A replica may know of later commits
// from the view before, and the primary still waits for its acknowledgements of them.
func (v *views) told(op uint64) { v.known = max(v.known, op) }

// rawOf returns the whole header of an op of the list, or nil.
func (v *views) rawOf(op uint64, checksum wire.Checksum) prepare.Header {
	return v.raw.find(op, checksum)
}
