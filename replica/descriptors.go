package replica

import (
	"fmt"

	"golang.org/x/sys/unix"

	"ledger/limits"
	"ledger/stages/net"
)

// descriptorsBrief are those that are open for a moment, or from some moment of the run on: the two
// of Go's poller, a file of /proc for each of metrics, a profile and the memory that the machine
// has, and a few that the runtime may open behind our back.
const descriptorsBrief = 8

// descriptors are those that a server has promised and not opened yet, beside its connections.
type descriptors struct {
	limit uint64 // on the numbers of descriptors, which begin at 0
	free  uint64 // numbers below limit that name nothing
	other uint64 // of the free ones, those that are not for connections of clients
}

// fit makes the table of connections small enough that descriptors never run out before it is full.
// A full table closes the connection that has been longest without a registered client. A lack of
// descriptors closes none: it leaves newcomers in the listener's queue, so that connections which
// never become clients would keep all clients out.
//
// returns: a warning if the table is smaller than it should be, else "".
//
// error: not even each session has room for a connection.
func (d *descriptors) fit(l *limits.Limits) (warning string, err error) {
	const wayOut = "raise the hard limit (ulimit -Hn, or LimitNOFILE= of the systemd unit)"
	wanted, limited := l.ConnectionsMax, *l
	for limited.ConnectionsMax > l.SessionsMax && d.needed(&limited) > d.limit {
		limited.ConnectionsMax--
	}
	if needed := d.needed(&limited); needed > d.limit {
		return "", fmt.Errorf("the limit on open files is %d, and the %d sessions of the data file need at least %d: %s, "+
			"or format a file with a smaller --clients-max",
			d.limit, l.SessionsMax, needed, wayOut)
	}
	if limited.ConnectionsMax == wanted {
		return "", nil
	}
	warning = fmt.Sprintf("the limit on open files is %d, and %d are needed: the server holds %d connections instead of %d, "+
		"for %d sessions; %s",
		d.limit, d.needed(l), limited.ConnectionsMax, wanted, l.SessionsMax, wayOut)
	l.ConnectionsMax = limited.ConnectionsMax
	return warning, nil
}

// needed is the limit with which nothing that is promised finds no descriptor.
func (d *descriptors) needed(l *limits.Limits) uint64 {
	isOpen := d.limit - d.free
	return isOpen + d.other + uint64(net.PortConnectionsMax(l))
}

// fitDescriptors counts the descriptors that are left, raises the limit on them if they are too
// few, and fits the connections into what there is. Everything that a start opens is open by now,
// except a file of each thread. elsewhere are those that the caller will open beside the server's.
func (s *Server) fitDescriptors(elsewhere int) error {
	d := descriptors{other: uint64(elsewhere + len(s.threads) + descriptorsBrief)}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit on open files: %w", err)
	}
	wanted := d.other + uint64(net.PortConnectionsMax(&s.opened.Limits))
	d.limit, d.free = limit.Cur, descriptorsFree(limit.Cur, wanted)
	if d.free < wanted && limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
			d.limit, d.free = limit.Cur, descriptorsFree(limit.Cur, wanted)
		} // else a sandbox forbids it, and the limit is what it was
	}
	if d.free >= wanted {
		return nil
	}
	warning, err := d.fit(&s.opened.Limits)
	if err != nil {
		return err
	}
	if warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	return nil
}

// descriptorsFree counts the numbers below limit that no open descriptor has, up to enough of them.
// The kernel gives a new descriptor the smallest such number, and refuses when there is none.
func descriptorsFree(limit, enough uint64) (count uint64) {
	for number := uint64(0); number < limit && count < enough; number++ {
		if _, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0); err == unix.EBADF {
			count++
		}
	}
	return count
}
