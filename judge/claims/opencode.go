package claims

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/belljar-dev/belljar/judge/internal/sqlite"
)

// openCodePart is what is read of a part of a message of OpenCode.
type openCodePart struct {
	Type   string `json:"type"`
	Tool   string `json:"tool"`
	CallID string `json:"callID"`
	State  struct {
		Status string `json:"status"`
		Input  struct {
			Command string `json:"command"`
		} `json:"input"`
		Output   string `json:"output"`
		Metadata struct {
			Exit *int `json:"exit"`
		} `json:"metadata"`
		Time struct {
			Start int64 `json:"start"`
			End   int64 `json:"end"`
		} `json:"time"`
	} `json:"state"`
}

// openCodeTable is where OpenCode keeps the parts of messages, each as JSON.
const openCodeTable = "part"

// maxTries is how often a database is read that is being written.
const maxTries = 3

// readOpenCode reads the database of OpenCode, with its write-ahead log. The agent does not always
// end it in order, so that most may be in the log.
func readOpenCode(in source, limit int64) (all []*Claim, n int64, err error) {
	log, err := open(in.root, in.name+"-wal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, 0, err
	}
	if log != nil {
		defer log.Close()
	}
	for range maxTries {
		before, err := statOf(in.file, log)
		if err != nil {
			return nil, n, err
		}
		if n += before.size + before.logSize; n > limit {
			return nil, n, nil // the caller sees that it is too much
		}
		all, err = openCodeClaims(in.file, log, before)
		after, errAfter := statOf(in.file, log)
		if errAfter != nil {
			return nil, n, errAfter
		}
		if after == before {
			return all, n, err
		}
	}
	return nil, n, errors.New("it is being written: stop the sandbox first")
}

// A written is what shows whether the files were written.
type written struct {
	size, logSize int64
	at, logAt     time.Time
}

func statOf(file, log *os.File) (w written, err error) {
	st, err := file.Stat()
	if err != nil {
		return w, err
	}
	w.size, w.at = st.Size(), st.ModTime()
	if log != nil {
		if st, err = log.Stat(); err == nil {
			w.logSize, w.logAt = st.Size(), st.ModTime()
		}
	}
	return w, err
}

func openCodeClaims(file, log *os.File, w written) ([]*Claim, error) {
	var ahead io.ReaderAt // nil, not a nil file, where there is no log
	if log != nil {
		ahead = log
	}
	db, err := sqlite.Open(file, w.size, ahead, w.logSize)
	if err != nil {
		return nil, err
	}
	var all []*Claim
	err = db.Rows(openCodeTable, func(row []sqlite.Value) error {
		for i := range row {
			if bytes.HasPrefix(row[i].Text, []byte("{")) {
				if c := openCodeClaim(row[i].Text); c != nil {
					all = append(all, c)
				}
			}
		}
		if len(all) > maxClaims {
			return ErrBounds
		}
		return nil
	})
	if errors.Is(err, sqlite.ErrNoTable) { // nothing was told yet
		return nil, nil
	}
	return all, err
}

// openCodeClaim is the claim of a part; nil: it has none.
func openCodeClaim(b []byte) *Claim {
	var p openCodePart
	if json.Unmarshal(b, &p) != nil || p.Type != "tool" || p.Tool != "bash" || p.State.Status == "pending" {
		return nil
	}
	s := &p.State
	c := &Claim{Line: s.Input.Command, Time: time.UnixMilli(s.Time.Start).UTC(), id: p.CallID, output: s.Output[:min(len(s.Output), maxOutput)]}
	// A time that JSON cannot say would keep all of the report from being printed.
	if end := time.UnixMilli(s.Time.End).UTC(); s.Time.End > 0 && end.Year() < 9999 {
		c.Until = end
	}
	c.Status = statusOf(s.Metadata.Exit)
	c.Failed = s.Status == "error" && c.Status == nil
	return c
}
