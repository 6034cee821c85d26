package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ledger/config"
	"ledger/probe"
)

// slowLookup is the time from which on the resolution of a name counts as slow.
const slowLookup = time.Second

// resolve a host. Numbers need no resolution.
func (e *examination) resolve(address config.Address) ([]netip.Addr, error) {
	if ip, isNumber := address.IP(); isNumber {
		return []netip.Addr{ip}, nil
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.Timeout)
	defer cancel()
	list, err := e.probes.Lookup(ctx, address.Host)
	if err == nil && len(list) == 0 {
		err = errors.New("the name has no address")
	}
	return list, err
}

func (e *examination) names() Result {
	if len(e.Addresses) == 0 {
		return skipped("no addresses were named")
	}
	var found []string
	for _, address := range e.Addresses {
		if _, isNumber := address.IP(); isNumber {
			continue
		}
		began := time.Now()
		list, err := e.resolve(address)
		took := time.Since(began)
		switch {
		case err != nil:
			return failure("correct the name, /etc/hosts or /etc/resolv.conf", "%s: %v", address.Host, err)
		case took > slowLookup:
			return warning("look at /etc/resolv.conf: the first name server may be down; replicas resolve names at each connect",
				"%s was resolved in %s", address.Host, took.Round(time.Millisecond))
		}
		found = append(found, fmt.Sprintf("%s is %s", address.Host, list[0]))
	}
	if len(found) == 0 {
		return ok("all addresses are numbers")
	}
	return ok("%s; official clients need numbers", strings.Join(found, ", "))
}

// ports looks whether a server could listen at those addresses that are of this machine.
func (e *examination) ports() Result {
	if len(e.Addresses) == 0 {
		return skipped("no addresses were named")
	}
	var said []string
	for i, address := range e.Addresses {
		list, err := e.resolve(address)
		if err != nil {
			continue // the check of names has said it
		}
		answers := e.report.Replicas[i].State == probe.StateAnswers
		switch err := e.probes.Listen(netip.AddrPortFrom(list[0].Unmap(), address.Port)); {
		case err == nil:
			said = append(said, address.String()+" is free")
		case errors.Is(err, unix.EADDRNOTAVAIL):
			said = append(said, address.String()+" is of another machine")
		case errors.Is(err, unix.EADDRINUSE) && answers:
			said = append(said, address.String()+" has a server")
		case errors.Is(err, unix.EADDRINUSE):
			return failure("stop the program that listens there (ss -ltnp), or choose another port", "%s is in use by a program that does not "+
				"answer as a server of this cluster: %s", address, e.report.Replicas[i].Say())
		case errors.Is(err, unix.EACCES):
			return failure("choose a port above 1023, or grant CAP_NET_BIND_SERVICE", "%s: this user may not listen there", address)
		default:
			return failure("choose an address of this machine (ip address)", "%s: %v", address, err)
		}
	}
	return ok("%s", strings.Join(said, ", "))
}
