package records

import (
	"math/big"
	"strings"
	"testing"
)

const max128 = "340282366920938463463374607431768211455"

// Goal: numbers are read in every form of the reference's shell, and nothing else is.
func TestNumber(t *testing.T) {
	for _, test := range []struct {
		text string
		bits uint
		want string // a number, or what the error says
	}{
		{"0", 128, "0"}, {"1000", 16, "1000"}, {"007", 16, "7"}, {"1_000_000", 32, "1000000"},
		{"0xbee71e", 128, "12511006"}, {"0xBEE71E", 128, "12511006"}, {"0b101", 16, "5"}, {"0o17", 16, "15"},
		{"0xa1a2a3a4_b1b2_c1c2_d1d2_e1e2e3e4e5e6", 128, "214850178493633095719753766415838275046"},
		{"-0", 128, max128}, {"-1", 128, "340282366920938463463374607431768211454"}, {"-0x10", 16, "65519"},
		{"-0", 64, "18446744073709551615"}, {"-0", 32, "4294967295"}, {"-0", 16, "65535"}, {"-65535", 16, "0"},
		{max128, 128, max128}, {"65535", 16, "65535"}, {strings.Repeat("0", 1000) + "1", 16, "1"},

		{"65536", 16, "larger than 2^16-1"}, {"-65536", 16, "larger than 2^16-1"}, {"4294967296", 32, "larger than 2^32-1"},
		{"18446744073709551616", 64, "larger than 2^64-1"}, {"340282366920938463463374607431768211456", 128, "larger than 2^128-1"},
		{"0x1" + strings.Repeat("0", 32), 128, "larger than 2^128-1"}, {strings.Repeat("9", 100_000), 128, "larger than 2^128-1"},
		{"", 16, "no digits in it"}, {"-", 16, "no digits in it"}, {"0x", 16, "no digits in it"}, {"-0b", 16, "no digits in it"},
		{"--0", 16, "'-' is no decimal digit"}, {"abcd", 16, "'a' is no decimal digit"}, {"0y12", 16, "'y' is no decimal digit"},
		{"0xg", 16, "'g' is no hexadecimal digit"}, {"0b12", 16, "'2' is no binary digit"}, {"0o8", 16, "'8' is no octal digit"},
		{"1.5", 16, "'.' is no decimal digit"}, {"+1", 16, "'+' is no decimal digit"}, {"0X1", 16, "'X' is no decimal digit"},
		{"٣", 16, "'٣' is no decimal digit"}, {"1\xff", 16, "is no decimal digit"},
		{"_1", 16, `"_" stands between two digits only`}, {"1_", 16, `"_" stands between`}, {"1__0", 16, `"_" stands between`},
		{"0x_1", 16, `"_" stands between`}, {"-_1", 16, `"_" stands between`},
	} {
		number, err := ParseNumber(test.text, test.bits)
		if got := number.String(); err == nil && got != test.want {
			t.Errorf("%.60q of %d bits: %s, want %s", test.text, test.bits, got, test.want)
		} else if err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60q of %d bits: error %q, want %s", test.text, test.bits, err, test.want)
		}
	}
}

// Goal: the reading of numbers agrees with the standard library's.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0", "-0", "1_000", "0xff", "-0b1", "0o7_7", max128, "x", "0x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		number, err := ParseNumber(text, 128)
		if err != nil {
			return
		}
		digits, isDownward := strings.CutPrefix(text, "-")
		if !strings.HasPrefix(digits, "0x") && !strings.HasPrefix(digits, "0o") && !strings.HasPrefix(digits, "0b") {
			digits = strings.TrimLeft(digits, "0_") // a leading zero is no octal number here
			if digits == "" {
				digits = "0"
			}
		}
		want, ok := new(big.Int).SetString(digits, 0)
		if !ok {
			t.Fatalf("%q: %s; it is no number for package big", text, number)
		}
		if isDownward {
			largest, _ := new(big.Int).SetString(max128, 10)
			want.Sub(largest, want)
		}
		if want.String() != number.String() {
			t.Fatalf("%q: %s, want %s", text, number, want)
		}
	})
}
