package datafile

import (
	"ledger/prepare"
	"ledger/vsr"
)

// Each line fails to compile when its claim is false.
const (
	_ = uint(HeadersMax - vsr.StartHeadersMax) // the longest list of a replica fits the superblock
	_ = uint(vsr.StartHeadersMax - HeadersMax) // and the superblock's fits a list
	_ = uint(UncertainBytes - vsr.SetBytes)
)

// List is the durable headers and the uncertain ops, as the rules of a cluster know them.
func (s *Superblock) List() vsr.List {
	var headers [HeadersMax]prepare.Header
	for i := range s.HeadersCount {
		headers[i] = s.Headers[i][:]
	}
	return vsr.ReadList(headers[:s.HeadersCount], &s.Uncertain)
}
