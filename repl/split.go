package repl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// statementBytesMax is the largest text of one statement. A request has room for 8189 transfers,
// which are 3 MiB of text at most, unless it is full of blanks.
const statementBytesMax = 16 << 20

// errTooLong says that a statement does not end where it must at the latest.
var errTooLong = fmt.Errorf("the statement has no semicolon within %d MiB: write one behind each statement", statementBytesMax>>20)

// splitter cuts a stream into the texts of statements, so that a file of any size needs the memory
// of one statement.
type splitter struct {
	in *bufio.Reader
	at position // of the next byte
}

func newSplitter(in io.Reader) *splitter {
	return &splitter{bufio.NewReaderSize(in, 64<<10), position{0, 1, 1}}
}

// next returns the text up to a semicolon, with it, or up to the end of the stream, and the place
// where it starts. The error is io.EOF at the end, and errTooLong once for a statement that is
// skipped.
func (s *splitter) next() (text string, start position, err error) {
	var out strings.Builder
	start = s.at
	isComment, isSkipped := false, false
	for {
		character, size, err := s.in.ReadRune()
		if err != nil {
			switch {
			case isSkipped:
				return "", start, errTooLong
			case errors.Is(err, io.EOF) && out.Len() > 0:
				return out.String(), start, nil
			}
			return "", start, err
		}
		s.at.offset += size
		s.at.column++
		switch {
		case character == '\n':
			s.at.line, s.at.column, isComment = s.at.line+1, 1, false
		case character == '#':
			isComment = true
		}
		if out.Len()+size > statementBytesMax {
			isSkipped = true
		}
		if !isSkipped {
			if character == utf8.RuneError && size == 1 {
				out.WriteByte(0xff) // it is wrong here as it was there
			} else {
				out.WriteRune(character)
			}
		}
		if character == ';' && !isComment {
			if isSkipped {
				return "", start, errTooLong
			}
			return out.String(), start, nil
		}
	}
}

// moved gives the place in the stream of a place in a text that starts at start.
func (p position) moved(start position) position {
	if p.line == 1 {
		p.column += start.column - 1
	}
	return position{p.offset + start.offset, p.line + start.line - 1, p.column}
}
