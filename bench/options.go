package bench

import (
	"fmt"
	"time"

	"ledger/limits"
	"ledger/wire"
)

// IDOrder is the order of ids. It matters because the database keeps transfers by id.
type IDOrder string

const (
	IDOrderTBID       IDOrder = "tbid"       // rising with time, like the id functions of clients; never the same in two runs
	IDOrderSequential IDOrder = "sequential" // 1, 2, 3...
	IDOrderRandom     IDOrder = "random"     // spread over all 128 bits
	IDOrderReversed   IDOrder = "reversed"   // falling
)

// Distribution tells how often each account is used.
type Distribution string

const (
	DistributionUniform Distribution = "uniform" // all accounts equally
	DistributionZipfian Distribution = "zipfian" // a few accounts very often, at any index
	DistributionLatest  Distribution = "latest"  // the last accounts very often
)

// Workload is a kind of load.
type Workload string

const (
	WorkloadTransfers Workload = "transfers" // batches of transfers, then queries: the reference's
	WorkloadPayments  Workload = "payments"  // the calls of a payment service
)

// Options of a load. DefaultOptions has the reference's defaults.
type Options struct {
	Addresses []string  `json:"addresses"`
	Cluster   wire.U128 `json:"-"`

	Workload     Workload `json:"workload"`
	CallCount    uint64   `json:"call_count"`           // payments: calls of all callers
	CallRate     float64  `json:"call_rate_per_second"` // payments: of all callers; 0 means a closed loop
	CallersCount uint32   `json:"callers_count"`        // payments: callers that share one session
	ReadersCount uint32   `json:"readers_count"`        // sessions that ask for full replies without pause, beside the load

	AccountCount        uint64       `json:"account_count"`
	AccountCountHot     uint64       `json:"account_count_hot"` // the first ones: debited by TransferHotPercent of the transfers
	AccountDistribution Distribution `json:"account_distribution"`
	AccountBatchCount   uint32       `json:"account_batch_count"`

	TransferCount      uint64        `json:"transfer_count"`
	TransferBatchCount uint32        `json:"transfer_batch_count"`
	TransferBatchDelay time.Duration `json:"transfer_batch_delay_ns"` // between a client's answer and its next batch
	TransferHotPercent uint32        `json:"transfer_hot_percent"`
	TransferPending    bool          `json:"transfer_pending"`         // 30 % are pending and expire after 1 to 5 s
	TransferRate       float64       `json:"transfer_rate_per_second"` // of all clients; 0 means a closed loop
	BuildAhead         bool          `json:"build_ahead"`              // closed loop: build the next batch while one is in flight
	Warmup             time.Duration `json:"warmup_ns"`                // batches that begin in this time do not count for latencies

	Interval     time.Duration `json:"interval_ns"` // of the percentiles over time
	ServerMemory func() int64  `json:"-"`           // resident memory of the server, if it can be asked; may be nil
	ServerCPU    func() int64  `json:"-"`           // its processor time in ns, if it can be asked; may be nil

	// Late is called once if the clients are not registered after LateAfter. It may be nil.
	Late      func()        `json:"-"`
	LateAfter time.Duration `json:"-"`

	QueryCount   uint64  `json:"query_count"`
	IDOrder      IDOrder `json:"id_order"`
	ClientsCount uint32  `json:"clients_count"`
	Seed         uint64  `json:"seed"`
	FlagHistory  bool    `json:"flag_history"`
	FlagImported bool    `json:"flag_imported"`
	Validate     bool    `json:"validate"`
}

// DefaultOptions are the reference's.
func DefaultOptions() Options {
	return Options{
		Workload:            WorkloadTransfers,
		CallCount:           200_000,
		CallersCount:        1,
		AccountCount:        10_000,
		AccountDistribution: DistributionUniform,
		AccountBatchCount:   wire.EventsMax(wire.OperationCreateAccounts, wire.BodyBytesMax),
		TransferCount:       10_000_000,
		TransferBatchCount:  wire.EventsMax(wire.OperationCreateTransfers, wire.BodyBytesMax),
		TransferHotPercent:  100,
		Interval:            time.Minute,
		LateAfter:           5 * time.Second,
		QueryCount:          100,
		IDOrder:             IDOrderTBID,
		ClientsCount:        1,
		Seed:                42,
		FlagHistory:         true,
	}
}

const intervalMin = 100 * time.Millisecond

const callersMax = 1024 // the client merges at most so many calls

const clientsMax = limits.SessionsMax // a server may have been formatted for as many sessions

