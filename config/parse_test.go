package config

import (
	"strings"
	"testing"

	"ledger/wire"
)

// refused tells whether err says want; want "" means no error.
func refused(err error, want string) bool {
	if want == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), want)
}

// Goal: sizes as operators write them; every refusal says what to write instead.
func TestParseSize(t *testing.T) {
	for _, test := range []struct {
		in        string
		want      uint64
		wantError string
	}{
		{"256MiB", 256 << 20, ""},
		{"1KiB", 1 << 10, ""},
		{"3GiB", 3 << 30, ""},
		{"16TiB", 16 << 40, ""},
		{"1gib", 1 << 30, ""},
		{"7", 7, ""},
		{"0", 0, ""},
		{"18446744073709551615", 1<<64 - 1, ""},
		{"16777215TiB", 16777215 << 40, ""},
		{"18446744073709551616", 0, "must be below 2^64 bytes"},
		{"16777216TiB", 0, "must be below 2^64 bytes"},
		{"1GB", 0, "must have the unit KiB, MiB, GiB or TiB: write 1GiB"},
		{"512kB", 0, "write 512KiB"},
		{"2T", 0, "write 2TiB"},
		{"1 GiB", 0, "write 1GiB"},
		{"1PiB", 0, "must be a whole number with the unit"},
		{"1.5GiB", 0, "must be a whole number with the unit"},
		{"1_000", 0, "must be a whole number with the unit"},
		{"1GiB ", 0, "write 1GiB"},
		{"", 0, "must be a size, as in 256MiB"},
		{"-1MiB", 0, "must be a size, as in 256MiB"},
		{"MiB", 0, "must be a size, as in 256MiB"},
		{"12\x00", 0, "must be a whole number with the unit"},
		{"12 ", 0, "must be a whole number with the unit"},
	} {
		got, err := ParseSize(test.in)
		if got != test.want || !refused(err, test.wantError) {
			t.Errorf("ParseSize(%q) = %d, %v; want %d, %q", test.in, got, err, test.want, test.wantError)
		}
	}
}

// Goal: what is accepted prints as something that means the same; nothing panics.
func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"256MiB", "1GB", "7", "16777216TiB", "1 GiB", "0TiB"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sizeBytes, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(FormatSize(sizeBytes)); err != nil || again != sizeBytes {
			t.Fatalf("%q -> %d -> %q -> %d, %v", text, sizeBytes, FormatSize(sizeBytes), again, err)
		}
	})
}

// Goal: every form of the specification's address items, and what is close to one.
func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, test := range []struct{ in, want, wantError string }{
		{"3001", "127.0.0.1:3001", ""},
		{"65535", "127.0.0.1:65535", ""},
		{"10.0.0.2", "10.0.0.2:3001", ""},
		{"10.0.0.2:4000", "10.0.0.2:4000", ""},
		{"localhost", "localhost:3001", ""},
		{"localhost:5", "localhost:5", ""},
		{"db-1.prod.example:3001", "db-1.prod.example:3001", ""},
		{"db_1.example.", "db_1.example.:3001", ""},
		{"1a:3001", "1a:3001", ""},
		{"[::1]:3001", "[::1]:3001", ""},
		{"[::1]", "[::1]:3001", ""},
		{"[2001:DB8:0:0:0:0:0:1]:9", "[2001:db8::1]:9", ""},
		{"[fe80::1%eth0]:3001", "[fe80::1%eth0]:3001", ""},
		{long + "." + long + ":1", long + "." + long + ":1", ""},
		{"", "", "not empty"},
		{"0", "", `port "0" must be a number of 1 to 65535`},
		{"65536", "", `port "65536" must be`},
		{"03001", "", `port "03001" must be`},
		{"127.0.0.1:0", "", `port "0" must be`},
		{"127.0.0.1:", "", `port "" must be`},
		{"127.0.0.1:+1", "", `port "+1" must be`},
		{"127.0.0.1:http", "", `port "http" must be`},
		{":3001", "", `host "" must be`},
		{"256.0.0.1", "", `host "256.0.0.1" must be`},
		{"10.0.0", "", `host "10.0.0" must be`},
		{"10.0.0.2.", "", `host "10.0.0.2." must be`},
		{"a..b", "", `host "a..b" must be`},
		{"-a", "", `host "-a" must be`},
		{"a-.b", "", `host "a-.b" must be`},
		{"a b", "", `host "a b" must be`},
		{" 3001", "", `host " 3001" must be`},
		{"bücher.example", "", "must be an IPv4 address, an IPv6 address in brackets, or a name"},
		{long + "a", "", "must be"},
		{strings.Repeat("a.", 127), "", "at most 253 characters"},
		{"::1", "", "write an IPv6 address in brackets"},
		{"::1:3001", "", "write an IPv6 address in brackets"},
		{"a:1:2", "", "more than one colon"},
		{"[::1", "", "between its brackets"},
		{"[127.0.0.1]:1", "", "between its brackets"},
		{"[]:1", "", "between its brackets"},
		{"[::1]3001", "", "must have :PORT after its bracket"},
		{"[::1]:", "", `port "" must be`},
		{"[fe80::1%a,b]", "", "between its brackets"},
	} {
		got, err := ParseAddress(test.in)
		if err == nil && got.String() != test.want || !refused(err, test.wantError) {
			t.Errorf("ParseAddress(%q) = %v, %v; want %s, %q", test.in, got, err, test.want, test.wantError)
		}
	}
}

