package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// HostDefault is the address on which a port without a host listens.
	HostDefault = "127.0.0.1"
	// PortDefault is the port of a bare host.
	PortDefault = 3001

	hostBytesMax  = 253 // of a name, RFC 1035
	labelBytesMax = 63
)

// Address is a host, by name or by number, and a port.
type Address struct {
	Host string // a name, to be resolved at each connect; or an IP address, IPv6 without brackets
	Port uint16 // 0 only in the address list "0": the system picks one
}

// String writes the address as ParseAddress reads it.
func (a Address) String() string {
	if strings.Contains(a.Host, ":") {
		return "[" + a.Host + "]:" + strconv.Itoa(int(a.Port))
	}
	return a.Host + ":" + strconv.Itoa(int(a.Port))
}

// IP returns the host as an IP address; ok is false if it is a name.
func (a Address) IP() (ip netip.Addr, ok bool) {
	ip, err := netip.ParseAddr(a.Host)
	return ip, err == nil
}

// ParseAddress reads PORT, HOST, HOST:PORT, [v6] or [v6]:PORT. A host is an IPv4 address or a name.
func ParseAddress(text string) (Address, error) {
	switch {
	case text == "":
		return Address{}, fmt.Errorf("must be PORT, HOST, HOST:PORT or [v6]:PORT, not empty")
	case isDigits(text):
		port, err := parsePort(text)
		return Address{HostDefault, port}, err
	case text[0] == '[':
		return parseBracketed(text)
	}
	host, portText, hasPort := strings.Cut(text, ":")
	if hasPort && strings.Contains(portText, ":") {
		return Address{}, fmt.Errorf("%q has more than one colon: write an IPv6 address in brackets, as in [::1]:%d", text, PortDefault)
	}
	if err := checkHost(host); err != nil {
		return Address{}, err
	}
	if !hasPort {
		return Address{host, PortDefault}, nil
	}
	port, err := parsePort(portText)
	if err != nil {
		return Address{}, err
	}
	return Address{host, port}, nil
}

// parseBracketed reads [v6] and [v6]:PORT.
func parseBracketed(text string) (Address, error) {
	host, rest, closed := strings.Cut(text[1:], "]")
	ip, err := netip.ParseAddr(host)
	if !closed || err != nil || !ip.Is6() || !isZone(ip.Zone()) {
		return Address{}, fmt.Errorf("%q must hold an IPv6 address between its brackets, as in [::1]:%d", text, PortDefault)
	}
	if rest == "" {
		return Address{ip.String(), PortDefault}, nil
	}
	if rest[0] != ':' {
		return Address{}, fmt.Errorf("%q must have :PORT after its bracket", text)
	}
	port, err := parsePort(rest[1:])
	if err != nil {
		return Address{}, err
	}
	return Address{ip.String(), port}, nil
}

// isZone accepts the name of an interface, so that a zone cannot contain separators.
func isZone(zone string) bool {
	for _, c := range []byte(zone) {
		if !isNameByte(c) && c != '.' {
			return false
		}
	}
	return true
}

// parsePort reads a number of 1 to 65535, without leading zeros.
func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || !isDigits(text) || text[0] == '0' {
		return 0, fmt.Errorf("port %q must be a number of 1 to 65535", text)
	}
	return uint16(port), nil
}

// checkHost returns an error unless host is an IPv4 address or can be a name.
func checkHost(host string) error {
	if len(host) > hostBytesMax {
		return fmt.Errorf("host %.20q... must have at most %d characters", host, hostBytesMax)
	}
	last := ""
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > labelBytesMax || label[0] == '-' || label[len(label)-1] == '-' {
			return badHost(host)
		}
		for _, c := range []byte(label) {
			if !isNameByte(c) {
				return badHost(host)
			}
		}
		last = label
	}
	if isDigits(last) { // no top-level domain is a number, so this must be an address
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() {
			return badHost(host)
		}
	}
	return nil
}

func badHost(host string) error {
	return fmt.Errorf("host %q must be an IPv4 address, an IPv6 address in brackets, or a name", host)
}

// isNameByte accepts letters, digits, the hyphen, and the underscore, which container networks use.
func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func isDigits(text string) bool {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return text != ""
}

// Addresses are the addresses of all replicas, followed by those of standbys, by index.
type Addresses []Address

// ParseAddresses reads a comma separated list of 1 to countMax addresses. The list "0" is one
// address with port 0: the system picks the port (see IsPickPort).
func ParseAddresses(text string, countMax int) (Addresses, error) {
	if text == "0" {
		return Addresses{{Host: HostDefault}}, nil
	}
	items := strings.Split(text, ",")
	if len(items) > countMax {
		return nil, fmt.Errorf("must name at most %d addresses, not %d", countMax, len(items))
	}
	list := make(Addresses, 0, len(items))
	for i, item := range items {
		address, err := ParseAddress(item)
		if err != nil {
			if len(items) > 1 {
				return nil, fmt.Errorf("item %d: %w", i+1, err)
			}
			return nil, err
		}
		for j, other := range list {
			if other == address {
				return nil, fmt.Errorf("items %d and %d are the same address %s", j+1, i+1, address)
			}
		}
		list = append(list, address)
	}
	return list, nil
}

// IsPickPort tells whether this is the list "0" of test harnesses. The server then picks a port,
// prints it, and ends when stdin ends.
func (a Addresses) IsPickPort() bool { return len(a) == 1 && a[0].Port == 0 }

// String writes the list as ParseAddresses reads it.
func (a Addresses) String() string {
	if a.IsPickPort() {
		return "0"
	}
	items := make([]string, len(a))
	for i := range a {
		items[i] = a[i].String()
	}
	return strings.Join(items, ",")
}

// CheckReplicas returns an error unless there is an address for each replica of the data file, and
// one for this replica.
func (a Addresses) CheckReplicas(replicaIndex, replicasCount uint32) error {
	neededCount := max(replicasCount, replicaIndex+1)
	if uint32(len(a)) < neededCount {
		return fmt.Errorf("must name %d addresses, one for each replica, not %d: the data file is replica %d of %d",
			neededCount, len(a), replicaIndex, replicasCount)
	}
	return nil
}

// Unused returns a warning about addresses that do not belong to a replica of the cluster, because
// nothing connects to them. It returns "" if there are none.
func (a Addresses) Unused(replicasCount uint32) string {
	if uint32(len(a)) <= replicasCount {
		return ""
	}
	return fmt.Sprintf("--addresses: %s is not used: the data file is of a cluster of %d, so that %d of the %d addresses are enough",
		a[replicasCount:], replicasCount, replicasCount, len(a))
}
