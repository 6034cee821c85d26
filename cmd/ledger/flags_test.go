package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"ledger/limits"
	"ledger/wire"
)

// parsed gives a parser of the command line, and what it reads.
func parsed(t *testing.T, out io.Writer) (*kong.Kong, *commandLine) {
	t.Helper()
	line := &commandLine{}
	parser, err := newParser(line, out, out, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser, line
}

// commandsBelow lists the commands below node that have none below them, by their words.
func commandsBelow(node *kong.Node, words ...string) (names [][]string, nodes []*kong.Node) {
	for _, child := range node.Children {
		name := append(slices.Clone(words), child.Name)
		if len(child.Children) == 0 {
			names, nodes = append(names, name), append(nodes, child)
			continue
		}
		more, moreNodes := commandsBelow(child, name...)
		names, nodes = append(names, more...), append(nodes, moreNodes...)
	}
	return names, nodes
}

// eachFlag visits every flag of every command but --help. A command is its words.
func eachFlag(t *testing.T, visit func(command []string, flag *kong.Flag)) {
	t.Helper()
	parser, _ := parsed(t, io.Discard)
	count := 0
	names, nodes := commandsBelow(parser.Model.Node)
	for i, node := range nodes {
		for _, flag := range node.Flags {
			visit(slices.Clip(names[i]), flag)
			count++
		}
	}
	if count < 40 {
		t.Errorf("only %d flags were visited", count)
	}
}

// ran is the command, in this process, with what it wrote to stdout and stderr.
func ran(t *testing.T, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var errorOut bytes.Buffer
	status = run(arguments, os.Stdin, out, &errorOut)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return status, string(text), errorOut.String()
}

// Goal: a flag and its value are one word, for all flags of all commands and all their names. A
// boolean needs no value, and never takes the next word for one. A flag is given once, under any of
// its names.
func TestFlagsAreOneWord(t *testing.T) {
	parser, _ := parsed(t, io.Discard)
	eachFlag(t, func(command []string, flag *kong.Flag) {
		for _, name := range append([]string{flag.Name}, flag.Aliases...) {
			normal, err := normalize(parser.Model, append(command, "--"+name, "value"))
			if isBool(flag) {
				if want := append(command, "--"+name+"=true", "value"); err != nil || !slices.Equal(normal, want) {
					t.Errorf("%s --%s value: %q, error %v; want %q", command, name, normal, err, want)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), "--"+name+": has no value: write it behind an equals sign, as in --"+name+"=") {
				t.Errorf("%s --%s value: %q, error %v", command, name, normal, err)
			}
			word := "--" + name + "=x=y z"
			if normal, err := normalize(parser.Model, append([]string{word}, command...)); err != nil ||
				!slices.Equal(normal, append([]string{word}, command...)) {
				t.Errorf("%s %s: %q, error %v", command, word, normal, err)
			}
			if _, err := normalize(parser.Model, append(command, word, "--"+flag.Name+"=1")); err == nil ||
				err.Error() != "--"+flag.Name+"=1: is given twice" {
				t.Errorf("%s %s, twice: %v", command, word, err)
			}
		}
	})
	for _, test := range []struct{ in, want string }{
		{"start --metrics-pprof 0.data", "start --metrics-pprof=true 0.data"},
		{"start --development 0.data", "start --development=true 0.data"},
		{"start --development=false -- --file", "start --development=false -- --file"},
		{"start --help", "start --help"},
		{"--help", "--help"},
		{"-h", "-h"},
		{"dance --floor", "dance --floor"},
	} {
		if got, err := normalize(parser.Model, strings.Fields(test.in)); err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, error %v; want %s", test.in, got, err, test.want)
		}
	}
}

// Goal: the words behind a boolean are what they were: start opens the file that is named there.
func TestBooleanSwallowsNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.data")
	for _, flag := range []string{"--development", "--metrics-pprof"} {
		status, _, stderr := ran(t, "start", "--addresses=0", "--metrics-address=127.0.0.1:1:2", flag, missing)
		if status != exitRefused || strings.Contains(stderr, "expected") || strings.Contains(stderr, flag+"="+missing) ||
			!strings.Contains(stderr, "127.0.0.1:1:2") {
			t.Errorf("%s FILE: status %d: %s", flag, status, stderr)
		}
	}
}

