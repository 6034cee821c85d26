package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ledger/affinity"
	"ledger/limits"
	"ledger/wire"
)

// Goal: the file of the documentation is read whole, and each value arrives where it belongs.
func TestParseFileWhole(t *testing.T) {
	settings, err := ParseFile("ledger.toml", `
[start]
addresses        = "3001,10.0.0.2:3001,db3.example"
cache_grid       = "1GiB"
cache_accounts   = "256MiB"
limit_storage    = "1TiB"
client_release_max = "0.18.3"
development      = false
metrics_address  = "127.0.0.1:9464"
metrics_pprof    = true

[affinity]
numa_node = 0
net       = 2
journal   = "3"
consensus = "4"
apply     = "auto"
compact   = "6-8,10"
spin      = "20us"
`)
	if err != nil {
		t.Fatal(err)
	}
	start, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := limits.Production()
	want.CacheGridBytes, want.CacheAccountsMax, want.StorageBytesMax = 1<<30, 2<<20, 1<<40
	if start.Limits != want {
		t.Errorf("limits %+v\nwant %+v", start.Limits, want)
	}
	if got := start.Addresses.String(); got != "127.0.0.1:3001,10.0.0.2:3001,db3.example:3001" {
		t.Errorf("addresses %s", got)
	}
	if start.AddressesOrigin != `ledger.toml:3: [start] addresses = "3001,10.0.0.2:3001,db3.example"` {
		t.Errorf("origin %s", start.AddressesOrigin)
	}
	if start.ClientReleaseMax != wire.ReleaseOf(0, 18, 3) {
		t.Errorf("clients of up to %s", start.ClientReleaseMax)
	}
	if start.Development || start.MetricsAddress.String() != "127.0.0.1:9464" || !start.MetricsPprof {
		t.Errorf("%+v", start)
	}
	wantAffinity := affinity.AutoRequest()
	wantAffinity.Node, wantAffinity.SpinNs, wantAffinity.SpinIsSet = 0, 20_000, true
	wantAffinity.CompactWorkersMax = limits.CompactWorkersMax
	wantAffinity.Cores[affinity.Net] = affinity.Cores(2)
	wantAffinity.Cores[affinity.Journal] = affinity.Cores(3)
	wantAffinity.Cores[affinity.Consensus] = affinity.Cores(4)
	wantAffinity.Cores[affinity.Compact] = affinity.Cores(6, 7, 8, 10)
	if start.Affinity != wantAffinity {
		t.Errorf("affinity %+v\nwant %+v", start.Affinity, wantAffinity)
	}
}

// Goal: every mistake in a file is an error that names the file, the line and the key.
func TestParseFileRefused(t *testing.T) {
	const known = "addresses, cache_grid, cache_recent, cache_accounts, limit_storage, scrub_days, client_release_max, cluster_key_file, " +
		"connections_per_address, development, " +
		"metrics_address, metrics_pprof, " +
		"log, on_upgrade, statsd, trace"
	for _, test := range []struct{ text, want string }{
		{"[affinty]\nnet = \"2\"", `f:1: affinty: is not known: must be [start] or [affinity]`},
		{"\nnet = \"2\"", `f:2: net: is not known: must be [start] or [affinity]`},
		{"[affinity]\n\nnett = \"2\"", `f:3: [affinity] nett: is not known: must be one of numa_node, net, consensus, journal, ` +
			`apply, compact, spin`},
		{"[start]\ncache-grid = \"1GiB\"", `f:2: [start] cache-grid: is not known: must be one of ` + known},
		{"[start]\nCache_Grid = \"1GiB\"", `f:2: [start] Cache_Grid: is not known: must be one of ` + known},
		{"[start]\naddresses = [\"3001\"]", `f:2: [start] addresses = ["3001"]: must be a string, a whole number, true or false`},
		{"[start]\ncache_grid = 1.5", `f:2: [start] cache_grid = 1.5: must be a string, a whole number, true or false`},
		{"[affinity.net]\ncore = 1", `f:1: [affinity] net = {"core":1}: must be a string, a whole number, true or false`},
		{"affinity = 3", `f:1: affinity: must be a section, as in [affinity]`},
		{"[[start]]\naddresses = \"1\"", `f:1: start: must be a section, as in [start]`},
		{"[start]\naddresses = \"1\"\naddresses = \"2\"", `f:3: `},
		{"[start]\n[start]", `f:2: `},
		{"[start\n", `f:2: `},
		{"[start]\naddresses = \"\xff\"", `f:2: `},
	} {
		settings, err := ParseFile("f", test.text)
		exact := !strings.HasSuffix(test.want, ": ")
		if err == nil || exact && err.Error() != test.want || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q\n got %v\nwant %s", test.text, err, test.want)
		}
		if settings != (Settings{}) {
			t.Errorf("%q: an error and settings %+v", test.text, settings)
		}
	}
}

