// Command ledger is the one binary: it formats data files and serves them.
//
// Exit statuses: 0 done, 1 the command line, the configuration or the data file is not as it must be, 2 no space left on the
// disk, 3 damaged data or a failing disk, 5 the storage limit is reached. A panic, which is a broken assertion, ends with Go's 2
// and a stack on stderr.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// Version of this program. The protocol's releases are in package wire.
const version = "0.1.0"

// Exit statuses; see above.
const (
	exitDone    = 0
	exitRefused = 1
	exitNoSpace = 2
	exitDamage  = 3
	exitLimit   = 5
)

// commandLine is what kong reads. All values are text: package config judges them, for flags and file alike.
type commandLine struct {
	Format    formatCommand    `cmd:"" help:"Make the data file of a new replica."`
	Start     startCommand     `cmd:"" help:"Serve a data file."`
	Dev       devCommand       `cmd:"" help:"Serve a development database on 127.0.0.1:3001; its data file is made if it is missing."`
	Benchmark benchmarkCommand `cmd:"" help:"Put load on a server and measure it."`
	Topology  topologyCommand  `cmd:"" help:"Show cores, caches and NUMA nodes, and propose which stage runs where."`
	Version   versionCommand   `cmd:"" help:"Print the version and the commit."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// statusError is an error with an exit status other than 1.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// streams are what a command reads and writes.
type streams struct {
	in  *os.File
	out *os.File
	err io.Writer
}

func run(arguments []string, in, out *os.File, errorOut io.Writer) int {
	var line commandLine
	exited := -1
	parser, err := newParser(&line, out, errorOut, func(status int) { exited = status })
	if err != nil {
		panic(err) // the struct above is wrong
	}
	if len(arguments) == 0 {
		fmt.Fprintln(errorOut, "ledger: a command is missing: format, start, dev or version; ledger --help says more")
		return exitRefused
	}
	arguments, err = normalize(parser.Model, arguments)
	if err != nil {
		fmt.Fprintln(errorOut, "ledger: "+err.Error())
		return exitRefused
	}
	context, err := parser.Parse(arguments)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintln(errorOut, "ledger: "+refusal(parser.Model, arguments, err).Error())
		return exitRefused
	}
	if err := context.Run(&streams{in: in, out: out, err: errorOut}); err != nil {
		fmt.Fprintln(errorOut, "ledger: "+err.Error())
		var status *statusError
		if errors.As(err, &status) {
			return status.status
		}
		return exitRefused
	}
	return exitDone
}

func newParser(line *commandLine, out, errorOut io.Writer, exit func(status int)) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("ledger"),
		kong.Description("A replicated financial-transactions database. Every official TigerBeetle client works with it."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(describe),
		helpVars(),
		kong.Writers(out, errorOut),
		kong.Exit(exit),
	)
}
