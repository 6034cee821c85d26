package peer

// Encode writes a message over inner, the InnerBytes behind the envelope. Decode reads it, and
// checks all that can be checked without the body. e has passed Envelope.Decode.

func (m *Ping) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *Ping) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *Pong) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *Pong) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *Commit) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *Commit) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *CommitEcho) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *CommitEcho) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *PrepareOK) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *PrepareOK) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *StartViewChange) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *StartViewChange) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *DoViewChange) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *DoViewChange) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *StartView) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *StartView) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *RequestStartView) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *RequestStartView) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *RequestHeaders) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *RequestHeaders) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *Headers) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *Headers) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *RequestPrepare) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *RequestPrepare) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *PrepareMissing) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *PrepareMissing) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *RequestBlocks) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *RequestBlocks) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *Block) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *Block) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

func (m *BlockMissing) Encode(inner []byte) {
	c := writing(inner[:InnerBytes])
	m.fields(&c)
}

func (m *BlockMissing) Decode(inner []byte, e *Envelope, b *Bounds) Fault {
	c := reading(inner[:InnerBytes])
	m.fields(&c)
	return c.finish(e, m.check(e, b))
}

// finish returns the fault of a reserved byte, or that of the fields.
func (c *cursor) finish(e *Envelope, ofFields Fault) Fault {
	if f := c.end(e.Command); f.Faulty() {
		return f
	}
	return ofFields
}
