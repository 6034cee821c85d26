package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ledger/client"
	"ledger/config"
	"ledger/feed"
	"ledger/patient"
	"ledger/wire"
)

// addressesOf reads the flags --cluster and --addresses of a command that is a client.
func addressesOf(clusterText, addressesText string) (cluster wire.U128, list []string, err error) {
	return addressesNamed("cluster", "addresses", clusterText, addressesText)
}

// addressesNamed reads two flags of these names.
func addressesNamed(clusterFlag, addressesFlag, clusterText, addressesText string) (cluster wire.U128, list []string, err error) {
	if cluster, err = wire.ParseU128(clusterText); err != nil {
		return cluster, nil, fmt.Errorf("--%s=%s: %w", clusterFlag, clusterText, err)
	}
	addresses, err := config.ParseAddresses(addressesText, wire.ReplicasMax)
	if err == nil && addresses.IsPickPort() {
		err = errors.New("must name a port")
	}
	if err != nil {
		return cluster, nil, fmt.Errorf("--%s=%s: %w", addressesFlag, addressesText, err)
	}
	for _, address := range addresses {
		list = append(list, address.String())
	}
	return cluster, list, nil
}

// serversOf is a session of these servers, which is opened when it is used.
func serversOf(clusterText, addressesText string) (*patient.Connection[*client.Client], error) {
	cluster, list, err := addressesOf(clusterText, addressesText)
	if err != nil {
		return nil, err
	}
	return serversAt(cluster, list), nil
}

// serversAt is a session of the servers at these addresses, which is opened when it is used.
func serversAt(cluster wire.U128, list []string) *patient.Connection[*client.Client] {
	return &patient.Connection[*client.Client]{Options: client.Options{Addresses: list, Cluster: cluster}, Open: client.New,
		Late: patient.LateAfter}
}

// sessionPause is the pause before a session that was ended is replaced.
const sessionPause = time.Second

// persistently repeats a query until it is answered, cannot be, or until ctx ends. A session that
// has ended is replaced.
func persistently(ctx context.Context, servers *patient.Connection[*client.Client],
	query func(context.Context, *client.Client) error) error {
	for {
		err := servers.Do(ctx, query)
		unanswered := (*patient.Unanswered)(nil)
		if !errors.As(err, &unanswered) || unanswered.IsFinal || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(servers.Messages, "%v; the request is repeated\n", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sessionPause):
		}
	}
}

// progressTo tells now and then how far a job is.
func progressTo(out io.Writer, rows string, every time.Duration) func(feed.Result) {
	told := time.Now()
	return func(result feed.Result) {
		if now := time.Now(); now.Sub(told) >= every {
			told = now
			fmt.Fprintf(out, "%d %s were written; the last timestamp is %d\n", result.Count, rows, result.Last)
		}
	}
}
