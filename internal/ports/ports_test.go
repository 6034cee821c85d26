package ports

import (
	"sync/atomic"
	"testing"
)

type file struct{ File }

type sharedFile struct {
	File
	readers int
}

func (f sharedFile) ReadersMax() int { return f.readers }

// Goal: a shared file is read by as many as it and the caller allow, each number once and all at
// the same time; any other file by one, on the caller's goroutine. SideBySide returns behind all.
func TestSideBySide(t *testing.T) {
	for _, c := range []struct {
		file      File
		max, want int
	}{{file{}, 4, 1}, {sharedFile{readers: 4}, 1, 1}, {sharedFile{readers: 4}, 3, 3}, {sharedFile{readers: 4}, 9, 4}} {
		var begun, ended atomic.Int32
		var numbers [16]atomic.Int32
		all := make(chan struct{})
		SideBySide(c.file, c.max, func(reader, readers int) {
			if numbers[reader].Add(1); readers != c.want {
				t.Errorf("%+v: %d readers", c, readers)
			}
			if begun.Add(1) == int32(c.want) {
				close(all)
			}
			<-all // nobody ends before all have begun
			ended.Add(1)
		})
		if begun.Load() != int32(c.want) || ended.Load() != int32(c.want) {
			t.Errorf("%+v: %d began and %d ended, want %d", c, begun.Load(), ended.Load(), c.want)
		}
		for reader := range numbers {
			if got := numbers[reader].Load(); got != 1 && reader < c.want || got != 0 && reader >= c.want {
				t.Errorf("%+v: reader %d was called %d times", c, reader, got)
			}
		}
	}
}
