package main

import (
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"strings"
	"unicode"

	"ledger/limits"
	"ledger/wire"
)

type versionCommand struct {
	Verbose bool `help:"Say more: format version, protocol releases, all limits."`
}

func (c *versionCommand) Run(s *streams) error {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintf(s.out, "ledger %s (%s)\n", version, commitOf(info))
	if !c.Verbose {
		return nil
	}
	fmt.Fprintf(s.out, "format_version=%d\n", limits.FormatVersion)
	fmt.Fprintf(s.out, "client_releases=%s..%s\nrelease_announced=%s\n", wire.ReleaseClientMin, wire.ReleaseClientMax, wire.ReleaseAnnounced)
	printLimits(s.out)
	return nil
}

// commitOf returns the commit from which the program was built, as recorded by the Go command. info
// may be nil.
func commitOf(info *debug.BuildInfo) string {
	var revision, modified string
	if info != nil {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				revision = setting.Value
			case "vcs.modified":
				modified = setting.Value
			}
		}
	}
	switch {
	case revision == "":
		return "commit unknown: built outside of a checkout"
	case modified == "true":
		return "commit " + revision + ", with changes"
	}
	return "commit " + revision
}

// printLimits prints all limits of a start with the default flags. Then it prints the limits that
// --development changes, and those that flags cannot exceed.
func printLimits(out io.Writer) {
	production, development := limits.Production(), limits.Development()
	normal, small := reflect.ValueOf(production), reflect.ValueOf(development)
	for i := range normal.NumField() {
		if !normal.Field(i).CanUint() {
			continue // whether the file is a standby's is no limit
		}
		fmt.Fprintf(out, "%s=%d\n", underscored(normal.Type().Field(i).Name), normal.Field(i).Interface())
	}
	fmt.Fprintf(out, "checkpoint_interval_ops=%d\n", production.CheckpointIntervalOps())
	for i := range normal.NumField() {
		if normal.Field(i).CanUint() && normal.Field(i).Uint() != small.Field(i).Uint() {
			fmt.Fprintf(out, "%s_development=%d\n", underscored(normal.Type().Field(i).Name), small.Field(i).Interface())
		}
	}
	fmt.Fprintf(out, "clients_max=%d\nreplicas_max=%d\nstandbys_max=%d\ncompact_workers_max=%d\n",
		limits.SessionsMax, limits.ReplicasMax, limits.StandbysMax, limits.CompactWorkersMax)
}

// underscored writes the name of a field like a name of a metric or of the configuration file:
// JournalSlotsCount is journal_slots_count.
func underscored(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
