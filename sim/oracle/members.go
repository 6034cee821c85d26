package oracle

import "fmt"

// counts tells whether the data file of a replica counts for a prepare. If the log names the files
// that count, each prepare has their numbers, and another file of the replica has promised nothing.
// A file that was made in the place of a lost one knows nothing of what that one has promised. It
// may only promise what is prepared behind its name.
func (o *Oracle) counts(replica int, p *Prepare) (bool, error) {
	incarnation, isReplacement := o.replicas[replica].File()
	if p.areNamed() {
		return p.Members[replica] == incarnation, nil
	}
	if isReplacement {
		return false, fmt.Errorf("replica %d has a file in the place of a lost one, and acknowledges op %d, whose log does not name it",
			replica, p.Op)
	}
	return true, nil
}

// names demands that the data files that count are those of the op before, and that a member op
// changes them as it says. before is nil in front of the first op.
func (o *Oracle) names(p, before *Prepare) error {
	table := [6]uint64{}
	if before != nil {
		table = before.Members
	}
	isMember := p.Operation == operationMember
	switch {
	case !isMember && p.Members != table:
		return fmt.Errorf("op %d, operation %d, changes the data files that count", p.Op, p.Operation)
	case isMember && !p.isOfAClient && table != [6]uint64{}:
		return fmt.Errorf("op %d names data files of its own accord, and all have names", p.Op)
	case isMember && p.isOfAClient:
		incarnation, replica := little.Uint64(p.Bytes[InnerBytes:]), int(p.Bytes[InnerBytes+8])
		if p.Members[replica] != incarnation {
			return fmt.Errorf("op %d asks for the data file %x as replica %d, and its table has %x", p.Op, incarnation, replica,
				p.Members[replica])
		}
		for i, other := range table {
			if i != replica && other != 0 && p.Members[i] != other {
				return fmt.Errorf("op %d asks for a data file of replica %d, and changes that of replica %d", p.Op, replica, i)
			}
		}
	}
	for i, incarnation := range p.Members {
		if isNamed := incarnation != 0; isNamed != (p.areNamed() && i < len(o.replicas)) {
			return fmt.Errorf("op %d names the data files of some replicas only", p.Op)
		}
	}
	return nil
}