// malformed values of every flag, by command and flag. A name of a file is malformed where no file
// can be.
var malformed = map[string]string{
	"format --cluster": "x", "format --replica": "6", "format --standby": "9", "format --replica-count": "7", "format --clients-max": "1025",
	"format --development": "perhaps",
	"recover --cluster":    "x", "recover --replica": "6", "recover --replica-count": "7", "recover --clients-max": "1025",
	"recover --development": "perhaps", "recover --addresses": "a b",
	"start --addresses": "a:b", "start --cache-grid": "1GB", "start --cache-recent": "51",
	"start --cache-accounts": "7", "start --limit-storage": "1",
	"start --cluster-key-file":        "no/such/folder/x",
	"start --connections-per-address": "0", "start --scrub-days": "x", "dev --scrub-days": "-1",
	"start --client-release-max": "0.18", "start --development": "perhaps",
	"start --config": "no/such/folder/x", "start --io": "dma", "start --metrics-address": "a b", "start --metrics-pprof": "perhaps",
	"start --log": "xml", "start --statsd": "a b", "start --trace": "no/such/folder/x",
	"start --on-upgrade": "perhaps", "start --check": "perhaps", "start --json": "perhaps",
	"dev --replicas": "7", "dev --port": "65530",
	"topology --toml": "no/such/folder/x", "version --verbose": "perhaps",
	"benchmark --addresses": "a b", "benchmark --cluster": "x", "benchmark --account-count": "x", "benchmark --account-count-hot": "-1",
	"benchmark --account-distribution": "odd", "benchmark --account-batch-count": "0", "benchmark --transfer-count": "18446744073709551616",
	"benchmark --transfer-batch-count": "8190", "benchmark --transfer-batch-delay": "5", "benchmark --transfer-hot-percent": "101",
	"benchmark --transfer-pending": "perhaps", "benchmark --query-count": "x", "benchmark --id-order": "odd",
	"benchmark --clients": "4294967296", "benchmark --workload": "odd", "benchmark --call-count": "x", "benchmark --call-rate": "fast",
	"benchmark --callers": "0", "benchmark --readers": "x",
	"benchmark --seed": "0.5", "benchmark --flag-history": "perhaps", "benchmark --no-history": "perhaps",
	"benchmark --imported": "perhaps",
	"benchmark --validate": "perhaps", "benchmark --checksum-performance": "perhaps", "benchmark --print-batch-timings": "perhaps",
	"benchmark --transfer-rate": "fast", "benchmark --build-ahead": "perhaps", "benchmark --warmup": "5", "benchmark --interval": "x",
	"benchmark --json": "no/such/folder/x", "benchmark --html": "no/such/folder/x", "benchmark --metrics-address": "a b",
	"benchmark --print-stages": "perhaps",
	"benchmark --file":         "no/such/folder/x", "benchmark --cache-grid": "1GB", "benchmark --cache-accounts": "x",
	"benchmark --log-server":      "perhaps",
	"benchmark --cache-transfers": "1GB", "benchmark --cache-transfers-pending": "1GB", "benchmark --statsd": "127.0.0.1:1",
	"benchmark --trace": "x",
	"ping --addresses":  "a b", "ping --cluster": "x", "ping --metrics": "a b", "ping --release": "0.18", "ping --register": "perhaps",
	"status --metrics": "a b", "status --interval": "1", "status --json": "perhaps", "top --metrics": "a b", "top --interval": "0s",
	"doctor --addresses": "a b", "doctor --cluster": "x", "doctor --metrics": "a b", "doctor --timeout": "2", "doctor --cluster-key-file": "",
	"doctor --json":  "perhaps",
	"ping --timeout": "2", "ping --json": "perhaps",
	"cdc --cluster": "x", "cdc --addresses": "a b", "cdc --sink": "csv:x", "cdc --rotate": "1GB", "cdc --timestamp-last": "-1",
	"cdc --event-count-max": "2731", "cdc --idle-interval-ms": "0", "cdc --requests-per-second-limit": "0", "cdc --follow": "perhaps",
	"export --cluster": "x", "export --addresses": "a b", "export --format": "xml",
	"import --cluster": "x", "import --addresses": "a b", "import --from": "a b", "import --from-cluster": "x",
	"import --accounts": "no/such/folder/x.csv", "import --transfers": "no/such/folder/x.csv", "import --expiries": "x.txt",
	"import --dry-run": "perhaps", "import --report": "no/such/folder/x",
	"cdc --metrics-address": "a b",
	"amqp --cluster":        "x", "amqp --addresses": "a b", "amqp --timestamp-last": "-1", "amqp --event-count-max": "2731",
	"amqp --idle-interval-ms": "0", "amqp --requests-per-second-limit": "0", "amqp --follow": "perhaps", "amqp --metrics-address": "a b",
	"amqp --host": "a b", "amqp --vhost": "", "amqp --user": "", "amqp --password": "", "amqp --password-file": "no/such/folder/x",
	"amqp --publish-exchange": strings.Repeat("x", 256), "amqp --publish-routing-key": strings.Repeat("x", 256), "amqp --tls": "perhaps",
	"amqp --tls-ca-file": "no/such/folder/x", "amqp --tls-server-name": "a b", "amqp --tls-certificate": "no/such/folder/x",
	"amqp --tls-key": "no/such/folder/x", "amqp --amqp-timeout-seconds": "0", "amqp --tigerbeetle-timeout-seconds": "0",
	"amqp --verbose": "perhaps", "amqp --progress-queue-type": "stream",
	"repl --cluster": "x", "repl --addresses": "a b", "repl --command": "", "repl --verbose": "perhaps", "repl --file": "no/such/folder/x",
	"repl --output": "xml", "repl --timeout": "5", "repl --allow-refused": "perhaps", "repl --history": "x",
	"inspect wal --slot": "1024", "inspect tables --tree": "odd", "inspect superblock --json": "perhaps", "inspect layout --json": "perhaps",
	"inspect wal --json": "perhaps", "inspect checkpoint --json": "perhaps", "inspect tables --json": "perhaps",
	"inspect block --json": "perhaps", "inspect sessions --json": "perhaps", "inspect digest --json": "perhaps", "verify --json": "perhaps",
}

