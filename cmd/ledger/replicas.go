package main

import (
	"fmt"

	"ledger/config"
	"ledger/vsr"
)

// sameCluster says how the files of the other replicas get the number that was chosen for this one.
func sameCluster(format *config.Format) string {
	if format.ReplicaCount == 1 {
		return ""
	}
	return fmt.Sprintf(": format the other files of this cluster with --cluster=%s", format.Cluster)
}

// standbyNote says what the others need to know of a standby.
func standbyNote(format *config.Format) string {
	return fmt.Sprintf("note: standby %d counts for no quorum and serves no clients; start it, and each of the %d replicas, with --addresses "+
		"that name all replicas and then the standbys, by index", format.Replica, format.ReplicaCount)
}

// copiesNote says what a cluster of this size does not survive, where that is less than an operator
// may expect. It is "" for the sizes that need no note.
func copiesNote(replicas int) string {
	q := vsr.QuorumsOf(replicas)
	switch {
	case replicas == 2:
		return "note: a cluster of 2 survives no crash: both replicas must run, and each op has two copies; " +
			"--replica-count=3 is the least that survives one"
	case replicas%2 == 0:
		survives := "1 crash"
		if crashes := replicas - q.ViewChange; crashes != 1 {
			survives = fmt.Sprintf("%d crashes", crashes)
		}
		return fmt.Sprintf("note: a cluster of %d commits an op with %d copies, and the others get it soon after; it survives %s, as many "+
			"as a cluster of %d", replicas, q.Replication, survives, replicas-1)
	}
	return ""
}
