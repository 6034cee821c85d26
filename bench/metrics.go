package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	summaryTimeout  = 5 * time.Second
	summaryBytesMax = 256 << 10
)

// FetchSummary reads the summary page of a server's metrics endpoint: the times of each stage and
// thread, and their waits.
//
// address: host:port, as the server's --metrics-address.
func FetchSummary(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, summaryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/summary", nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking %s for the server's figures: %w", address, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, summaryBytesMax))
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", answer.Status)
	}
	if err != nil {
		return "", fmt.Errorf("asking %s for the server's figures: %w", address, err)
	}
	return string(text), nil
}

// freeAddress is a port that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := listener.Addr().String()
	return address, listener.Close()
}
