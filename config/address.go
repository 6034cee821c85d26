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
