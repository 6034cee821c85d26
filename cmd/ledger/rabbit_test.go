package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// rabbitWithin bounds the start of a broker: its virtual machine takes its time on a busy machine.
const rabbitWithin = 2 * time.Minute

// rabbit is a RabbitMQ of Debian's package, on loopback ports and in a folder of its own. It keeps
// its data when it is killed and started again.
type rabbit struct {
	t           *testing.T
	script      string // of the package
	home        string // has the secret of a cluster
	mapper      string // port of the port mapper
	port        string
	environment []string
	process     *exec.Cmd
}

// withRabbit in the environment asks for the tests with a broker, which take two minutes and more.
const withRabbit = "LEDGER_TEST_RABBIT"

// newRabbit starts a broker, with more lines of its configuration. The test is skipped where there
// is none, and where nobody asks for it.
func newRabbit(t *testing.T, configuration ...string) *rabbit {
	t.Helper()
	if os.Getenv(withRabbit) == "" {
		t.Skip("interop/run.sh amqp runs the tests with a broker, and so does " + withRabbit + "=1")
	}
	scripts, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if len(scripts) == 0 {
		t.Skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
	}
	r := &rabbit{t: t, script: scripts[0], home: t.TempDir(), mapper: loopbackPort(t)}
	r.configure(configuration)
	// The port mapper of Erlang would outlive the broker that starts it, so it is ours.
	epmd := exec.Command("epmd", "-port", r.mapper, "-address", "127.0.0.1")
	epmd.Env = r.environment
	if err := epmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = epmd.Process.Kill()
		_ = epmd.Wait()
	})
	t.Cleanup(r.kill)
	r.start()
	return r
}

// another starts a broker beside r, until r's test ends. Both have the same secret and port mapper,
// so they can become a cluster.
func (r *rabbit) another() *rabbit {
	r.t.Helper()
	other := &rabbit{t: r.t, script: r.script, home: r.home, mapper: r.mapper}
	other.configure(nil)
	r.t.Cleanup(other.kill)
	other.start()
	return other
}

// configure chooses ports and a folder.
func (r *rabbit) configure(configuration []string) {
	r.t.Helper()
	folder := r.t.TempDir()
	r.port = loopbackPort(r.t)
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
		return path
	}
	settings := append([]string{"listeners.tcp.default = 127.0.0.1:" + r.port, "vm_memory_high_watermark.absolute = 400MB",
		"disk_free_limit.absolute = 1MB", "log.console.level = warning"}, configuration...)
	r.environment = append(os.Environ(), "HOME="+r.home, "RABBITMQ_NODENAME="+r.node(), "RABBITMQ_NODE_PORT="+r.port,
		"RABBITMQ_MNESIA_BASE="+filepath.Join(folder, "data"), "RABBITMQ_LOG_BASE="+filepath.Join(folder, "log"),
		"RABBITMQ_CONFIG_FILE="+file("rabbitmq.conf", strings.Join(settings, "\n")+"\n"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+file("plugins", "[].\n"), "RABBITMQ_CONF_ENV_FILE="+file("env.conf", ""),
		"RABBITMQ_PID_FILE="+filepath.Join(folder, "pid"), "RABBITMQ_DIST_PORT="+loopbackPort(r.t), "RABBITMQ_ALLOW_INPUT=1",
		"ERL_EPMD_PORT="+r.mapper, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +A 4 -noinput -kernel inet_dist_use_interface {127,0,0,1}",
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin")
}

// loopbackPort is a port that is free now.
func loopbackPort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start starts the broker, and waits until it takes connections.
func (r *rabbit) start() {
	r.t.Helper()
	r.process = exec.Command(r.script)
	r.process.Env = r.environment
	r.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output := &bytes.Buffer{}
	r.process.Stdout, r.process.Stderr = output, output
	if err := r.process.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	process := r.process
	go func() {
		_ = process.Wait()
		close(ended)
	}()
	for deadline := time.Now().Add(rabbitWithin); ; {
		if connection, err := amqp091.Dial(r.url()); err == nil {
			_ = connection.Close()
			return
		}
		select {
		case <-ended:
			r.t.Fatalf("RabbitMQ ends: %s", output)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("RabbitMQ does not start within %v: %s", rabbitWithin, output)
		}
	}
}

// kill ends the broker and its helpers at once.
func (r *rabbit) kill() {
	if r.process != nil {
		r.signal(syscall.SIGKILL)
		for range 2000 { // until its port is free
			link, err := net.Dial("tcp", r.address())
			if err != nil {
				return
			}
			_ = link.Close()
			time.Sleep(time.Millisecond)
		}
	}
}

// control runs a command of rabbitmqctl.
func (r *rabbit) control(arguments ...string) {
	r.t.Helper()
	control := exec.Command(filepath.Join(filepath.Dir(r.script), "rabbitmqctl"), arguments...)
	control.Env = r.environment
	if output, err := control.CombinedOutput(); err != nil {
		r.t.Fatalf("rabbitmqctl %s: %v: %s", arguments, err, output)
	}
}

// signal reaches the broker and its helpers.
func (r *rabbit) signal(signal syscall.Signal) { _ = syscall.Kill(-r.process.Process.Pid, signal) }

// node is the broker's name in a cluster.
func (r *rabbit) node() string { return "ledger" + r.port + "@localhost" }

func (r *rabbit) address() string { return "127.0.0.1:" + r.port }

func (r *rabbit) url() string { return fmt.Sprintf("amqp://guest:guest@%s/", r.address()) }
