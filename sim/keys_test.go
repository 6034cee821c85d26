package sim

import "testing"

// Goal: of two machines that are at most one step apart, each accepts what the other one sends. So
// a cluster whose key is replaced can always connect.
func TestKeyring(t *testing.T) {
	holds := func(accepts, sends uint64) bool {
		first := (&keyring{step: sends}).keys()[0]
		for _, key := range (&keyring{step: accepts}).keys() {
			if key == first {
				return true
			}
		}
		return false
	}
	for step := range uint64(20) {
		if !holds(step, step) || !holds(step, step+1) || !holds(step+1, step) {
			t.Errorf("steps %d and %d do not understand each other", step, step+1)
		}
	}
}
