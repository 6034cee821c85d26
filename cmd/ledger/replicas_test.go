package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ledger/internal/arena"
	"ledger/internal/posix"
	"ledger/limits"
	"ledger/replica"
	"ledger/storage"
	"ledger/storage/datafile"
)

// formattedOf makes a data file of one of several replicas.
func formattedOf(t *testing.T, index, count int, arguments ...string) string {
	t.Helper()
	return formattedIn(t, 7, index, count, arguments...)
}

// formattedIn makes a data file of one of several replicas of a cluster.
func formattedIn(t *testing.T, cluster, index, count int, arguments ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), fmt.Sprintf("%d_%d.data", cluster, index))
	arguments = append([]string{"format", fmt.Sprintf("--cluster=%d", cluster), fmt.Sprintf("--replica=%d", index),
		fmt.Sprintf("--replica-count=%d", count), "--development", path}, arguments...)
	status, _, stderr := ended(t, nil, arguments...)
	if status != exitDone {
		t.Fatalf("format: status %d: %s", status, stderr)
	}
	return path
}

// superblockOf reads a data file.
func superblockOf(t *testing.T, path string) *datafile.Opened {
	t.Helper()
	l := limits.Production()
	file, err := posix.OpenDataFile(path, posix.OpenOptions{SectorBytes: l.SectorBytes, DirectOptional: true})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	memory := arena.New()
	defer memory.Close()
	superblock, err := datafile.OpenSuperblock(file, &l, memory.Bytes(1<<20, 4096, "superblock"))
	if err != nil {
		t.Fatal(err)
	}
	return superblock
}

// Goal: format makes the file of any replica of a cluster of 1 to 6, each with a number of its own.
// It says what a cluster of this size does not survive, where that may surprise, and how the files
// of one cluster get the same id.
func TestFormatReplicas(t *testing.T) {
	incarnations := map[uint64]bool{}
	for i, want := range []string{"", "survives no crash", "", "with 2 copies", "", "with 3 copies"} {
		count := i + 1
		note := copiesNote(count)
		if (note != "") != (want != "") || !strings.Contains(note, want) {
			t.Errorf("of %d replicas: %q, want %q", count, note, want)
		}
		path := filepath.Join(t.TempDir(), "0.data")
		status, _, stderr := ended(t, nil, "format", fmt.Sprintf("--replica=%d", count-1), fmt.Sprintf("--replica-count=%d", count),
			"--development", path)
		lines := strings.Count(stderr, "\n")
		if status != exitDone || !strings.Contains(stderr, note) || note == "" && lines != 1 || note != "" && lines != 2 {
			t.Errorf("of %d replicas: status %d: %s", count, status, stderr)
		}
		s := superblockOf(t, path)
		if int(s.Replica) != count-1 || int(s.ReplicasCount) != count || s.View != 0 || s.LogView != 0 || s.Incarnation == 0 {
			t.Errorf("replica %d of %d: %+v", count-1, count, s.Superblock)
		}
		incarnations[s.Incarnation] = true
		same := "format the other files of this cluster with --cluster=" + s.Cluster.String() + "\n"
		if strings.Contains(stderr, same) != (count > 1) {
			t.Errorf("of %d replicas: %s", count, stderr)
		}
	}
	if len(incarnations) != limits.ReplicasMax {
		t.Errorf("%d incarnations of %d files", len(incarnations), limits.ReplicasMax)
	}
}

// Goal: a replica listens at the address of its index, and at no other one.
func TestOwnAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for index := 1; index < 3; index++ {
		p := &processes{t: t}
		path := formattedOf(t, index, 3)
		for item := range 3 {
			addresses := freeAddresses(t, 3)
			addresses[item] = taken.Addr().String()
			if item != index {
				f := p.follow(path, addresses, nil)
				awaitListener(t, addresses[index])
				_ = f.Process.Kill()
				_ = f.Wait()
				continue
			}
			status, _, stderr := ended(t, nil, "start", "--development", "--addresses="+strings.Join(addresses, ","), path)
			if status != exitRefused || !strings.Contains(stderr, "in use") {
				t.Errorf("replica %d, whose address is taken: status %d: %s", index, status, stderr)
			}
		}
	}
}

// awaitListener waits until a connection to address is accepted.
func awaitListener(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(endsWithin); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("nobody listens on %s", address)
}

// Goal: what a replica of several needs from the others is no damage, and has a status of its own.
func TestStatusOfNeed(t *testing.T) {
	for _, c := range []struct {
		what     string
		replicas uint32
		status   int
	}{
		{storage.FaultBlock, 1, exitDamage}, {storage.FaultBlock, 3, exitOthers}, {storage.FaultBehind, 3, exitOthers},
		{storage.FaultLog, 3, exitDamage}, {storage.FaultDisk, 3, exitDamage},
	} {
		err := classify("7_2.data", &replica.FaultError{Fault: storage.Fault{What: c.what, Reason: "why"}, Replicas: c.replicas})
		if got := statusOf(err); got != c.status || !strings.HasPrefix(err.Error(), "7_2.data: stopped") {
			t.Errorf("%s of %d replicas: status %d, want %d: %v", c.what, c.replicas, got, c.status, err)
		}
	}
}
