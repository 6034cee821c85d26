package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"ledger/config"
	"ledger/limits"
	"ledger/wire"
)

// Examples follow each command's description. A test parses each of them.

// Help implements kong.HelpProvider.
func (c *formatCommand) Help() string {
	return examples("ledger format --cluster=7 --replica=0 --replica-count=1 0_0.data",
		"ledger format --cluster=7 --replica=2 --replica-count=3 7_2.data",
		"ledger format --replica=0 --replica-count=1 --clients-max=256 0_0.data")
}

// Help implements kong.HelpProvider.
func (c *recoverCommand) Help() string {
	return examples("ledger recover --cluster=7 --replica=2 --replica-count=3 --addresses=10.0.0.1:3000,10.0.0.2:3000,10.0.0.3:3000 7_2.data")
}

// Help implements kong.HelpProvider.
func (c *startCommand) Help() string {
	return examples("ledger start --addresses=127.0.0.1:3000 0_0.data",
		"ledger start --addresses=3000 --cache-grid=4GiB --metrics-address=127.0.0.1:9464 0_0.data",
		"ledger start --addresses=3000 --config=ledger.toml 0_0.data",
		"ledger start --addresses=10.0.0.1:3000,node-b.example:3000,[fd00::3]:3000 7_2.data")
}

// Help implements kong.HelpProvider.
func (c *devCommand) Help() string {
	return examples("ledger dev", "ledger dev try.data", "ledger dev --replicas=3")
}

// Help implements kong.HelpProvider.
func (c *replCommand) Help() string {
	return examples("ledger repl", "ledger repl --cluster=7 --addresses=10.0.0.1:3000,10.0.0.2:3000",
		"ledger repl --addresses=3000 --command=query_accounts --output=csv", "ledger repl --file=statements.txt")
}

// Help implements kong.HelpProvider.
func (c *cdcCommand) Help() string {
	return examples("ledger cdc --cluster=7 --addresses=10.0.0.1:3000 --sink=jsonl:events.jsonl --rotate=1GiB",
		"ledger cdc --addresses=3000 --sink=jsonl:- --timestamp-last=0 --follow=false")
}

// Help implements kong.HelpProvider.
func (c *exportCommand) Help() string {
	return examples("ledger export --cluster=7 --addresses=10.0.0.1:3000 export", "ledger export --addresses=3000 --format=csv export")
}

// Help implements kong.HelpProvider.
func (c *importCommand) Help() string {
	return examples("ledger import --addresses=3000 --dry-run export",
		"ledger import --cluster=7 --addresses=10.0.0.1:3000 --report=report.jsonl export",
		"ledger import --addresses=3000 --accounts=accounts.csv --transfers=transfers.csv",
		"ledger import --addresses=3000 --from=10.0.0.1:3000,10.0.0.2:3000 --from-cluster=7")
}

// Help implements kong.HelpProvider.
func (c *amqpCommand) Help() string {
	return examples("ledger amqp --cluster=7 --addresses=10.0.0.1:3000 --host=127.0.0.1 --vhost=/ --user=guest --password=guest "+
		"--publish-exchange=tigerbeetle",
		"ledger amqp --addresses=3000 --host=rabbit-a.example,rabbit-b.example --tls --user=ledger --password-file=password "+
			"--publish-exchange=tigerbeetle --metrics-address=9465")
}

// Help implements kong.HelpProvider.
func (c *benchmarkCommand) Help() string {
	return examples("ledger benchmark --transfer-count=1000000 --clients=4",
		"ledger benchmark --workload=payments --clients=8 --callers=8 --readers=1",
		"ledger benchmark --addresses=127.0.0.1:3000 --cluster=7 --id-order=random --json=result.json")
}

// Help implements kong.HelpProvider.
func (c *pingCommand) Help() string {
	return examples("ledger ping --addresses=127.0.0.1:3001 --cluster=0",
		"ledger ping --addresses=10.0.0.1:3000,10.0.0.2:3000,10.0.0.3:3000 --cluster=7 --metrics=10.0.0.1:9464 --json")
}

// Help implements kong.HelpProvider.
func (c *doctorCommand) Help() string {
	return examples("ledger doctor 0_0.data", "ledger doctor --addresses=127.0.0.1:3000 --cluster=7 --metrics=127.0.0.1:9464 0_0.data",
		"ledger doctor --json")
}

