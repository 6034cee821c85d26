package move

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"ledger/accounting"
	"ledger/feed"
)

// ExportOptions of Export.
type ExportOptions struct {
	Folder   string
	IsCSV    bool
	Messages io.Writer
	Progress func(Progress)
}

// Progress tells how far a job is.
type Progress struct {
	What  string  // rows of which kind
	Count uint64  // of rows so far
	Share float64 // of 1; 0: unknown
}

// ExportResult is what the files of an export have in the end.
type ExportResult struct {
	Accounts  uint64
	Transfers uint64 // that this run has added
	Expiries  uint64 // that this run has added
}

// The names of the files of an export, without what follows the point.
const (
	accountsName  = "accounts"
	transfersName = "transfers"
	expiriesName  = "expiries"
)

// exportRoundsMax is the number of times that an export reads the accounts of a server that is
// written to, in the hope that it is quiet for so long.
const exportRoundsMax = 5

// Export writes the accounts, the transfers and the expiries of a server to a folder. The files of
// transfers and expiries are continued. The file of accounts is made anew and has its name when it
// is whole: its balances are those after the last transfer.
//
// error: ctx's, of the files or of the server, or that it is written to.
func Export(ctx context.Context, d Database, options ExportOptions) (result ExportResult, err error) {
	if err := os.MkdirAll(options.Folder, 0o755); err != nil {
		return result, err
	}
	e := &exporter{d: d, ExportOptions: options}
	transfers, err := openLines(e, transfersName, transferColumns())
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, transfers.Close()) }()
	expiries, err := openLines(e, expiriesName, expiryColumns())
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, expiries.Close()) }()
	if err := os.Remove(e.path(accountsName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return result, err // what stands there is older than the transfers that come
	}
	e.hasTimeouts = transfers.Last() != 0 // what an earlier run saw is not known
	for range exportRoundsMax {
		if err := e.begin(ctx); err != nil {
			return result, err
		}
		added, err := copyRows(ctx, e, transfersName, transfers, e.transfers)
		result.Transfers += added
		if err != nil {
			return result, err
		}
		added, err = copyRows(ctx, e, expiriesName, expiries, e.expiries)
		result.Expiries += added
		if err != nil {
			return result, err
		}
		if result.Accounts, err = e.accounts(ctx); err != nil {
			return result, err
		}
		isLast, err := e.isLast(ctx, max(transfers.Last(), expiries.Last()))
		if err != nil || isLast {
			return result, errors.Join(err, e.named())
		}
	}
	return result, fmt.Errorf("the server is written to, and %d times the balances that were read were not those after the last transfer; "+
		"stop what writes to it and run the same command again, which takes only what is new", exportRoundsMax)
}

// exporter is one export.
type exporter struct {
	ExportOptions
	d           Database
	hasTimeouts bool   // a pending transfer with a timeout may be among those seen
	accountLast uint64 // timestamp of the last account in the new file
	last        uint64 // timestamp of the last transfer of the round
	isOver      bool   // there is no expiry of the round any more
}

// begin begins a round. It ends with the newest transfer that the server has now: a server that is
// written to all the time would never come to an end.
func (e *exporter) begin(ctx context.Context) error {
	_, transfer, err := newest(ctx, e.d)
	e.last, e.isOver = transfer.Timestamp, false
	return err
}

func (e *exporter) path(name string) string {
	if e.IsCSV {
		return filepath.Join(e.Folder, name+".csv")
	}
	return filepath.Join(e.Folder, name+".jsonl")
}

// append writes a row in the form of the export.
func (e *exporter) append(out []byte, columns []column, memory []byte) []byte {
	if e.IsCSV {
		return appendCSV(out, columns, memory)
	}
	return appendJSON(out, columns, memory)
}

// form of the lines of transfers and expiries, whose last field is the timestamp.
func (e *exporter) form(columns []column) feed.Form {
	form := feed.Form{Start: `{"` + columns[0].name + `":"`, Timestamp: timestampOfLine}
	if e.IsCSV {
		form.Header, form.Start = header(columns), ""
	}
	return form
}

// timestampOfLine is the number at the end of a line of an export.
func timestampOfLine(line []byte) (uint64, error) {
	line = bytes.TrimSuffix(line, []byte(`"}`))
	digits := line[bytes.LastIndexAny(line, `,"`)+1:]
	return strconv.ParseUint(string(digits), 10, 63)
}

