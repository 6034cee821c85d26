package datafile

import "ledger/vsr"

// Each line fails to compile when its claim is false.
const (
	_ = uint(HeadersMax - vsr.StartHeadersMax) // the longest list of a replica fits the superblock
	_ = uint(vsr.StartHeadersMax - HeadersMax) // and the superblock's fits a list
	_ = uint(UncertainBytes - vsr.SetBytes)
)

// List is the durable headers and the uncertain ops, as the rules of a cluster know them.
func (s *Superblock) List() vsr.List {
	l := vsr.List{Count: int(s.HeadersCount), Uncertain: vsr.ReadSet(&s.Uncertain)}
	for i := range l.Count {
		l.Headers[i] = vsr.HeaderOf(s.Headers[i][:])
	}
	return l
}