// Help implements kong.HelpProvider.
func (c *statusCommand) Help() string {
	return examples("ledger status", "ledger status --metrics=10.0.0.1:9464,10.0.0.2:9464 --json")
}

// Help implements kong.HelpProvider.
func (c *topCommand) Help() string {
	return examples("ledger top", "ledger top --metrics=10.0.0.1:9464 --interval=500ms")
}

// Help implements kong.HelpProvider.
func (c *topologyCommand) Help() string {
	return examples("ledger topology 0_0.data", "ledger topology --toml=ledger.toml 0_0.data")
}

// Help implements kong.HelpProvider.
func (c *inspectCommand) Help() string {
	return examples("ledger inspect superblock 0_0.data", "ledger inspect wal --slot=17 0_0.data",
		"ledger inspect tables --tree=transfer_id --json 0_0.data", "ledger inspect block 12 0_0.data", "ledger inspect digest 0_0.data")
}

// Help implements kong.HelpProvider.
func (c *inspectSuperblock) Help() string { return examples("ledger inspect superblock 0_0.data") }

// Help implements kong.HelpProvider.
func (c *inspectLayout) Help() string { return examples("ledger inspect layout --json 0_0.data") }

// Help implements kong.HelpProvider.
func (c *inspectWAL) Help() string {
	return examples("ledger inspect wal 0_0.data", "ledger inspect wal --slot=17 0_0.data")
}

// Help implements kong.HelpProvider.
func (c *inspectCheckpoint) Help() string { return examples("ledger inspect checkpoint 0_0.data") }

// Help implements kong.HelpProvider.
func (c *inspectTables) Help() string {
	return examples("ledger inspect tables 0_0.data", "ledger inspect tables --tree=transfer_id 0_0.data")
}

// Help implements kong.HelpProvider.
func (c *inspectBlock) Help() string { return examples("ledger inspect block 12 0_0.data") }

// Help implements kong.HelpProvider.
func (c *inspectSessions) Help() string { return examples("ledger inspect sessions 0_0.data") }

// Help implements kong.HelpProvider.
func (c *inspectDigest) Help() string { return examples("ledger inspect digest --json 0_0.data") }

// Help implements kong.HelpProvider.
func (c *verifyCommand) Help() string { return examples("ledger verify 0_0.data") }

// Help implements kong.HelpProvider.
func (c *completionCommand) Help() string {
	return examples("ledger completion bash",
		"ledger completion fish")
}

// Help implements kong.HelpProvider.
func (c *manCommand) Help() string {
	return examples("ledger man")
}

// Help implements kong.HelpProvider.
func (c *versionCommand) Help() string { return examples("ledger version", "ledger version --verbose") }

func examples(lines ...string) string { return "For example:\n\n    " + strings.Join(lines, "\n    ") }

// helpVars are the defaults and limits in help texts.
func helpVars() kong.Vars {
	production, development := limits.Production(), limits.Development()
	return kong.Vars{
		"cache_grid":                 config.FormatSize(production.CacheGridBytes),
		"cache_recent":               fmt.Sprint(production.CacheRecentPercent),
		"cache_recent_max":           fmt.Sprint(limits.CacheRecentPercentMax),
		"cache_grid_development":     config.FormatSize(development.CacheGridBytes),
		"cache_accounts":             config.FormatSize(config.CacheAccountsBytes(&production)),
		"cache_accounts_development": config.FormatSize(config.CacheAccountsBytes(&development)),
		"limit_storage":              config.FormatSize(production.StorageBytesMax),
		"scrub_days":                 fmt.Sprint(limits.ScrubDays),
		"client_release_max":         wire.ReleaseClientMax.String(),
		"request_development":        config.FormatSize(uint64(development.RequestBytesMax)),
		"clients":                    fmt.Sprint(production.SessionsMax),
		"clients_max":                fmt.Sprint(limits.SessionsMax),
		"replicas_max":               fmt.Sprint(limits.ReplicasMax),
		"standbys_max":               fmt.Sprint(limits.StandbysMax),
	}
}

// describe returns the help of a flag or argument, with its default. If the default is no value of
// the flag, the help itself contains "Default:".
func describe(value *kong.Value) string {
	switch {
	case strings.Contains(value.Help, "Default: ") || value.Name == "help":
		return value.Help
	case value.HasDefault:
		return value.Help + " Default: " + value.Default + "."
	case value.IsBool():
		return value.Help + " Default: false."
	}
	return value.Help + " Required."
}
