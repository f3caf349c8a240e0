package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/belljar-dev/belljar/event"
)

// A Comparison says how far a record is the one that is meant.
type Comparison struct {
	Later int64 // bytes behind what the evidence is about, of which it says nothing
	Chain error // why the lines do not hang together, where the evidence names faults; else nil
}

// CompareRecord says in what the record in file is not the one of s, or says otherwise than s
// does. A record that has grown since is no other one. Where s names no faults a broken chain
// is an error.
func CompareRecord(s *Statement, file string) (Comparison, error) {
	var c Comparison
	p := &s.Predicate
	file, err := filepath.EvalSymlinks(file) // where its other segments are
	if err != nil {
		return c, err
	}
	if c.Later, err = sameBytes(file, &p.Record); err != nil {
		return c, err
	}
	f, _, err := event.OpenBytes(file)
	if err != nil {
		return c, err
	}
	defer f.Close()
	head, events, err := event.CheckChain(io.LimitReader(f, p.Record.Bytes), p.Record.ID)
	switch {
	case err != nil && len(p.Record.Faults) == 0:
		return c, fmt.Errorf("its chain does not hold: %w", err)
	case err != nil:
		c.Chain = err
	case head != p.Record.Head || events != p.Record.Events:
		return c, errors.New("it ends otherwise than is stated")
	}
	return c, p.sayTheSame(file)
}

// sameBytes says how many bytes follow those that are meant.
func sameBytes(file string, want *Record) (later int64, err error) {
	if want.Bytes <= 0 {
		return 0, fmt.Errorf("it is about %d bytes of a record, which is none", want.Bytes)
	}
	f, size, err := event.OpenBytes(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyN(sum, f, want.Bytes)
	switch {
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("the record has %d bytes, and had %d", n, want.Bytes)
	case err != nil:
		return 0, err
	case hex.EncodeToString(sum.Sum(nil)) != want.SHA256:
		return 0, errors.New("it is another record, or the record was changed")
	}
	return max(0, size-want.Bytes), nil
}

// CountWaits is how many changes p says that wait.
func CountWaits(p *Predicate) (int, error) {
	var all []json.RawMessage
	err := json.Unmarshal(p.Waits, &all)
	return len(all), err
}
