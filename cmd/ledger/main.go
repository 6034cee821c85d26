// Command ledger is the only program: it formats data files and serves them.
//
// The exit statuses are in status.go.
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

// commandLine is what kong parses. All values are text, because package config checks them, for
// flags and the file alike.
type commandLine struct {
	Format     formatCommand     `cmd:"" help:"Make the data file of a new replica."`
	Recover    recoverCommand    `cmd:"" help:"Make the data file of a replica whose file is lost, and tell the cluster."`
	Keygen     keygenCommand     `cmd:"" help:"Make the key that the replicas of a cluster share."`
	Start      startCommand      `cmd:"" help:"Serve a data file."`
	Dev        devCommand        `cmd:"" help:"Serve a development database on 127.0.0.1:3001; its data file is made if it is missing. Or a cluster of several processes."`
	Repl       replCommand       `cmd:"" help:"Type statements to a server, or run them from a text or a file."`
	Cdc        cdcCommand        `cmd:"" help:"Copy the change events of a server to a file or to stdout, without a gap, and go on with new ones."`
	Amqp       amqpCommand       `cmd:"" help:"Publish the change events of a server to RabbitMQ, without a gap, and go on with new ones."`
	Export     exportCommand     `cmd:"" help:"Write the accounts and transfers of a server to files, as CSV or lines of JSON; goes on where it was stopped."`
	Import     importCommand     `cmd:"" help:"Put the accounts and transfers of an export, of other files or of a server into a server, and compare every balance."`
	Benchmark  benchmarkCommand  `cmd:"" help:"Put load on a server and measure it."`
	Ping       pingCommand       `cmd:"" help:"Say within two seconds whether a client would be served, and why not."`
	Doctor     doctorCommand     `cmd:"" help:"Check the machine, the disk, a data file and servers: what is wrong, and the remedy."`
	Status     statusCommand     `cmd:"" help:"Show the state of a server: role, ops, rates, sessions, times, threads, rings, growth of the file."`
	Top        topCommand        `cmd:"" help:"Show the state of a server on the terminal, again and again; keys sort and pause."`
	Inspect    inspectCommand    `cmd:"" help:"Look into a data file, at rest or in use: superblock, layout, log, checkpoint, tables, blocks, sessions."`
	Verify     verifyCommand     `cmd:"" help:"Check every checksum of a data file, at rest or in use, and list what is damaged."`
	Topology   topologyCommand   `cmd:"" help:"Show cores, caches and NUMA nodes, and propose which stage runs where."`
	Completion completionCommand `cmd:"" help:"Write what a shell needs to complete the command line."`
	Man        manCommand        `cmd:"" help:"Write the manual page."`
	Version    versionCommand    `cmd:"" help:"Print the version and the commit."`
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// streams are the standard streams of a command.
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
		fmt.Fprintln(errorOut, "ledger: a command is missing: format, start, dev, repl or version; ledger --help says more")
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
		if logged := (*loggedError)(nil); !errors.As(err, &logged) {
			fmt.Fprintln(errorOut, "ledger: "+err.Error())
		}
		return statusOf(err)
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
