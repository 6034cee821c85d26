package affinity

// Shares divides the cores among count processes on this machine, which would else all choose the
// same ones. Hardware threads of one physical core stay together. If there are so few cores that a
// process alone would pin nothing, there is nothing to divide, and each process has all of them.
func Shares(t *Topology, count int) []CoreSet {
	usable := t.usable()
	shares := make([]CoreSet, count)
	var physical []CoreSet
	for _, core := range usable.List() {
		if siblings := t.Core(core).Siblings.And(usable); siblings.First() == core {
			physical = append(physical, siblings)
		}
	}
	for i := range shares {
		if t.CoresUsableCount() <= StagesCount || len(physical) < count {
			shares[i] = usable
			continue
		}
		for _, cores := range physical[i*len(physical)/count : (i+1)*len(physical)/count] {
			shares[i] = shares[i].Or(cores)
		}
	}
	return shares
}
