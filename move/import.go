package move

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ledger/accounting"
	"ledger/wire"
)

// ImportOptions of Import.
type ImportOptions struct {
	IsDryRun bool // nothing is created; all wrong rows are found
	Tell     func(Change)
	Wrong    func(*RowError) // is told of each wrong row
	Progress func(Progress)

	stateMax int // of a test; 0: that of package move
}

// Report says what an import did.
type Report struct {
	Accounts, Transfers Moved
	Wrong               uint64 // rows
	HasCompared         bool   // the source says what balances there must be
	Compared            uint64 // accounts
	Different           uint64 // accounts that differ or are missing
}

// Moved counts rows of one kind.
type Moved struct {
	Imported uint64 // by this run; of a dry run, that would be
	Skipped  uint64 // that were there already
}

// ErrWrong says that there are wrong rows; ErrDifferent that balances differ.
var (
	ErrWrong = errors.New("rows are wrong, and nothing of their batch was imported: mend them and run the same command again, " +
		"which goes on there")
	ErrDifferent = errors.New("the server does not have what the source has")
)

// importer is one import.
type importer struct {
	ImportOptions
	d      Database
	source *Source
	seen   *foresight
	report Report

	createdHere uint64 // accounts of the source that the server has and that were not imported

	accounts  *flow[accounting.Account]
	transfers *flow[accounting.Transfer]
}

// comparisonsMax bounds the comparisons with a source that is written to.
const comparisonsMax = 5

// Import puts what a source has into a server, and compares all balances. It goes on behind the
// newest account and transfer that the server has.
//
// error: ErrWrong, ErrDifferent, of the source, of the server, or ctx's. The report tells how far
// it came.
func Import(ctx context.Context, d Database, s *Source, options ImportOptions) (Report, error) {
	m := &importer{ImportOptions: options, d: d, source: s}
	account, transfer, err := newest(ctx, d)
	if err != nil {
		return m.report, err
	}
	bodyBytes, err := d.BodyBytesMax(ctx)
	if err != nil {
		return m.report, err
	}
	m.seen = newForesight(d, bodyBytes, options.IsDryRun, account.Timestamp, transfer.Timestamp)
	if options.stateMax != 0 {
		m.seen.stateMax = options.stateMax
	}
	m.accounts = &flow[accounting.Account]{what: "account", next: m.accountRows(), serverLast: account.Timestamp, serverID: account.ID,
		max: int(wire.EventsMax(wire.OperationCreateAccounts, bodyBytes)), moved: &m.report.Accounts,
		areOthersOurs: func() bool { return transfer.Timestamp == 0 }, foresee: m.seen.accounts, create: m.createAccounts,
		facts: func(a *accounting.Account) facts {
			return facts{a.ID, a.Timestamp, a.Flags&accounting.AccountLinked != 0}
		},
		statusName: func(status uint32) string { return accounting.AccountStatus(status).String() }}
	m.transfers = &flow[accounting.Transfer]{what: "transfer", next: s.transfers, serverLast: transfer.Timestamp, serverID: transfer.ID,
		max: int(wire.EventsMax(wire.OperationCreateTransfers, bodyBytes)), moved: &m.report.Transfers,
		areOthersOurs: m.accounts.isOurs, foresee: m.seen.transfers, create: m.createTransfers,
		facts: func(t *accounting.Transfer) facts {
			return facts{t.ID, t.Timestamp, t.Flags&accounting.TransferLinked != 0}
		},
		statusName: func(status uint32) string { return accounting.TransferStatus(status).String() }}
	err = m.run(ctx)
	m.report.Accounts.Skipped, m.report.Transfers.Skipped = m.accounts.skipped, m.transfers.skipped
	if err == nil && m.report.Wrong > 0 {
		err = ErrWrong
	}
	switch {
	case err != nil || m.report.Different == 0:
	case m.createdHere == m.report.Different:
		err = fmt.Errorf("%w: its accounts were created there and not imported, so it is the server that the rows come from", ErrDifferent)
	default:
		err = ErrDifferent
	}
	return m.report, err
}

// accountRows are the accounts as they were created; nil if the source has none.
func (m *importer) accountRows() source[accounting.Account] {
	if m.source.accounts == nil {
		return nil
	}
	return func(ctx context.Context, account *accounting.Account) (Place, error) {
		var row accountRow
		place, err := m.source.accounts(ctx, &row)
		*account = m.source.changer.account(&row)
		return place, err
	}
}

func (m *importer) run(ctx context.Context) error {
	live := m.source.live
	for range comparisonsMax {
		isNew, err := live == nil, error(nil)
		if live != nil {
			if isNew, err = live.begin(ctx); err != nil {
				return err
			}
		}
		for isNew {
			if err := m.round(ctx); err != nil || m.report.Wrong > 0 && !m.IsDryRun {
				return err
			}
			if isNew = false; live != nil {
				if isNew, err = live.begin(ctx); err != nil {
					return err
				}
			}
		}
		if err := errors.Join(m.accounts.met(), m.transfers.met()); err != nil {
			return err
		}
		if err := m.compare(ctx); err != nil {
			return err
		}
		if live != nil {
			if isNew, err = live.begin(ctx); err != nil {
				return err
			}
		}
		if !isNew {
			m.source.changer.end()
			return nil
		}
		if err := m.round(ctx); err != nil {
			return err
		}
	}
	return errors.New("the source is written to, and its balances cannot be compared: stop what writes to it and run the same command again")
}

