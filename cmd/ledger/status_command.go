package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ledger/config"
)

// statusCommand shows the state of servers, from their metrics endpoints.
type statusCommand struct {
	Metrics  string `default:"127.0.0.1:3002" placeholder:"LIST" help:"Metrics addresses of the servers (start --metrics-address)."`
	Interval string `default:"1s" help:"Time between the two looks from which rates, shares and percentiles follow."`
	JSON     bool   `name:"json" help:"Write one JSON object for each server instead of text: the second look, as /status has it."`
}

// endpointWait is the longest wait for the answers of metrics endpoints.
const endpointWait = 5 * time.Second

// Run implements the command.
func (c *statusCommand) Run(s *streams) error {
	addresses, interval, err := metricsFlags(c.Metrics, c.Interval)
	if err != nil {
		return err
	}
	first := lookAt(addresses)
	time.Sleep(interval)
	second := lookAt(addresses)
	var failed []string
	for i := range second {
		if second[i].err != nil {
			failed = append(failed, second[i].err.Error())
			continue
		}
		if c.JSON {
			encoded, err := json.Marshal(second[i].status)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s\n", encoded)
			continue
		}
		newFigures(first[i].status, second[i].status).show(s)
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

// metricsFlags reads the flags that status and top share.
func metricsFlags(metrics, interval string) (config.Addresses, time.Duration, error) {
	addresses, err := addressList("metrics", metrics)
	if err == nil && addresses == nil {
		err = errors.New("--metrics=: must name the metrics address of a server, as in --metrics=127.0.0.1:9464")
	}
	if err != nil {
		return nil, 0, err
	}
	every, err := patience("interval", interval, 100*time.Millisecond, time.Hour)
	return addresses, every, err
}

// lookAt asks the servers.
func lookAt(addresses config.Addresses) []answer {
	ctx, cancel := context.WithTimeout(context.Background(), endpointWait)
	defer cancel()
	return serverStatuses(ctx, addresses)
}

// show writes all tables that have rows.
func (f *figures) show(s *streams) {
	for _, line := range f.head() {
		fmt.Fprintln(s.out, line)
	}
	for _, maker := range tableMakers {
		t := maker.make(f)
		if len(t.rows) == 0 {
			continue
		}
		fmt.Fprintln(s.out)
		for _, line := range t.lines(screenColumns, -1) {
			fmt.Fprintln(s.out, line)
		}
	}
}

// screenColumns are enough for every table.
const screenColumns = 80