// openLines opens a file that is continued. A new one gets its header, so that it can be imported
// even without a row.
func openLines(e *exporter, name string, columns []column) (*feed.File, error) {
	file, err := feed.OpenFile(e.path(name), e.form(columns), 0)
	if err != nil || file.Last() != 0 {
		return file, err
	}
	if err := file.Write(nil, 0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (e *exporter) transfers(ctx context.Context, after uint64, _ uint32, lines []byte) (feed.Batch, error) {
	if after >= e.last {
		return feed.Batch{}, nil
	}
	rows, err := transferPages(e.d)(ctx, after, e.last)
	if err != nil {
		return feed.Batch{}, err
	}
	columns := transferColumns()
	return feed.Append(lines, after, rows, func(t *accounting.Transfer) uint64 { return t.Timestamp },
		func(out []byte, t *accounting.Transfer) []byte {
			e.hasTimeouts = e.hasTimeouts || t.Timeout != 0
			return e.append(out, columns, memoryOf(t))
		})
}

// expiries reads the change events, which have them. It is spared if nothing can have expired. A
// batch may be without a line, and then feed takes it for the end; so it reads on.
func (e *exporter) expiries(ctx context.Context, after uint64, _ uint32, lines []byte) (feed.Batch, error) {
	columns := expiryColumns()
	for e.hasTimeouts && !e.isOver {
		events, err := eventPages(e.d)(ctx, after, 0)
		if err != nil || len(events) == 0 {
			return feed.Batch{}, err
		}
		after = events[len(events)-1].Timestamp
		rows := e.expiriesAmong(events)
		if len(rows) == 0 {
			continue
		}
		return feed.Append(lines, 0, rows, func(x *expiryRow) uint64 { return x.Timestamp },
			func(out []byte, x *expiryRow) []byte { return e.append(out, columns, memoryOf(x)) })
	}
	return feed.Batch{}, nil
}

// expiriesAmong are the expiries of the round: those before the next transfer behind it.
func (e *exporter) expiriesAmong(events []accounting.ChangeEvent) (rows []expiryRow) {
	for i := range events {
		if events[i].Type == accounting.EventTwoPhaseExpired {
			rows = append(rows, expiryRow{events[i].TransferID, events[i].Timestamp})
		} else if events[i].Timestamp > e.last {
			e.isOver = true
			break
		}
	}
	return rows
}

// copyRows appends what a file lacks.
func copyRows(ctx context.Context, e *exporter, name string, file *feed.File, source feed.Source) (added uint64, err error) {
	options := feed.Options{TimestampLast: file.Last(), RowsMax: rowsMax, Messages: e.Messages,
		Progress: func(r feed.Result) { e.Progress(Progress{What: name, Count: r.Count}) }}
	result, err := feed.Run(ctx, source, file, options)
	if err == nil {
		err = ctx.Err()
	}
	return result.Count, err
}

// accounts writes the file of accounts, under a name that says that it is not whole.
func (e *exporter) accounts(ctx context.Context) (count uint64, err error) {
	file, err := os.Create(e.path(accountsName) + ".part")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	columns := accountColumns()
	var lines []byte
	if e.IsCSV {
		lines = append(lines, header(columns)...)
	}
	newest, _, err := newest(ctx, e.d)
	if err != nil {
		return 0, err
	}
	e.accountLast = 0
	for {
		var page []accounting.Account
		if e.accountLast < newest.Timestamp {
			if page, err = accountPages(e.d)(ctx, e.accountLast, newest.Timestamp); err != nil {
				return count, err
			}
		}
		rows, err := withClosing(ctx, e.d, page)
		if err != nil {
			return count, err
		}
		for i := range rows {
			lines = e.append(lines, columns, memoryOf(&rows[i]))
			e.accountLast = rows[i].Timestamp
		}
		if _, err := file.Write(lines); err != nil {
			return count, err
		}
		if len(rows) == 0 {
			return count, file.Sync()
		}
		lines = lines[:0]
		count += uint64(len(rows))
		e.Progress(Progress{What: accountsName, Count: count})
	}
}

// isLast tells whether the server has nothing behind what was read.
func (e *exporter) isLast(ctx context.Context, last uint64) (bool, error) {
	events, err := e.d.GetChangeEvents(ctx, accounting.ChangeEventsFilter{TimestampMin: last + 1, Limit: 1})
	if err != nil || len(events) > 0 {
		return false, err
	}
	transfers, err := e.d.QueryTransfers(ctx, accounting.QueryFilter{TimestampMin: last + 1, Limit: 1})
	if err != nil || len(transfers) > 0 {
		return false, err
	}
	accounts, err := e.d.QueryAccounts(ctx, accounting.QueryFilter{TimestampMin: e.accountLast + 1, Limit: 1})
	return len(accounts) == 0, err
}

// named gives the file of accounts its name.
func (e *exporter) named() error {
	if err := os.Rename(e.path(accountsName)+".part", e.path(accountsName)); err != nil {
		return err
	}
	folder, err := os.Open(e.Folder)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