// Goal: lists keep their order, the list "0" is special and alone, mistakes name their item.
func TestParseAddresses(t *testing.T) {
	for _, test := range []struct{ in, want, wantError string }{
		{"3001", "127.0.0.1:3001", ""},
		{"3001,3002,3003", "127.0.0.1:3001,127.0.0.1:3002,127.0.0.1:3003", ""},
		{"a,[::1]:2,10.0.0.1", "a:3001,[::1]:2,10.0.0.1:3001", ""},
		{"0", "0", ""},
		{"00", "", "must be a number of 1 to 65535"},
		{"0,3001", "", `item 1: port "0" must be`},
		{"3001,", "", "item 2: must be PORT"},
		{"", "", "not empty"},
		{"3001, 3002", "", `item 2: host " 3002" must be`},
		{"3001,127.0.0.1:3001", "", "items 1 and 2 are the same address 127.0.0.1:3001"},
		{"node-a,node-b,NODE-A.", "", "items 1 and 3 are the same address NODE-A.:3001"},
		{"a:1,a:2,b:1", "a:1,a:2,b:1", ""},
		{"a,b:,c", "", `item 2: port "" must be a number of 1 to 65535`},
		{"1,2,3,4,5", "", "must name at most 4 addresses, not 5"},
	} {
		got, err := ParseAddresses(test.in, 4)
		if err == nil && got.String() != test.want || !refused(err, test.wantError) {
			t.Errorf("ParseAddresses(%q) = %v, %v; want %s, %q", test.in, got, err, test.want, test.wantError)
		}
		if err == nil && got.IsPickPort() != (test.in == "0") {
			t.Errorf("ParseAddresses(%q).IsPickPort() is %v", test.in, got.IsPickPort())
		}
	}
}

