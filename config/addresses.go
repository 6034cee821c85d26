package config

import (
	"fmt"
	"strings"

	"ledger/limits"
)

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
			if other.same(address) {
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

// same tells whether both are one address, as far as that shows without asking for names: upper and
// lower case do not count in names, nor does a point at their end.
func (a Address) same(other Address) bool {
	fold := func(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
	return a.Port == other.Port && fold(a.Host) == fold(other.Host)
}

// CheckReplicas returns an error unless the list fits the data file: an address for each replica,
// to which the others can connect, and behind them those of the standbys. A standby needs its own
// among them. A single replica has nobody to connect to; it ignores what follows its own address
// (see Unused).
func (a Addresses) CheckReplicas(replicaIndex, replicasCount uint32) error {
	switch {
	case replicasCount == 1 && replicaIndex == 0:
		return nil
	case a.IsPickPort():
		return fmt.Errorf("must name %d addresses, one for each replica: the data file is replica %d of %d, and the others cannot know "+
			"a port that the system picks", replicasCount, replicaIndex, replicasCount)
	case replicaIndex >= replicasCount && uint32(len(a)) <= replicaIndex:
		return fmt.Errorf("must name %d addresses or more, not %d: the data file is standby %d of a cluster of %d replicas, whose addresses "+
			"come first", replicaIndex+1, len(a), replicaIndex, replicasCount)
	case uint32(len(a)) < replicasCount:
		return fmt.Errorf("must name %d addresses, one for each replica, not %d: the data file is replica %d of %d",
			replicasCount, len(a), replicaIndex, replicasCount)
	case uint32(len(a)) > replicasCount+limits.StandbysMax:
		return fmt.Errorf("must name %d addresses, one for each replica, and behind them at most %d of standbys, not %d: the data file is "+
			"replica %d of %d", replicasCount, limits.StandbysMax, len(a), replicaIndex, replicasCount)
	}
	for i, address := range a[:replicasCount] {
		if ip, ok := address.IP(); ok && ip.IsUnspecified() && uint32(i) != replicaIndex {
			return fmt.Errorf("item %d: %s: nothing can connect to this address: name the one of replica %d", i+1, address, i)
		}
	}
	return nil
}

// Standbys is the number of standbys that a replica speaks to: those that have an address. A
// standby speaks to none.
func (a Addresses) Standbys(replicaIndex, replicasCount uint32) uint32 {
	if replicasCount == 1 || replicaIndex >= replicasCount {
		return 0
	}
	return uint32(len(a)) - min(replicasCount, uint32(len(a)))
}

// Unused returns a warning about addresses that a single replica does not need, because nothing
// connects to them. It returns "" if there are none.
func (a Addresses) Unused(replicasCount uint32) string {
	if uint32(len(a)) <= replicasCount || replicasCount > 1 {
		return ""
	}
	return fmt.Sprintf("--addresses: %s is not used: the data file is of a cluster of %d, so that %d of the %d addresses are enough",
		a[replicasCount:], replicasCount, replicasCount, len(a))
}
