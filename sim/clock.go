package sim

// clock is the clocks of one machine.
type clock struct {
	machine  *Machine
	offsetNs int64 // of the wall clock
	nightsNs int64 // how long the machine was off; only the wall clock goes on then
}

const nightNsMin = 3_600_000 * nsPerMs // an hour, the timeout of long holds

func (c *clock) wallNs() uint64 { return uint64(int64(wallBaseNs+c.machine.events.nowNs) + c.offsetNs) }

// jump makes the wall clock wrong by up to two seconds.
func (c *clock) jump() {
	c.offsetNs = c.nightsNs + int64(c.machine.random.IntN(4_000*nsPerMs)) - 2_000*nsPerMs
	c.machine.note("the wall clock jumps", uint64(c.offsetNs), 0)
}

// night lets hours pass on the wall clock alone, as if the machine had been off or asleep: much is
// due at once then.
func (c *clock) night() {
	c.nightsNs += nightNsMin + int64(c.machine.random.IntN(nightNsMin))
	c.offsetNs = c.nightsNs
	c.machine.note("a night, and the wall clock is ahead by", uint64(c.offsetNs), 0)
}
