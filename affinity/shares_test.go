package affinity

import "testing"

// Goal: the shares of several processes do not overlap where one of them alone would pin its
// stages, and cover all cores; physical cores are not torn. Where few cores are, all processes have
// all.
func TestShares(t *testing.T) {
	for _, c := range []struct {
		physical, threads, count int
		isDivided                bool
	}{
		{1, 1, 3, false}, {2, 1, 3, false}, {4, 1, 3, false}, {5, 1, 3, false},
		{6, 1, 3, true}, {7, 1, 3, true}, {16, 1, 3, true}, {16, 2, 3, true}, {64, 2, 6, true}, {5, 2, 6, false}, {6, 1, 1, true},
	} {
		topology := &Topology{}
		for number := range c.physical * c.threads {
			var siblings CoreSet
			for thread := range c.threads {
				siblings.Add(number%c.physical + thread*c.physical) // as Linux numbers them
			}
			topology.Cores = append(topology.Cores, Core{Number: number, Siblings: siblings})
			topology.Online.Add(number)
		}
		topology.Allowed = topology.Online
		shares := Shares(topology, c.count)
		var all CoreSet
		sum := 0
		for _, share := range shares {
			all, sum = all.Or(share), sum+share.Count()
			for _, core := range share.List() {
				if siblings := topology.Core(core).Siblings; siblings.And(share) != siblings {
					t.Errorf("%+v: share %s has core %d and not all of its threads", c, share, core)
				}
			}
			if share.IsEmpty() {
				t.Errorf("%+v: a share is empty", c)
			}
		}
		want := topology.Online.Count()
		if !c.isDivided {
			want *= c.count
		}
		if len(shares) != c.count || all != topology.Online || sum != want {
			t.Errorf("%+v: shares %v of %s", c, shares, topology.Online)
		}
	}
}
