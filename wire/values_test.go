package wire

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func (u U128) big() *big.Int {
	value := new(big.Int).SetUint64(u.Hi)
	return value.Or(value.Lsh(value, 64), new(big.Int).SetUint64(u.Lo))
}

// 128-bit integers behave like big ones in order, text, bytes, sum and difference.
func TestU128(t *testing.T) {
	words := rapid.OneOf(rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 1 << 63, ^uint64(0), ^uint64(0) - 1, 1e19, 1e19 - 1}))
	rapid.Check(t, func(t *rapid.T) {
		u := U128{words.Draw(t, "lo"), words.Draw(t, "hi")}
		v := U128{words.Draw(t, "other lo"), words.Draw(t, "other hi")}
		a, b := u.big(), v.big()
		modulus := new(big.Int).Lsh(big.NewInt(1), 128)
		if u.Compare(v) != a.Cmp(b) || u.Less(v) != (a.Cmp(b) < 0) || u.Equal(v) != (a.Cmp(b) == 0) {
			t.Fatalf("order of %v and %v", u, v)
		}
		if u.String() != a.String() {
			t.Fatalf("%v is %v", u, a)
		}
		if parsed, err := ParseU128(a.String()); err != nil || parsed != u {
			t.Fatalf("%v parses as %v (%v)", a, parsed, err)
		}
		if over := new(big.Int).Add(a, modulus).String(); len(over) > 0 {
			if parsed, err := ParseU128(over); err == nil {
				t.Fatalf("%s parses as %v", over, parsed)
			}
		}
		bytes := make([]byte, 17)
		u.PutBytes(bytes[1:])
		if U128FromBytes(bytes[1:]) != u || bytes[1] != byte(u.Lo) || bytes[16] != byte(u.Hi>>56) {
			t.Fatalf("%v has bytes %x", u, bytes)
		}
		sum, overflow := u.Add(v)
		exact := new(big.Int).Add(a, b)
		if overflow != (exact.Cmp(modulus) >= 0) || sum.big().Cmp(exact.Mod(exact, modulus)) != 0 {
			t.Fatalf("%v + %v = %v, %v", u, v, sum, overflow)
		}
		difference, underflow := u.Sub(v)
		exact = new(big.Int).Sub(a, b)
		if underflow != (exact.Sign() < 0) || difference.big().Cmp(exact.Mod(exact, modulus)) != 0 {
			t.Fatalf("%v - %v = %v, %v", u, v, difference, underflow)
		}
		if u.IsZero() != (a.Sign() == 0) || u.IsMax() != (u == U128Max()) {
			t.Fatalf("%v is zero %v, max %v", u, u.IsZero(), u.IsMax())
		}
	})
	for _, text := range []string{"", "-1", "+1", " 1", "1 ", "1_0", "0x1", "a", "340282366920938463463374607431768211456",
		"9999999999999999999999999999999999999999"} {
		if got, err := ParseU128(text); err == nil {
			t.Errorf("%q parses as %v", text, got)
		}
	}
	if got, err := ParseU128("340282366920938463463374607431768211455"); err != nil || got != U128Max() {
		t.Errorf("2^128-1 parses as %v (%v)", got, err)
	}
}

// Releases have the numbers of the specification, and text and number agree.
func TestRelease(t *testing.T) {
	cases := map[string]uint32{"0.16.4": 0x00001004, "0.17.9": 0x00001109, "65535.0.0": 0xFFFF0000, "1.2.3": 0x00010203,
		"65535.255.255": 0xFFFFFFFF, "0.0.0": 0}
	for text, number := range cases {
		if got, err := ParseRelease(text); err != nil || uint32(got) != number || got.String() != text {
			t.Errorf("%q: %#x %v (%v), want %#x", text, uint32(got), got, err, number)
		}
	}
	if ReleaseClientMin.String() != "0.16.4" || ReleaseClientMax.String() != "0.17.255" ||
		ReleaseCurrent.String() != "0.17.9" || ReleaseAnnounced.String() != "0.17.9" {
		t.Errorf("constants %v, %v, %v, %v", ReleaseClientMin, ReleaseClientMax, ReleaseCurrent, ReleaseAnnounced)
	}
	for _, text := range []string{"", "1", "1.2", "1.2.3.4", "65536.0.0", "0.256.0", "0.0.256", "-1.0.0", "a.b.c", "1..2", " 1.2.3",
		"v1.2.3"} {
		if got, err := ParseRelease(text); err == nil {
			t.Errorf("%q parses as %v", text, got)
		}
	}
}
