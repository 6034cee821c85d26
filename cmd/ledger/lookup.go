package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// lookupTimeout bounds the resolution of the server's own name.
const lookupTimeout = 5 * time.Second

// lookup resolves a host name to its first address.
func lookup(host string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(addresses) == 0 {
		return netip.Addr{}, fmt.Errorf("the name has no address")
	}
	return addresses[0].Unmap(), nil
}
