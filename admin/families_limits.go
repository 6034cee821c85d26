package admin

// limitFamilies are the limits in force and the room of the data file, to compare other figures
// with.
func limitFamilies() []family {
	return []family{
		one("ledger_limit_request_bytes", "bytes", "Largest request, its header included", gauge,
			func(s *snapshot) uint64 { return uint64(s.Limits.RequestBytesMax) }),
		one("ledger_limit_sessions", "sessions", "Most sessions; a client beyond them evicts the one that was silent longest", gauge,
			func(s *snapshot) uint64 { return uint64(s.Limits.SessionsMax) }),
		one("ledger_limit_connections", "connections", "Most connections of clients", gauge,
			func(s *snapshot) uint64 { return uint64(s.Limits.ConnectionsMax) }),
		one("ledger_limit_storage_bytes", "bytes", "Largest data file", gauge, func(s *snapshot) uint64 { return s.Limits.StorageBytesMax }),
		one("ledger_file_bytes", "bytes", "Size of the data file", gauge, func(s *snapshot) uint64 { return s.File.Bytes }),
		one("ledger_file_used_bytes", "bytes", "Of the data file, the part up to the highest block ever used", gauge,
			func(s *snapshot) uint64 { return s.usedBytes() }),
		one("ledger_file_free_bytes", "bytes", "Space by which the data file can grow on its file system; 0 for a block device", gauge,
			func(s *snapshot) uint64 { return s.File.FreeBytes }),
	}
}
