package doctor

import (
	"fmt"
	"slices"
	"strings"

	"ledger/probe"
	"ledger/wire"
)

// anyAnswers tells whether a server of the cluster answers at all.
func anyAnswers(r *probe.Report) bool { return isIn(r, probe.StateAnswers) }

// isIn tells whether any replica is in a state.
func isIn(r *probe.Report, state probe.State) bool {
	return slices.ContainsFunc(r.Replicas, func(p probe.Replica) bool { return p.State == state })
}

func (e *examination) reachable() Result {
	if e.report == nil {
		return skipped("no addresses were named")
	}
	switch e.report.Verdict {
	case probe.VerdictNobodyListens, probe.VerdictSilent, probe.VerdictNoSession:
		return failure(e.report.Remedy, "%s", e.report.Text)
	}
	return ok("a server listens and speaks the protocol")
}

// unreached returns the result of a check of servers when none was reached.
func (e *examination) unreached() (instead Result) {
	switch {
	case e.report == nil:
		return skipped("no addresses were named")
	case !anyAnswers(e.report) && !isIn(e.report, probe.StateEvicted) && !isIn(e.report, probe.StateOtherCluster):
		return skipped("no server answers")
	}
	return Result{}
}

func (e *examination) cluster() Result {
	if instead := e.unreached(); instead.State != "" {
		return instead
	}
	var wrong []string
	for i := range e.report.Replicas {
		if p := &e.report.Replicas[i]; p.State == probe.StateOtherCluster {
			wrong = append(wrong, p.Address+" "+p.Say())
		}
	}
	if len(wrong) > 0 {
		return failure("name the cluster with --cluster as ledger inspect superblock FILE shows it, or the right addresses",
			"not cluster %s: %s", e.Cluster, strings.Join(wrong, "; "))
	}
	return ok("the servers are of cluster %s", e.Cluster)
}

func (e *examination) release() Result {
	switch instead := e.unreached(); {
	case instead.State != "":
		return instead
	case isIn(e.report, probe.StateEvicted):
		return failure(e.report.Remedy, "%s", e.report.Text)
	case !anyAnswers(e.report):
		return skipped("no server of this cluster answers")
	}
	seen := map[string]bool{}
	var list []string
	for i := range e.report.Replicas {
		if p := &e.report.Replicas[i]; p.State == probe.StateAnswers && !seen[p.Release] {
			seen[p.Release] = true
			list = append(list, p.Release)
		}
	}
	if len(list) > 1 {
		return warning("let all replicas run the same version", "the replicas announce several releases: %s", strings.Join(list, ", "))
	}
	for i := range e.report.Replicas {
		if p := &e.report.Replicas[i]; p.IsLowered() {
			return warning("use client libraries up to that release, or start the servers with a higher --client-release-max",
				"%s evicts clients of %s and serves those of %s", p.Address, wire.ReleaseCurrent, p.Client)
		}
	}
	return ok("the servers announce %s and serve clients of %s", list[0], wire.ReleaseCurrent)
}

func (e *examination) primary() Result {
	switch instead := e.unreached(); {
	case instead.State != "":
		return instead
	case !anyAnswers(e.report):
		return skipped("no server of this cluster answers")
	case e.report.Verdict == probe.VerdictNoQuorum:
		return failure(e.report.Remedy, "%s", e.report.Text)
	}
	return ok("%s", e.report.Text)
}

func (e *examination) replicas() Result {
	switch instead := e.unreached(); {
	case instead.State != "":
		return instead
	case !anyAnswers(e.report):
		return skipped("no server of this cluster answers")
	}
	var said, wrong []string
	for i := range e.report.Replicas {
		p := &e.report.Replicas[i]
		said = append(said, fmt.Sprintf("%s: %s", p.Address, p.Say()))
		if p.State != probe.StateAnswers || int(p.Replica) != p.Index {
			wrong = append(wrong, said[len(said)-1])
		}
	}
	for _, s := range e.status {
		if s.Role != "primary" && s.Role != "backup" {
			wrong = append(wrong, fmt.Sprintf("replica %d is in state %s", s.Replica, s.Role))
		}
	}
	if len(wrong) > 0 {
		return warning("start those that do not answer, and name all addresses by index of the replica", "%s", strings.Join(wrong, "; "))
	}
	return ok("%s", strings.Join(said, "; "))
}

func (e *examination) metrics() Result {
	switch {
	case len(e.Metrics) == 0:
		return skipped("no metrics addresses were named (--metrics)")
	case len(e.silent) > 0:
		return failure("start the servers with --metrics-address, or name the right addresses", "%v", e.silent[0])
	}
	for _, s := range e.status {
		if !s.IsReady || s.StaleFor > 0 {
			return failure("look at the server's log, and at /summary of the metrics address", "replica %d: serves clients: %v; %d threads do not "+
				"answer", s.Replica, s.IsReady, s.StaleFor)
		}
	}
	return ok("%d of %d metrics addresses answer", len(e.status), len(e.Metrics))
}

func (e *examination) batchLimit() Result {
	if len(e.status) == 0 {
		return skipped("the limit is known from metrics addresses (--metrics), or from ledger ping --register")
	}
	least := e.status[0].Limits.RequestBytes
	for _, s := range e.status {
		if s.Limits.RequestBytes != least {
			return failure("start all replicas with --development, or none", "replicas take requests of %s and of %s", size(least),
				size(s.Limits.RequestBytes))
		}
	}
	if least < wire.MessageBytesMax {
		return warning("start without --development", "requests hold %s, as with --development: clients with full batches are evicted",
			size(least))
	}
	return ok("requests hold %s", size(least))
}

// sessionsFree is the part of the sessions that should be free.
const sessionsFree = 10 // a tenth

func (e *examination) sessions() Result {
	if len(e.status) == 0 {
		return skipped("sessions are known from metrics addresses (--metrics)")
	}
	const remedy = "close clients that nobody needs (one for each process is enough), or format with a larger --clients-max"
	for _, s := range e.status {
		switch {
		case s.Sessions >= s.Limits.Sessions:
			return failure(remedy, "all %d sessions are taken: each new client ends the session of the one that was silent longest",
				s.Limits.Sessions)
		case s.Limits.Sessions-s.Sessions < s.Limits.Sessions/sessionsFree:
			return warning(remedy, "%d of %d sessions are taken", s.Sessions, s.Limits.Sessions)
		}
	}
	return ok("%d of %d sessions are taken", e.status[0].Sessions, e.status[0].Limits.Sessions)
}
