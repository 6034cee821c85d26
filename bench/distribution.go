package bench

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// zipfExponent is that of the usual cloud benchmarks: the first of many items gets some percent of
// all draws.
const zipfExponent = 0.99

// spreadPrime spreads ranks over accounts. It is larger than any number of accounts, so it has no
// common factor with it.
const spreadPrime = 18446744073709551557 // the largest below 2^64

// zipf draws 0..count-1 with probabilities that fall as (1+k)^-exponent, in constant time for any
// count. A point under the area of the continuous curve is drawn by inversion, and rejected if it
// lies outside of the steps.
type zipf struct {
	countLess1     float64
	areaMax        float64 // area up to the end
	areaFirst      float64 // area where the first step begins
	acceptDistance float64 // rounding up by at most this distance is always inside
}

func newZipf(count uint64) zipf {
	z := zipf{countLess1: float64(count - 1)}
	z.areaMax = area(z.countLess1 + 0.5)
	z.areaFirst = area(0.5) - height(0)
	z.acceptDistance = 1 - areaInverse(area(1.5)-height(1))
	return z
}

func height(x float64) float64 { return math.Pow(1+x, -zipfExponent) }
func area(x float64) float64   { return math.Pow(1+x, 1-zipfExponent) / (1 - zipfExponent) }
func areaInverse(y float64) float64 {
	return math.Pow(y*(1-zipfExponent), 1/(1-zipfExponent)) - 1
}

func (z *zipf) next(random *rand.Rand) uint64 {
	for {
		y := z.areaMax + random.Float64()*(z.areaFirst-z.areaMax)
		x := areaInverse(y)
		k := math.Floor(x + 0.5)
		if k-x <= z.acceptDistance || y >= area(k+0.5)-height(k) {
			return uint64(min(max(k, 0), z.countLess1))
		}
	}
}

// chooser draws indexes 0..count-1.
type chooser struct {
	distribution Distribution
	count        uint64
	zipf         zipf
}

func newChooser(distribution Distribution, count uint64) chooser {
	c := chooser{distribution: distribution, count: count}
	if distribution != DistributionUniform && count > 1 {
		c.zipf = newZipf(count)
	}
	return c
}

func (c *chooser) next(random *rand.Rand) uint64 {
	if c.count <= 1 {
		return 0
	}
	switch c.distribution {
	case DistributionZipfian:
		// rank*prime mod count, in 128 bits: each rank has one place, and neighbours are far apart.
		hi, lo := bits.Mul64(c.zipf.next(random), spreadPrime)
		return bits.Rem64(hi, lo, c.count)
	case DistributionLatest:
		return c.count - 1 - c.zipf.next(random)
	}
	return random.Uint64N(c.count)
}
