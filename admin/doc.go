// Package admin serves an operator the state of a server over HTTP.
//
//	GET /metrics      all figures, for Prometheus
//	GET /summary      the same for people: shares of time, quantiles, rings, memory
//	GET /status       the same as JSON, with the clients one by one, for ledger status and ledger top
//	GET /log-level    the level below which no line is logged; PUT changes it
//	GET /healthz      200 while the process lives
//	GET /readyz       200 while clients are served, else 503 and the reason
//	GET /debug/pprof/ profiles, if they are switched on
//
// In:     an address to listen on and the progress of the start; later a Source, which is
// replica.Server.
// Out:    text. Every name ends in its unit, and every HELP names the unit. docs/operations.md
// lists all names, which a test checks.
// Owns:   its goroutines, none of them on the data path.
// Limits: one collection at a time, others wait; WaitMax for the answers of the stage threads;
// requests of 8 KiB; connectionsMax connections, of which a new one closes the oldest; a time limit
// for each request, each answer and each idle connection.
// Faults: if a stage thread does not answer, its previous figures are shown, and the thread is
// counted in ledger_scrape_stale_threads.
// Source: design, section 7.
//
// A collection asks each stage thread once for a copy of its figures (package metrics). It reads
// the Go runtime through runtime/metrics, which stops nothing. It never calls runtime.ReadMemStats,
// which stops the world.
//
// Statsd sends the same figures to an agent by UDP.
package admin
