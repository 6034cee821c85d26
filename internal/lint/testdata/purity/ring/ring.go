package ring

type SPSC struct{}
