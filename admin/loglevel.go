package admin

import (
	"io"
	"net/http"
	"strings"
)

// Leveled is a log whose level can be changed while it is written.
type Leveled interface {
	Level() string
	SetLevel(name string) error
}

// levelBytesMax is more than any name of a level has.
const levelBytesMax = 64

// logLevel answers GET /log-level with the level, and PUT /log-level, whose body is the new one.
func (s *Server) logLevel(w http.ResponseWriter, r *http.Request) {
	if s.log == nil {
		text(w, http.StatusNotFound, []byte("there is no log here\n"))
		return
	}
	if r.Method == http.MethodPut {
		body, err := io.ReadAll(io.LimitReader(r.Body, levelBytesMax))
		if err == nil {
			err = s.log.SetLevel(strings.TrimSpace(string(body)))
		}
		if err != nil {
			text(w, http.StatusBadRequest, []byte(err.Error()+"\n"))
			return
		}
	}
	text(w, http.StatusOK, []byte(s.log.Level()+"\n"))
}
