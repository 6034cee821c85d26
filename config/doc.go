// Package config turns the command line and the configuration file into checked values.
//
//	flags --Flag--> Settings \
//	                          Merge --> Settings --Resolve--> Start: limits, addresses, placement
//	file --ParseFile--> Settings /
//
// In:     text. Flags have precedence over the file. A setting that is in neither has its default.
// Out:    values within their limits, or one error.
// Owns:   nothing; only Load and LoadClusterKeys read a file.
// Limits: see each Parse function; the file holds up to 1 MiB, that of a key up to 64 KiB.
// Faults: every error begins with the words that caused it and tells the right form:
//
//	--cache-grid=7: must be a multiple of 512 KiB
//	ledger.toml:3: [start] cache_grid = "7": must be a multiple of 512 KiB
//
// The file (all of it is optional, and any other key is refused):
//
//	[start]
//	addresses        = "3001,10.0.0.2:3001,db3.example"
//	cache_grid       = "1GiB"
//	cache_accounts   = "128MiB"
//	limit_storage    = "1TiB"
//	scrub_days       = 7 # in which the whole data file is read; 0: never
//	client_release_max = "0.18.3" # of the clients that are served
//	cluster_key_file = "/etc/ledger/cluster.key" # the key that all replicas share
//	connections_per_address = 16 # without it, as many as there are
//	development      = false
//	metrics_address  = "127.0.0.1:9464"
//	metrics_pprof    = false
//	log              = "text" # or "json"
//	statsd           = "127.0.0.1:8125"
//	trace            = "ledger.trace.json"
//
//	[affinity]
//	numa_node = "auto"
//	net       = "2"       # a core, a list "2,3" or a range "2-3", or "auto"
//	journal   = "3"
//	consensus = "4"
//	apply     = "5"
//	compact   = "6-9"     # several cores: several workers
//	spin      = "50us"    # an idle stage spins so long and then parks; on a shared core it parks
//
// Source: specification, "The command line"; design, section 7.
package config
