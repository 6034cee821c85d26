package keys

import (
	"math/rand/v2"
	"testing"

	"ledger/accounting"
	"ledger/internal/seeded"
	"ledger/storage"
)

// number draws numbers of all magnitudes, and the largest.
func number(random *rand.Rand, bits uint) uint64 {
	if random.IntN(8) == 0 {
		return 1<<bits - 1
	}
	return random.Uint64() >> (64 - bits) >> random.UintN(bits)
}

func u128(random *rand.Rand) accounting.U128 {
	if random.IntN(2) == 0 {
		return accounting.U128{Lo: number(random, 63)}
	}
	return accounting.U128{Lo: random.Uint64(), Hi: number(random, 63)}
}

func sign[T uint64 | accounting.TransferOrdinal](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func signWide(a, b accounting.U128) int {
	if s := sign(a.Hi, b.Hi); s != 0 {
		return s
	}
	return sign(a.Lo, b.Lo)
}

// Goal: keys compare as what they stand for, and can be read again.
func TestKeysCompare(t *testing.T) {
	random := seeded.Rand(t)
	for range 20000 {
		a, b := u128(random), u128(random)
		if random.IntN(4) == 0 {
			b.Hi = a.Hi
		}
		x, y := ID(a), ID(b)
		if x.Compare(&y) != signWide(a, b) || IDOf(&x) != a {
			t.Fatalf("ids %v and %v: %d, and back %v", a, b, x.Compare(&y), IDOf(&x))
		}
		m, n := number(random, 63), number(random, 63)
		if x, y = Number(m), Number(n); x.Compare(&y) != sign(m, n) {
			t.Fatalf("numbers %d and %d: %d", m, n, x.Compare(&y))
		}
		if x, y = Account(accounting.AccountOrdinal(m)), Account(accounting.AccountOrdinal(n)); x.Compare(&y) !=
			sign(m&0xffffffff, n&0xffffffff) {
			t.Fatalf("accounts %d and %d: %d", m, n, x.Compare(&y))
		}
		e := Expiry{AtNs: m, Ordinal: accounting.TransferOrdinal(number(random, 40))}
		f := Expiry{AtNs: n, Ordinal: accounting.TransferOrdinal(number(random, 40))}
		if random.IntN(4) == 0 {
			f.AtNs = e.AtNs
		}
		want := sign(e.AtNs, f.AtNs)
		if want == 0 {
			want = sign(e.Ordinal, f.Ordinal)
		}
		if x, y = OfExpiry(e), OfExpiry(f); x.Compare(&y) != want || e.Less(f) != (want < 0) || ExpiryOf(&x) != e {
			t.Fatalf("expiries %v and %v: %d, less %v, and back %v", e, f, x.Compare(&y), e.Less(f), ExpiryOf(&x))
		}
		if !e.Less(ExpiryMax) || ExpiryMax.Less(e) {
			t.Fatalf("expiry %v is not below all", e)
		}
	}
}

// Goal: postings compare by value, then by ordinal, in every tree; their size is the tree's.
func TestPostingsCompare(t *testing.T) {
	random := seeded.Rand(t)
	for tree := range storage.TreesCount {
		if IsPosting(tree) != (storage.Trees[tree].Encoding == storage.EncodingPrefix) {
			t.Fatalf("%s: a tree of postings: %v", storage.Trees[tree].Name, IsPosting(tree))
		}
		if IsTransferPosting(tree) != (IsPosting(tree) && tree < storage.TreeAccountUser128) {
			t.Fatalf("%s: a tree of postings of transfers: %v", storage.Trees[tree].Name, IsTransferPosting(tree))
		}
		if !IsPosting(tree) {
			continue
		}
		if got, want := ValueBytes(tree)+tree.OrdinalBytes(), int(storage.Trees[tree].KeyBytes); got != want {
			t.Fatalf("%s: %d bytes, want %d", storage.Trees[tree].Name, got, want)
		}
		value := func() accounting.U128 {
			if ValueBytes(tree) == 16 {
				return u128(random)
			}
			return accounting.U128{Lo: number(random, uint(8*ValueBytes(tree))-1)}
		}
		for range 2000 {
			a, b := value(), value()
			if random.IntN(3) == 0 {
				b = a
			}
			m, n := number(random, uint(8*tree.OrdinalBytes())), number(random, uint(8*tree.OrdinalBytes()))
			want := signWide(a, b)
			if want == 0 {
				want = sign(m, n)
			}
			x, y := Posting(tree, a, m), Posting(tree, b, n)
			if x.Compare(&y) != want {
				t.Fatalf("%s: (%v, %d) and (%v, %d): %d", storage.Trees[tree].Name, a, m, b, n, x.Compare(&y))
			}
			for _, rest := range x[storage.Trees[tree].KeyBytes:] {
				if rest != 0 {
					t.Fatalf("%s: a key is longer than the tree's: %x", storage.Trees[tree].Name, x)
				}
			}
		}
	}
}

// Goal: values can be read again, and have the size that the table of trees gives them.
func TestValuesAgain(t *testing.T) {
	random := seeded.Rand(t)
	for range 2000 {
		account := accounting.Account{
			ID: u128(random), UserData128: u128(random), UserData64: random.Uint64(), UserData32: random.Uint32(), Ledger: random.Uint32(),
			Code: uint16(random.Uint32()), Flags: accounting.AccountFlags(random.Uint32()), Timestamp: random.Uint64(),
		}
		var value [storage.AccountBytes]byte
		got := accounting.Account{DebitsPosted: u128(random)} // what is not in the value becomes zero
		PutAccount(value[:], &account)
		if GetAccount(value[:], &got); got != account {
			t.Fatalf("account %+v, want %+v", got, account)
		}
		balances := func() accounting.Balances {
			return accounting.Balances{DebitsPending: u128(random), DebitsPosted: u128(random), CreditsPending: u128(random),
				CreditsPosted: u128(random), Flags: accounting.AccountFlags(random.Uint32())}
		}
		row := accounting.ExpiredRow{Timestamp: random.Uint64(), Pending: accounting.TransferOrdinal(random.Uint64()),
			DebitAfter: balances(), CreditAfter: balances()}
		expired := make([]byte, storage.Trees[storage.TreeExpired].ValueBytes)
		var again accounting.ExpiredRow
		PutExpired(expired, &row)
		if GetExpired(row.Timestamp, expired, &again); again != row {
			t.Fatalf("expired row %+v, want %+v", again, row)
		}
	}
}

// Goal: the fields of transfers and accounts are those of the trees, in their order.
func TestFields(t *testing.T) {
	transfer := accounting.Transfer{UserData128: accounting.U128{Lo: 1, Hi: 2}, UserData64: 3, UserData32: 4, Ledger: 5, Code: 6}
	account := accounting.Account{UserData128: accounting.U128{Lo: 1, Hi: 2}, UserData64: 3, UserData32: 4, Ledger: 5, Code: 6}
	want := [FieldsCount]accounting.U128{User128: {Lo: 1, Hi: 2}, User64: {Lo: 3}, User32: {Lo: 4}, Ledger: {Lo: 5}, Code: {Lo: 6}}
	names := [FieldsCount]string{User128: "user_128", User64: "user_64", User32: "user_32", Ledger: "ledger", Code: "code"}
	for field := range FieldsCount {
		if TransferField(&transfer, field) != want[field] || AccountField(&account, field) != want[field] {
			t.Errorf("field %d: %v and %v, want %v", field, TransferField(&transfer, field), AccountField(&account, field), want[field])
		}
		of, ofAccounts := storage.TreeTransferUser128+storage.TreeID(field), storage.TreeAccountUser128+storage.TreeID(field)
		if storage.Trees[of].Name != "transfer_"+names[field] || storage.Trees[ofAccounts].Name != "account_"+names[field] {
			t.Errorf("field %d: trees %s and %s", field, storage.Trees[of].Name, storage.Trees[ofAccounts].Name)
		}
	}
}