// Goal: unusual but legal TOML means the same.
func TestParseFileForms(t *testing.T) {
	for _, text := range []string{
		"[affinity]\nnet = \"2\"",
		"affinity.net = \"2\"",
		"affinity = { net = '2' }",
		"[affinity]\n\"net\" = 2 # a comment",
		"[start]\n[affinity]\nnet = \"\"\"2\"\"\"",
	} {
		settings, err := ParseFile("f", text)
		if err != nil || settings.Cores[affinity.Net].Text != "2" || !strings.HasPrefix(settings.Cores[affinity.Net].Origin, "f:") {
			t.Errorf("%q: %v, %+v", text, err, settings.Cores[affinity.Net])
		}
	}
	if settings, err := ParseFile("f", ""); err != nil || settings != (Settings{}) {
		t.Errorf("empty file: %v, %+v", err, settings)
	}
}

// Goal: for any contents of the file, parsing and resolving end with values or with an error that
// names its cause, never with a panic.
func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{"[affinity]\nnet = \"2\"", "affinity.net = 2", "[[start]]", "[start]\ndevelopment = true\naddresses=3001",
		"a = { b = 1 }"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := ParseFile("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f") {
				t.Fatalf("%q: error %v", text, err)
			}
			return
		}
		if start, err := settings.Resolve(); (start == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", text, start, err)
		}
	})
}

