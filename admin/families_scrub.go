package admin

import (
	"fmt"
	"io"
	"time"

	"ledger/stages/compact"
	"ledger/stages/journal"
	"ledger/storage"
)

// scrubbers are the samples of the two parts of the scrubber: that of the superblock and the log,
// and that of the grid.
func (s *snapshot) scrubbers() (log *journal.ScrubSample, grid *compact.ScrubSample) {
	return &s.Journal.Scrub, &s.Compact[0].Scrub
}

// ofScrubber makes a family of numbers of the scrubber. They are 0 while it is off.
func ofScrubber(f family, numbers func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number)) family {
	f.numbers = func(s *snapshot, emit number) {
		log, grid := s.scrubbers()
		numbers(log, grid, emit)
	}
	return f
}

// permille of a pass.
func permille(part, all uint64) uint64 { return min(part*1000/max(all, 1), 1000) }

func scrubFamilies() []family {
	return []family{
		one("ledger_scrub_period_ns", "ns", "Time in which the scrubber reads the whole file; 0: it is off", gauge,
			func(s *snapshot) uint64 { return s.Limits.ScrubPeriodNs }),
		ofScrubber(family{name: "ledger_scrub_position_permille", unit: "permille", kind: gauge, labels: []string{"part"},
			help: "Position of the scrubber in its pass over the log, superblock included, and over the grid"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(permille(log.Place, log.Places), "log")
				emit(permille(grid.Address, grid.AddressMax), "grid")
			}),
		ofScrubber(family{name: "ledger_scrub_ended_passes", unit: "passes", kind: counter, labels: []string{"part"},
			help: "Passes of the scrubber that ended; the first one begins in the middle"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(log.Passes, "log")
				emit(grid.Passes, "grid")
			}),
		ofScrubber(family{name: "ledger_scrub_read_bytes", unit: "bytes", kind: counter, labels: []string{"part"},
			help: "Bytes that the scrubber has read"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(log.Bytes, "log")
				emit(grid.Bytes, "grid")
			}),
		ofScrubber(family{name: "ledger_scrub_found_places", unit: "places", kind: counter, labels: []string{"zone"},
			help: "Damaged places that the scrubber has found; a place that is still damaged in the next pass counts again"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(log.Findings[storage.ZoneSuperblock], storage.ZoneNames[storage.ZoneSuperblock])
				emit(log.Findings[storage.ZoneLog], storage.ZoneNames[storage.ZoneLog])
				emit(grid.Findings, storage.ZoneNames[storage.ZoneGrid])
			}),
		ofScrubber(family{name: "ledger_scrub_damaged_places", unit: "places", kind: gauge, labels: []string{"zone"},
			help: "Places that are damaged now, as far as the scrubber knows"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(log.Damaged[storage.ZoneSuperblock], storage.ZoneNames[storage.ZoneSuperblock])
				emit(log.Damaged[storage.ZoneLog], storage.ZoneNames[storage.ZoneLog])
				emit(grid.Damaged, storage.ZoneNames[storage.ZoneGrid])
			}),
		ofScrubber(family{name: "ledger_scrub_repaired_places", unit: "places", kind: counter, labels: []string{"part"},
			help: "Damaged places that were written again, or that were right when they were read later"},
			func(log *journal.ScrubSample, grid *compact.ScrubSample, emit number) {
				emit(log.Repaired, "log")
				emit(grid.Repaired, "grid")
			}),
	}
}

// writeScrubber tells how far the scrubber is, and what it has found.
func writeScrubber(w io.Writer, s *snapshot) {
	log, grid := s.scrubbers()
	if grid.PeriodNs == 0 {
		fmt.Fprintln(w, "scrubber off")
		return
	}
	damaged := log.Damaged[storage.ZoneSuperblock] + log.Damaged[storage.ZoneLog] + grid.Damaged
	found := log.Findings[storage.ZoneSuperblock] + log.Findings[storage.ZoneLog] + grid.Findings
	fmt.Fprintf(w, "scrubber: %s of the log, %s of the grid, %d MiB read, a pass in %s; %d places damaged now, %d found, %d repaired\n",
		share(log.Place, log.Places), share(grid.Address, grid.AddressMax), (log.Bytes+grid.Bytes)>>20, time.Duration(grid.PeriodNs), damaged,
		found, log.Repaired+grid.Repaired)
}
