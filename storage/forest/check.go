//go:build !invariants

package forest

// selfCheck walks the whole manifest in builds with the invariants tag.
func (f *Forest) selfCheck() {}
