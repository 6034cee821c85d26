package main

import (
	"errors"
	"fmt"
	"os"

	"ledger/config"
	"ledger/limits"
)

type devCommand struct {
	Replicas  *string `placeholder:"N" help:"Replicas, 1 to ${replicas_max}. More than one are a cluster of as many processes, their files in one folder. Default: 1."`
	Port      *string `placeholder:"PORT" help:"Port on 127.0.0.1, that of replica 0; the other replicas have those behind it. Default: 3001."`
	ScrubDays *string `placeholder:"DAYS" help:"As of start: the time in which the whole data file is read. Default: ${scrub_days}."`
	File      string  `arg:"" optional:"" help:"The data file, or with several replicas the folder of the data files, made if it is missing. Default: ledger-dev.data, or ledger-dev."`
}

const (
	devPort = 3001
	// devMetricsAfter is the distance from a replica's port to that of its metrics, in a cluster.
	devMetricsAfter = 10
)

func (c *devCommand) Run(s *streams) error {
	replicas, port := uint32(1), uint32(devPort)
	for _, number := range []struct {
		flag     string
		text     *string
		to       *uint32
		min, max uint32
	}{{"replicas", c.Replicas, &replicas, 1, limits.ReplicasMax}, {"port", c.Port, &port, 1, 65535 - devMetricsAfter - limits.ReplicasMax}} {
		if number.text == nil {
			continue
		}
		value, err := config.ParseCount(*number.text, number.min, number.max)
		if err != nil {
			return fmt.Errorf("--%s=%s: %w", number.flag, *number.text, err)
		}
		*number.to = value
	}
	if c.ScrubDays != nil { // a cluster's processes would each refuse it
		if _, err := config.ParseScrubDays(config.Flag("scrub-days", *c.ScrubDays)); err != nil {
			return err
		}
	}
	if replicas == 1 {
		return c.single(s, port)
	}
	d, err := newDevCluster(s, c.File, int(replicas), int(port))
	if err != nil {
		return err
	}
	if c.ScrubDays != nil {
		d.further = append(d.further, "--scrub-days="+*c.ScrubDays)
	}
	return d.run()
}

// single serves one replica in this process.
func (c *devCommand) single(s *streams, port uint32) error {
	path := c.File
	if path == "" {
		path = "ledger-dev.data"
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		format, err := devFormat(0, 1)
		if err != nil {
			return err
		}
		if err := formatFile(s.err, path, format); err != nil {
			return err
		}
		fmt.Fprintf(s.err, "made %s\n", path)
	}
	address := fmt.Sprintf("%s:%d", config.HostDefault, port)
	settings := config.Settings{
		Addresses:      config.Flag("addresses", address),
		Development:    config.Flag("development", "true"),
		MetricsAddress: config.Flag("metrics-address", fmt.Sprintf("%s:%d", config.HostDefault, port+1)),
		ScrubDays:      setting("scrub-days", c.ScrubDays),
	}
	start, err := settings.Resolve()
	if err != nil {
		return err
	}
	start.MetricsOptional = true
	ready := fmt.Sprintf("ready: connect any official TigerBeetle client to cluster 0 at %s; end with Ctrl-C", address)
	return serve(s, start, nil, path, ready, nil)
}

// devFormat is what format is asked for a development file.
func devFormat(index, count int) (*config.Format, error) {
	settings := config.FormatSettings{
		Cluster:      config.Flag("cluster", "0"),
		Replica:      config.Flag("replica", fmt.Sprint(index)),
		ReplicaCount: config.Flag("replica-count", fmt.Sprint(count)),
		Development:  config.Flag("development", "true"),
	}
	return settings.Resolve()
}
