package doctor

import (
	"fmt"
	"strings"

	"ledger/peer"
)

// clusterKey reads the file of the cluster's key as start does, and tells the keys by their prints.
func (e *examination) clusterKey() Result {
	if !e.KeyFile.IsSet() {
		return skipped("no --cluster-key-file was named")
	}
	keys, err := e.probes.Keys(e.KeyFile)
	if err != nil {
		return failure("do what the error says; ledger start refuses the file as well", "%v", err)
	}
	prints := make([]string, len(keys))
	for i, key := range keys {
		prints[i] = fmt.Sprintf("%016x", peer.KeyPrint(key))
	}
	return ok("%s has %s", e.KeyFile.Text, strings.Join(prints, ", and while one replaces the other "))
}
