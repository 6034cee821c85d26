package vsr

import (
	"ledger/internal/assert"
	"ledger/limits"
)

// Quorums are the numbers of replicas that a decision takes. Standbys never count.
type Quorums struct {
	Replicas    int // of the cluster
	Replication int // acknowledgements that commit an op
	ViewChange  int // messages with which a view is left, and a log chosen
	Nack        int // replicas that never acknowledged an op: then it was never committed
	Majority    int // clocks or checkpoint ids that decide who is wrong
}

// replicationMax bounds the copies on which a commit waits, however large the cluster is.
const replicationMax = 3

// QuorumsOf returns the quorums of a cluster of 1 to limits.ReplicasMax replicas. They are
// flexible: of an even number, only half have to acknowledge an op, and one more than half have to
// choose a log. With two replicas both do either.
func QuorumsOf(replicas int) Quorums {
	assert.That(replicas >= 1 && replicas <= limits.ReplicasMax, "a cluster has 1 to 6 replicas")
	q := Quorums{Replicas: replicas, Majority: replicas/2 + 1}
	q.Replication = min(replicationMax, (replicas+1)/2)
	q.ViewChange = replicas - q.Replication + 1
	if replicas == 2 {
		q.Replication, q.ViewChange = 2, 2
	}
	q.Nack = replicas - q.Replication + 1
	assert.That(q.Replication+q.ViewChange > replicas, "a view change meets every op that may be committed")
	assert.That(q.ViewChange+q.ViewChange > replicas, "two view changes meet")
	assert.That(q.Nack+q.Replication > replicas, "nacks of a quorum leave too few replicas for a commit")
	return q
}

// PrimaryOf returns the replica that is the primary of a view.
func (q *Quorums) PrimaryOf(view uint32) int { return int(view % uint32(q.Replicas)) }
