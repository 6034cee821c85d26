package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ledger/config"
	"ledger/doctor"
)

// doctorCommand examines the machine, a data file and servers.
type doctorCommand struct {
	Addresses string  `placeholder:"LIST" help:"Addresses of all replicas, by index, to examine the servers as well. Default: none."`
	Cluster   string  `default:"0" placeholder:"N" help:"Id of their cluster, decimal."`
	Metrics   string  `placeholder:"LIST" help:"Metrics addresses of the servers: sessions, batch limit and states are known from there. Default: none."`
	Key       *string `name:"cluster-key-file" placeholder:"FILE" help:"The file of the cluster's key, which is read as start reads it. Default: none."`
	Timeout   string  `default:"2s" help:"Longest wait for servers and name servers."`
	JSON      bool    `name:"json" help:"Write one JSON object instead of text."`
	File      string  `arg:"" optional:"" help:"The data file, at rest or in use, or where it will be. Default: the current folder is examined."`
}

// doctorReport is what doctor writes with --json.
type doctorReport struct {
	Failures int             `json:"failures"`
	Warnings int             `json:"warnings"`
	Checks   []doctor.Result `json:"checks"`
}

// Run implements the command.
func (c *doctorCommand) Run(s *streams) error {
	subject, err := c.subject()
	if err != nil {
		return err
	}
	probes := doctor.Machine()
	probes.Status = serverStatus
	return c.examine(s, subject, probes)
}

// examine writes a line for each check, and ends with a status of its own if one has failed.
func (c *doctorCommand) examine(s *streams, subject doctor.Subject, probes doctor.Probes) error {
	var report doctorReport
	report.Checks = doctor.Examine(context.Background(), subject, probes, func(r doctor.Result) {
		switch r.State {
		case doctor.Failure:
			report.Failures++
		case doctor.Warning:
			report.Warnings++
		}
		if c.JSON {
			return
		}
		fmt.Fprintf(s.out, "%-7s  %-16s  %s", r.State, r.Check, r.Text)
		if r.Remedy != "" {
			fmt.Fprintf(s.out, "; remedy: %s", r.Remedy)
		}
		fmt.Fprintln(s.out)
	})
	if c.JSON {
		encoded, err := json.Marshal(report)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s\n", encoded)
	}
	if report.Failures > 0 {
		return &statusError{exitFailure, fmt.Errorf("%d of %d checks have failed, %d warn; the remedy is behind each", report.Failures,
			len(report.Checks), report.Warnings)}
	}
	return nil
}

func (c *doctorCommand) subject() (subject doctor.Subject, err error) {
	subject.File = c.File
	if subject.KeyFile = setting("cluster-key-file", c.Key); c.Key != nil && *c.Key == "" {
		return subject, errors.New("--cluster-key-file=: must name a file, as ledger keygen makes it")
	}
	if subject.Addresses, err = addressList("addresses", c.Addresses); err != nil {
		return subject, err
	}
	if subject.Metrics, err = addressList("metrics", c.Metrics); err != nil {
		return subject, err
	}
	if subject.Cluster, err = config.ParseCluster(c.Cluster); err != nil {
		return subject, fmt.Errorf("--cluster=%s: %w", c.Cluster, err)
	}
	if subject.Addresses == nil && !subject.Cluster.IsZero() {
		return subject, errors.New("--cluster=" + c.Cluster + ": needs --addresses, as in --addresses=127.0.0.1:3001")
	}
	subject.Timeout, err = patience("timeout", c.Timeout, 100*time.Millisecond, time.Minute)
	return subject, err
}
