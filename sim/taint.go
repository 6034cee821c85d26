package sim

// taint notes that the sectors of a range are not what the replica wrote there last.
func (m *Image) taint(offsetBytes, lengthBytes uint64) {
	for sector := offsetBytes / m.sectorBytes; sector*m.sectorBytes < offsetBytes+lengthBytes; sector++ {
		m.tainted[sector] = true
	}
}

// isTainted tells whether a sector of a range is not what the replica wrote there last.
func (m *Image) isTainted(offsetBytes, lengthBytes uint64) bool {
	for sector := offsetBytes / m.sectorBytes; sector*m.sectorBytes < offsetBytes+lengthBytes; sector++ {
		if m.tainted[sector] {
			return true
		}
	}
	return false
}

// heal puts back what damage has changed, and leaves alone what the replica has written since.
func (m *Image) heal(offsetBytes uint64, content []byte) {
	for at := uint64(0); at < uint64(len(content)); at += m.sectorBytes {
		if sector := (offsetBytes + at) / m.sectorBytes; m.tainted[sector] {
			delete(m.unreadable, sector)
			delete(m.tainted, sector)
			m.put(offsetBytes+at, content[at:at+m.sectorBytes])
		}
	}
}
