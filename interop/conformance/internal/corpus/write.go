package corpus

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strconv"

	"ledger/interop/conformance/internal/proto"
)

// Writer writes a corpus.
type Writer struct {
	file  io.Closer
	zip   *gzip.Writer
	text  *bufio.Writer
	steps int
	line  []byte
}

// Create starts a corpus file.
func Create(path string, header Header) (*Writer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w, err := NewWriter(file, header)
	if err != nil {
		file.Close()
		return nil, err
	}
	w.file = file
	return w, nil
}

// NewWriter starts a corpus on a stream.
func NewWriter(out io.Writer, header Header) (*Writer, error) {
	zip, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := &Writer{zip: zip, text: bufio.NewWriterSize(zip, 1<<16)}
	fmt.Fprintf(w.text, "%s\nprofile=%s seed=%d client=%s\n", magic, header.Profile, header.Seed, header.Client)
	return w, nil
}

// Write adds a step.
func (w *Writer) Write(step *Step) error {
	w.steps++
	switch step.Kind {
	case Call:
		w.exchange(wordCall, &step.Exchange)
	case Poll:
		w.exchange(wordPoll, &step.Exchange)
	case Sleep:
		fmt.Fprintf(w.text, "%s %d\n", wordSleep, step.Milliseconds)
	case Parallel:
		fmt.Fprintln(w.text, wordParallel)
		for _, lane := range step.Lanes {
			fmt.Fprintln(w.text, wordLane)
			for i := range lane {
				w.exchange(wordCall, &lane[i])
			}
		}
		fmt.Fprintln(w.text, wordJoin)
	}
	return w.text.Flush()
}

// Close ends the corpus.
func (w *Writer) Close() error {
	fmt.Fprintf(w.text, "%s %d\n", wordEnd, w.steps)
	err := w.text.Flush()
	if zipErr := w.zip.Close(); err == nil {
		err = zipErr
	}
	if w.file != nil {
		if fileErr := w.file.Close(); err == nil {
			err = fileErr
		}
	}
	return err
}

func (w *Writer) exchange(word string, exchange *Exchange) {
	request, reply := &exchange.Request, &exchange.Reply
	fmt.Fprintf(w.text, "%s %d %s\n", word, request.Number, request.Op)
	switch request.Op {
	case proto.CreateAccounts:
		writeRows(w, '>', proto.AccountColumns, request.Accounts)
	case proto.CreateTransfers:
		writeRows(w, '>', proto.TransferColumns, request.Transfers)
	case proto.LookupAccounts, proto.LookupTransfers:
		for _, id := range request.IDs {
			w.writeLine('>', append(w.line[:0], id.String()...))
		}
	case proto.GetAccountTransfers, proto.GetAccountBalances:
		writeRows(w, '>', proto.AccountFilterColumns, []proto.AccountFilter{*request.AccountFilter})
	case proto.QueryAccounts, proto.QueryTransfers:
		writeRows(w, '>', proto.QueryFilterColumns, []proto.QueryFilter{*request.QueryFilter})
	case proto.GetChangeEvents:
		writeRows(w, '>', proto.ChangesFilterColumns, []proto.ChangesFilter{*request.ChangesFilter})
	}
	if reply.Error != "" {
		w.writeLine('!', append(w.line[:0], reply.Error...))
	}
	w.results(request, reply.Results)
	writeRows(w, '<', proto.AccountColumns, reply.Accounts)
	writeRows(w, '<', proto.TransferColumns, reply.Transfers)
	writeRows(w, '<', proto.BalanceColumns, reply.Balances)
	writeRows(w, '<', proto.ChangeColumns, reply.Changes)
}

// results writes the statuses of events; equal neighbours share a line.
func (w *Writer) results(request *proto.Request, results []proto.Result) {
	for i := 0; i < len(results); {
		text := ResultText(request, i, results[i])
		count := 1
		for i+count < len(results) && ResultText(request, i+count, results[i+count]) == text {
			count++
		}
		line := strconv.AppendInt(w.line[:0], int64(count), 10)
		line = append(line, ' ')
		w.writeLine('<', append(line, text...))
		i += count
	}
}

// ResultText writes a result: its status, and its timestamp unless that is the
// timestamp of the event itself.
func ResultText(request *proto.Request, event int, result proto.Result) string {
	text := proto.StatusName(request.Op, result.Status)
	if own := proto.At(request.Number, event); result.Timestamp != own {
		text += " " + result.Timestamp.String()
	}
	if result.Reserved != 0 {
		text += " reserved=" + strconv.FormatUint(uint64(result.Reserved), 10)
	}
	return text
}

func writeRows[T any](w *Writer, mark byte, columns []proto.Column[T], rows []T) {
	for i := range rows {
		w.line = proto.AppendRow(w.line[:0], columns, &rows[i])
		w.writeLine(mark, w.line)
	}
}

func (w *Writer) writeLine(mark byte, text []byte) {
	w.text.WriteByte(mark)
	w.text.WriteByte(' ')
	w.text.Write(text)
	w.text.WriteByte('\n')
	w.line = text[:0]
}
