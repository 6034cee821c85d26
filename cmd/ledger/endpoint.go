package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/admin"
	"ledger/config"
	"ledger/limits"
)

// pageBytesMax bounds a page of a metrics endpoint that is read.
const pageBytesMax = 16 << 20

// metricsPage reads a page of a server's metrics endpoint. Every error says what to do.
func metricsPage(ctx context.Context, address config.Address, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+path, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("%s: nobody listens: start the server with --metrics-address=%s, or name its metrics address", address, address)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s: no answer in time: is this the metrics address of a server?", address)
	case err != nil:
		var operation *net.OpError
		if errors.As(err, &operation) {
			err = operation.Err
		}
		return nil, fmt.Errorf("%s: %w: is this the metrics address of a server?", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, pageBytesMax))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: reading %s: %w", address, path, err)
	case response.StatusCode == http.StatusServiceUnavailable:
		return nil, fmt.Errorf("%s: %s", address, strings.TrimSpace(string(body)))
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s answers %s: is this the metrics address of a server of this version?", address, path, response.Status)
	}
	return body, nil
}

// serverStatus reads /status of a server.
func serverStatus(ctx context.Context, address config.Address) (*admin.Status, error) {
	body, err := metricsPage(ctx, address, "/status")
	if err != nil {
		return nil, err
	}
	status := &admin.Status{}
	if err := json.Unmarshal(body, status); err != nil {
		return nil, fmt.Errorf("%s: /status is not the JSON that was expected: %w", address, err)
	}
	return status, nil
}

// answer of one metrics endpoint.
type answer struct {
	address config.Address
	status  *admin.Status
	err     error
}

// serverStatuses asks several servers at once. The answers have the order of the addresses.
func serverStatuses(ctx context.Context, addresses config.Addresses) []answer {
	answers := make([]answer, len(addresses))
	done := make(chan struct{})
	for i, address := range addresses {
		go func() {
			status, err := serverStatus(ctx, address)
			answers[i] = answer{address, status, err}
			done <- struct{}{}
		}()
	}
	for range addresses {
		<-done
	}
	return answers
}

// addressList reads a flag with addresses, none if it is "".
func addressList(flag, text string) (config.Addresses, error) {
	if text == "" {
		return nil, nil
	}
	list, err := config.ParseAddresses(text, limits.ReplicasMax)
	if err == nil && list.IsPickPort() {
		err = errors.New("must be the port at which a server listens")
	}
	if err != nil {
		return nil, fmt.Errorf("--%s=%s: %w", flag, text, err)
	}
	return list, nil
}

// patience reads a flag that bounds a wait.
func patience(flag, text string, least, most time.Duration) (time.Duration, error) {
	value, err := time.ParseDuration(text)
	if err != nil || value < least || value > most {
		return 0, fmt.Errorf("--%s=%s: must be a time of %s to %s with its unit, as in 2s", flag, text, least, most)
	}
	return value, nil
}