// Goal: a list of another length than the cluster is refused with both numbers, and so is an
// address to which the other replicas cannot connect. A single replica may have any list.
func TestCheckReplicas(t *testing.T) {
	for _, test := range []struct {
		in                          string
		replicaIndex, replicasCount uint32
		wantError                   string
	}{
		{"1,2,3", 0, 3, ""}, {"1,2,3", 2, 3, ""}, {"1,2,3", 0, 1, ""}, {"0", 0, 1, ""},
		{"1,2,3", 0, 4, "must name 4 addresses, one for each replica, not 3: the data file is replica 0 of 4"},
		{"1,2,3", 1, 2, ""}, // of a standby
		{"1,2,3,4,5,6,7,8", 1, 2, ""},
		{"1,2,3,4,5,6,7,8,9", 1, 2, "must name 2 addresses, one for each replica, and behind them at most 6 of standbys, not 9"},
		{"1,2,3", 3, 3, "must name 4 addresses or more, not 3: the data file is standby 3 of a cluster of 3 replicas"},
		{"1,2,3,4", 3, 3, ""}, {"1,2,3,4", 4, 3, "must name 5 addresses or more, not 4"},
		{"a,b,c,0.0.0.0,e", 4, 3, ""}, // nothing connects to a standby
		{"a,0.0.0.0,c,d", 3, 3, "item 2: 0.0.0.0:3001: nothing can connect to this address: name the one of replica 1"},
		{"1", 2, 3, "must name 3 addresses, one for each replica, not 1: the data file is replica 2 of 3"},
		{"0", 0, 3, "must name 3 addresses, one for each replica: the data file is replica 0 of 3, and the others cannot know a port"},
		{"a,0.0.0.0,c", 1, 3, ""},
		{"a,0.0.0.0,c", 2, 3, "item 2: 0.0.0.0:3001: nothing can connect to this address: name the one of replica 1"},
		{"[::]:1,b,c", 1, 3, "item 1: [::]:1: nothing can connect to this address: name the one of replica 0"},
	} {
		list, err := ParseAddresses(test.in, 12)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckReplicas(test.replicaIndex, test.replicasCount); !refused(err, test.wantError) {
			t.Errorf("%s: CheckReplicas(%d, %d) = %v, want %q", test.in, test.replicaIndex, test.replicasCount, err, test.wantError)
		}
	}
}

// Goal: a replica knows the number of standbys by the addresses behind those of the replicas. A
// standby, and a single replica, speak to none.
func TestStandbysOfAddresses(t *testing.T) {
	for _, c := range []struct {
		in                    string
		index, count, standby uint32
	}{{"1,2,3", 0, 3, 0}, {"1,2,3,4,5", 2, 3, 2}, {"1,2,3,4,5", 3, 3, 0}, {"1,2,3", 0, 1, 0}} {
		list, err := ParseAddresses(c.in, 12)
		if got := list.Standbys(c.index, c.count); err != nil || got != c.standby {
			t.Errorf("%s: member %d of %d speaks to %d standbys, want %d (%v)", c.in, c.index, c.count, got, c.standby, err)
		}
	}
}

// Goal: addresses that nothing connects to are named.
func TestUnused(t *testing.T) {
	for _, test := range []struct {
		in            string
		replicasCount uint32
		want          string
	}{
		{"0", 1, ""}, {"3001", 1, ""}, {"3001,3002", 2, ""}, {"3001,3002", 3, ""},
		{"3001,3002,[::1]:3003", 1, "--addresses: 127.0.0.1:3002,[::1]:3003 is not used: the data file is of a cluster of 1, so " +
			"that 1 of the 3 addresses are enough"},
		{"3001,3002,3003", 2, ""}, // of a standby
	} {
		list, err := ParseAddresses(test.in, 12)
		if got := list.Unused(test.replicasCount); err != nil || got != test.want {
			t.Errorf("%s of %d: %q, error %v; want %q", test.in, test.replicasCount, got, err, test.want)
		}
	}
}

// Goal: what is accepted prints as a list that means the same, and no host holds what separates.
func FuzzParseAddresses(f *testing.F) {
	for _, seed := range []string{"3001,3002", "0", "[::1]:3001", "[fe80::1%eth0]", "a.b:1", "::1", "[::1", "10.0.0.2:4000", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseAddresses(text, 12)
		if err != nil {
			return
		}
		again, err := ParseAddresses(list.String(), 12)
		if err != nil || again.String() != list.String() || len(again) != len(list) {
			t.Fatalf("%q -> %s -> %s, %v", text, list, again, err)
		}
		for i, address := range list {
			if address != again[i] || strings.ContainsAny(address.Host, ", []") || address.Host == "" || address.Port == 0 && !list.IsPickPort() {
				t.Fatalf("%q: address %d is %+v", text, i, address)
			}
			if ip, ok := address.IP(); ok && ip.Is6() != strings.Contains(address.Host, ":") {
				t.Fatalf("%q: address %d is %+v, IP %v", text, i, address, ip)
			}
		}
	})
}

