package replica

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ledger/limits"
	"ledger/stages/net"
)

// Goal: with a descriptor less than needed the table has a connection less, down to one for each
// session; below that the start is refused. Both sentences have both numbers, and the number that
// they name is enough.
func TestDescriptorsFit(t *testing.T) {
	for _, sessions := range []uint32{1, 64, limits.SessionsMax} {
		whole := limits.Production()
		whole.SessionsMax, whole.ConnectionsMax = sessions, sessions+32
		const isOpen, other = 21, 75
		enough := uint64(isOpen + other + net.PortConnectionsMax(&whole))
		for missing := uint64(0); missing <= 40; missing++ {
			l := whole
			d := descriptors{limit: enough - missing, free: enough - missing - isOpen, other: other}
			warning, err := d.fit(&l)
			limit := fmt.Sprintf("the limit on open files is %d, and ", d.limit)
			switch {
			case missing == 0:
				if warning != "" || err != nil || l != whole {
					t.Errorf("%d sessions, all there is: %q, %v, %d connections", sessions, warning, err, l.ConnectionsMax)
				}
			case missing <= 32:
				if err != nil || uint64(l.ConnectionsMax) != uint64(whole.ConnectionsMax)-missing || l.Check() != nil ||
					!strings.HasPrefix(warning, limit+fmt.Sprintf("%d are needed: the server holds %d connections instead of %d",
						enough, l.ConnectionsMax, sessions+32)) {
					t.Errorf("%d sessions, %d missing: %q, %v, %d connections", sessions, missing, warning, err, l.ConnectionsMax)
				}
			default:
				if err == nil || l != whole || warning != "" ||
					!strings.HasPrefix(err.Error(), limit+fmt.Sprintf("the %d sessions of the data file need at least %d: ", sessions, enough-32)) {
					t.Errorf("%d sessions, %d missing: %q, %v", sessions, missing, warning, err)
				}
			}
		}
	}
}

// Goal: the count is of the numbers that the kernel would give: open ones are left out, wherever
// they are, and the limit is the end.
func TestDescriptorsFree(t *testing.T) {
	const limit = 1 << 10
	before := descriptorsFree(limit, limit)
	if want := uint64(limit - openFiles(t) + 1); before != want { // the folder itself was open
		t.Errorf("%d numbers are free, want %d", before, want)
	}
	fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, limit-1)
	if err != nil {
		t.Fatal(err)
	}
	if got := descriptorsFree(limit, limit); got != before-1 {
		t.Errorf("with number %d in use %d are free, want %d", fd, got, before-1)
	}
	if got := descriptorsFree(limit-1, limit); got != before-1 {
		t.Errorf("below %d there are %d, want %d", limit-1, got, before-1)
	}
	if got := descriptorsFree(limit, 7); got != 7 {
		t.Errorf("asked for 7: %d", got)
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}
