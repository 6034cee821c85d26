package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ledger/client"
	"ledger/config"
	"ledger/probe"
	"ledger/wire"
)

// pingCommand tells why a client would hang.
type pingCommand struct {
	Addresses string `required:"" placeholder:"LIST" help:"Addresses of all replicas, by index, as a client names them."`
	Cluster   string `required:"" placeholder:"N" help:"Id of the cluster, decimal."`
	Metrics   string `placeholder:"LIST" help:"Metrics addresses of the servers: says how many sessions are taken, and what a start waits for. Default: none."`
	Release   string `placeholder:"RELEASE" help:"Release of the client library that is asked for, as in 0.17.9. Default: the newest that this program and the servers speak."`
	Register  bool   `help:"Register a client as well, which proves that ops are committed. It takes one of the sessions until the server needs it."`
	Timeout   string `default:"2s" help:"Longest wait for all answers."`
	JSON      bool   `name:"json" help:"Write one JSON object instead of text."`
}

// pingReport is what ping writes with --json.
type pingReport struct {
	*probe.Report
	Sessions     *pingSessions `json:"sessions,omitempty"`
	RegisterNs   time.Duration `json:"register_ns,omitempty"` // until the registration was committed and answered
	RequestBytes uint32        `json:"request_bytes,omitempty"`
	Metrics      []string      `json:"metrics,omitempty"` // what the metrics addresses that gave no status said
}

// pingSessions of the server.
type pingSessions struct {
	Taken uint64 `json:"taken"`
	Max   uint64 `json:"max"`
}

// pingStatuses are the exit statuses of the verdicts.
var pingStatuses = map[probe.Verdict]int{
	probe.VerdictServed: exitDone, probe.VerdictNobodyListens: exitNobody, probe.VerdictOtherCluster: exitCluster,
	probe.VerdictNoQuorum: exitQuorum, probe.VerdictRelease: exitRelease, probe.VerdictNoSession: exitSession, probe.VerdictSilent: exitSilent,
}

// Run implements the command.
func (c *pingCommand) Run(s *streams) error {
	options, metrics, err := c.options()
	if err != nil {
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), max(options.Timeout-probe.ReportWithin, options.Timeout/2))
	defer cancel()
	asked := make(chan []answer, 1)
	go func() { asked <- serverStatuses(ctx, metrics) }()
	report := &pingReport{Report: probe.Run(ctx, options)}
	report.learn(<-asked)
	if c.Register && report.Verdict == probe.VerdictServed {
		// The register has the whole time for itself, since the probe may have used up its own.
		ctx, cancel := context.WithDeadline(context.Background(), began.Add(2*options.Timeout))
		defer cancel()
		report.register(ctx, &options)
	}
	if c.JSON {
		encoded, err := json.Marshal(report)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s\n", encoded)
	} else {
		report.write(s)
	}
	if report.Verdict == probe.VerdictServed {
		return nil
	}
	return &statusError{pingStatuses[report.Verdict], fmt.Errorf("%s: %s: %s", report.Verdict, report.Text, report.Remedy)}
}

func (c *pingCommand) options() (options probe.Options, metrics config.Addresses, err error) {
	if options.Addresses, err = addressList("addresses", c.Addresses); err != nil {
		return options, nil, err
	}
	if options.Addresses == nil {
		return options, nil, errors.New("--addresses=: must name the addresses of the replicas, as in --addresses=127.0.0.1:3001")
	}
	if options.Cluster, err = config.ParseCluster(c.Cluster); err != nil {
		return options, nil, fmt.Errorf("--cluster=%s: %w", c.Cluster, err)
	}
	if metrics, err = addressList("metrics", c.Metrics); err != nil {
		return options, nil, err
	}
	if c.Release != "" {
		if options.Release, err = wire.ParseRelease(c.Release); err != nil {
			return options, nil, fmt.Errorf("--release=%s: %w", c.Release, err)
		}
		if options.Release == 0 {
			return options, nil, fmt.Errorf("--release=%s: must be above 0.0.0", c.Release)
		}
	}
	options.Timeout, err = patience("timeout", c.Timeout, 100*time.Millisecond, time.Minute)
	return options, metrics, err
}

// learn what the metrics endpoints said.
func (r *pingReport) learn(answers []answer) {
	for _, a := range answers {
		if a.err != nil {
			r.Metrics = append(r.Metrics, a.err.Error())
			continue
		}
		if r.Sessions == nil || a.status.Role == "primary" {
			r.Sessions = &pingSessions{a.status.Sessions, a.status.Limits.Sessions}
		}
	}
	if r.Verdict == probe.VerdictServed && r.Sessions != nil && r.Sessions.Taken >= r.Sessions.Max {
		r.Verdict = probe.VerdictNoSession
		r.Text = fmt.Sprintf("all %d sessions are taken: each new client ends the session of the one that was silent longest", r.Sessions.Max)
		r.Remedy = "close clients that nobody needs (one for each process is enough), or format with a larger --clients-max"
	}
}

// register a client, which is an op that has to be committed.
func (r *pingReport) register(ctx context.Context, options *probe.Options) {
	began := time.Now()
	clientOptions := client.Options{Cluster: options.Cluster, Release: options.Release}
	for _, address := range options.Addresses {
		clientOptions.Addresses = append(clientOptions.Addresses, address.String())
	}
	session, err := client.Open(ctx, clientOptions)
	if err != nil {
		r.Verdict = probe.VerdictNoQuorum
		r.Text = fmt.Sprintf("a primary answers, but a client was not registered within %s: %v", time.Since(began).Round(time.Millisecond), err)
		r.Remedy = "see that the replicas reach each other and that their disks answer"
		return
	}
	defer session.Close()
	r.RegisterNs, r.RequestBytes = time.Since(began), session.BodyBytesMax()
}

// write the report as text.
func (r *pingReport) write(s *streams) {
	for i := range r.Replicas {
		fmt.Fprintf(s.out, "%s: %s\n", r.Replicas[i].Address, r.Replicas[i].Say())
	}
	for _, line := range r.Metrics {
		fmt.Fprintf(s.out, "metrics: %s\n", line)
	}
	if r.Sessions != nil {
		fmt.Fprintf(s.out, "sessions: %d of %d are taken\n", r.Sessions.Taken, r.Sessions.Max)
	}
	if r.RegisterNs > 0 {
		fmt.Fprintf(s.out, "registered in %s, a request holds %d bytes\n", r.RegisterNs.Round(time.Microsecond), r.RequestBytes)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(s.out, "note: %s\n", note)
	}
	if r.Verdict == probe.VerdictServed {
		fmt.Fprintf(s.out, "%s: %s\n", r.Verdict, r.Text)
	}
}