// Goal: cluster numbers over their whole range.
func TestParseCluster(t *testing.T) {
	for _, test := range []struct {
		in   string
		want wire.U128
		ok   bool
	}{
		{"0", wire.U128{}, true},
		{"18446744073709551616", wire.U128{Hi: 1}, true},
		{"340282366920938463463374607431768211455", wire.U128Max(), true},
		{"340282366920938463463374607431768211456", wire.U128{}, false},
		{"", wire.U128{}, false},
		{"-1", wire.U128{}, false},
		{"0x1", wire.U128{}, false},
		{"1 ", wire.U128{}, false},
	} {
		got, err := ParseCluster(test.in)
		if got != test.want || (err == nil) != test.ok || err != nil && !refused(err, "must be a decimal number of 0 to 2^128-1") {
			t.Errorf("ParseCluster(%q) = %v, %v; want %v, %v", test.in, got, err, test.want, test.ok)
		}
	}
}

// Goal: what is accepted is the number that is printed, without leading zeros.
func FuzzParseCluster(f *testing.F) {
	for _, seed := range []string{"0", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456", "007"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cluster, err := ParseCluster(text)
		if err != nil {
			return
		}
		if want := strings.TrimLeft(text, "0"); cluster.String() != want && (want != "" || cluster.String() != "0") {
			t.Fatalf("%q -> %s", text, cluster)
		}
	})
}

// Goal: small values: counts, booleans, durations.
func TestParseSmall(t *testing.T) {
	for _, test := range []struct {
		in        string
		want      uint32
		wantError string
	}{
		{"1", 1, ""}, {"6", 6, ""}, {"06", 6, ""},
		{"0", 0, "must be a number of 1 to 6"}, {"7", 0, "of 1 to 6"}, {"", 0, "of 1 to 6"}, {"+1", 0, "of 1 to 6"},
		{"4294967297", 0, "of 1 to 6"}, {"x", 0, "of 1 to 6"},
	} {
		if got, err := ParseCount(test.in, 1, 6); got != test.want || !refused(err, test.wantError) {
			t.Errorf("ParseCount(%q) = %d, %v; want %d, %q", test.in, got, err, test.want, test.wantError)
		}
	}
	for _, test := range []struct {
		in        string
		want      uint64
		wantError string
	}{
		{"50us", 50_000, ""}, {"50µs", 50_000, ""}, {"1.5ms", 1_500_000, ""}, {"0", 0, ""}, {"0s", 0, ""}, {"1s", 1e9, ""}, {"100ns", 100, ""},
		{"50", 0, "must be a time with its unit, as in 50us"}, {"", 0, "with its unit"}, {"fast", 0, "with its unit"},
		{"1001ms", 0, "must be 0 to 1s"}, {"-1us", 0, "must be 0 to 1s"},
	} {
		if got, err := ParseSpin(test.in); got != test.want || !refused(err, test.wantError) {
			t.Errorf("ParseSpin(%q) = %d, %v; want %d, %q", test.in, got, err, test.want, test.wantError)
		}
	}
	for _, test := range []struct{ in, wantError string }{{"true", ""}, {"false", ""}, {"1", "must be true or false"}, {"True", "must be"},
		{"", "must be"}} {
		if got, err := ParseBool(test.in); got != (test.in == "true") || !refused(err, test.wantError) {
			t.Errorf("ParseBool(%q) = %v, %v; want error %q", test.in, got, err, test.wantError)
		}
	}
}

// Goal: durations and counts never leave their limits.
func FuzzParseSpin(f *testing.F) {
	for _, seed := range []string{"50us", "1s", "-1us", "9223372036854775807ns"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if spinNs, err := ParseSpin(text); err == nil && spinNs > spinNsMax {
			t.Fatalf("%q -> %d", text, spinNs)
		}
		if count, err := ParseCount(text, 3, 9); err == nil && (count < 3 || count > 9) {
			t.Fatalf("%q -> %d", text, count)
		}
	})
}