// Goal: a file is found, or the error names the flag that named it.
func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.toml")
	if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), "--config="+path+": ") {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, []byte("[affinity]\nspin = \"1us\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := Load(path)
	if err != nil || settings.Spin.Text != "1us" || settings.Spin.Origin != path+`:2: [affinity] spin = "1us"` {
		t.Errorf("%v, %+v", err, settings.Spin)
	}
	if err := os.WriteFile(path, make([]byte, fileBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "must hold at most 1 MiB") {
		t.Errorf("too large: %v", err)
	}
}

// Goal: for every key a flag wins over the file, and the file over nothing.
func TestMerge(t *testing.T) {
	for _, key := range keys() {
		var flags, file Settings
		*key.setting(&file) = Setting{Text: "file", Origin: "f:1"}
		merged := Merge(flags, file)
		if got := key.setting(&merged); got.Text != "file" {
			t.Errorf("[%s] %s: file alone gives %+v", key.section, key.name, got)
		}
		*key.setting(&flags) = Flag("x", "flag")
		merged = Merge(flags, file)
		if got := key.setting(&merged); got.Text != "flag" {
			t.Errorf("[%s] %s: flag and file give %+v", key.section, key.name, got)
		}
		if merged != flags {
			t.Errorf("[%s] %s: something else changed", key.section, key.name)
		}
	}
}

// Goal: each setting's limits, in the words an operator reads. Addresses are given unless the case
// is about them.
func TestResolveRefused(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"no addresses", Settings{}, `--addresses: is missing: must name the address of each replica, as in 3001,3002,3003`},
		{"bad address", Settings{Addresses: Flag("addresses", "a:b")}, `--addresses=a:b: port "b" must be a number of 1 to 65535`},
		{"too many addresses", Settings{Addresses: Flag("addresses", "1,2,3,4,5,6,7,8,9,10,11,12,13")},
			`--addresses=1,2,3,4,5,6,7,8,9,10,11,12,13: must name at most 12 addresses, not 13`},
		{"odd cache", Settings{CacheGrid: Flag("cache-grid", "7")}, `--cache-grid=7: must be a multiple of 512 KiB`},
		{"cache in GB", Settings{CacheGrid: Flag("cache-grid", "1GB")}, `--cache-grid=1GB: must have the unit KiB, MiB, GiB or TiB: write 1GiB`},
		{"small cache", Settings{CacheGrid: Flag("cache-grid", "512KiB")}, `--cache-grid=512KiB: must be at least 8 MiB`},
		{"no cache", Settings{CacheGrid: Flag("cache-grid", "0")}, `--cache-grid=0: must be at least 8 MiB`},
		{"large cache", Settings{CacheGrid: Flag("cache-grid", "9TiB")}, `--cache-grid=9TiB: must be at most 8 TiB`},
		{"newest blocks", Settings{CacheRecent: Flag("cache-recent", "51")},
			`--cache-recent=51: must be 0 to 50, the percentage of --cache-grid for the newest blocks; 0 keeps none`},
		{"newest blocks, a size", Settings{CacheRecent: Flag("cache-recent", "256MiB")},
			`--cache-recent=256MiB: must be 0 to 50, the percentage of --cache-grid for the newest blocks; 0 keeps none`},
		{"accounts", Settings{CacheAccounts: Flag("cache-accounts", "1KiB")}, `--cache-accounts=1KiB: must be a multiple of 1 MiB`},
		{"many accounts", Settings{CacheAccounts: Flag("cache-accounts", "1TiB")}, `--cache-accounts=1TiB: must be at most 128 GiB`},
		{"storage", Settings{LimitStorage: Flag("limit-storage", "1GiB")}, `--limit-storage=1GiB: must be at least 2 GiB`},
		{"scrubber, no number", Settings{ScrubDays: Flag("scrub-days", "1d")},
			`--scrub-days=1d: must be a number of 0.0001 to 3650 days, in which the whole data file is read; 0 switches the scrubber off`},
		{"scrubber, too fast", Settings{ScrubDays: Flag("scrub-days", "0.00001")},
			`--scrub-days=0.00001: must be a number of 0.0001 to 3650 days, in which the whole data file is read; 0 switches the scrubber off`},
		{"much storage", Settings{LimitStorage: Flag("limit-storage", "17TiB")}, `--limit-storage=17TiB: must be at most 16 TiB`},
		{"release", Settings{ClientReleaseMax: Flag("client-release-max", "0.18")},
			`--client-release-max=0.18: must be a release of three numbers, as in 0.17.255: at most 65535.255.255`},
		{"release too large", Settings{ClientReleaseMax: Flag("client-release-max", "0.17.256")},
			`--client-release-max=0.17.256: must be a release of three numbers, as in 0.17.255: at most 65535.255.255`},
		{"release below all", Settings{ClientReleaseMax: Flag("client-release-max", "0.16.3")},
			`--client-release-max=0.16.3: must be at least 0.16.4, the oldest release that is served`},
		{"development", Settings{Development: Flag("development", "yes")}, `--development=yes: must be true or false`},
		{"metrics", Settings{MetricsAddress: Flag("metrics-address", ":80")},
			`--metrics-address=:80: host "" must be an IPv4 address, an IPv6 address in brackets, or a name`},
		{"statsd", Settings{Statsd: Flag("statsd", ":80")},
			`--statsd=:80: host "" must be an IPv4 address, an IPv6 address in brackets, or a name`},
		{"profiles", Settings{MetricsAddress: Flag("metrics-address", "3002"), MetricsPprof: Flag("metrics-pprof", "1")},
			`--metrics-pprof=1: must be true or false`},
		{"profiles nowhere", Settings{MetricsPprof: Flag("metrics-pprof", "true")},
			`--metrics-pprof=true: must come with metrics_address, where the profiles are served`},
		{"node", Settings{NumaNode: Setting{"64", `f:2: [affinity] numa_node = "64"`}},
			`f:2: [affinity] numa_node = "64": must be auto, or a node of 0 to 63`},
		{"cores", Settings{Cores: [affinity.StagesCount]Setting{affinity.Apply: {"5-2", `f:2: [affinity] apply = "5-2"`}}},
			`f:2: [affinity] apply = "5-2": range 5-2 must ascend`},
		{"spin", Settings{Spin: Setting{"50", `f:2: [affinity] spin = "50"`}},
			`f:2: [affinity] spin = "50": must be a time with its unit, as in 50us`},
	} {
		if test.name != "no addresses" && !test.settings.Addresses.IsSet() {
			test.settings.Addresses = Flag("addresses", "3001")
		}
		start, err := test.settings.Resolve()
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %+v\n got %v\nwant %s", test.name, start, err, test.want)
		}
	}
}

