package accounting

// room returns limit-(a+b), or zero where that is negative. a+b does not overflow for the two sums
// of an account (1.3).
func room(limit, a, b U128) U128 {
	used, _ := a.Add(b)
	left, underflows := limit.Sub(used)
	if underflows {
		return U128{}
	}
	return left
}

func smaller(a, b U128) U128 {
	if b.Less(a) {
		return b
	}
	return a
}

// orElse, orElse64 and orElse32 return a, or fallback where a is zero: "not given" in a resolving
// transfer.
func orElse(a, fallback U128) U128 {
	if a.IsZero() {
		return fallback
	}
	return a
}

func orElse64(a, fallback uint64) uint64 {
	if a == 0 {
		return fallback
	}
	return a
}

func orElse32(a, fallback uint32) uint32 {
	if a == 0 {
		return fallback
	}
	return a
}
