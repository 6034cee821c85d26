package peer

import (
	"bytes"
	"testing"
)

func testKey(first byte) (key [KeyBytes]byte) {
	for i := range key {
		key[i] = first + byte(i)
	}
	return key
}

// keyings are the ways in which two replicas may hold keys and understand each other.
func keyings() map[string]func() (from, to Link) {
	old, fresh := testKey(1), testKey(100)
	return map[string]func() (from, to Link){
		"no key":            func() (from, to Link) { return linksOf(NewKeys(), NewKeys(), 0) },
		"one key":           func() (from, to Link) { return linksOf(NewKeys(old), NewKeys(old), 0) },
		"two keys, the old": func() (from, to Link) { return linksOf(NewKeys(old, fresh), NewKeys(old, fresh), 0) },
		"two keys, the new": func() (from, to Link) { return linksOf(NewKeys(old, fresh), NewKeys(old, fresh), 1) },
		"rotation": func() (from, to Link) {
			from, to = linksOf(NewKeys(old), NewKeys(fresh, old), 0)
			to.key = 1
			return from, to
		},
	}
}

// sealed makes the messages of samples, sealed one after the other.
func sealed(from *Link) (messages [][]byte) {
	for _, s := range samples() {
		message := s.encode()
		from.Seal(message[:HeadBytes])
		messages = append(messages, message)
	}
	return messages
}

func open(to *Link, message []byte) Fault {
	b := testBounds()
	var e Envelope
	return to.Open(message, &e, &b)
}

// Goal: an honest sequence of messages passes, whatever keys are there.
func TestLinkPasses(t *testing.T) {
	for name, links := range keyings() {
		from, to := links()
		for _, message := range sealed(&from) {
			if f := open(&to, message); f.Faulty() {
				t.Errorf("%s: %s", name, f.Error())
			}
		}
	}
}

// Goal: what an attacker on the network can do with recorded messages ends the connection.
func TestLinkAttacks(t *testing.T) {
	attacks := []struct {
		name  string
		field string // of the fault; both fields mean that the message is not authentic
		do    func(t *testing.T, links func() (from, to Link)) Fault
	}{
		{"repeat", faultSequence, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			messages := sealed(&from)
			for _, message := range messages[:3] {
				open(&to, message)
			}
			return open(&to, messages[2])
		}},
		{"repeat an old one", faultSequence, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			messages := sealed(&from)
			for _, message := range messages {
				open(&to, message)
			}
			return open(&to, messages[0])
		}},
		{"order anew", faultSequence, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			messages := sealed(&from)
			return open(&to, messages[1])
		}},
		{"leave out", faultSequence, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			messages := sealed(&from)
			open(&to, messages[0])
			return open(&to, messages[2])
		}},
		{"send back", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			from, _ := links()
			messages := sealed(&from)
			return open(&from, messages[0])
		}},
		{"send in another connection", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			to.nonces[SideAcceptor][3]++
			return open(&to, sealed(&from)[0])
		}},
		{"send in another connection of the same acceptor", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			to.nonces[SideConnector][3]++
			return open(&to, sealed(&from)[0])
		}},
		{"exchange the nonces", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			to.nonces[0], to.nonces[1] = to.nonces[1], to.nonces[0]
			return open(&to, sealed(&from)[0])
		}},
		{"inject", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			_, to := links()
			forger, _ := linksOf(NewKeys(testKey(9)), NewKeys(), 0)
			return open(&to, sealed(&forger)[0])
		}},
		{"cut: the next head begins early", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			from, to := links()
			messages := sealed(&from)
			stream := append(messages[0][:HeadBytes-1:HeadBytes-1], messages[1]...)
			return open(&to, stream)
		}},
		{"zeros", faultTag, func(t *testing.T, links func() (from, to Link)) Fault {
			_, to := links()
			return open(&to, make([]byte, HeadBytes))
		}},
	}
	for name, links := range keyings() {
		for _, attack := range attacks {
			if f := attack.do(t, links); f.Field != attack.field || f.Authentic() {
				t.Errorf("%s, %s: got %q, want a fault of %s", name, attack.name, f.Error(), attack.field)
			}
		}
	}
}

