package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ledger/accounting"
)

// A source gives rows in the order of their timestamps. io.EOF is the end; after a *RowError the
// next row can be asked for.
type source[R any] func(ctx context.Context, row *R) (Place, error)

// Source is where an import comes from: the files of an export, other files, or a server.
type Source struct {
	accounts   source[accountRow] // nil: none
	transfers  source[accounting.Transfer]
	again      func() (source[accountRow], func() error, error) // the accounts once more, for the comparison; nil: none
	isComplete bool                                             // the accounts have balances
	isServers  bool                                             // the rows are those of a server, so their ids and timestamps are unique
	live       *liveSource                                      // nil: files
	changer    *changer
	closers    []func() error
	share      func() float64 // of the transfers that was read
}

// Close closes the files.
func (s *Source) Close() (err error) {
	for _, one := range s.closers {
		err = errors.Join(err, one())
	}
	return err
}

// FileOptions name the files of OpenFiles. Folder has an export; the others may be given instead,
// and any but one of them may be left out.
type FileOptions struct {
	Folder, Accounts, Transfers, Expiries string
}

// OpenFiles opens files as a source.
func OpenFiles(options FileOptions, tell func(Change)) (s *Source, err error) {
	isExport := options.Folder != ""
	if isExport {
		if options, err = filesOf(options.Folder); err != nil {
			return nil, err
		}
	}
	s = &Source{changer: newChanger(tell), isServers: isExport, share: func() float64 { return 0 }}
	if err := s.open(&options); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// filesOf finds the files of an export.
func filesOf(folder string) (options FileOptions, err error) {
	found := ""
	for _, extension := range []string{".jsonl", ".csv"} {
		path := func(name string) string { return filepath.Join(folder, name+extension) }
		if _, err := os.Stat(path(transfersName)); err != nil {
			continue
		}
		if found != "" {
			return options, fmt.Errorf("%s: has an export as CSV and one as JSONL: remove the files of one of them", folder)
		}
		found = extension
		options = FileOptions{Accounts: path(accountsName), Transfers: path(transfersName), Expiries: path(expiriesName)}
	}
	if found == "" {
		return options, fmt.Errorf("%s: has no export: no transfers.jsonl and no transfers.csv", folder)
	}
	if _, err := os.Stat(options.Accounts); err != nil {
		return options, fmt.Errorf("%s: the export is not complete, because %s is missing: run it again, and it goes on", folder,
			filepath.Base(options.Accounts))
	}
	return options, nil
}

func (s *Source) open(options *FileOptions) error {
	if path := options.Accounts; path != "" {
		rows, err := openRows[accountRow](path, accountColumns())
		if err != nil {
			return err
		}
		s.closers = append(s.closers, rows.close)
		s.accounts = rowsOf(rows)
		s.isComplete = rows.present == nil || hasAll(rows.present, balanceColumns()) // nil: no rows
		s.again = func() (source[accountRow], func() error, error) {
			rows, err := openRows[accountRow](path, accountColumns())
			if err != nil {
				return nil, nil, err
			}
			return rowsOf(rows), rows.close, nil
		}
	}
	var transfers *rowReader[accounting.Transfer]
	var expiries *rowReader[expiryRow]
	var err error
	if options.Transfers != "" {
		if transfers, err = openRows[accounting.Transfer](options.Transfers, transferColumns()); err != nil {
			return err
		}
		s.closers = append(s.closers, transfers.close)
		s.share = transfers.share
	}
	if options.Expiries != "" {
		if expiries, err = openRows[expiryRow](options.Expiries, expiryColumns()); err != nil {
			return err
		}
		s.closers = append(s.closers, expiries.close)
	}
	s.transfers = s.merged(transfers, expiries)
	return nil
}

func hasAll(have, want []string) bool {
	count := 0
	for _, name := range have {
		for _, other := range want {
			if name == other {
				count++
			}
		}
	}
	return count == len(want)
}

func rowsOf[R any](rows *rowReader[R]) source[R] {
	return func(_ context.Context, row *R) (Place, error) {
		err := rows.next(row)
		return rows.place(), err
	}
}

// head is the next row of a file, if it was read already.
type head[R any] struct {
	rows  *rowReader[R] // nil: none
	row   R
	isSet bool
}

// look reads the next row if it was not read. It tells whether there is one.
func (h *head[R]) look() (bool, error) {
	if h.rows == nil || h.isSet {
		return h.isSet, nil
	}
	err := h.rows.next(&h.row)
	if errors.Is(err, io.EOF) {
		h.rows = nil
		return false, nil
	}
	h.isSet = err == nil
	return h.isSet, err
}

// merged gives the transfers of two files, ready to be imported: each expiry becomes a void among
// them.
func (s *Source) merged(transferRows *rowReader[accounting.Transfer], expiryRows *rowReader[expiryRow]) source[accounting.Transfer] {
	transfers, expiries := head[accounting.Transfer]{rows: transferRows}, head[expiryRow]{rows: expiryRows}
	return func(_ context.Context, row *accounting.Transfer) (Place, error) {
		hasExpiry, err := expiries.look()
		if err != nil {
			return expiryRows.place(), err
		}
		hasTransfer, err := transfers.look()
		switch {
		case err != nil:
			return transferRows.place(), err
		case hasExpiry && (!hasTransfer || expiries.row.Timestamp < transfers.row.Timestamp):
			*row = s.changer.expiry(&expiries.row)
			expiries.isSet = false
			return expiryRows.place(), nil
		case hasTransfer:
			*row = transfers.row
			s.changer.transfer(row)
			transfers.isSet = false
			return transferRows.place(), nil
		}
		return Place{}, io.EOF
	}
}
