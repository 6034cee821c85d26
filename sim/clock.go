package sim

// clock is the two clocks of one machine. They tick a little faster or slower than the time of the
// world, and both begin anew when the machine loses its power. The monotonic clock then starts at
// some small value; the wall clock, which somebody has set right, at the time of the world.
type clock struct {
	machine  *Machine
	bootNs   uint64 // of the world
	baseNs   uint64 // of the monotonic clock at bootNs
	driftPPM int64  // how much faster it ticks, in millionths
	offsetNs int64  // of the wall clock
	nightsNs int64  // how long the machine was off; only the wall clock goes on then
}

const (
	nightNsMin  = 3_600_000 * nsPerMs // an hour, the timeout of long holds
	driftPPMMax = 500                 // quartz of a bad machine
)

// boot starts the clocks of a machine that has power again.
func (c *clock) boot() {
	r := c.machine.random
	c.bootNs, c.baseNs = c.machine.events.nowNs, 1+r.Uint64N(60_000*nsPerMs)
	c.driftPPM = int64(r.IntN(2*driftPPMMax+1)) - driftPPMMax
}

func (c *clock) elapsedNs() uint64 {
	passed := c.machine.events.nowNs - c.bootNs
	return uint64(int64(passed) + int64(passed)*c.driftPPM/1_000_000)
}

func (c *clock) monotonicNs() uint64 { return c.baseNs + c.elapsedNs() }

// worldNs is the first moment of the world at which the monotonic clock shows at least so much.
func (c *clock) worldNs(monotonicNs uint64) uint64 {
	if monotonicNs <= c.baseNs {
		return c.bootNs
	}
	if monotonicNs-c.baseNs > 1<<50 { // a timer that is never due
		return ^uint64(0)
	}
	elapsed := int64(monotonicNs - c.baseNs)
	return c.bootNs + uint64(elapsed-elapsed*c.driftPPM/(1_000_000+c.driftPPM)) + 1
}

func (c *clock) wallNs() uint64 {
	return uint64(int64(wallBaseNs+c.bootNs+c.elapsedNs()) + c.offsetNs)
}

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