// Goal: no bit of a head can be turned. The body has its checksum in the head.
func TestLinkEachBit(t *testing.T) {
	b := testBounds()
	for name, links := range keyings() {
		from, _ := links()
		for i, message := range sealed(&from)[:5] {
			for bit := range len(message) * 8 {
				turned := bytes.Clone(message)
				turned[bit/8] ^= 1 << (bit % 8)
				_, to := links()
				to.received = uint64(i)
				var e Envelope
				f := to.Open(turned, &e, &b)
				if bit < HeadBytes*8 && f.Field != faultTag {
					t.Fatalf("%s, message %d: bit %d is turned: got %q, want a fault of the tag", name, i, bit, f.Error())
				}
				if bit >= HeadBytes*8 {
					if f := CheckBody(&e, turned[EnvelopeBytes:], &b); f.Field != faultBody || f.Authentic() {
						t.Fatalf("%s, message %d: bit %d is turned: got %q, want a fault of the body's checksum", name, i, bit, f.Error())
					}
				}
			}
		}
	}
}

// Goal: a message of a replica that is not the one of the handshake does not pass, although it is
// authentic: with one key for all, any replica can make it.
func TestLinkAuthor(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(to *Link)
	}{
		{"author", func(to *Link) { to.Peer = 1 }},
		{"incarnation", func(to *Link) { to.Incarnation++ }},
	} {
		from, to := linksOf(NewKeys(), NewKeys(), 0)
		c.change(&to)
		if f := open(&to, sealed(&from)[0]); f.Field != c.field || !f.Authentic() {
			t.Errorf("got %q, want a fault of %s", f.Error(), c.field)
		}
	}
}

// Goal: different keys give different tags, and so does no key.
func TestKeysDiffer(t *testing.T) {
	all := []*Keys{NewKeys(), NewKeys(testKey(1)), NewKeys(testKey(2)), NewKeys(testKey(3), testKey(1))}
	for i := range all {
		for j := range all {
			from, to := linksOf(all[i], all[j], 0)
			f := open(&to, sealed(&from)[0])
			if (i == j) == f.Faulty() {
				t.Errorf("keys %d to keys %d: %q", i, j, f.Error())
			}
		}
	}
}

// Goal: tags cost no memory.
func TestTagsDoNotAllocate(t *testing.T) {
	b := testBounds()
	for name, links := range keyings() {
		from, to := links()
		message := samples()[0].encode()
		var e Envelope
		if allocs := testing.AllocsPerRun(100, func() {
			from.Seal(message)
			if f := to.Open(message, &e, &b); f.Faulty() {
				t.Fatal(f.Error())
			}
		}); allocs != 0 {
			t.Errorf("%s: sealing and opening allocate %.1f times, want 0", name, allocs)
		}
	}
}

func BenchmarkTag(b *testing.B) {
	for name, keys := range map[string]*Keys{"plain": NewKeys(), "keyed": NewKeys(testKey(1))} {
		b.Run(name, func(b *testing.B) {
			from, _ := linksOf(keys, keys, 0)
			message := samples()[0].encode()
			b.ReportAllocs()
			for b.Loop() {
				from.Seal(message)
			}
		})
	}
}

// Goal: no frame of a handshake, no direction of a message and no print have a tag in common, with
// a key and without.
func TestTagDomains(t *testing.T) {
	domains := []uint8{uint8(FrameHello), uint8(FrameAnswer), uint8(FrameConfirm), uint8(FrameRefusal), domainFromConnector,
		domainFromAcceptor, domainPrint}
	for _, keys := range []*Keys{NewKeys(), NewKeys(testKey(1))} {
		for _, bytes := range []int{0, frameTagAt, tagDataMax} {
			seen := map[string]uint8{}
			for _, domain := range domains {
				tag := string(keys.tag(0, domain, bytes))
				if other, ok := seen[tag]; ok {
					t.Errorf("domains %d and %d have the same tag of %d bytes", domain, other, bytes)
				}
				seen[tag] = domain
			}
		}
	}
}