// Goal: an error about a value begins with the flag and the value as they were written, for all
// flags of all commands.
func TestErrorsRepeatValues(t *testing.T) {
	t.Chdir(t.TempDir())
	rest := map[string][]string{
		"format":    {"--cluster=7", "--replica=0", "--replica-count=1", "0.data"},
		"recover":   {"--cluster=7", "--replica=0", "--replica-count=3", "--addresses=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", "0.data"},
		"start":     {"--addresses=0", "0.data"},
		"ping":      {"--addresses=127.0.0.1:1", "--cluster=0"},
		"benchmark": {"--transfer-count=1"}, "inspect wal": {"0.data"}, "inspect tables": {"0.data"},
		"repl": {"--command=help"}, "cdc": {"--sink=-"}, "amqp": {"--publish-exchange=x"}, "export": {"folder"},
	}
	eachFlag(t, func(command []string, flag *kong.Flag) {
		name := strings.Join(command, " ") + " --" + flag.Name
		value, ok := malformed[name]
		if !ok {
			t.Errorf("%s: the table has no malformed value of it", name)
			return
		}
		word := "--" + flag.Name + "=" + value
		arguments := append(command, word)
		for _, other := range rest[strings.Join(command, " ")] {
			if given, _, _ := strings.Cut(other, "="); given != "--"+flag.Name {
				arguments = append(arguments, other)
			}
		}
		status, stdout, stderr := ran(t, arguments...)
		if status != exitRefused || !strings.HasPrefix(stderr, "ledger: "+word+": ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: status %d, want %d: %s%s", arguments, status, exitRefused, stdout, stderr)
		}
	})
	for _, test := range []struct{ in, want string }{
		{"start --colour=red 0.data", "ledger: --colour=red: there is no such flag: ledger start --help lists them\n"},
		{"start --addresses=0 0.data 1.data", "1.data"},
		{"dance", "dance"},
		{"version more", "more"},
	} {
		if status, _, stderr := ran(t, strings.Fields(test.in)...); status != exitRefused || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: status %d: %s; want %q", test.in, status, stderr, test.want)
		}
	}
	if left, _ := os.ReadDir("."); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

// Goal: every help says the default of every flag and argument, or that there is none, and has
// examples that the command line takes.
func TestHelp(t *testing.T) {
	eachFlag(t, func(command []string, flag *kong.Flag) {
		if help := describe(flag.Value); !flag.Hidden && !strings.Contains(help, "Default: ") && !strings.HasSuffix(help, "Required.") {
			t.Errorf("%s --%s: %s", command, flag.Name, help)
		}
	})
	parser, _ := parsed(t, io.Discard)
	names, nodes := commandsBelow(parser.Model.Node)
	for i, command := range names {
		var out bytes.Buffer
		helped, _ := parsed(t, &out)
		_, _ = helped.Parse(append(slices.Clip(command), "--help"))
		text := strings.Join(strings.Fields(out.String()), " ") // lines are broken by the width
		for _, flag := range nodes[i].Flags {
			if !flag.Hidden && !strings.Contains(text, strings.Join(strings.Fields(describe(flag.Value)), " ")) {
				t.Errorf("%s --help does not say %q:\n%s", command, describe(flag.Value), out.String())
			}
		}
		examplesCount := 0
		for example := range strings.Lines(out.String()) {
			words := strings.Fields(example)
			if len(words) < 2 || words[0] != "ledger" {
				continue
			}
			examplesCount++
			again, _ := parsed(t, io.Discard)
			arguments, err := normalize(again.Model, words[1:])
			if err == nil {
				_, err = again.Parse(arguments)
			}
			if err != nil || !slices.Equal(words[1:min(len(words), 1+len(command))], command) {
				t.Errorf("%s --help has %q: %v", command, strings.TrimSpace(example), err)
			}
		}
		if examplesCount == 0 {
			t.Errorf("%s --help has no example:\n%s", command, out.String())
		}
	}
	status, stdout, _ := ran(t, "start", "--help")
	for _, want := range []string{"Default: 1GiB, with --development 32MiB.", "Default: 128MiB, with --development 8MiB.", "Default: 16TiB.",
		"Requests of 32KiB"} {
		if !strings.Contains(strings.Join(strings.Fields(stdout), " "), want) || status != exitDone {
			t.Errorf("start --help: status %d, does not say %q:\n%s", status, want, stdout)
		}
	}
}

