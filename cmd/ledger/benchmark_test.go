package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// Goal: what benchmark cannot do it refuses at once, by the flag's name, before a server is started or a file is made.
func TestBenchmarkRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for arguments, want := range map[string]string{
		"--account-count=1":                                      "--account-count=1",
		"--transfer-batch-count=8190":                            "--transfer-batch-count=8190",
		"--transfer-batch-delay=5":                               "--transfer-batch-delay=5",
		"--id-order=odd":                                         "--id-order=odd",
		"--account-distribution=odd":                             "--account-distribution=odd",
		"--validate":                                             "--validate",
		"--imported --clients=2":                                 "--clients=2",
		"--cluster=5":                                            "--cluster=5",
		"--cluster=x --addresses=3001":                           "--cluster=x",
		"--addresses=0":                                          "--addresses=0",
		"--addresses=1:2:3":                                      "--addresses=1:2:3",
		"--addresses=3001 --cache-grid=1GiB":                     "--cache-grid=1GiB",
		"--addresses=3001 --file=x":                              "--file=x",
		"--transfer-rate=-1":                                     "--transfer-rate=-1",
		"--transfer-rate=10 --transfer-batch-delay=1ms":          "--transfer-batch-delay=1ms",
		"--metrics-address=9000":                                 "--metrics-address=9000",
		"--addresses=3001 --print-stages":                        "--print-stages",
		"--addresses=3001 --metrics-address=a:b:c":               "--metrics-address=a:b:c",
		"--transfer-count=ten":                                   "--transfer-count",
		"--surprise":                                             "--surprise",
		"--account-count-hot=20000 --account-count=10000":        "--account-count-hot=20000",
		"--transfer-hot-percent=101 --addresses=127.0.0.1:39999": "--transfer-hot-percent=101",
	} {
		var errorOut bytes.Buffer
		status := run(append([]string{"benchmark"}, strings.Fields(arguments)...), os.Stdin, os.Stdout, &errorOut)
		if status != exitRefused || !strings.Contains(errorOut.String(), want) {
			t.Errorf("benchmark %s: status %d, %q; want status %d and %q", arguments, status, errorOut.String(), exitRefused, want)
		}
	}
	if left, _ := os.ReadDir("."); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}