// round imports what the source has now.
func (m *importer) round(ctx context.Context) error {
	if m.accounts.next != nil {
		if err := pump(ctx, m, m.accounts); err != nil || m.report.Wrong > 0 && !m.IsDryRun {
			return err
		}
	}
	return pump(ctx, m, m.transfers)
}

// pump moves one kind of rows. The next batch is read while one is on its way.
func pump[R any](ctx context.Context, m *importer, f *flow[R]) error {
	type filled struct {
		batch[R]
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := make(chan filled)
	defer func() {
		cancel()
		for range batches { // until the reader has ended
		}
	}()
	go func() {
		defer close(batches)
		for {
			b, err := f.fill(ctx)
			select {
			case batches <- filled{b, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || b.isEnd {
				return
			}
		}
	}()
	for b := range batches {
		if b.err != nil {
			return b.err
		}
		created, err := one(ctx, m, f, &b.batch)
		if err != nil {
			return err
		}
		f.moved.Imported += created
		m.Progress(Progress{What: f.what + "s", Count: f.moved.Imported + b.skipped, Share: m.source.share()})
		if m.report.Wrong > 0 && !m.IsDryRun {
			return nil
		}
	}
	return ctx.Err()
}

// one imports a batch without a fault, or tells of the faults.
func one[R any](ctx context.Context, m *importer, f *flow[R], b *batch[R]) (created uint64, err error) {
	if len(b.rows) > 0 {
		statuses, err := f.foresee(ctx, b.rows, m.source.isServers && b.isOurs && f.areOthersOurs())
		if err != nil {
			return 0, err
		}
		for i, status := range statuses {
			if status == uint32(accounting.TransferStatusCreated) {
				created++
			} else if name := f.statusName(status); status != linkedEventFailed && len(b.wrong) < wrongPerBatch {
				b.wrong = append(b.wrong, &RowError{b.places[i], columnOf(name, f.what),
					fmt.Sprintf("%s (%s %s; \"explain %s\" in ledger repl says more)", name, f.what, f.facts(&b.rows[i]).id, name)})
			}
		}
	}
	for _, wrong := range b.wrong {
		m.Wrong(wrong)
	}
	m.report.Wrong += uint64(len(b.wrong))
	if m.IsDryRun || len(b.rows) == 0 {
		return created, nil
	}
	if len(b.wrong) > 0 {
		return 0, nil
	}
	return created, f.create(ctx, b)
}

// linkedEventFailed is the status of the members of a chain that another one has broken. It is the
// same number for both kinds.
const linkedEventFailed = uint32(accounting.TransferStatusLinkedEventFailed)

// columnOf is the column that a status is about.
func columnOf(status, what string) string {
	for _, one := range []struct{ part, column string }{
		{"imported_event_timeout", "timeout"}, {"timestamp", "timestamp"}, {"imported", "flags"}, {"flag", "flags"}, {"linked", "flags"},
		{"closing", "flags"}, {"timeout", "timeout"}, {"user_data_128", "user_data_128"}, {"user_data_64", "user_data_64"},
		{"user_data_32", "user_data_32"}, {"amount", "amount"}, {"exceeds", "amount"}, {"overflows", "amount"},
		{"debit_account", "debit_account_id"}, {"credit_account", "credit_account_id"}, {"accounts_must", "credit_account_id"},
		{"ledger", "ledger"}, {"code", "code"}, {"pending", "pending_id"}, {"debits", "debits_posted"}, {"credits", "credits_posted"},
	} {
		if strings.Contains(status, one.part) && (what == "transfer" || one.part != "pending") {
			return one.column
		}
	}
	return "id"
}

func (m *importer) createAccounts(ctx context.Context, b *batch[accounting.Account]) error {
	results, err := m.d.CreateAccounts(ctx, b.rows)
	if err != nil {
		return err
	}
	return judge(m.accounts, b, len(results), func(i int) (outcome, string) {
		return outcomeOf(uint32(results[i].Status), uint32(accounting.AccountStatusExists), results[i].Timestamp == b.rows[i].Timestamp),
			results[i].Status.String()
	})
}

func (m *importer) createTransfers(ctx context.Context, b *batch[accounting.Transfer]) error {
	results, err := m.d.CreateTransfers(ctx, b.rows)
	if err != nil {
		return err
	}
	return judge(m.transfers, b, len(results), func(i int) (outcome, string) {
		return outcomeOf(uint32(results[i].Status), uint32(accounting.TransferStatusExists), results[i].Timestamp == b.rows[i].Timestamp),
			results[i].Status.String()
	})
}