// Goal: version says which commit was built, in one line; --verbose says every limit there is.
func TestVersion(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, test := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "commit unknown: built outside of a checkout"},
		{&debug.BuildInfo{}, "commit unknown: built outside of a checkout"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "5414bac"), setting("vcs.modified", "false")}},
			"commit 5414bac"},
		{&debug.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.modified", "true"), setting("vcs.revision", "5414bac")}},
			"commit 5414bac, with changes"},
	} {
		if got := commitOf(test.info); got != test.want {
			t.Errorf("%+v: %s, want %s", test.info, got, test.want)
		}
	}
	status, stdout, _ := ran(t, "version")
	if status != exitDone || strings.Count(stdout, "\n") != 1 || !strings.HasPrefix(stdout, "ledger "+version+" (commit ") {
		t.Errorf("version: status %d: %s", status, stdout)
	}
	status, stdout, _ = ran(t, "version", "--verbose")
	production, development := reflect.ValueOf(limits.Production()), reflect.ValueOf(limits.Development())
	for i := range production.NumField() {
		if !production.Field(i).CanUint() {
			continue
		}
		want := fmt.Sprintf("\n%s=%d\n", underscored(production.Type().Field(i).Name), production.Field(i).Uint())
		if status != exitDone || !strings.Contains(stdout, want) {
			t.Errorf("version --verbose does not say %q:\n%s", want, stdout)
		}
		want = fmt.Sprintf("\n%s_development=%d\n", underscored(production.Type().Field(i).Name), development.Field(i).Uint())
		if isOther := production.Field(i).Uint() != development.Field(i).Uint(); isOther != strings.Contains(stdout, want) {
			t.Errorf("version --verbose says %q: %v, want %v", want, !isOther, isOther)
		}
	}
	for _, want := range []string{"journal_slots_count=1024", "clients_max=1024", "replicas_max=6", "checkpoint_interval_ops=896",
		"format_version="} {
		if !strings.Contains(stdout, "\n"+want) {
			t.Errorf("version --verbose does not say %s:\n%s", want, stdout)
		}
	}
}

// Goal: a start without --development warns of cluster 0, and any start of addresses that nothing
// connects to.
func TestStartWarns(t *testing.T) {
	path := formatted(t, "--replica-count=1")
	for _, test := range []struct {
		arguments []string
		addresses bool
	}{
		{[]string{"--addresses=0"}, false},
		{[]string{"--addresses=" + freeAddress(t) + ",127.0.0.1:39872"}, true},
	} {
		s := startedOn(t, append(test.arguments, "--development"), path)
		if got := strings.Contains(s, "--addresses: 127.0.0.1:39872 is not used"); got != test.addresses {
			t.Errorf("%s: warned of addresses: %v, want %v:\n%s", test.arguments, got, test.addresses, s)
		}
		if strings.Contains(s, "cluster 0, which") {
			t.Errorf("%s --development warns of cluster 0:\n%s", test.arguments, s)
		}
	}
	for _, test := range []struct {
		cluster     wire.U128
		development bool
		want        bool
	}{{wire.U128{}, false, true}, {wire.U128{}, true, false}, {wire.U128{Lo: 7}, false, false}, {wire.U128{Hi: 7}, false, false}} {
		if got := clusterZero(test.cluster, test.development); (got != "") != test.want || test.want && !strings.Contains(got, "cluster 0") {
			t.Errorf("cluster %s, development %v: %q", test.cluster, test.development, got)
		}
	}
}

// startedOn is what a server says until it listens; it is stopped then.
func startedOn(t *testing.T, arguments []string, path string) string {
	t.Helper()
	c := command(nil, append(append([]string{"start"}, arguments...), path)...)
	in, err := c.StdinPipe() // held open: with --addresses=0 its end would be the server's
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	messages, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	for lines := bufio.NewReader(messages); ; {
		line, err := lines.ReadString('\n')
		said += line
		if err != nil {
			t.Errorf("the server does not listen: %v", err)
			break
		}
		if strings.Contains(line, "listening on ") {
			break
		}
	}
	_ = c.Process.Kill()
	_ = c.Wait() // killed
	return said
}
