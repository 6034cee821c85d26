package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"ledger/config"
)

// Goal: no endpoint unless it is asked for; a port that is taken ends a start, and is a warning to dev.
func TestListenMetrics(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	resolved := func(settings config.Settings) *config.Start {
		t.Helper()
		settings.Addresses = config.Flag("addresses", "3001")
		start, err := settings.Resolve()
		if err != nil {
			t.Fatal(err)
		}
		return start
	}
	var printed bytes.Buffer
	s := &streams{err: &printed}
	if endpoint, err := listenMetrics(s, resolved(config.Settings{})); endpoint != nil || err != nil || printed.Len() > 0 {
		t.Errorf("not asked for: %v, error %v, %s", endpoint, err, printed.String())
	}
	address := taken.Addr().String()
	start := resolved(config.Settings{MetricsAddress: config.Flag("metrics-address", address)})
	if _, err := listenMetrics(s, start); err == nil || !strings.HasPrefix(err.Error(), "--metrics-address="+address+": ") {
		t.Errorf("a port that is taken: error %v", err)
	}
	start.MetricsOptional = true
	if endpoint, err := listenMetrics(s, start); endpoint != nil || err != nil || !strings.HasPrefix(printed.String(), "warning: no metrics: ") {
		t.Errorf("a port that is taken, to dev: %v, error %v, %s", endpoint, err, printed.String())
	}
	taken.Close()
	printed.Reset()
	endpoint, err := listenMetrics(s, start)
	if err != nil || endpoint == nil || printed.String() != "metrics at http://"+address+"\n" {
		t.Fatalf("%v, error %v, %s", endpoint, err, printed.String())
	}
	endpoint.SetReady(true)
	if err := endpoint.Close(); err != nil {
		t.Error(err)
	}
	if err := endpoint.Close(); err != nil { // serve closes it twice on its ways out
		t.Error(err)
	}
}
