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

// heal puts back what damage has changed.
func (m *Image) heal(offsetBytes uint64, content []byte) {
	for at := offsetBytes; at < offsetBytes+uint64(len(content)); at += m.sectorBytes {
		delete(m.unreadable, at/m.sectorBytes)
		delete(m.tainted, at/m.sectorBytes)
	}
	m.put(offsetBytes, content)
}
