package corpus

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"ledger/interop/conformance/internal/proto"
)

// Reader reads a corpus, step by step.
type Reader struct {
	Header Header
	file   io.Closer
	lines  *bufio.Scanner
	number int    // of the current line
	start  int    // the line on which the current step begins
	line   string // the current line
	unread bool   // line is still to be handed out
	steps  int
}

// Open starts reading a corpus file.
func Open(path string) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	r.file = file
	return r, nil
}

// NewReader starts reading a corpus from a stream.
func NewReader(in io.Reader) (*Reader, error) {
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	r := &Reader{lines: bufio.NewScanner(zip)}
	r.lines.Buffer(make([]byte, 1<<16), 1<<20)
	if line, _ := r.next(); line != magic {
		return nil, fmt.Errorf("not a corpus: it begins with %q", line)
	}
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	for _, pair := range strings.Fields(line) {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "profile":
			r.Header.Profile = value
		case "seed":
			r.Header.Seed, err = strconv.ParseUint(value, 10, 64)
		case "client":
			r.Header.Client = value
		}
	}
	return r, err
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// Line is the line on which the step that was read last begins.
func (r *Reader) Line() int { return r.start }

// Read returns the next step, and io.EOF after the last one.
func (r *Reader) Read() (*Step, error) {
	step, err := r.step()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: %w", r.number, err)
	}
	r.steps++
	return step, err
}

func (r *Reader) step() (*Step, error) {
	line, err := r.next()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	} else if err != nil {
		return nil, err
	}
	r.start = r.number
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case wordCall, wordPoll:
		step := &Step{Kind: Call}
		if word == wordPoll {
			step.Kind = Poll
		}
		step.Exchange, err = r.exchange(rest)
		return step, err
	case wordSleep:
		milliseconds, err := strconv.Atoi(rest)
		return &Step{Kind: Sleep, Milliseconds: milliseconds}, err
	case wordParallel:
		return r.parallel()
	case wordEnd:
		if rest != strconv.Itoa(r.steps) {
			return nil, fmt.Errorf("the corpus should have %s steps but has %d", rest, r.steps)
		}
		return nil, io.EOF
	}
	return nil, fmt.Errorf("unknown step %q", line)
}

func (r *Reader) parallel() (*Step, error) {
	step := &Step{Kind: Parallel}
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == wordJoin:
			return step, nil
		case word == wordLane:
			step.Lanes = append(step.Lanes, nil)
		case word == wordCall && len(step.Lanes) > 0:
			exchange, err := r.exchange(rest)
			if err != nil {
				return nil, err
			}
			last := len(step.Lanes) - 1
			step.Lanes[last] = append(step.Lanes[last], exchange)
		default:
			return nil, fmt.Errorf("unexpected %q in a parallel step", line)
		}
	}
}

// exchange reads a request and its reply; text is the rest of the first line.
func (r *Reader) exchange(text string) (exchange Exchange, err error) {
	number, op, ok := strings.Cut(text, " ")
	exchange.Request.Op = proto.Op(op)
	exchange.Request.Number, err = strconv.Atoi(number)
	if err != nil || !ok {
		return exchange, fmt.Errorf("bad call %q", text)
	}
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return exchange, nil
		} else if err != nil {
			return exchange, err
		}
		mark, content := line, ""
		if len(line) >= 2 && line[1] == ' ' {
			mark, content = line[:1], line[2:]
		}
		switch mark {
		case ">":
			err = parseEvent(&exchange.Request, content)
		case "<":
			err = parseReply(&exchange, content)
		case "!":
			exchange.Reply.Error = content
		default:
			r.unread = true
			return exchange, nil
		}
		if err != nil {
			return exchange, err
		}
	}
}

func parseEvent(request *proto.Request, text string) (err error) {
	switch request.Op {
	case proto.CreateAccounts:
		request.Accounts, err = parseRow(proto.AccountColumns, request.Accounts, text)
	case proto.CreateTransfers:
		request.Transfers, err = parseRow(proto.TransferColumns, request.Transfers, text)
	case proto.LookupAccounts, proto.LookupTransfers:
		var id proto.U128
		id, err = proto.ParseU128(text)
		request.IDs = append(request.IDs, id)
	case proto.GetAccountTransfers, proto.GetAccountBalances:
		request.AccountFilter, err = parseOne(proto.AccountFilterColumns, text)
	case proto.QueryAccounts, proto.QueryTransfers:
		request.QueryFilter, err = parseOne(proto.QueryFilterColumns, text)
	case proto.GetChangeEvents:
		request.ChangesFilter, err = parseOne(proto.ChangesFilterColumns, text)
	default:
		err = fmt.Errorf("unknown operation %q", request.Op)
	}
	return err
}

func parseReply(exchange *Exchange, text string) (err error) {
	reply := &exchange.Reply
	switch exchange.Request.Op {
	case proto.CreateAccounts, proto.CreateTransfers:
		return parseResults(exchange, text)
	case proto.LookupAccounts, proto.QueryAccounts:
		reply.Accounts, err = parseRow(proto.AccountColumns, reply.Accounts, text)
	case proto.LookupTransfers, proto.QueryTransfers, proto.GetAccountTransfers:
		reply.Transfers, err = parseRow(proto.TransferColumns, reply.Transfers, text)
	case proto.GetAccountBalances:
		reply.Balances, err = parseRow(proto.BalanceColumns, reply.Balances, text)
	case proto.GetChangeEvents:
		reply.Changes, err = parseRow(proto.ChangeColumns, reply.Changes, text)
	}
	return err
}

// parseResults reads "count status [timestamp] [reserved=N]".
func parseResults(exchange *Exchange, text string) error {
	words := strings.Fields(text)
	if len(words) < 2 {
		return fmt.Errorf("bad result %q", text)
	}
	count, err := strconv.Atoi(words[0])
	if err != nil || count < 1 || count > 1<<16 {
		return fmt.Errorf("bad count in result %q", text)
	}
	status, ok := proto.StatusNumber(exchange.Request.Op, words[1])
	if !ok {
		return fmt.Errorf("unknown status %q", words[1])
	}
	result := proto.Result{Status: status}
	ownTime := true
	for _, word := range words[2:] {
		if reserved, ok := strings.CutPrefix(word, "reserved="); ok {
			value, err := strconv.ParseUint(reserved, 10, 32)
			if err != nil {
				return err
			}
			result.Reserved = uint32(value)
			continue
		}
		ownTime = false
		if result.Timestamp, err = proto.ParseTime(word); err != nil {
			return err
		}
	}
	results := &exchange.Reply.Results
	for range count {
		if ownTime {
			result.Timestamp = proto.At(exchange.Request.Number, len(*results))
		}
		*results = append(*results, result)
	}
	return nil
}

func parseRow[T any](columns []proto.Column[T], rows []T, text string) ([]T, error) {
	row, err := proto.ParseRow(columns, text)
	return append(rows, row), err
}

func parseOne[T any](columns []proto.Column[T], text string) (*T, error) {
	row, err := proto.ParseRow(columns, text)
	return &row, err
}

// next returns the next line.
func (r *Reader) next() (string, error) {
	if r.unread {
		r.unread = false
		return r.line, nil
	}
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return "", err
		}
		return "", io.EOF
	}
	r.number++
	r.line = r.lines.Text()
	return r.line, nil
}