// Check returns an error that names the first wrong option.
func (o *Options) Check() error {
	batchMax := wire.EventsMax(wire.OperationCreateTransfers, wire.BodyBytesMax)
	for _, rule := range []struct {
		holds bool
		flag  string
		want  string
		got   any
	}{
		{o.AccountCount >= 2, "account-count", "at least 2", o.AccountCount},
		{o.AccountCountHot <= o.AccountCount, "account-count-hot", "at most --account-count", o.AccountCountHot},
		{o.AccountBatchCount >= 1 && o.AccountBatchCount <= batchMax, "account-batch-count", fmt.Sprintf("1 to %d", batchMax),
			o.AccountBatchCount},
		{o.TransferBatchCount >= 1 && o.TransferBatchCount <= batchMax, "transfer-batch-count", fmt.Sprintf("1 to %d", batchMax),
			o.TransferBatchCount},
		{o.TransferHotPercent <= 100, "transfer-hot-percent", "at most 100", o.TransferHotPercent},
		{o.TransferRate >= 0, "transfer-rate", "transfers per second, or 0 for a closed loop", o.TransferRate},
		{o.TransferBatchDelay >= 0, "transfer-batch-delay", "a duration", o.TransferBatchDelay},
		{o.TransferRate == 0 || o.TransferBatchDelay == 0, "transfer-batch-delay", "left out with --transfer-rate, which says when to send",
			o.TransferBatchDelay},
		{o.Interval >= intervalMin, "interval", fmt.Sprintf("at least %v", intervalMin), o.Interval},
		{o.ClientsCount >= 1 && o.ClientsCount <= clientsMax, "clients", fmt.Sprintf("1 to %d", clientsMax), o.ClientsCount},
		{!o.FlagImported || o.ClientsCount == 1, "clients", "1 with --imported, whose events must arrive in the order of their timestamps",
			o.ClientsCount},
		{!o.FlagImported || !o.TransferPending, "transfer-pending", "left out with --imported: imported transfers cannot have timeouts",
			o.TransferPending},
		{o.ClientsCount+o.ReadersCount <= clientsMax, "readers", fmt.Sprintf("at most %d together with --clients", clientsMax), o.ReadersCount},
		{o.CallersCount >= 1 && o.CallersCount <= callersMax, "callers", fmt.Sprintf("1 to %d", callersMax), o.CallersCount},
		{o.CallRate >= 0, "call-rate", "calls per second, or 0 for a closed loop", o.CallRate},
		{o.Workload == WorkloadPayments || o.CallersCount == 1, "callers", "left out without --workload=payments", o.CallersCount},
		{o.Workload == WorkloadPayments || o.CallRate == 0, "call-rate", "left out without --workload=payments", o.CallRate},
		{o.Workload != WorkloadPayments || o.CallCount > 0, "call-count", "at least 1", o.CallCount},
		{o.Workload != WorkloadPayments || o.AccountCount >= o.AccountCountHot+2, "account-count-hot", "at most --account-count - 2",
			o.AccountCountHot},
		{o.Workload != WorkloadPayments || o.TransferRate == 0, "transfer-rate", "left out with --workload=payments, which has --call-rate",
			o.TransferRate},
		{o.Workload != WorkloadPayments || o.TransferBatchDelay == 0, "transfer-batch-delay", "left out with --workload=payments",
			o.TransferBatchDelay},
		{o.Workload != WorkloadPayments || !o.TransferPending, "transfer-pending",
			"left out with --workload=payments, which has pending transfers of its own", o.TransferPending},
		{o.Workload != WorkloadPayments || !o.BuildAhead, "build-ahead", "left out with --workload=payments", o.BuildAhead},
		{o.Workload != WorkloadPayments || !o.FlagImported, "imported", "left out with --workload=payments", o.FlagImported},
		{o.Workload != WorkloadPayments || !o.Validate, "validate", "left out with --workload=payments, whose answers are always checked",
			o.Validate},
		{!o.Validate || o.IDOrder != IDOrderTBID, "validate", "with another --id-order: time-based ids cannot be computed again", o.IDOrder},
	} {
		if !rule.holds {
			return fmt.Errorf("--%s=%v: must be %s", rule.flag, rule.got, rule.want)
		}
	}
	switch o.Workload {
	case WorkloadTransfers, WorkloadPayments:
	default:
		return fmt.Errorf("--workload=%s: must be transfers or payments", o.Workload)
	}
	switch o.IDOrder {
	case IDOrderTBID, IDOrderSequential, IDOrderRandom, IDOrderReversed:
	default:
		return fmt.Errorf("--id-order=%s: must be tbid, sequential, random or reversed", o.IDOrder)
	}
	switch o.AccountDistribution {
	case DistributionUniform, DistributionZipfian, DistributionLatest:
	default:
		return fmt.Errorf("--account-distribution=%s: must be uniform, zipfian or latest", o.AccountDistribution)
	}
	return nil
}