// Goal: an error about a value repeats it with its place, for every key of the file and every
// setting that a flag makes.
func TestErrorsRepeatValues(t *testing.T) {
	for _, key := range keys() {
		malformed := "no such?"
		if key.name == "trace" || key.name == "cluster_key_file" {
			malformed = "" // any other text is the name of a file
		}
		settings, err := ParseFile("f", fmt.Sprintf("[%s]\n%s = %q\n", key.section, key.name, malformed))
		if err != nil {
			t.Fatal(err)
		}
		if !settings.Addresses.IsSet() {
			settings.Addresses = Flag("addresses", "3001")
		}
		want := fmt.Sprintf("f:2: [%s] %s = %q: ", key.section, key.name, malformed)
		if _, err := settings.Resolve(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("[%s] %s: %v, want %s", key.section, key.name, err, want)
		}
		// The same as a value of a type that no key takes: it is written as the file has it.
		if _, err := ParseFile("f", fmt.Sprintf("[%s]\n%s = 1.5\n", key.section, key.name)); err == nil || !strings.Contains(err.Error(), "1.5") {
			t.Errorf("[%s] %s = 1.5: %v", key.section, key.name, err)
		}
	}
	const malformed = "no such?"
	fields := reflect.TypeFor[FormatSettings]()
	for i := range fields.NumField() {
		settings := FormatSettings{Replica: Flag("replica", "0"), ReplicaCount: Flag("replica-count", "1")}
		reflect.ValueOf(&settings).Elem().Field(i).Set(reflect.ValueOf(Flag("x", malformed)))
		if _, err := settings.Resolve(); err == nil || !strings.HasPrefix(err.Error(), "--x="+malformed+": ") {
			t.Errorf("%s: %v", fields.Field(i).Name, err)
		}
	}
}

// Goal: defaults, and that flags refine what --development chose.
func TestResolveDefaults(t *testing.T) {
	settings := Settings{Addresses: Flag("addresses", "0")}
	wantAffinity := affinity.AutoRequest()
	wantAffinity.CompactWorkersMax = limits.CompactWorkersMax
	start, err := settings.Resolve()
	if err != nil || start.Limits != limits.Production() || start.Development || !start.Addresses.IsPickPort() ||
		start.MetricsAddress != (Address{}) || start.ClientReleaseMax != wire.ReleaseClientMax || start.Affinity != wantAffinity {
		t.Errorf("%v, %+v", err, start)
	}
	settings.Development = Flag("development", "true")
	settings.CacheGrid, settings.CacheRecent = Flag("cache-grid", "64MiB"), Flag("cache-recent", "40%")
	settings.NumaNode, settings.Spin = Setting{"auto", "f:1"}, Setting{"auto", "f:2"}
	want := limits.Development()
	want.CacheGridBytes, want.CacheRecentPercent = 64<<20, 40
	start, err = settings.Resolve()
	if err != nil || start.Limits != want || !start.Development || start.Affinity != wantAffinity {
		t.Errorf("%v, %+v", err, start)
	}
}

