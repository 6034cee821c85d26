package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"ledger/affinity"
	"ledger/config"
)

// devCluster runs the replicas of a development cluster, each in a process of its own: a replica
// can be killed, stopped and looked at like one on a machine of its own. What they write to stderr
// comes out here, each line with the number of its replica.
type devCluster struct {
	streams  *streams
	folder   string
	replicas int
	port     int
	program  string   // that is started for each replica
	further  []string // flags of it

	lock      sync.Mutex // of what is written to stderr
	processes []*exec.Cmd
	events    chan devEvent
}

// devEvent is news of a replica: clients are served, or its process has ended.
type devEvent struct {
	replica  int
	hasEnded bool
	state    *os.ProcessState
}

func newDevCluster(s *streams, folder string, replicas, port int) (*devCluster, error) {
	if folder == "" {
		folder = "ledger-dev"
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &devCluster{streams: s, folder: folder, replicas: replicas, port: port, program: program,
		events: make(chan devEvent, 2*replicas)}, nil
}

func (d *devCluster) address(port int) string { return fmt.Sprintf("%s:%d", config.HostDefault, port) }

// addresses of all replicas, by index.
func (d *devCluster) addresses() string {
	list := make([]string, d.replicas)
	for i := range list {
		list[i] = d.address(d.port + i)
	}
	return strings.Join(list, ",")
}

// run makes the files that are missing, and serves them.
func (d *devCluster) run() error {
	if err := d.makeFiles(); err != nil {
		return err
	}
	if err := d.makeKey(); err != nil {
		return err
	}
	return d.serve()
}

// serve starts all replicas and returns when all have ended. A signal ends all of them. A replica
// that ends before all serve clients ends the others; later they go on without it.
func (d *devCluster) serve() error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	if err := d.start(); err != nil {
		d.signal(unix.SIGKILL)
		return err
	}
	var failed error
	running, listening, isStopping := d.replicas, 0, false
	for running > 0 {
		select {
		case e := <-d.events:
			if !e.hasEnded {
				if listening++; listening == d.replicas && !isStopping {
					d.say("ready: connect any official TigerBeetle client to cluster 0 at %s; end with Ctrl-C", d.addresses())
				}
				continue
			}
			running--
			switch {
			case isStopping:
			case listening < d.replicas:
				failed = &statusError{statusOfProcess(e.state), fmt.Errorf("replica %d has ended (%s) before all replicas served clients, so the "+
					"others are stopped; its last line says why", e.replica, e.state)}
				isStopping = true
				d.signal(unix.SIGTERM)
			default:
				d.say("replica %d has ended (%s); the others go on: end this command and start it again to have it back", e.replica, e.state)
			}
		case s := <-signals:
			d.signal(s.(unix.Signal)) // a second one ends each replica at once
			isStopping = true
		}
	}
	if failed == nil && !isStopping {
		return errors.New("all replicas have ended")
	}
	return failed
}

// statusOfProcess is the status with which this command ends because of a replica.
func statusOfProcess(state *os.ProcessState) int {
	if status := state.ExitCode(); status > exitDone {
		return status
	}
	return exitRefused
}

// start starts the processes. Each has a share of the cores, so that automatic placement does not
// pin all of them to the same ones. Each has a process group of its own, so that Ctrl-C reaches
// this command alone, and it ends with this command.
func (d *devCluster) start() error {
	topology, err := affinity.System()
	if err != nil {
		return err
	}
	// A child inherits the cores of the thread that starts it, and has the signal of its end when that
	// thread ends. So this goroutine keeps its thread.
	runtime.LockOSThread()
	defer func() { _ = affinity.PinThread(topology.Allowed) }()
	for i, share := range affinity.Shares(topology, d.replicas) {
		if err := affinity.PinThread(share); err != nil {
			return err
		}
		flags := append([]string{"start", "--development", "--addresses=" + d.addresses(),
			"--metrics-address=" + d.address(d.port+devMetricsAfter+i)}, d.further...)
		process := exec.Command(d.program, append(flags, d.file(d.folder, i))...)
		process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
		lines, err := process.StderrPipe()
		if err != nil {
			return err
		}
		if err := process.Start(); err != nil {
			return fmt.Errorf("starting replica %d: %w", i, err)
		}
		d.say("replica %d is process %d", i, process.Process.Pid)
		d.processes = append(d.processes, process)
		go d.follow(i, process, lines)
	}
	return nil
}

// follow passes on the lines of a replica until it ends.
func (d *devCluster) follow(replica int, process *exec.Cmd, lines io.Reader) {
	reader := bufio.NewReader(lines)
	for isListening := false; ; {
		line, err := reader.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			d.say("replica %d: %s", replica, line)
		}
		if !isListening && strings.Contains(line, " listening on ") {
			isListening = true
			d.events <- devEvent{replica: replica}
		}
		if err != nil {
			break
		}
	}
	_ = process.Wait() // the state says it
	d.events <- devEvent{replica: replica, hasEnded: true, state: process.ProcessState}
}

// signal sends a signal to all replicas. To those that have ended, it is nothing.
func (d *devCluster) signal(s unix.Signal) {
	for _, process := range d.processes {
		_ = process.Process.Signal(s)
	}
}

// say writes a line.
func (d *devCluster) say(format string, arguments ...any) {
	d.lock.Lock()
	defer d.lock.Unlock()
	fmt.Fprintf(d.streams.err, format+"\n", arguments...)
}