// Goal: format's settings, and their refusals.
func TestFormat(t *testing.T) {
	whole := FormatSettings{Cluster: Flag("cluster", "340282366920938463463374607431768211455"), Replica: Flag("replica", "5"),
		ReplicaCount: Flag("replica-count", "6"), ClientsMax: Flag("clients-max", "1024"), Development: Flag("development", "true")}
	format, err := whole.Resolve()
	if err != nil || !format.ClusterIsSet || !format.Cluster.IsMax() || format.Replica != 5 || format.ReplicaCount != 6 ||
		format.ClientsMax != 1024 || !format.Development {
		t.Errorf("%v, %+v", err, format)
	}
	small := FormatSettings{Replica: Flag("replica", "0"), ReplicaCount: Flag("replica-count", "1")}
	format, err = small.Resolve()
	if err != nil || format.ClusterIsSet || format.ClientsMax != 64 || format.Development {
		t.Errorf("%v, %+v", err, format)
	}
	for _, test := range []struct {
		change func(*FormatSettings)
		want   string
	}{
		{func(s *FormatSettings) { s.Cluster = Flag("cluster", "x") }, `--cluster=x: must be a decimal number of 0 to 2^128-1`},
		{func(s *FormatSettings) { s.Cluster = Flag("cluster", "") }, `--cluster=: must be a decimal number of 0 to 2^128-1`},
		{func(s *FormatSettings) { s.Replica = Flag("replica", "6") }, `--replica=6: must be a number of 0 to 5: there are 6 replicas`},
		{func(s *FormatSettings) { s.Replica = Setting{} }, `--replica: is missing: must be the index of this replica, 0 to 5`},
		{func(s *FormatSettings) { s.ReplicaCount = Flag("replica-count", "7") }, `--replica-count=7: must be a number of 1 to 6`},
		{func(s *FormatSettings) { s.ReplicaCount = Setting{} },
			`--replica-count: is missing: must be the number of replicas of the cluster, 1 to 6`},
		{func(s *FormatSettings) { s.ClientsMax = Flag("clients-max", "1025") }, `--clients-max=1025: must be a number of 1 to 1024`},
		{func(s *FormatSettings) { s.Development = Flag("development", "") }, `--development=: must be true or false`},
	} {
		settings := whole
		test.change(&settings)
		if format, err := settings.Resolve(); err == nil || err.Error() != test.want {
			t.Errorf("%+v\n got %v\nwant %s", format, err, test.want)
		}
	}
}

// Goal: a host of a statsd agent alone has the agents' port; every other form has the port that is
// written.
func TestStatsdPort(t *testing.T) {
	for text, want := range map[string]string{"agent.example": "agent.example:8125", "10.0.0.9": "10.0.0.9:8125", "[::1]": "[::1]:8125",
		"8126": "127.0.0.1:8126", "agent.example:3001": "agent.example:3001", "[::1]:3001": "[::1]:3001", "3001": "127.0.0.1:3001"} {
		settings := Settings{Addresses: Flag("addresses", "3001"), Statsd: Flag("statsd", text)}
		start, err := settings.Resolve()
		if err != nil || start.Statsd.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, start, err, want)
		}
	}
}

// Goal: the period of the scrubber is a number of days, whole or not; 0 switches it off, and it is
// a week by default.
func TestScrubDays(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "7": 7 * limits.DayNs, "0.5": limits.DayNs / 2, "0.0001": 8_640_000_000,
		"3650": 3650 * limits.DayNs} {
		if got, err := ParseScrubDays(Flag("scrub-days", text)); err != nil || got != want {
			t.Errorf("%s: %d ns, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "-1", "1e3", "inf", "nan", "0x1p3", "3651", "0.00009", "1 d"} {
		if got, err := ParseScrubDays(Flag("scrub-days", text)); err == nil || !strings.HasPrefix(err.Error(), "--scrub-days="+text+": must be") {
			t.Errorf("%q: %d ns, %v", text, got, err)
		}
	}
	start, err := (&Settings{Addresses: Flag("addresses", "3000")}).Resolve()
	if err != nil || start.Limits.ScrubPeriodNs != 7*limits.DayNs {
		t.Errorf("by default %d ns, %v", start.Limits.ScrubPeriodNs, err)
	}
}
